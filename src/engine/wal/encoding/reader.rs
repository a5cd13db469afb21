//! Reading a section: the entries that fit, in their order, and whether a later entry shows that the
//! first that does not fit was synced.

use super::entry::{self, Entry, EntryKind, Link};
use super::id::LogId;
use super::section;
use crate::error::{Error, Result};

/// The most bytes behind the end of a section that are compared with a checksum because they look like entries. A
/// writer leaves less than two entries there.
const MOST_COMPARED: usize = 64 << 20;

/// A place in a log: behind an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::wal) struct Tail {
    pub(in crate::engine::wal) section: u64,
    /// Where the next entry begins in the section's file.
    pub(in crate::engine::wal) place: u64,
    /// The number of the entry.
    pub(in crate::engine::wal) number: u64,
    /// The CRC of the entry.
    pub(in crate::engine::wal) crc: u32,
    /// Whether the entry ended its section.
    pub(in crate::engine::wal) has_ended: bool,
    /// Whether the next section had its name by then.
    pub(in crate::engine::wal) has_next: bool,
}

impl Tail {
    /// The beginning of the section behind an entry with which one ended.
    pub(in crate::engine::wal) fn begin(section: u64, number: u64, crc: u32) -> Self {
        Self { section, place: section::HEAD, number, crc, has_ended: false, has_next: false }
    }
}

/// Goes through a section's file from its beginning, and calls `commit` with each commit that fits (W2). Gives the
/// place behind the last entry that fits.
///
/// # Errors
///
/// Every error that `commit` returns.
pub(in crate::engine::wal) fn read<'b>(
    bytes: &'b [u8],
    id: LogId,
    begin: Tail,
    mut commit: impl FnMut(&Entry<'b>) -> Result<()>,
) -> Result<Tail> {
    let mut tail = begin;
    while !tail.has_ended {
        let rest = usize::try_from(tail.place).ok().and_then(|place| bytes.get(place..)).unwrap_or_default();
        let Some(entry) = entry::decode(rest).filter(|entry| fits(&entry.link, id, &tail)) else { break };
        if entry.kind == EntryKind::Commit {
            commit(&entry)?;
        }
        tail.number = entry.link.number;
        tail.crc = entry.crc;
        tail.place += entry.len as u64;
        tail.has_ended = entry.kind != EntryKind::Commit;
        tail.has_next = entry.kind == EntryKind::EndBeforeNext;
    }
    Ok(tail)
}

/// W2: whether an entry is the next one.
pub(in crate::engine::wal) fn fits(link: &Link, id: LogId, tail: &Tail) -> bool {
    let number = tail.number.checked_add(1);
    link.id == id && link.section == tail.section && Some(link.number) == number && link.chain == tail.crc
}

/// Refuses bytes in which a later entry of the log says that the one which does not fit was synced: that one is
/// damaged, and was not merely never finished.
///
/// # Errors
///
/// `Damaged` then, and when there is more to be compared than any writer leaves.
pub(in crate::engine::wal) fn refuse_damaged(bytes: &[u8], from: u64, id: LogId, number: u64) -> Result<()> {
    let mut compared = 0_usize;
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    for at in from..bytes.len() {
        let Some(rest) = bytes.get(at..) else { break };
        let Some(len) = entry::claimed_len(rest, id) else { continue };
        compared = compared.saturating_add(len);
        if compared > MOST_COMPARED {
            return Err(Error::damaged("the log has more behind its end than any writer leaves there"));
        }
        let Some(later) = entry::decode(rest) else { continue };
        let missing = number.saturating_add(1);
        if later.link.number > missing && later.link.synced >= missing {
            let message = "an entry of the log is damaged, and a later one shows that it was on the disk";
            return Err(Error::damaged(format!("{message}: number={missing} later={}", later.link.number)));
        }
    }
    Ok(())
}

