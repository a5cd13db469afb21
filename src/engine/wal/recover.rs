//! Taking up a log that is in use when a store is opened: its entries go into redb in one commit, and its files go.
//!
//! Nothing is ever appended behind a tail that an opening found, and nothing is trusted that only the page cache has.

use std::sync::Arc;

use super::folder::LogFolder;
use super::leftovers::{clear_away, head, length, load};
use super::log::{Found, apply};
use super::maps::{Overlay, SectionMap};
use super::reader::{Tail, read, refuse_damaged};
use super::row::{Wal, not_of_this_file};
use super::section;
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::opening::options::Options;
use crate::engine::redb_file::{Handle, Transaction};
use crate::engine::rows::{ReadRows, WriteRows};
use crate::error::{Error, ErrorKind, Result};

/// No log that is in use is longer: a writer moves it into redb long before.
const MOST_BYTES: u64 = 256 << 20;

/// The fate of the files of a log once its rows are in redb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    /// They go.
    Remove,
    /// They stay: redb's pages are changed in memory only.
    Keep,
}

/// The row of the log in a store's file.
fn row(handle: &Handle) -> Result<Option<Wal>> {
    let rows = ReadRows::new(handle.begin_read()?, Overlay::none());
    Wal::read(rows.get(Table::Meta, meta::WAL)?.as_deref())
}

/// Whether the log of a store's file is in use.
pub(in crate::engine) fn is_in_use(handle: &Handle) -> Result<bool> {
    Ok(row(handle)?.is_some_and(|wal| wal.in_use))
}

/// Moves the log of a store that nobody else has open into redb, where one is in use. Gives the row of the log, and what
/// redb had no room for: then the handle is used no more.
///
/// # Errors
///
/// `Damaged` for a log that cannot be the one of the file, or has damage; every error of redb.
fn settle(
    handle: &Handle,
    folder: &dyn LogFolder,
    files: Files,
    begin: &dyn Fn() -> Result<Transaction>,
) -> Result<(Option<Wal>, Found)> {
    let before = row(handle)?;
    if !before.is_some_and(|wal| wal.in_use) {
        return Ok((before, Found::Empty));
    }
    let transaction = begin()?;
    // Only in a write transaction is it seen for certain: a process may have been killed in the commit.
    let mut rows = WriteRows::of(&transaction);
    let wal = match Wal::read(rows.get(Table::Meta, meta::WAL)?.as_deref())? {
        Some(wal) if wal.in_use => wal,
        other => {
            drop(rows);
            transaction.abort()?;
            return Ok((other, Found::Empty));
        }
    };
    let found = match find(folder, &wal) {
        Ok(found) => found,
        Err(error) => {
            drop(rows);
            transaction.abort()?;
            return Err(error);
        }
    };
    let (maps, number) = found;
    let emptied = wal.emptied(number, wal.at());
    let overlay = Overlay::new(Some(wal.id), maps.clone().into(), number);
    let written = apply(&mut rows, &overlay).and_then(|()| emptied.write(&mut rows));
    drop(rows);
    let committed = match written {
        Ok(()) => transaction.commit(),
        Err(error) => {
            drop(transaction.abort());
            Err(error)
        }
    };
    match committed {
        Ok(()) => {
            if files == Files::Remove {
                for section in folder.sections()? {
                    clear_away(folder, section, Some(wal.id))?;
                }
                folder.sync()?;
            }
            Ok((Some(emptied), Found::Empty))
        }
        // They are read from memory: on a full disk, and where a page that would have to be written is damaged.
        Err(error) if matches!(error.kind(), ErrorKind::Full | ErrorKind::Damaged) => {
            Ok((Some(wal), Found::Unsaved { maps, number, error }))
        }
        Err(error) => Err(error),
    }
}

/// The rows of a log for a repair, which puts them over what is left in the pages of the file; and what is to be told of
/// them.
///
/// # Errors
///
/// `Damaged` for a log that cannot be read to its end: the repair is to be told to do without.
pub(in crate::engine) fn rows_for_repair(
    row: Option<&[u8]>,
    folder: &dyn LogFolder,
) -> Result<(Overlay, Option<String>)> {
    let without = |error: Error| error.context("to go back to before the log, move its files away, and repair again");
    let is_beside = !folder.sections()?.is_empty();
    match Wal::read(row).map_err(without)? {
        Some(wal) if wal.in_use && !is_beside => {
            let note = format!("acknowledged writes after {} were in a log that is missing", wal.at());
            Ok((Overlay::none(), Some(note)))
        }
        Some(wal) if wal.in_use => {
            let (maps, number) = find(folder, &wal).map_err(without)?;
            Ok((Overlay::new(Some(wal.id), maps.into(), number), None))
        }
        None if is_beside => {
            let note = "a log lies beside the file, and the file does not say that it is its own; it was not used";
            Ok((Overlay::none(), Some(note.into())))
        }
        _ => Ok((Overlay::none(), None)),
    }
}

