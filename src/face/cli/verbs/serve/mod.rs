//! `serve`: the service, from opening the store to closing it.
//!
//! * [`settings`]: the settings, by flag, environment or file
//! * [`setup`]: their effect, and their defaults
//! * [`open`]: opens the page in a browser
//! * [`value`]: values of settings, such as sizes
//! * `verb`: the run, and its first messages

#[cfg(feature = "page")]
mod open;
mod settings;
mod setup;
mod value;
mod verb;

pub(in crate::face::cli) use self::verb::Serve;
