//! `guard`: rolls a command back if it fails, or if a health check fails after it.
//!
//! The store is closed while the command runs, so the command may do anything with it. `child` runs the command and the
//! check, passes signals on to them, and kills a check that exceeds its deadline.
//!
//! * `verb`: the command, its check, and the way back

mod child;
mod verb;

pub(in crate::face::cli) use self::verb::Guard;
