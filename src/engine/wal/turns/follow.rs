//! Reading the entries of other processes: for views, and for the next turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::disk::folder::LogFolder;
use super::super::disk::leftovers;
use super::super::encoding::entry;
use super::super::encoding::id::LogId;
use super::super::encoding::reader::{Tail, fits, read};
use super::super::encoding::row::Wal;
use super::super::encoding::section;
use super::super::overlay::maps::{Overlay, SectionMap};
use super::super::writing::log::Log;
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::redb_file::Handle;
use crate::engine::rows::ReadRows;
use crate::engine::wal::disk::bytes::TurnBytes;
use crate::engine::wal::disk::shared::{Followed, FollowedSection, ONLY, OpenedLogFile, Turns, shared_page_of_others};
use crate::engine::wal::disk::shared_page::{End, State, not_told, store_of, unreadable};
use crate::engine::wal::disk::writer::TurnBase;
use crate::error::{Error, ErrorKind, Hint, Result};

/// How often the base is taken again because the log of the one before has just gone.
const TRIES: usize = 100;

/// A process that only reads waits at least so long until it is told how far the log is, whatever its lock timeout is:
/// a log that has just begun is told of in a moment.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// Between two looks at a shared page that is still to be made.
const A_MOMENT: Duration = Duration::from_millis(10);

/// The bytes at which an entry may begin.
type HeadBytes = [u8; entry::HEAD];

/// The entries of other processes, as a process that only reads finds them.
enum Seen {
    /// The base has all that anybody was told.
    Base(Box<ReadRows>),
    /// It has read them up to the end that was told.
    Log,
    /// The base and the shared page are of different logs: one of them has just begun or gone. Or there is no shared
    /// page, as while the first process opens the store.
    Between,
}

/// How a change to another log went.
enum Change {
    /// Its entries can be read.
    Begun,
    /// Redb has all of it.
    Over,
    /// Its file has gone meanwhile.
    Gone,
}

impl Log {
    /// The rows of now: at least those of everything that any process was told is done before this was called. Takes
    /// no lock that is held across a closure or a sync. A process that only reads waits up to the timeout while nobody
    /// tells it how far the log is.
    pub(in crate::engine::wal) fn rows_of_all(
        &self,
        turns: &Turns,
        handle: &Handle,
        timeout: Duration,
    ) -> Result<ReadRows> {
        let Some(own) = &turns.own else { return self.rows_of_others(turns, handle, timeout) };
        let mut followed = turns.followed.lock();
        if followed.is_in_turn {
            return self.rows_up_to(handle, |head| head.answered);
        }
        for _ in 0..TRIES {
            let page = own.page.read()?;
            self.catch_up(&mut followed, &page.end, handle)?;
            // Under the lock: no section is let go of before the base was taken.
            let (rows, wal) = self.rows_with_row(handle, |head| head.answered)?;
            // W15, W20: a log that the tables lead into was begun in a turn of which the shared page tells. Where it
            // tells of none, the log was begun since it was read, or by processes that tell others.
            let other = wal.filter(|wal| wal.in_use && followed.end.id != Some(wal.id));
            if page.state == State::Held || other.is_none() {
                return Ok(rows);
            }
            std::thread::yield_now();
        }
        Err(unreadable())
    }

    /// The same for a process that only reads. Other threads of it look meanwhile, too.
    fn rows_of_others(&self, turns: &Turns, handle: &Handle, timeout: Duration) -> Result<ReadRows> {
        let begun = Instant::now();
        while begun.elapsed() < timeout.max(LEAST_WAIT) {
            let mut followed = turns.followed.lock();
            match self.follow(&mut followed, handle)? {
                Seen::Base(base) => return Ok(*base),
                Seen::Log => return self.rows_up_to(handle, |head| head.answered),
                Seen::Between => {}
            }
            drop(followed);
            std::thread::sleep(A_MOMENT);
        }
        Err(not_told())
    }

    /// Looks once. The shared page matters only while the base says that a log is in use: otherwise everything that
    /// anybody was told before is in the base.
    fn follow(&self, followed: &mut Followed, handle: &Handle) -> Result<Seen> {
        let base = ReadRows::new(handle.begin_read()?, Overlay::none());
        let wal = Wal::read(base.get(Table::Meta, meta::WAL)?.as_deref())?.filter(|wal| wal.in_use);
        if let Some(wal) = wal {
            match shared_page_of_others(&*self.folder, store_of(handle))? {
                Some(page) if page.end.id == Some(wal.id) => {
                    return self.catch_up(followed, &page.end, handle).map(|_| Seen::Log);
                }
                // W20: nobody was told anything of this log. It has just begun, or its process died before it told. By
                // W15 the shared page says on that this turn has begun; otherwise it is that of other processes.
                Some(page) if page.state == State::Held && page.end.number <= wal.number => {}
                _ => return Ok(Seen::Between),
            }
        }
        if followed.end.id.is_some() {
            self.forget_log(followed, 0);
        }
        Ok(Seen::Base(Box::new(base)))
    }

