//! Reading a log that is in use: which sections are of it, and which of their entries fit.

use std::sync::Arc;

use super::folder::LogFolder;
use super::leftovers::{head, length, load, load_of};
use crate::engine::redb_file::StorageBackend;
use crate::engine::wal::encoding::id::LogId;
use crate::engine::wal::encoding::reader::{Tail, read, refuse_damaged};
use crate::engine::wal::encoding::row::{Wal, not_of_this_file};
use crate::engine::wal::encoding::section;
use crate::engine::wal::overlay::maps::SectionMap;
use crate::error::{Error, ErrorKind, Hint, Result};

/// No log that is in use is longer: a writer moves it into redb long before.
const MOST_BYTES: u64 = 256 << 20;

/// The rows of a log that redb does not have.
#[derive(Debug, Default)]
pub(in crate::engine::wal) struct UnsavedRows {
    pub(in crate::engine::wal) maps: Vec<Arc<SectionMap>>,
    /// The number of the last entry.
    pub(in crate::engine::wal) number: u64,
}

/// How damage in a log is taken.
pub(in crate::engine::wal) enum Damage<'n> {
    /// Nothing is read.
    Refused,
    /// The entries before it are read, and the damage is noted here.
    Noted(&'n mut Vec<String>),
}

impl Damage<'_> {
    fn met(&mut self, error: Error) -> Result<()> {
        match self {
            Self::Noted(notes) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Io) => {
                notes.push(error.to_string());
                Ok(())
            }
            Self::Refused if error.kind() == ErrorKind::Damaged => {
                Err(error.context("the log is incomplete or damaged; repair the store").with_hint(Hint::RepairStore))
            }
            _ => Err(error),
        }
    }
}

/// Reads the sections that redb does not have (W1).
///
/// # Errors
///
/// `Damaged` for a log that cannot be the one of the row, or has damage, where that is refused.
pub(in crate::engine::wal) fn find(
    folder: &dyn LogFolder,
    wal: &Wal,
    keeps_entries: bool,
    mut damage: Damage<'_>,
) -> Result<UnsavedRows> {
    let mine = sections_of(folder, wal, &mut damage)?;
    let tail = Tail::begin(wal.section + 1, wal.number, wal.chain);
    read_sections(folder, &mine, wal.id, tail, keeps_entries, &mut damage)
}

/// The same of a log of one section, from its open file: it may have lost its name.
///
/// # Errors
///
/// `Damaged` for a log that cannot be the one of the row, or has damage.
pub(in crate::engine::wal) fn find_open(
    file: &dyn StorageBackend,
    wal: &Wal,
    keeps_entries: bool,
) -> Result<UnsavedRows> {
    let (bytes, section) = (load_of(file)?, wal.section + 1);
    let map = Arc::new(SectionMap::new(section, keeps_entries));
    let tail = read(&bytes, wal.id, Tail::begin(section, wal.number, wal.chain), |entry| map.apply(entry))?;
    refuse_damaged(&bytes, tail.place, wal.id, tail.number)?;
    Ok(UnsavedRows { maps: vec![map], number: tail.number })
}

fn read_sections(
    folder: &dyn LogFolder,
    mine: &[u64],
    id: LogId,
    begin: Tail,
    keeps_entries: bool,
    damage: &mut Damage<'_>,
) -> Result<UnsavedRows> {
    let (mut tail, mut found, mut total) = (begin, UnsavedRows { maps: Vec::new(), number: begin.number }, 0);
    let mut was_named = false;
    loop {
        let section = tail.section;
        if !mine.contains(&section) {
            // An end of kind 3 says that this section had its name. W8: a later section proves that it had begun.
            if was_named || mine.iter().any(|later| *later > section) {
                damage.met(not_of_this_file(&format!("{} is missing", folder.name(section))))?;
            }
            return Ok(found);
        }
        let named = |error: Error| error.context(folder.name(section));
        let bytes = match load(folder, section) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => return damage.met(named(error)).map(|()| found),
        };
        let map = Arc::new(SectionMap::new(section, keeps_entries));
        found.maps.push(map.clone());
        let mut last = tail.number;
        let read = read(&bytes, id, tail, |entry| {
            map.apply(entry)?;
            last = entry.link.number;
            Ok(())
        });
        tail = match read {
            Ok(tail) => tail,
            Err(error) => {
                // The rows of the entry at which it stopped are of a higher number.
                found.number = last;
                return damage.met(named(error)).map(|()| found);
            }
        };
        found.number = tail.number;
        total += usize::try_from(tail.place).unwrap_or(usize::MAX).min(bytes.len()) as u64;
        if total > MOST_BYTES {
            return damage.met(not_of_this_file("it is longer than any writer makes one")).map(|()| found);
        }
        // The log ends here, unless a later entry says that more was synced: then that is damaged (W6).
        if !tail.has_ended {
            refuse_later(folder, mine, id, &tail, &bytes).or_else(|error| damage.met(error))?;
            return Ok(found);
        }
        was_named = tail.has_next;
        map.end(tail.number, tail.crc);
        tail = Tail::begin(section + 1, tail.number, tail.crc);
    }
}

/// Refuses a log in which an entry behind its end says that there was more.
fn refuse_later(folder: &dyn LogFolder, mine: &[u64], id: LogId, tail: &Tail, bytes: &[u8]) -> Result<()> {
    let named = |section: u64| move |error: Error| error.context(folder.name(section));
    refuse_damaged(bytes, tail.place, id, tail.number).map_err(named(tail.section))?;
    for later in mine.iter().filter(|later| **later > tail.section) {
        let bytes = load(folder, *later)?.unwrap_or_default();
        refuse_damaged(&bytes, section::HEAD, id, tail.number).map_err(named(*later))?;
    }
    Ok(())
}

/// The sections that are of this log, by their heads. Those that redb has are not looked at closely.
fn sections_of(folder: &dyn LogFolder, wal: &Wal, damage: &mut Damage<'_>) -> Result<Vec<u64>> {
    let mut mine = Vec::new();
    for section in folder.sections()? {
        let is_needed = section > wal.section;
        let named = |error: Error| error.context(folder.name(section));
        match head(folder, section) {
            Ok(Some(head)) if head.id == wal.id && head.section == section => {
                // It had its length before it had its name.
                if is_needed && length(folder, section)? != head.length {
                    let message = "a section of the log was cut short; put the whole one back";
                    damage.met(named(Error::damaged(message)))?;
                }
                mine.push(section);
            }
            Ok(None) if is_needed => {
                let message = "the head of a section of the log is damaged";
                damage.met(named(Error::damaged(message)))?;
                // Its entries name their log, so it is read by them.
                mine.push(section);
            }
            // A folder or the like is none.
            Err(error) if is_needed && error.kind() != ErrorKind::Invalid => damage.met(named(error))?,
            _ => {}
        }
    }
    // The newest is never removed while the log is in use.
    if mine.last().is_none_or(|newest| *newest < wal.section.max(1)) {
        let (at, name) = (wal.at(), folder.name(wal.section + 1));
        let message = format!(
            "acknowledged writes after {at} may be in {name}, which is missing; put it back, or repair the store without its log"
        );
        damage.met(Error::damaged(message))?;
    }
    Ok(mine)
}