/// Reads the sections that redb does not have (W1). Gives their rows and the number of the last entry.
fn find(folder: &dyn LogFolder, wal: &Wal) -> Result<(Vec<Arc<SectionMap>>, u64)> {
    let mine = sections_of(folder, wal)?;
    let mut tail = Tail::begin(wal.section + 1, wal.number, wal.chain);
    let (mut maps, mut total) = (Vec::new(), 0);
    loop {
        let section = tail.section;
        let Some(bytes) = mine.contains(&section).then(|| load(folder, section)).transpose()?.flatten() else {
            if mine.iter().any(|later| *later > section) {
                return Err(not_of_this_file(&format!("{} is missing", folder.name(section))));
            }
            break;
        };
        let map = SectionMap::new(section);
        tail = read(&bytes, wal.id, tail, |entry| map.apply(entry))
            .map_err(|error| error.context(folder.name(section)))?;
        let used = usize::try_from(tail.place).unwrap_or(usize::MAX);
        total += used.min(bytes.len()) as u64;
        if total > MOST_BYTES {
            return Err(not_of_this_file("it is longer than any writer makes one"));
        }
        let map = Arc::new(map);
        maps.push(map.clone());
        if !tail.has_ended {
            refuse_damaged(&bytes, tail.place, wal.id, tail.number)
                .map_err(|error| error.context(folder.name(section)))?;
            for later in mine.iter().filter(|later| **later > section) {
                let bytes = load(folder, *later)?.unwrap_or_default();
                let refused = refuse_damaged(&bytes, section::HEAD, wal.id, tail.number);
                refused.map_err(|error| error.context(folder.name(*later)))?;
            }
            break;
        }
        map.end(tail.number, tail.crc);
        tail = Tail::begin(section + 1, tail.number, tail.crc);
    }
    Ok((maps, tail.number))
}

/// The sections that are of this log, by their heads.
fn sections_of(folder: &dyn LogFolder, wal: &Wal) -> Result<Vec<u64>> {
    let mut mine = Vec::new();
    for section in folder.sections()? {
        match head(folder, section)? {
            Some(head) if head.id == wal.id && head.section == section => {
                // It had its length before it had its name.
                if length(folder, section)? != head.length {
                    let message = "a section of the log was cut short; put the whole one back";
                    return Err(Error::damaged(message).context(folder.name(section)));
                }
                mine.push(section);
            }
            None if section > wal.section => {
                let message = "the head of a section of the log is damaged; run hivekeep repair";
                return Err(Error::damaged(message).context(folder.name(section)));
            }
            _ => {}
        }
    }
    // The newest is never removed while the log is in use.
    if mine.last().is_none_or(|newest| *newest < wal.section.max(1)) {
        let (at, name) = (wal.at(), folder.name(wal.section + 1));
        let message = format!("acknowledged writes after {at} may be in {name}, which is missing; put it back");
        return Err(Error::damaged(message));
    }
    Ok(mine)
}

/// Takes up the log of a store that was just opened: what is in use moves into redb, and a store that one process has for
/// itself gets a log. `anew` opens the file again when redb had no room.
pub(in crate::engine) fn take_up(
    handle: Handle,
    folder: Box<dyn LogFolder>,
    options: &Options,
    anew: impl FnOnce() -> Result<Handle>,
) -> Result<(Handle, Option<super::Log>)> {
    let files = if options.read_only { Files::Keep } else { Files::Remove };
    let (wal, found) =
        settle(&handle, &*folder, files, &|| handle.begin_alone(options.lock_timeout, options.is_alone()))?;
    if let Found::Unsaved { error, .. } = &found {
        handle.give_up();
        if !options.has_log() {
            let message =
                format!("the log of the store cannot be moved into its file; make room, or run repair: {error}");
            return Err(Error::new(error.kind(), message));
        }
        return Ok((anew()?, Some(super::Log::new(folder, wal, found, options.first_section))));
    }
    if !options.has_log() {
        return Ok((handle, None));
    }
    // A process that was killed between two steps may have left them; those of other files are spoken of.
    for section in folder.sections()? {
        clear_away(&*folder, section, wal.map(|wal| wal.id))?;
    }
    Ok((handle, Some(super::Log::new(folder, wal, found, options.first_section))))
}
