//! How far the log has come, and how much of it is on the disk.

use std::sync::Arc;

use crate::engine::redb_file::StorageBackend;
use crate::engine::wal::disk::shared_page::End;
use crate::error::Error;

/// The newest entry, and up to which one all are durable.
#[derive(Debug)]
pub(in crate::engine::wal) struct Appended {
    /// The newest number, and the file that it is in: a section begins only after the one before is synced.
    pub(super) newest: u64,
    pub(in crate::engine::wal) file: Option<Arc<dyn StorageBackend>>,
    /// The place of the newest entry.
    pub(in crate::engine::wal) end: End,
    /// How many commits all processes have made up to there.
    pub(in crate::engine::wal) commits: u64,
    /// Everything up to this number is on the disk (W6: it never goes back).
    pub(super) durable: u64,
    /// One thread syncs at a time.
    pub(super) is_syncing: bool,
    /// W10: why an entry may be on the disk or not.
    pub(super) failure: Option<Arc<Error>>,
}

impl Appended {
    pub(super) fn new(number: u64) -> Self {
        let end = End::without_log(number);
        Self { newest: number, file: None, end, commits: 0, durable: number, is_syncing: false, failure: None }
    }
}
