//! The end of the log: appending entries to it, and the sync (fsync) that makes them durable.
//!
//! One of the waiting threads syncs everything that was appended before. Other closures run meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::log::Log;
use super::unsynced::SyncAll;
use crate::engine::commit::failures::{poisoned, uncertain};
use crate::engine::wal::disk::shared_page::End;
use crate::engine::wal::disk::writer::{Ended, OpenSection, Stage, Writer};
use crate::engine::wal::encoding::entry::{self, EntryKind, Link};
use crate::engine::wal::overlay::write_set::WriteSet;
use crate::error::{Error, Hint, Result};

impl Log {
    /// Appends a commit, and gives its number; none when it has no place in the section. It is durable once
    /// [`Log::wait`] has returned.
    ///
    /// # Errors
    ///
    /// `Uncertain` when it cannot be written.
    pub(crate) fn append(&self, writer: &mut Writer, set: &WriteSet) -> Result<Option<u64>> {
        let Stage::Open(open) = &mut writer.stage else { return Ok(None) };
        let Some(rows) = set.encode() else { return Ok(None) };
        let len = entry::len_with(rows.len());
        open.longest = open.longest.max(len);
        // Room for the end of the section must stay, and W13: readers refuse an entry longer than half of its section.
        if len > open.most(self.lengths.bounds) || len > open.room() {
            return Ok(None);
        }
        let number = writer.number + 1;
        let half = open.length / 2;
        let was_emptier = open.place < half;
        self.count_commit();
        let bytes = self.put(open, number, EntryKind::Commit, &rows)?;
        if was_emptier && open.place >= half {
            // The next section is made while there is room in this one.
            self.bell.ring_full();
        }
        writer.number = number;
        // W13: it is read by the same path as entries that an opening finds.
        let entry = entry::decode(&bytes).ok_or_else(|| Error::damaged("an entry does not read as it was written"));
        entry.and_then(|entry| open.map.apply(&entry)).map_err(|error| self.failed(error))?;
        self.bell.note_append();
        Ok(Some(number))
    }

    /// Notes that a commit became too long for the open section before it was whole, so that later ones find room, if
    /// there are longer sections.
    pub(crate) fn note_too_long(&self, writer: &mut Writer) {
        if let Stage::Open(open) = &mut writer.stage
            && open.length < self.lengths.longest()
        {
            open.longest = open.longest.max(open.length);
        }
    }

    /// Ends the open section, if one is open.
    ///
    /// # Errors
    ///
    /// `Uncertain` when its end cannot be written.
    pub(super) fn end_section(&self, writer: &mut Writer) -> Result<()> {
        let Stage::Open(open) = &mut writer.stage else { return Ok(()) };
        let number = writer.number + 1;
        // The kind of the end says whether an opening must find the next section.
        let has_next = self.files.try_lock().is_some_and(|files| files.is_ahead(open.id, open.section + 1));
        self.put(open, number, if has_next { EntryKind::EndBeforeNext } else { EntryKind::End }, &[])?;
        open.map.end(number, open.crc);
        self.lengths.follow(open);
        let ended = Ended { id: open.id, section: open.section, number, crc: open.crc };
        writer.number = number;
        writer.stage = Stage::Ended(ended);
        Ok(())
    }

    /// W3: one write in place, under the write lock.
    fn put(&self, open: &mut OpenSection, number: u64, kind: EntryKind, rows: &[u8]) -> Result<Vec<u8>> {
        let synced = self.appended.lock().durable;
        let link = Link { id: open.id, section: open.section, number, chain: open.crc, synced };
        let (bytes, crc) = entry::encode(kind, &link, rows)?;
        open.file.write(open.place, &bytes).map_err(|error| self.failed(error.into()))?;
        open.place += bytes.len() as u64;
        open.crc = crc;
        let commits = self.counted();
        let mut appended = self.appended.lock();
        (appended.newest, appended.commits) = (number, commits);
        appended.end = End { id: Some(open.id), number, place: open.place, crc: open.crc };
        appended.file = Some(open.file.clone());
        Ok(bytes)
    }