/// Reads any bytes as the first section of a log, for the fuzzer: as an opening does.
#[cfg(any(fuzzing, test))]
pub(crate) fn read_any(bytes: &[u8]) {
    let head = section::Head::decode(bytes);
    let id = head.map_or(LogId([7; 16]), |head| head.id);
    let begin = Tail::begin(1, 0, id.first_chain());
    let mut changes = 0_usize;
    let read = read(bytes, id, begin, |entry| entry.each_change(|_| changes += 1));
    assert!(changes <= bytes.len());
    if let Ok(tail) = read {
        assert!(tail.place <= bytes.len().max(64) as u64);
        drop(refuse_damaged(bytes, tail.place, id, tail.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::wal::encoding::entry::encode;
    use crate::error::ErrorKind;

    const ID: LogId = LogId([7; 16]);

    /// The file of a section with so many commits and, if it has ended, its end; and where each entry begins.
    fn file(commits: u64, ended: bool, synced: impl Fn(u64) -> u64) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = section::Head { id: ID, section: 1, length: 4096 }.encode();
        let (mut chain, mut places) = (ID.first_chain(), Vec::new());
        for number in 1..=commits + u64::from(ended) {
            let kind = if number > commits { EntryKind::End } else { EntryKind::Commit };
            let link = Link { id: ID, section: 1, number, chain, synced: synced(number) };
            let rows = if kind == EntryKind::Commit { &[13, 0, 1, 0, number as u8][..] } else { &[] };
            let (entry, crc) = encode(kind, &link, rows).unwrap();
            places.push(bytes.len());
            bytes.extend_from_slice(&entry);
            chain = crc;
        }
        bytes.resize(4096, 0);
        (bytes, places)
    }

    fn numbers(bytes: &[u8]) -> (Vec<u64>, Tail) {
        let mut numbers = Vec::new();
        let begin = Tail::begin(1, 0, ID.first_chain());
        let tail = read(bytes, ID, begin, |entry| {
            numbers.push(entry.link.number);
            Ok(())
        });
        (numbers, tail.unwrap())
    }

    #[test]
    fn entries_are_read_until_one_does_not_fit_or_ends_the_section() {
        let (bytes, _) = file(3, false, |_| 0);
        let (met, tail) = numbers(&bytes);
        assert_eq!((met, tail.number, tail.has_ended), (vec![1, 2, 3], 3, false));
        let (bytes, _) = file(3, true, |_| 0);
        assert!(numbers(&bytes).1.has_ended);
        for begin in [Tail::begin(2, 0, ID.first_chain()), Tail::begin(1, 1, ID.first_chain()), Tail::begin(1, 0, 0)] {
            assert_eq!(read(&bytes, ID, begin, |_| panic!("it does not fit")).unwrap(), begin);
        }
    }

    #[test]
    fn a_torn_entry_is_the_end_unless_a_later_one_says_that_it_was_synced() {
        let refused = |synced: &dyn Fn(u64) -> u64| {
            let (mut bytes, places) = file(5, false, synced);
            bytes[places[2] + 10] ^= 1;
            let (met, tail) = numbers(&bytes);
            assert_eq!(met, [1, 2]);
            refuse_damaged(&bytes, tail.place, ID, tail.number)
        };
        // The last two were written before the third was synced: the power may have gone.
        refused(&|_| 2).unwrap();
        assert_eq!(refused(&|number| number - 1).unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn bytes_of_any_kind_are_read_without_a_panic_and_in_no_time() {
        let (bytes, places) = file(5, true, |number| number - 1);
        read_any(&[]);
        for at in 0..places[4] + 80 {
            for with in [0, 0xff, bytes[at] ^ 1] {
                let mut wrong = bytes.clone();
                wrong[at] = with;
                read_any(&wrong);
            }
            read_any(&bytes[..at]);
        }
        // Each of many places claims to be an entry up to the end of the file.
        let mut maze = bytes;
        maze.resize(4 << 20, 0);
        for at in (4096..maze.len() - 64).step_by(64) {
            let len = u32::try_from(maze.len() - at).unwrap();
            maze[at..at + 4].copy_from_slice(&len.to_le_bytes());
            maze[at + 8..at + 24].copy_from_slice(&ID.0);
        }
        let refused = refuse_damaged(&maze, 4096, ID, 5).unwrap_err();
        assert!(refused.to_string().contains("more behind its end"), "{refused}");
    }
}