    /// W17: reads up to the end that was told, and no further. Gives what stands behind the end where it has read
    /// entries now.
    pub(super) fn catch_up(&self, followed: &mut Followed, end: &End, handle: &Handle) -> Result<Option<HeadBytes>> {
        // An older shared page, as a torn one leaves it.
        if end.number < followed.end.number {
            return Ok(None);
        }
        let Some(id) = end.id else {
            if followed.end != *end {
                self.forget_log(followed, end.number);
            }
            return Ok(None);
        };
        for _ in 0..TRIES {
            if followed.end.id == Some(id) {
                return self.read_on(followed, end, id);
            }
            match self.change_log(followed, id, handle)? {
                Change::Begun => {}
                Change::Over => {
                    self.forget_log(followed, end.number);
                    return Ok(None);
                }
                Change::Gone => std::thread::yield_now(),
            }
        }
        Err(self.missing())
    }

    /// Whether the log ends where the shared page says that the last turn has ended. W17: an older copy of the page may
    /// be in its place, also one that this process has written itself, and to append where it leads would write over
    /// entries that callers were told of. Leaves the tables in `base` where they lead into the log.
    pub(super) fn ends_at(
        &self,
        turns: &Turns,
        end: &End,
        handle: &Handle,
        base: &mut Option<TurnBase>,
    ) -> Result<bool> {
        let mut followed = turns.followed.lock();
        let behind = self.catch_up(&mut followed, end, handle)?;
        if followed.end != *end {
            return Ok(false);
        }
        // W4: a number that was given out is never given out again, also where neither has a log.
        let rows = ReadRows::new(handle.begin_read()?, Overlay::none());
        let wal = Wal::read(rows.get(Table::Meta, meta::WAL)?.as_deref())?;
        if wal.is_some_and(|wal| wal.number > end.number) || wal.filter(|wal| wal.in_use).map(|wal| wal.id) != end.id {
            return Ok(false);
        }
        let (Some(id), Some(section)) = (end.id, &followed.section) else { return Ok(true) };
        let mut head = behind.unwrap_or([0; entry::HEAD]);
        if behind.is_none() && end.place + head.len() as u64 <= section.length {
            section.file.read(end.place, &mut head)?;
        }
        *base = wal.map(|wal| TurnBase { wal, rows });
        let tail = Tail::begin(ONLY, end.number, end.crc);
        Ok(!entry::link_of(&head).is_some_and(|link| fits(&link, id, &tail)))
    }

    /// The error for a log that has lost its name. Nobody repairs a store that others have open: one of them may have
    /// the rest of the log open, and moves it into redb when it closes.
    pub(super) fn missing(&self) -> Error {
        let have_others = || self.folder.locks().and_then(|(file, _)| TurnBytes::over(file).has_others());
        if self.is_shared() || have_others().unwrap_or(true) {
            let message = format!(
                "{} was removed while processes share it; close the store in all of them, and open it again",
                self.folder.name(ONLY)
            );
            return Error::new(ErrorKind::Locked, message).with_hint(Hint::AskService);
        }
        let message =
            format!("{} is missing; put it back, or repair the store without its log", self.folder.name(ONLY));
        Error::damaged(message).with_hint(Hint::RepairStore)
    }

    /// Begins to read another log, from where redb leads into it.
    fn change_log(&self, followed: &mut Followed, id: LogId, handle: &Handle) -> Result<Change> {
        let base = ReadRows::new(handle.begin_read()?, Overlay::none());
        // W20: the base was taken behind the shared page, so a log that it does not lead into is over.
        let wal = match Wal::read(base.get(Table::Meta, meta::WAL)?.as_deref())? {
            Some(wal) if wal.in_use && wal.id == id => wal,
            _ => return Ok(Change::Over),
        };
        let is_fed = base.get(Table::Meta, meta::FEED)?.is_some();
        let Some((opened, length)) = self.open_section(followed, id)? else { return Ok(Change::Gone) };
        let file = opened.file.clone();
        self.keeps_entries.store(is_fed, Ordering::Relaxed);
        let map = Arc::new(SectionMap::new(ONLY, is_fed));
        let mut head = self.head.lock();
        (head.maps, head.id) = (Arc::new([map.clone()]), Some(id));
        (head.newest_section, head.covered) = (ONLY, 0);
        drop(head);
        followed.opened = Some(opened);
        followed.end = End::begin(id, wal.number, wal.chain);
        followed.section = Some(FollowedSection { file, length, map, longest: 0, begun: Instant::now() });
        Ok(Change::Begun)
    }

