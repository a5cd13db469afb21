//! `drill`: rehearses disasters on a copy of the store, and measures their cost.
//!
//! * `verb`: the verb; [`targets`]: the file of targets; [`screen`]: the progress output
//! * [`bot`]: the hidden verb that runs the bots of a drill

mod bot;
mod screen;
mod targets;
mod verb;

pub(in crate::face::cli) use self::bot::DrillBot;
pub(in crate::face::cli) use self::verb::Drill;
