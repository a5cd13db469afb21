//! The part of a log that several processes share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use super::bytes::TurnBytes;
use super::folder::{FindSharedPage, LogFolder};
use super::shared_page::{End, SharedPage, SharedPageFile, State};
use super::writer::{OpenSection, Stage, Writer};
use crate::engine::commit::locks::Mutex;
use crate::engine::redb_file::{FileId, StorageBackend};
use crate::engine::session::process::Process;
use crate::engine::wal::encoding::id::LogId;
use crate::engine::wal::overlay::maps::SectionMap;
use crate::error::Result;

/// A log has one section only where several processes share it: names change as seldom as possible.
pub(in crate::engine::wal) const ONLY: u64 = 1;

/// A log that several processes share, as one of them has it.
#[derive(Debug)]
pub(in crate::engine::wal) struct Turns {
    pub(in crate::engine::wal) process: Process,
    /// None for a process that only reads.
    pub(in crate::engine::wal) own: Option<OwnTurns>,
    /// Held for moments only, behind the write lock.
    pub(in crate::engine::wal) followed: Mutex<Followed>,
    /// The callers between their arrival and their answer.
    pub(in crate::engine::wal) inside: AtomicUsize,
}

/// The part of a process that takes turns.
#[derive(Debug)]
pub(in crate::engine::wal) struct OwnTurns {
    pub(in crate::engine::wal) bytes: TurnBytes,
    pub(in crate::engine::wal) page: SharedPageFile,
    /// The number of the store's file.
    pub(in crate::engine::wal) store: u64,
    /// How often the shared page was written, as far as this process knows, and how many commits it counts.
    pub(in crate::engine::wal) written: Mutex<(u64, u64)>,
}

/// How far this process has read the log.
#[derive(Debug)]
pub(in crate::engine::wal) struct Followed {
    /// This process has the turn: the write lock says how far the log is, and nobody else changes it.
    pub(in crate::engine::wal) is_in_turn: bool,
    pub(in crate::engine::wal) end: End,
    pub(in crate::engine::wal) section: Option<FollowedSection>,
    /// The file of the newest log that it has read or begun, as long as redb does not have all of it. It may have lost
    /// its name, and then nobody else may be able to open it.
    pub(in crate::engine::wal) opened: Option<OpenedLogFile>,
}

/// The open file of a log.
#[derive(Clone, Debug)]
pub(in crate::engine::wal) struct OpenedLogFile {
    pub(in crate::engine::wal) id: LogId,
    pub(in crate::engine::wal) file: Arc<dyn StorageBackend>,
    /// Which file it is; none where that is unknown.
    pub(in crate::engine::wal) number: Option<FileId>,
}

impl OpenedLogFile {
    /// Whether its name has gone, or leads to another file, as far as that can be told.
    pub(in crate::engine::wal) fn has_lost_its_name(&self, folder: &dyn LogFolder) -> bool {
        self.number.is_some_and(|number| match folder.id_of(ONLY) {
            Ok(named) => named.is_some_and(|named| named != number),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        })
    }
}

/// The section that the log consists of.
#[derive(Clone, Debug)]
pub(in crate::engine::wal) struct FollowedSection {
    pub(in crate::engine::wal) file: Arc<dyn StorageBackend>,
    pub(in crate::engine::wal) length: u64,
    pub(in crate::engine::wal) map: Arc<SectionMap>,
    pub(in crate::engine::wal) longest: u64,
    pub(in crate::engine::wal) begun: Instant,
}

impl OwnTurns {
    /// Tells the other processes how far the log is.
    pub(in crate::engine::wal) fn tell(&self, state: State, end: End, commits: u64, next_length: u64) -> Result<()> {
        let mut written = self.written.lock();
        let sequence = written.0 + 1;
        let (file, store) = (self.page.number, self.store);
        let next_length = u32::try_from(next_length).unwrap_or_default();
        self.page.write(&SharedPage { state, sequence, file, store, commits, end, next_length })?;
        // Behind a write that failed, the next one must not go over the only copy that is whole.
        written.0 = sequence;
        Ok(())
    }
}

impl Turns {
    pub(in crate::engine::wal) fn new(own: Option<OwnTurns>) -> Self {
        let followed = Followed { is_in_turn: false, end: End::without_log(0), section: None, opened: None };
        Self { process: Process::current(), own, followed: Mutex::new(followed), inside: AtomicUsize::new(0) }
    }

    /// Those of a process that only reads.
    pub(in crate::engine::wal) fn of_reader() -> Self {
        Self::new(None)
    }
}

/// The newest shared page, for a process that only reads; none where no other one has the log of this store.
pub(in crate::engine::wal) fn shared_page_of_others(folder: &dyn LogFolder, store: u64) -> Result<Option<SharedPage>> {
    // The file may be another one since.
    let Some(file) = folder.shared_page(FindSharedPage::Existing)? else { return Ok(None) };
    // Half of it may have been written.
    let page = file.find()?.or_else(|| file.read().ok());
    // The path may have come to lead to another store.
    Ok(page.filter(|page| page.store == store))
}

impl Writer {
    /// How far the log is.
    pub(in crate::engine::wal) fn end(&self) -> End {
        match &self.stage {
            Stage::Open(open) => End { id: Some(open.id), number: self.number, place: open.place, crc: open.crc },
            Stage::Ended(ended) => End::begin(ended.id, self.number, ended.crc),
            Stage::Empty | Stage::Recovered(_) => End::without_log(self.number),
        }
    }

    /// The section that is appended to.
    pub(in crate::engine::wal) fn section(&self) -> Option<FollowedSection> {
        let Stage::Open(open) = &self.stage else { return None };
        let OpenSection { file, length, map, longest, begun, .. } = open;
        let (file, map) = (file.clone(), map.clone());
        Some(FollowedSection { file, length: *length, map, longest: *longest, begun: *begun })
    }

    /// Goes on where other processes have come to.
    pub(in crate::engine::wal) fn go_on_at(&mut self, end: End, section: Option<FollowedSection>) {
        self.number = end.number;
        self.stage = match (end.id, section) {
            (Some(id), Some(FollowedSection { file, length, map, longest, begun })) => {
                let End { place, crc, .. } = end;
                Stage::Open(OpenSection { id, section: ONLY, file, length, place, crc, map, longest, begun })
            }
            _ => Stage::Empty,
        };
    }
}
