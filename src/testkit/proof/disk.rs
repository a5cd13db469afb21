//! A disk in memory that remembers what was synced, so that its power can be cut, and that fails when it is told to.
//!
//! Every later read sees a write at once, as through a page cache; it is durable after the next sync of its file.
//! There is the file of a store, and beside it the sections of its log, whose names are durable after a sync of the
//! folder. The files of one disk can be opened again and again; a handle that was cut off from it, as by the death of
//! its process, reaches it no more.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::choices::Choices;
use super::image::Image;
use crate::engine::redb_file::{BackendError, FileId, StorageBackend};
use crate::engine::wal::{FindSharedPage, LogFolder, SharedPageFile};
use crate::error::Error;

/// The number of a file; a name may come to mean another.
pub(crate) type FileNumber = usize;

/// The file of the store, which always has its name.
const STORE: FileNumber = 0;

/// An operation that changes the disk.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Write(FileNumber, usize, Arc<[u8]>),
    SetLen(FileNumber, usize),
    Sync(FileNumber),
    /// A section gets a name, or loses it.
    Name(u64, Option<FileNumber>),
    SyncNames,
}

impl Request {
    /// Whether something is durable from here on.
    pub(crate) fn is_sync(&self) -> bool {
        matches!(self, Self::Sync(_) | Self::SyncNames)
    }

    /// Whether a sync makes this one durable.
    fn is_ended_by(&self, sync: &Self) -> bool {
        match (self, sync) {
            (Self::Write(file, ..) | Self::SetLen(file, _), Self::Sync(synced)) => file == synced,
            (Self::Name(..), Self::SyncNames) => true,
            _ => false,
        }
    }
}

/// The content of a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskContent {
    files: BTreeMap<FileNumber, Image>,
    /// The sections of the log.
    names: BTreeMap<u64, FileNumber>,
    /// Files that have lost their names, and are read by who has them open. Their space counts as free.
    nameless: BTreeSet<FileNumber>,
    /// Whether a failed sync has forgotten some of their names, so that one that was removed may be there again.
    forgot_names: bool,
}

impl DiskContent {
    /// A file; one that was never written to is empty.
    fn file(&self, file: FileNumber) -> &Image {
        self.files.get(&file).unwrap_or(Image::EMPTY)
    }

    /// The file of the store.
    pub(crate) fn store(&self) -> &Image {
        self.file(STORE)
    }

    /// The number of the file of a section.
    #[cfg(test)]
    pub(crate) fn number_of(&self, section: u64) -> Option<FileNumber> {
        self.names.get(&section).copied()
    }

    /// The sections of the log.
    pub(crate) fn sections(&self) -> impl Iterator<Item = (u64, &Image)> {
        self.names.iter().map(|(section, file)| (*section, self.file(*file)))
    }

    fn pages(&self) -> usize {
        let named = self.files.iter().filter(|(file, _)| !self.nameless.contains(file));
        named.map(|(_, image)| image.pages()).sum()
    }

    pub(crate) fn apply(&mut self, request: &Request) {
        match request {
            Request::Write(file, offset, data) => self.files.entry(*file).or_default().write(*offset, data),
            Request::SetLen(file, len) => self.files.entry(*file).or_default().set_len(*len),
            Request::Name(section, Some(file)) => {
                self.nameless.remove(file);
                self.names.insert(*section, *file);
            }
            Request::Name(section, None) => drop(self.names.remove(section)),
            Request::Sync(_) | Request::SyncNames => {}
        }
    }
}

/// The durable content, and the changes that are not durable yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Synced {
    pub(crate) durable: DiskContent,
    pub(crate) pending: Vec<Request>,
}

impl Synced {
    /// A disk on which everything is durable.
    pub(crate) fn of(durable: DiskContent) -> Self {
        Self { durable, pending: Vec::new() }
    }

    /// Takes the next operation.
    pub(crate) fn take(&mut self, request: Request) {
        if !request.is_sync() {
            return self.pending.push(request);
        }
        for earlier in std::mem::take(&mut self.pending) {
            if earlier.is_ended_by(&request) {
                self.durable.apply(&earlier);
            } else {
                self.pending.push(earlier);
            }
        }
    }
}

