//! The write-ahead log of a store that one process has for itself, or whose processes share one: a commit is one entry,
//! durable after one sync, and moves into redb later. The options are `Sharing::Exclusive` and `Sharing::SharedLog`.
//! The first two commits and large ones go straight into redb, by `past`.
//!
//! A write goes through `log` (its lock), `turns` if several processes share it, `way`, the closure over a `write_set`,
//! and `appending`, which encodes an `entry`, writes it, adds it to `maps` and waits for the sync. `commit::logged`
//! calls all of them. Behind the sync `turns::tell` names the new end to the other processes.
//!
//! * `encoding`: the bytes of entries and files
//! * `disk`: the files, and the state of several processes over them
//! * `overlay`: the rows of entries, over those of redb
//! * `writing`: the open log, and the ways into it and out of it
//! * `beginning`: the log at the opening of its store
//! * `turns`: several processes over one log
//! * `status`: the log as a person sees it; `of_store`: a store and its log

pub(crate) mod beginning;
mod disk;
mod encoding;
mod of_store;
mod overlay;
mod status;
#[cfg(test)]
pub(in crate::engine) mod test;
mod turns;
mod writing;

pub(crate) use self::beginning::join::Joining;
pub(crate) use self::beginning::news::LogNews;
pub(crate) use self::beginning::recover::{LogIs, TakenUp};
pub(crate) use self::disk::behind::BehindDamage;
pub(crate) use self::disk::bytes::is_lived_in;
#[cfg(any(fuzzing, test))]
pub(crate) use self::disk::folder::FindSharedPage;
pub(crate) use self::disk::folder::FolderOfStore;
#[cfg(any(fuzzing, test, feature = "transfer"))]
pub(crate) use self::disk::folder::LogFolder;
#[cfg(any(fuzzing, test))]
pub(crate) use self::disk::shared_page::SharedPageFile;
pub(crate) use self::disk::writer::Writer;
#[cfg(any(fuzzing, test))]
pub(crate) use self::encoding::reader::read_any;
#[cfg(feature = "transfer")]
pub(crate) use self::encoding::row::log_is_in_use;
pub(crate) use self::encoding::row::row_number;
pub(crate) use self::overlay::layer::{Layer, LayerPage, NoLayer};
pub(crate) use self::overlay::maps::Overlay;
pub(crate) use self::overlay::write_set::{Stack, WriteSet};
pub use self::status::LogStatus;
pub(crate) use self::writing::checkpoint::{Checkpointer, Mover};
pub use self::writing::kept::LastCheckpoint;
pub(crate) use self::writing::log::Log;
pub(crate) use self::writing::way::Road;