    /// Returns once everything up to a number is on the disk (W5).
    ///
    /// # Errors
    ///
    /// `Uncertain` when the sync has failed.
    pub(crate) fn wait(&self, number: u64) -> Result<()> {
        let mut appended = self.appended.lock();
        loop {
            if appended.durable >= number {
                return Ok(());
            }
            // W10: a later sync that succeeds would prove nothing about pages that the system has given up.
            if let Some(failure) = &appended.failure {
                return Err(uncertain(failure.clone()));
            }
            // Another thread syncs. If its sync began before this entry, this thread makes the next one.
            if appended.is_syncing {
                self.synced.wait(&mut appended);
                continue;
            }
            // W5: the sync begins after everything up to `newest` was written.
            let (end, commits) = (appended.end, appended.commits);
            let (newest, Some(file)) = (appended.newest, appended.file.clone()) else {
                return Err(uncertain(Error::damaged("nothing was appended to the log")));
            };
            appended.is_syncing = true;
            drop(appended);
            // W18: the other processes are told before anybody is answered.
            let synced = file.sync_data().map_err(Error::from).and_then(|()| self.tell_of_synced(end, commits));
            match synced {
                // W8: earlier sections were synced before this one began, so one file is enough.
                Ok(()) => self.publish(newest),
                Err(error) => drop(self.failed(error)),
            }
            appended = self.appended.lock();
            appended.is_syncing = false;
            self.synced.notify_all();
        }
    }

    /// Answers an entry that the system has. Readers see it from now on; it is on the disk soon, by a thread of its
    /// own, or, where there is none, at once.
    ///
    /// # Errors
    ///
    /// As [`Log::wait`], where there is no thread; `Uncertain` when a sync behind it has failed.
    pub(crate) fn answer(self: &Arc<Self>, number: u64) -> Result<()> {
        let sync = || -> SyncAll {
            let log = Arc::downgrade(self);
            Box::new(move || log.upgrade().is_some_and(|log| log.sync_all()))
        };
        // Without the thread nobody would sync it. W18: what other processes see is on the disk.
        if self.is_shared() || !self.unsynced.note(sync) {
            return self.wait(number);
        }
        let appended = self.appended.lock();
        // W10: the sync of another thread may have failed behind this entry, and the system may have dropped it.
        if appended.durable < number
            && let Some(failure) = &appended.failure
        {
            return Err(uncertain(failure.clone()));
        }
        // W6: readers see up to the newest number that was answered.
        let mut head = self.head.lock();
        head.answered = head.answered.max(number);
        Ok(())
    }

    /// Puts everything that was appended on the disk. Says whether there may be more.
    fn sync_all(&self) -> bool {
        let newest = self.appended.lock().newest;
        let synced = self.wait(newest).inspect_err(|error| {
            tracing::error!(%error, "a sync failed; a power cut may take writes that were answered before it");
        });
        synced.is_ok()
    }

    /// The same for entries that the caller only saw: after a failed sync its own writes are not uncertain.
    ///
    /// # Errors
    ///
    /// `Reopen` when the sync has failed.
    pub(crate) fn wait_for_seen(&self, number: u64) -> Result<()> {
        self.wait(number).or_else(|error| self.refuse_failed().and(Err(error)))
    }

    /// Whether everything up to a number is on the disk.
    pub(crate) fn is_durable(&self, number: u64) -> bool {
        self.appended.lock().durable >= number
    }

    /// W6: everything up to a number is on the disk. Readers see it before anybody is answered, so that
    /// a caller finds its own commit.
    pub(in crate::engine::wal) fn publish(&self, number: u64) {
        let mut head = self.head.lock();
        head.answered = head.answered.max(number);
        drop(head);
        let mut appended = self.appended.lock();
        appended.durable = appended.durable.max(number);
        appended.newest = appended.newest.max(number);
        drop(appended);
        self.synced.notify_all();
    }

    /// W10: notes that it is unknown what is on the disk, and gives the error for the caller that finds that.
    pub(in crate::engine::wal) fn failed(&self, error: Error) -> Error {
        let error = Arc::new(error);
        let mut appended = self.appended.lock();
        appended.failure.get_or_insert_with(|| error.clone());
        drop(appended);
        self.synced.notify_all();
        uncertain(error)
    }

    /// Goes on no more.
    pub(crate) fn give_up(&self, error: &Error) {
        drop(self.failed(Error::new(error.kind(), error.to_string())));
        self.depart();
    }

    /// The same for ever, after work on the file as a whole that may be only half on the disk.
    pub(crate) fn give_up_for_good(&self, error: &Error) {
        self.is_given_up.store(true, Ordering::Relaxed);
        self.give_up(error);
    }

    /// Refuses to open the file again over pages that may be only in the system's cache.
    ///
    /// # Errors
    ///
    /// `Damaged` then.
    pub(crate) fn refuse_given_up(&self) -> Result<()> {
        match self.is_given_up.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Error::damaged("compacting the file failed half-way; close the store, and repair it")
                .with_hint(Hint::RepairStore)),
        }
    }

    /// Whether writing to the log, or its sync, has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.appended.lock().failure.is_some()
    }

    /// Refuses to go on after a failure.
    ///
    /// # Errors
    ///
    /// `Reopen` then.
    pub(crate) fn refuse_failed(&self) -> Result<()> {
        match &self.appended.lock().failure {
            None => Ok(()),
            Some(failure) => Err(poisoned().with_source(failure.clone())),
        }
    }
}