/// An operation that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Write,
    SetLen,
    Sync,
    /// The same of the page by which processes that share a log tell one another how far it is.
    ReadShared,
    WriteShared,
}

/// One fault to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The operation that fails.
    pub(crate) kind: Operation,
    /// Which of them from now on, from 1.
    pub(crate) nth: usize,
    /// Whether every later one fails too, as on a disk that is gone.
    pub(crate) for_ever: bool,
    /// As the operating system puts it.
    pub(crate) errno: i32,
    /// Whether the first half of a write is done all the same.
    pub(crate) short: bool,
    /// Whether a failed sync makes the cache forget what is still to be written: some of it has reached the disk, and
    /// all of it is read until the power goes, but no later sync writes it.
    pub(crate) forgets: bool,
}

pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;

/// The disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<DiskState>>);

#[derive(Debug, Default)]
struct DiskState {
    /// As a process reads it.
    seen: DiskContent,
    /// As of the last syncs, and the changes since then.
    synced: Synced,
    /// So many files there have been.
    numbers: FileNumber,
    /// Everything that has come, when it is recorded.
    trace: Option<Vec<Request>>,
    fault: Option<Fault>,
    /// Whether the fault has struck.
    struck: bool,
    /// At most so many pages, when the disk can be full.
    most_pages: Option<usize>,
    /// The ranges that handles have locked.
    locks: Vec<Lock>,
    /// So many handles there have been.
    files: usize,
    /// The shared page of a log that several processes share.
    shared_page: Option<SharedMemory>,
}

/// A file that lasts as long as the power.
#[derive(Clone, Debug)]
struct SharedMemory {
    number: u64,
    bytes: Arc<Mutex<Vec<u8>>>,
}

/// A range of bytes that a handle has locked, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lock {
    file: usize,
    process: usize,
    first: u64,
    last: u64,
    shared: bool,
}

impl Lock {
    fn conflicts_with(&self, other: &Self) -> bool {
        let overlap = self.first <= other.last && other.first <= self.last;
        overlap && self.file != other.file && !(self.shared && other.shared)
    }
}

impl Disk {
    /// A disk that holds this, all of it durable.
    pub(crate) fn of(mut content: DiskContent) -> Self {
        let nameless = std::mem::take(&mut content.nameless);
        content.files.retain(|file, _| !nameless.contains(file));
        let numbers = content.names.values().copied().max().unwrap_or(STORE);
        let state = DiskState { seen: content.clone(), synced: Synced::of(content), numbers, ..DiskState::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Records everything from now on.
    pub(crate) fn record(&self) {
        self.0.lock().trace = Some(Vec::new());
    }

    /// So many requests have been recorded.
    pub(crate) fn recorded(&self) -> usize {
        self.0.lock().trace.as_ref().map_or(0, Vec::len)
    }

    /// The recorded changes.
    pub(crate) fn take_trace(&self) -> Vec<Request> {
        self.0.lock().trace.take().unwrap_or_default()
    }

    /// As a process reads it now.
    pub(crate) fn seen(&self) -> DiskContent {
        self.0.lock().seen.clone()
    }

    /// The content that a power cut now leaves.
    pub(crate) fn cut(&self, choices: &mut Choices) -> DiskContent {
        let state = self.0.lock();
        survivor(&state.synced, choices)
    }

    /// Makes one operation fail.
    pub(crate) fn fail(&self, fault: Fault) {
        let mut state = self.0.lock();
        (state.fault, state.struck) = (Some(fault), false);
    }

    /// Ends the faults; says whether one had struck.
    pub(crate) fn mend(&self) -> bool {
        let mut state = self.0.lock();
        state.fault = None;
        std::mem::take(&mut state.struck)
    }

    /// Leaves room for so many more pages.
    #[cfg(test)]
    pub(crate) fn leave_room(&self, pages: usize) {
        let mut state = self.0.lock();
        state.most_pages = Some(state.seen.pages() + pages);
    }

    /// A new handle on the file of the store, as of a process of its own.
    pub(crate) fn file(&self) -> DiskFile {
        let mut state = self.0.lock();
        state.files += 1;
        let number = state.files;
        DiskFile { disk: self.clone(), file: STORE, number, process: number, cut_off: Arc::default() }
    }
}

/// A handle on a disk's file; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct DiskFile {
    disk: Disk,
    file: FileNumber,
    number: usize,
    /// The number of the first handle of its process.
    process: usize,
    cut_off: Arc<AtomicBool>,
}

impl DiskFile {
    /// A new handle on a file, of the same process.
    fn beside(&self, file: FileNumber) -> Self {
        let mut state = self.disk.0.lock();
        state.files += 1;
        Self { file, number: state.files, ..self.clone() }
    }

