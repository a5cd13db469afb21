//! All tools.
//!
//! * [`claims`]: claim a task, extend, complete, fail and release it; [`tasks`]: enqueue tasks, and look at them
//! * [`bots`]: register, heartbeats, and the caller itself; [`talk`]: the chat, and the notes of bots
//! * [`points`]: restore points, differences, and restores
//! * `list`: all of them

mod bots;
mod claims;
mod list;
pub(super) mod points;
pub(super) mod talk;
pub(super) mod tasks;

pub(super) use self::list::{all, find};
