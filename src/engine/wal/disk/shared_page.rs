//! The shared page: how far the log has come, as the processes that share it tell it one another. It is never synced,
//! and means something only while one of them lives.
//!
//! It lies in a file of its own in two copies, which are written in turn; a reader takes the newer one that is whole.

use crate::engine::redb_file::{FileId, Handle, StorageBackend};
use crate::engine::wal::encoding::id::LogId;
use crate::engine::wal::encoding::section;
use crate::error::{Error, ErrorKind, Hint, Result};
use std::io::ErrorKind as IoKind;

const MAGIC: &[u8; 8] = b"hiveturn";
/// The version of the format of the file.
const FORMAT: u32 = 1;
/// The bytes of one copy; the other one follows it.
const COPY: usize = 128;
/// How often a reader looks again when it finds both copies half written.
const LOOKS: usize = 1000;

/// A place behind an entry of the log, or the state of a store without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::wal) struct End {
    /// The log; none when redb has everything.
    pub(in crate::engine::wal) id: Option<LogId>,
    /// The newest number.
    pub(in crate::engine::wal) number: u64,
    /// The place behind the entry in the file of the section.
    pub(in crate::engine::wal) place: u64,
    /// The CRC of the entry, to which the next one is chained.
    pub(in crate::engine::wal) crc: u32,
}

impl End {
    /// Redb has everything up to a number.
    pub(in crate::engine::wal) fn without_log(number: u64) -> Self {
        Self { id: None, number, place: 0, crc: 0 }
    }

    /// The beginning of a log.
    pub(in crate::engine::wal) fn begin(id: LogId, number: u64, crc: u32) -> Self {
        Self { id: Some(id), number, place: section::HEAD, crc }
    }
}

/// Whether a turn has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::wal) enum State {
    /// Everything up to the end is on the disk, and nothing is behind it.
    Free = 0,
    /// A turn has begun: there may be more behind the end.
    Held = 1,
}

/// The content of the shared page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::wal) struct SharedPage {
    pub(in crate::engine::wal) state: State,
    /// Counts the times that it was written.
    pub(in crate::engine::wal) sequence: u64,
    /// The file that it was made in: a copy of it is none.
    pub(in crate::engine::wal) file: u64,
    /// The file of the store that it is of: another store may have the path, or have had it.
    pub(in crate::engine::wal) store: u64,
    /// Counts the commits of all processes.
    pub(in crate::engine::wal) commits: u64,
    /// Everything up to here is on the disk.
    pub(in crate::engine::wal) end: End,
    /// The length that the next log should have; 0 where nobody has said.
    pub(in crate::engine::wal) next_length: u32,
}

/// The number of a store's file, as a shared page names it; 0 where the system does not tell.
pub(in crate::engine::wal) fn store_of(handle: &Handle) -> u64 {
    handle.id().map_or(0, FileId::number)
}

impl SharedPage {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&[self.state as u8, u8::from(self.end.id.is_some()), 0, 0]);
        for number in [self.sequence, self.file, self.commits, self.end.number, self.end.place] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.end.id.unwrap_or(LogId([0; 16])).0);
        bytes.extend_from_slice(&self.end.crc.to_le_bytes());
        bytes.extend_from_slice(&self.next_length.to_le_bytes());
        bytes.extend_from_slice(&self.store.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(COPY, 0);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let state = match bytes.get(12)? {
            0 => State::Free,
            1 => State::Held,
            _ => return None,
        };
        let id = (*bytes.get(13)? == 1).then_some(LogId(*bytes.get(56..)?.first_chunk()?));
        let crc = u32::from_le_bytes(*bytes.get(72..)?.first_chunk()?);
        let end = End { id, number: number(40)?, place: number(48)?, crc };
        let (file, store) = (number(24)?, number(80)?);
        let next_length = u32::from_le_bytes(*bytes.get(76..)?.first_chunk()?);
        let page = Self { state, sequence: number(16)?, file, store, commits: number(32)?, end, next_length };
        (page.encode() == bytes.get(..COPY)?).then_some(page)
    }
}

/// The file of the shared page.
#[derive(Debug)]
pub(crate) struct SharedPageFile {
    pub(crate) file: Box<dyn StorageBackend>,
    /// Which file it is; 0 where the system does not tell.
    pub(crate) number: u64,
}