    /// The folder in which the sections of the log lie, for the same process.
    pub(crate) fn folder(&self) -> DiskFolder {
        DiskFolder(self.clone())
    }

    /// Ends the handles of its process, as its death does: nothing that it still does reaches the disk.
    pub(crate) fn cut_off(&self) {
        self.cut_off.store(true, Ordering::Relaxed);
        self.disk.0.lock().locks.retain(|lock| lock.process != self.process);
    }

    fn unlock_all(&self) {
        self.disk.0.lock().locks.retain(|lock| lock.file != self.number);
    }

    fn range(&self, start: Bound<u64>, end: Bound<u64>, shared: bool) -> Lock {
        let first = match start {
            Bound::Included(first) => first,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let last = match end {
            Bound::Included(last) => last,
            Bound::Excluded(after) => after - 1,
            Bound::Unbounded => u64::MAX,
        };
        Lock { file: self.number, process: self.process, first, last, shared }
    }

    fn try_lock(&self, lock: Lock) -> Result<bool, BackendError> {
        let mut state = self.state()?;
        let free = !state.locks.iter().any(|held| held.conflicts_with(&lock));
        if free {
            state.locks.push(lock);
        }
        Ok(free)
    }

    fn lock(&self, lock: Lock) -> Result<(), BackendError> {
        while !self.try_lock(lock)? {
            std::thread::yield_now();
        }
        Ok(())
    }

    fn state(&self) -> io::Result<parking_lot::MutexGuard<'_, DiskState>> {
        if self.cut_off.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(self.disk.0.lock())
    }
}

impl DiskState {
    /// Counts an operation down to the fault; gives the fault when it strikes this one.
    fn strikes(&mut self, kind: Operation) -> Option<Fault> {
        let fault = self.fault.as_mut().filter(|fault| fault.kind == kind)?;
        fault.nth = fault.nth.saturating_sub(1);
        let struck = fault.nth == 0;
        let fault = *fault;
        if struck {
            self.struck = true;
            match fault.for_ever {
                true => self.fault = Some(Fault { nth: 1, ..fault }),
                false => self.fault = None,
            }
        }
        struck.then_some(fault)
    }

    fn do_now(&mut self, request: Request) {
        if let Request::Name(section, None) = &request
            && let Some(file) = self.seen.names.get(section).copied()
        {
            self.seen.nameless.insert(file);
        }
        self.seen.apply(&request);
        if let Some(trace) = &mut self.trace {
            trace.push(request.clone());
        }
        self.synced.take(request);
    }

    /// Syncs, or fails to.
    fn sync(&mut self, sync: Request) -> io::Result<()> {
        let Some(fault) = self.strikes(Operation::Sync) else {
            self.do_now(sync);
            return Ok(());
        };
        if fault.forgets {
            let pending = std::mem::take(&mut self.synced.pending);
            let (forgotten, pending): (Vec<_>, _) = pending.into_iter().partition(|earlier| earlier.is_ended_by(&sync));
            let choices = &mut Choices::seeded(forgotten.len() as u64);
            let durable = std::mem::take(&mut self.synced.durable);
            let forgets_names = forgotten.iter().any(|request| matches!(request, Request::Name(..)));
            self.synced.durable = survivor(&Synced { durable, pending: forgotten }, choices);
            self.synced.durable.forgot_names |= forgets_names;
            self.synced.pending = pending;
        }
        Err(io::Error::from_raw_os_error(fault.errno))
    }