    /// The file of a log, by its name or, where that leads to no such log, as it was opened before; and its length.
    fn open_section(&self, followed: &Followed, id: LogId) -> Result<Option<(OpenedLogFile, u64)>> {
        let folder: &dyn LogFolder = &*self.folder;
        let before = folder.id_of(ONLY).ok().flatten();
        let named = if self.only_follows() { folder.open(ONLY)? } else { folder.open_to_write(ONLY)? };
        // It is certain which file was opened if the name has led to one file all the time.
        let number = before.filter(|_| folder.id_of(ONLY).is_ok_and(|after| after == before));
        let named = named.map(|file| OpenedLogFile { id, file: Arc::from(file), number });
        let opened = followed.opened.iter().filter(|opened| opened.id == id).cloned();
        for opened in named.into_iter().chain(opened) {
            let head = leftovers::head_of(&*opened.file)?.filter(|head| head.id == id && head.section == ONLY);
            if let Some(head) = head {
                return Ok(Some((opened, head.length)));
            }
        }
        Ok(None)
    }

    /// Reads the entries up to an end, by the same path by which own ones come.
    fn read_on(&self, followed: &mut Followed, end: &End, id: LogId) -> Result<Option<HeadBytes>> {
        // A log that has just begun has none behind its beginning, whose number redb has.
        let read = if followed.end == *end { Ok((0, None)) } else { self.entries_up_to(followed, end, id) };
        match read {
            Ok((longest, behind)) => {
                followed.end = *end;
                if let Some(section) = &mut followed.section {
                    section.longest = section.longest.max(longest);
                }
                self.publish(end.number);
                Ok(behind)
            }
            Err(error) => {
                // Half of them may have been taken.
                self.forget_sections(followed, 0);
                Err(error)
            }
        }
    }

    /// Gives the length of the longest one, and what stands behind the end.
    fn entries_up_to(&self, followed: &Followed, end: &End, id: LogId) -> Result<(u64, Option<HeadBytes>)> {
        let wrong = || Error::damaged("the log does not read as another process has written it; repair the store");
        let section = followed.section.as_ref().ok_or_else(wrong)?;
        let len = end.place.checked_sub(followed.end.place).filter(|len| *len <= section::MOST).ok_or_else(wrong)?;
        let len_in_memory = usize::try_from(len).map_err(|_| wrong())?;
        let mut bytes = vec![0; len_in_memory + entry::HEAD];
        // One read for both, if the section goes on so far.
        let there = section.length.saturating_sub(followed.end.place).max(len).min(bytes.len() as u64);
        let there = usize::try_from(there).map_err(|_| wrong())?;
        section.file.read(followed.end.place, bytes.get_mut(..there).ok_or_else(wrong)?)?;
        let (bytes, behind) = bytes.split_at(len_in_memory);
        let begin = Tail { place: 0, ..Tail::begin(ONLY, followed.end.number, followed.end.crc) };
        let mut longest = 0;
        let tail = read(bytes, id, begin, |entry| {
            longest = longest.max(entry.len as u64);
            section.map.apply(entry)
        })?;
        if (tail.place, tail.number, tail.crc) != (len, end.number, end.crc) {
            return Err(wrong());
        }
        Ok((longest, behind.first_chunk().copied()))
    }

    /// Lets go of a log that redb has all of.
    fn forget_log(&self, followed: &mut Followed, number: u64) {
        followed.opened = None;
        self.forget_sections(followed, number);
    }

    /// Lets go of the sections: redb has them, or they are to be read anew.
    pub(super) fn forget_sections(&self, followed: &mut Followed, number: u64) {
        let mut head = self.head.lock();
        (head.maps, head.id) = (Arc::new([]), None);
        (head.newest_section, head.covered) = (0, 0);
        drop(head);
        (followed.end, followed.section) = (End::without_log(number), None);
        self.publish(number);
    }
}
