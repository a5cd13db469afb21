//! The write-ahead log of a store that one process has for itself, or whose processes share one: a commit is one entry,
//! durable after one sync, and moves into redb later. The options are `Sharing::Exclusive` and `Sharing::SharedLog`.
//! The first two commits and large ones go straight into redb, by `past`.
//!
//! A write goes through `log` (its lock), `turns` if several processes share it, `way`, the closure over a `write_set`,
//! and `appending`, which encodes an `entry`, writes it, adds it to `maps` and waits for the sync. `commit::logged`
//! calls all of them. Behind the sync `turns::tell` names the new end to the other processes.
//!
//! * `entry`, `section`: the bytes of an entry and of the head of a file; `reader`: the entries of a file that fit
//! * `row`: the row of `meta` that says up to where redb has the log
//! * `layer`: rows that lie over others; `maps`: those of entries that redb does not have, by number;
//!   `gaps`: ranges in which there is none
//! * `write_set`: those that a closure has written
//! * `folder`, `files`, `leftovers`: the files of the sections; `bounds`: how long they become;
//!   `id`: which log they are of
//! * `log`: the open log, as readers see it; `writer`: its end; `way`: which way a write goes, and how a section begins
//! * `appended`, `appending`: an entry behind the last, and the sync that makes it durable
//! * `checkpoint`, `bell`: moving whole sections into redb; `past`: work that goes past the log, and a close
//! * `unsynced`: the thread that syncs entries of `Durability::System`
//! * `status`, `kept`: the log as a person sees it; `of_store`: a store and its log
//! * `turns`: several processes over one log
//! * `search`: which entries of a log that is in use fit; `recover`: moves them into redb at an opening;
//!   `news`: the logs that were taken up or set aside
//! * `behind`: the whole entries behind damage, for the report of a repair

mod appended;
mod appending;
mod behind;
mod bell;
mod bounds;
mod checkpoint;
#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod durability_test;
mod entry;
mod files;
mod folder;
#[cfg(test)]
mod found_test;
mod gaps;
mod id;
mod kept;
mod layer;
mod leftovers;
mod log;
mod maps;
mod news;
mod of_store;
mod past;
mod reader;
#[cfg(test)]
mod reading_test;
pub(in crate::engine) mod recover;
mod row;
mod search;
mod section;
#[cfg(test)]
mod space_test;
mod status;
#[cfg(test)]
pub(in crate::engine) mod test;
#[cfg(test)]
mod trouble_test;
mod turns;
mod unsynced;
mod way;
mod write_set;
mod writer;

pub(crate) use self::behind::BehindDamage;
pub(crate) use self::checkpoint::{Checkpointer, Mover};
#[cfg(any(fuzzing, test))]
pub(crate) use self::folder::FindSharedPage;
pub(crate) use self::folder::FolderOfStore;
#[cfg(any(fuzzing, test, feature = "transfer"))]
pub(crate) use self::folder::LogFolder;
pub use self::kept::LastCheckpoint;
pub(crate) use self::layer::{Layer, LayerPage, NoLayer};
pub(crate) use self::log::Log;
pub(crate) use self::maps::Overlay;
pub(crate) use self::news::LogNews;
#[cfg(any(fuzzing, test))]
pub(crate) use self::reader::read_any;
pub(crate) use self::recover::{LogIs, TakenUp};
pub(crate) use self::row::row_number;
pub use self::status::LogStatus;
#[cfg(any(fuzzing, test))]
pub(crate) use self::turns::SharedPageFile;
pub(crate) use self::turns::{Joining, is_lived_in};
pub(crate) use self::way::Road;
pub(crate) use self::write_set::{Stack, WriteSet};
pub(crate) use self::writer::Writer;