    fn is_full(&self, file: FileNumber, offset: usize, len: usize) -> bool {
        self.most_pages.is_some_and(|most| self.seen.pages() + self.seen.file(file).new_pages(offset, len) > most)
    }
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.seen.file(self.file).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state()?;
        if let Some(fault) = state.strikes(Operation::Read) {
            return Err(io::Error::from_raw_os_error(fault.errno));
        }
        state.seen.file(self.file).read(position(offset)?, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        if let Some(fault) = state.strikes(Operation::SetLen) {
            return Err(io::Error::from_raw_os_error(fault.errno));
        }
        state.do_now(Request::SetLen(self.file, position(len)?));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state()?.sync(Request::Sync(self.file))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state()?;
        let offset = position(offset)?;
        if offset + data.len() > state.seen.file(self.file).len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(fault) = state.strikes(Operation::Write) {
            if fault.short {
                state.do_now(Request::Write(self.file, offset, data[..data.len() / 2].into()));
            }
            return Err(io::Error::from_raw_os_error(fault.errno));
        }
        if state.is_full(self.file, offset, data.len()) {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        state.do_now(Request::Write(self.file, offset, data.into()));
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.unlock_all();
        Ok(())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.try_lock(self.range(start, end, false))
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.try_lock(self.range(start, end, true))
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.lock(self.range(start, end, false))
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.lock(self.range(start, end, true))
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        let range = self.range(start, end, false);
        let same = |held: &Lock| (held.file, held.first, held.last) == (range.file, range.first, range.last);
        let mut state = self.disk.0.lock();
        if let Some(at) = state.locks.iter().position(same) {
            state.locks.swap_remove(at);
        }
        Ok(())
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        let range = self.range(start, end, false);
        Ok(self.state()?.locks.iter().any(|held| held.conflicts_with(&range)))
    }
}

/// The file of the shared page, as one process has it.
#[derive(Clone, Debug)]
struct MemoryFile {
    memory: SharedMemory,
    of: DiskFile,
}

impl MemoryFile {
    /// Counts an operation; gives the error of a fault that strikes it, and the fault.
    fn count(&self, kind: Operation) -> Result<(), (io::Error, Option<Fault>)> {
        let mut state = self.of.state().map_err(|error| (error, None))?;
        let fault = state.strikes(kind);
        fault.map_or(Ok(()), |fault| Err((io::Error::from_raw_os_error(fault.errno), Some(fault))))
    }
}

impl StorageBackend for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        drop(self.of.state()?);
        Ok(self.memory.bytes.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.count(Operation::ReadShared).map_err(|(error, _)| error)?;
        let (memory, from) = (self.memory.bytes.lock(), position(offset)?);
        out.copy_from_slice(memory.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.count(Operation::WriteShared).map_err(|(error, _)| error)?;
        self.memory.bytes.lock().resize(position(len)?, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (written, failed) = match self.count(Operation::WriteShared) {
            Ok(()) => (data, None),
            Err((error, fault)) if fault.is_some_and(|fault| fault.short) => (&data[..data.len() / 2], Some(error)),
            Err((error, _)) => (&data[..0], Some(error)),
        };
        let (mut memory, from) = (self.memory.bytes.lock(), position(offset)?);
        if memory.len() < from + written.len() {
            memory.resize(from + written.len(), 0);
        }
        memory[from..from + written.len()].copy_from_slice(written);
        failed.map_or(Ok(()), Err)
    }
}

/// The sections of a log on a disk.
#[derive(Clone, Debug)]
pub(crate) struct DiskFolder(DiskFile);

impl LogFolder for DiskFolder {
    fn sections(&self) -> Result<Vec<u64>, Error> {
        Ok(self.0.state()?.seen.names.keys().copied().collect())
    }

    fn open(&self, section: u64) -> Result<Option<Box<dyn StorageBackend>>, Error> {
        let Some(file) = self.0.state()?.seen.names.get(&section).copied() else { return Ok(None) };
        Ok(Some(Box::new(self.0.beside(file))))
    }

    fn locks(&self) -> Result<(Box<dyn StorageBackend>, Option<FileId>), Error> {
        Ok((Box::new(self.0.beside(STORE)), None))
    }

    fn shared_page(&self, find: FindSharedPage) -> Result<Option<SharedPageFile>, Error> {
        let mut state = self.0.state()?;
        let page = match find {
            FindSharedPage::Existing => state.shared_page.clone(),
            FindSharedPage::Make => {
                state.numbers += 1;
                let made = SharedMemory { number: state.numbers as u64, bytes: Arc::default() };
                Some(state.shared_page.get_or_insert(made).clone())
            }
        };
        Ok(page.map(|memory| {
            let number = memory.number;
            SharedPageFile { file: Box::new(MemoryFile { memory, of: self.0.clone() }), number }
        }))
    }

    fn remove_shared_page(&self) -> Result<(), Error> {
        self.0.state()?.shared_page = None;
        Ok(())
    }

    fn make(&self, section: u64, head: &[u8], length: u64) -> Result<Box<dyn StorageBackend>, Error> {
        let number = {
            let mut state = self.0.state()?;
            state.numbers += 1;
            state.numbers
        };
        let file = self.0.beside(number);
        let made = (|| {
            file.set_len(length)?;
            file.write(0, &vec![0; position(length)?])?;
            file.write(0, head)?;
            file.sync_data()
        })();
        if let Err(error) = made {
            // It has no name, so its space is free again.
            let mut state = self.0.state()?;
            state.seen.files.remove(&number);
            return Err(error.into());
        }
        let mut state = self.0.state()?;
        if state.seen.names.contains_key(&section) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
        }
        state.do_now(Request::Name(section, Some(number)));
        state.sync(Request::SyncNames)?;
        drop(state);
        Ok(Box::new(file))
    }

    fn clear_unfinished(&self) -> Result<(), Error> {
        Ok(())
    }

    fn remove(&self, section: u64) -> Result<(), Error> {
        let mut state = self.0.state()?;
        if state.seen.names.contains_key(&section) {
            state.do_now(Request::Name(section, None));
        }
        Ok(())
    }

    fn set_aside(&self, section: u64) -> Result<String, Error> {
        let mut state = self.0.state()?;
        // Redb had all of its rows before it was removed.
        assert!(state.seen.forgot_names, "a section of another log is on the disk: section={section}");
        state.do_now(Request::Name(section, None));
        Ok(format!("section {section} aside"))
    }

    fn sync(&self) -> Result<(), Error> {
        Ok(self.0.state()?.sync(Request::SyncNames)?)
    }

    fn name(&self, section: u64) -> String {
        format!("section {section}")
    }
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

/// How much of what was not synced is there after a power cut.
#[derive(Clone, Copy)]
enum Fate {
    None,
    Few,
    Half,
    Most,
    AllButOne,
    All,
}

/// The content after a power cut: everything synced, and of the rest whatever the choices say. Each write is kept,
/// lost, or torn, and those that are kept come in any order.
pub(crate) fn survivor(synced: &Synced, choices: &mut Choices) -> DiskContent {
    let Synced { durable, pending } = synced;
    let mut image = durable.clone();
    if pending.is_empty() {
        return image;
    }
    let fate = *choices.of(&[Fate::None, Fate::Few, Fate::Half, Fate::Half, Fate::Most, Fate::AllButOne, Fate::All]);
    let (tears, reorders) = (choices.once_in(2), choices.once_in(3));
    let left_out = choices.below(pending.len());
    let mut kept = Vec::new();
    for (at, request) in pending.iter().enumerate() {
        let keep = match fate {
            Fate::None => false,
            Fate::Few => choices.once_in(8),
            Fate::Half => choices.once_in(2),
            Fate::Most => !choices.once_in(8),
            Fate::AllButOne => at != left_out,
            Fate::All => true,
        };
        if keep {
            let torn = tears && (at + 1 == pending.len() || choices.once_in(6));
            kept.push(if torn { torn_write(request, choices) } else { vec![request.clone()] });
        }
    }
    if reorders {
        shuffle(&mut kept, choices);
    }
    kept.iter().flatten().for_each(|request| image.apply(request));
    // A file without a name is gone.
    let named: Vec<_> = image.names.values().copied().collect();
    image.files.retain(|file, _| *file == STORE || named.contains(file));
    image
}

/// Writes change places with one another, but not with a change of the length or of a name, which
/// the file system keeps in order.
fn shuffle(requests: &mut [Vec<Request>], choices: &mut Choices) {
    let stays = |request: &Vec<Request>| matches!(request.first(), Some(Request::SetLen(..) | Request::Name(..)));
    for run in requests.split_mut(stays) {
        for at in (1..run.len()).rev() {
            run.swap(at, choices.below(at + 1));
        }
    }
}

/// The parts of a write that reached the disk: sectors of 512 bytes, or all up to some byte, or all from some byte on.
fn torn_write(request: &Request, choices: &mut Choices) -> Vec<Request> {
    const SECTOR: usize = 512;
    let Request::Write(file, offset, data) = request else { return vec![request.clone()] };
    let part = |from: usize, to: usize| Request::Write(*file, offset + from, data[from..to].into());
    let at = choices.below(data.len().max(1)).min(data.len());
    match choices.below(if data.len() > SECTOR { 4 } else { 2 }) {
        0 => vec![part(0, at)],
        1 => vec![part(at, data.len())],
        _ => {
            let sectors = (0..data.len()).step_by(SECTOR).filter(|_| choices.once_in(2));
            sectors.map(|from| part(from, data.len().min(from + SECTOR))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(image: &Image) -> Vec<u8> {
        let mut bytes = vec![0; image.len()];
        image.read(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn synced_bytes_survive_and_every_other_byte_is_old_or_new() {
        let disk = Disk::default();
        let file = disk.file();
        file.set_len(9000).unwrap();
        file.write(0, &[1; 9000]).unwrap();
        file.sync_data().unwrap();
        file.write(100, &[2; 5000]).unwrap();
        file.write(8000, &[3; 300]).unwrap();
        let mut seen = BTreeSet::new();
        for seed in 0..500 {
            let image = bytes(disk.cut(&mut Choices::seeded(seed)).store());
            assert!(image.len() == 9000);
            for (at, byte) in image.iter().enumerate() {
                let new = if (100..5100).contains(&at) {
                    2
                } else if (8000..8300).contains(&at) {
                    3
                } else {
                    1
                };
                assert!(*byte == 1 || *byte == new, "seed={seed} at={at}");
            }
            seen.insert(image);
        }
        assert!(seen.len() > 50, "the cuts are all alike: {}", seen.len());
    }

    #[test]
    fn the_nth_operation_fails_and_a_cut_off_handle_reaches_nothing() {
        let disk = Disk::default();
        let file = disk.file();
        file.set_len(10).unwrap();
        let fault =
            Fault { kind: Operation::Write, nth: 2, for_ever: false, errno: ENOSPC, short: true, forgets: false };
        disk.fail(fault);
        file.write(0, &[1; 4]).unwrap();
        assert_eq!(file.write(4, &[2; 4]).unwrap_err().raw_os_error(), Some(ENOSPC));
        file.write(8, &[3; 2]).unwrap();
        assert!(disk.mend() && !disk.mend());
        assert_eq!(bytes(disk.seen().store()), [1, 1, 1, 1, 2, 2, 0, 0, 3, 3]);
        file.cut_off();
        assert!(file.write(0, &[9]).is_err() && file.len().is_err());
        assert!(disk.file().len().is_ok());
    }
    #[test]
    fn the_files_of_a_disk_are_synced_one_by_one_and_a_name_with_its_folder() {
        let disk = Disk::default();
        let folder = disk.file().folder();
        let section = folder.make(1, b"head", 5000).unwrap();
        section.write(4, &[1; 4]).unwrap();
        disk.file().sync_data().unwrap();
        let left = |disk: &Disk| {
            let cuts = (0..200).map(|seed| disk.cut(&mut Choices::seeded(seed)));
            cuts.map(|cut| {
                cut.sections().map(|(section, image)| (section, bytes(image)[4..8].to_vec())).collect::<Vec<_>>()
            })
            .collect::<BTreeSet<_>>()
        };
        assert!(left(&disk).contains(&vec![(1, vec![0; 4])]) && left(&disk).contains(&vec![(1, vec![1; 4])]));
        section.sync_data().unwrap();
        assert_eq!(left(&disk).len(), 1);
        folder.remove(1).unwrap();
        assert_eq!(left(&disk).len(), 2);
        folder.sync().unwrap();
        assert_eq!(left(&disk).into_iter().collect::<Vec<_>>(), [vec![]]);
        assert!(folder.open(1).unwrap().is_none());
    }
}
