//! A disk in memory that remembers what was synced, so that its power can be cut, and that fails when it is told to.
//!
//! Every later read sees a write at once, as through a page cache; it is durable after the next sync.
//! The file of one disk can be opened again and again; a handle that was cut off from it, as by the death of its
//! process, reaches it no more.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::choices::Choices;
use super::image::Image;
use crate::engine::redb_file::{BackendError, StorageBackend};

/// An operation that changes the disk.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Write(usize, Arc<[u8]>),
    SetLen(usize),
    Sync,
}

impl Request {
    pub(crate) fn apply(&self, image: &mut Image) {
        match self {
            Self::Write(offset, data) => image.write(*offset, data),
            Self::SetLen(len) => image.set_len(*len),
            Self::Sync => {}
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
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// As a process reads it.
    seen: Image,
    /// As of the last sync.
    durable: Image,
    /// The changes since then.
    pending: Vec<Request>,
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
}

/// A range of bytes that a handle has locked, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lock {
    file: usize,
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
    /// A disk that holds an image, all of it durable.
    pub(crate) fn of(image: Image) -> Self {
        let state = State { seen: image.clone(), durable: image, ..State::default() };
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
    pub(crate) fn seen(&self) -> Image {
        self.0.lock().seen.clone()
    }

    /// The content that a power cut now leaves.
    pub(crate) fn cut(&self, choices: &mut Choices) -> Image {
        let state = self.0.lock();
        survivor(&state.durable, &state.pending, choices)
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

    /// A new handle on the file.
    pub(crate) fn file(&self) -> DiskFile {
        let mut state = self.0.lock();
        state.files += 1;
        DiskFile { disk: self.clone(), number: state.files, cut_off: Arc::default() }
    }
}

/// A handle on a disk's file; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct DiskFile {
    disk: Disk,
    number: usize,
    cut_off: Arc<AtomicBool>,
}

impl DiskFile {
    /// Ends the handle, as its process's death does: nothing that it still does reaches the disk.
    pub(crate) fn cut_off(&self) {
        self.cut_off.store(true, Ordering::Relaxed);
        self.unlock_all();
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
        Lock { file: self.number, first, last, shared }
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

    fn state(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        if self.cut_off.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(self.disk.0.lock())
    }
}

impl State {
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
        request.apply(&mut self.seen);
        if let Some(trace) = &mut self.trace {
            trace.push(request.clone());
        }
        match request {
            Request::Sync => {
                for request in std::mem::take(&mut self.pending) {
                    request.apply(&mut self.durable);
                }
            }
            request => self.pending.push(request),
        }
    }

    fn is_full(&self, offset: usize, len: usize) -> bool {
        self.most_pages.is_some_and(|most| self.seen.pages() + self.seen.new_pages(offset, len) > most)
    }
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state()?;
        if let Some(fault) = state.strikes(Operation::Read) {
            return Err(io::Error::from_raw_os_error(fault.errno));
        }
        state.seen.read(position(offset)?, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state()?;
        if let Some(fault) = state.strikes(Operation::SetLen) {
            return Err(io::Error::from_raw_os_error(fault.errno));
        }
        state.do_now(Request::SetLen(position(len)?));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state()?;
        if let Some(fault) = state.strikes(Operation::Sync) {
            if fault.forgets {
                let choices = &mut Choices::seeded(state.pending.len() as u64);
                state.durable = survivor(&state.durable, &state.pending, choices);
                state.pending.clear();
            }
            return Err(io::Error::from_raw_os_error(fault.errno));
        }
        state.do_now(Request::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state()?;
        let offset = position(offset)?;
        if offset + data.len() > state.seen.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(fault) = state.strikes(Operation::Write) {
            if fault.short {
                state.do_now(Request::Write(offset, data[..data.len() / 2].into()));
            }
            return Err(io::Error::from_raw_os_error(fault.errno));
        }
        if state.is_full(offset, data.len()) {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        state.do_now(Request::Write(offset, data.into()));
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

/// The content after a power cut: everything synced, and of the rest whatever the choices say. Each write is kept, lost,
/// or torn, and those that are kept come in any order.
pub(crate) fn survivor(durable: &Image, pending: &[Request], choices: &mut Choices) -> Image {
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
    kept.iter().flatten().for_each(|request| request.apply(&mut image));
    image
}

/// Writes change places with one another, but not with a change of the length, which the file system keeps in order.
fn shuffle(requests: &mut [Vec<Request>], choices: &mut Choices) {
    let is_length = |request: &Vec<Request>| matches!(request.first(), Some(Request::SetLen(_)));
    for run in requests.split_mut(is_length) {
        for at in (1..run.len()).rev() {
            run.swap(at, choices.below(at + 1));
        }
    }
}

/// The parts of a write that reached the disk: sectors of 512 bytes, or all up to some byte, or all from some byte on.
fn torn_write(request: &Request, choices: &mut Choices) -> Vec<Request> {
    const SECTOR: usize = 512;
    let Request::Write(offset, data) = request else { return vec![request.clone()] };
    let part = |from: usize, to: usize| Request::Write(offset + from, data[from..to].into());
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
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let image = bytes(&disk.cut(&mut Choices::seeded(seed)));
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
        assert_eq!(bytes(&disk.seen()), [1, 1, 1, 1, 2, 2, 0, 0, 3, 3]);
        file.cut_off();
        assert!(file.write(0, &[9]).is_err() && file.len().is_err());
        assert!(disk.file().len().is_ok());
    }
}
