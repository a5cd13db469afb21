//! Several processes over one log, which take turns.
//!
//! * `bytes`: the locked bytes of the store's file: the turn, and the presence of a process
//! * `shared_page`: the end of the log, as the processes tell it one another
//! * `shared`: the part of a log that several processes share; `tell`: what they tell one another
//! * `turn`: taking a turn, and giving it up
//! * `follow`: the entries of other processes, for views and for the next turn
//! * `join`: opening and closing; `rest`: moving the log into redb

mod bytes;
mod follow;
mod join;
#[cfg(test)]
mod page_test;
#[cfg(test)]
mod reading_test;
mod rest;
mod shared;
mod shared_page;
mod tell;
#[cfg(test)]
mod test;
mod turn;

pub(crate) use self::bytes::is_lived_in;
pub(crate) use self::join::Joining;
pub(super) use self::shared::Turns;
pub(super) use self::shared_page::End;
pub(crate) use self::shared_page::SharedPageFile;
