//! Files with a record on each line: `audit` reads activities and changes of the registry, `chat` messages, and
//! `events` the events of the replaced service. Here is the loop over the lines.
//!
//! * `each_line`: the loop over the lines

pub(super) mod audit;
pub(super) mod chat;
mod each_line;
pub(super) mod events;

pub(super) use self::each_line::adopt;