impl SharedPageFile {
    /// Makes it a file with room for a shared page, and without one.
    pub(in crate::engine::wal) fn empty(&self) -> Result<()> {
        self.file.set_len(2 * COPY as u64)?;
        Ok(self.file.write(0, &[0; 2 * COPY])?)
    }

    /// The newest shared page; none in a file that has none, or a copy of one.
    pub(in crate::engine::wal) fn find(&self) -> Result<Option<SharedPage>> {
        let mut bytes = [0; 2 * COPY];
        match self.file.read(0, &mut bytes) {
            // A real file has zeros behind its end, which are no shared page either.
            Err(error) if error.kind() == IoKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let (first, second) = bytes.split_at(COPY);
        let copies = [first, second].into_iter().filter_map(SharedPage::decode);
        Ok(copies.max_by_key(|page| page.sequence).filter(|page| page.file == self.number))
    }

    /// The newest shared page. A torn one is read again.
    ///
    /// # Errors
    ///
    /// `Locked` when there is none, so that nobody knows how far the log is.
    pub(in crate::engine::wal) fn read(&self) -> Result<SharedPage> {
        for _ in 0..LOOKS {
            if let Some(page) = self.find()? {
                return Ok(page);
            }
            std::thread::yield_now();
        }
        Err(unreadable())
    }

    /// Writes a shared page over the older copy.
    pub(in crate::engine::wal) fn write(&self, page: &SharedPage) -> Result<()> {
        let at = (page.sequence % 2) * COPY as u64;
        Ok(self.file.write(at, &page.encode())?)
    }
}

/// The error for processes that have lost sight of one another.
pub(in crate::engine::wal) fn unreadable() -> Error {
    let message = "the file beside the store by which the processes that share its log tell one another how far it is was \
                   removed or replaced; close the store in all of them, and open it again";
    Error::new(ErrorKind::Locked, message).with_hint(Hint::AskService)
}

/// The error for a process that only reads, and whose time has passed without a shared page.
pub(in crate::engine::wal) fn not_told() -> Error {
    let message = "no process tells how far the log of the store is: one has been opening the store all the time, or \
                   died at that, or the file beside the store by which they tell it was removed or replaced; try again \
                   later, or open the store again";
    Error::new(ErrorKind::Locked, message).with_hint(Hint::AskService)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::digest::hex;
    use crate::testkit::proof::disk::Disk;

    fn shared_page(sequence: u64) -> SharedPage {
        let end = End { id: Some(LogId([7; 16])), number: 9, place: 300, crc: 0x0102_0304 };
        SharedPage { state: State::Held, sequence, file: 5, store: 11, commits: 6, end, next_length: 1 << 18 }
    }

    fn file() -> SharedPageFile {
        let file = SharedPageFile { file: Box::new(Disk::default().file()), number: 5 };
        file.empty().unwrap();
        file
    }

    #[test]
    fn the_bytes_of_a_shared_page_are_those_of_the_format_and_no_others_are_one() {
        let bytes = shared_page(3).encode();
        let expected = "686976657475726e01000000010100000300000000000000050000000000000006000000000000000900000000000000\
                        2c010000000000000707070707070707070707070707070704030201000004000b00000000000000";
        assert!(hex(&bytes).starts_with(expected), "{}", hex(&bytes));
        assert_eq!(SharedPage::decode(&bytes), Some(shared_page(3)));
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            assert_eq!(SharedPage::decode(&wrong), None, "at={at}");
            assert_eq!(SharedPage::decode(&bytes[..at]), None, "at={at}");
        }
        let without = SharedPage { end: End::without_log(4), state: State::Free, ..shared_page(8) };
        assert_eq!(SharedPage::decode(&without.encode()), Some(without));
    }

    #[test]
    fn the_newer_of_two_copies_counts_and_a_torn_one_leaves_the_one_before() {
        let file = file();
        assert_eq!(file.find().unwrap(), None);
        assert_eq!(file.read().unwrap_err().kind(), ErrorKind::Locked);
        for sequence in 1..6 {
            file.write(&shared_page(sequence)).unwrap();
            assert_eq!(file.read().unwrap(), shared_page(sequence));
        }
        // The sixth is written to its middle.
        file.file.write(0, &shared_page(6).encode()[..40]).unwrap();
        assert_eq!(file.read().unwrap(), shared_page(5));
        let copy = SharedPageFile { number: 6, ..file };
        assert_eq!(copy.find().unwrap(), None, "a copy of the file is no shared page");
    }
}
