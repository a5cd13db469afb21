//! Taking up a log that is in use when a store is opened: its entries go into redb in one commit, and its files go.
//!
//! Nothing is ever appended behind a tail that an opening found, and nothing is trusted that only the page cache has.

use std::sync::Arc;

use super::join::Joining;
use super::news::{LogNews, TakenLog};
use crate::engine::feed::sending::outbox;
use crate::engine::format::schema::Table;
use crate::engine::meta;
use crate::engine::opening::options::Options;
use crate::engine::redb_file::{Handle, Transaction};
use crate::engine::rows::{ReadRows, WriteRows};
use crate::engine::wal::disk::behind::BehindDamage;
use crate::engine::wal::disk::folder::LogFolder;
use crate::engine::wal::disk::leftovers::{clear_or_say, load};
use crate::engine::wal::disk::search::{Damage, UnsavedRows, find};
use crate::engine::wal::disk::shared::Turns;
use crate::engine::wal::encoding::row::{Wal, write_shared_format};
use crate::engine::wal::overlay::maps::{Overlay, SectionMap};
use crate::engine::wal::writing::log::OpenedLog;
use crate::engine::wal::writing::past::apply;
use crate::error::{Error, ErrorKind, Hint, Result};

/// Whether a repair uses the log of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogIs {
    Used,
    /// The store goes back to the state that its file has.
    LeftOut,
}

/// The fate of the files of a log once its rows are in redb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::wal) enum Files {
    /// They go.
    Remove,
    /// They stay: the path may belong to another store now.
    Keep,
}

/// Why the log of a file is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::wal) enum Settle {
    /// The file is only looked at.
    Look,
    Open,
    /// A process may have been killed in a commit, which reads do not show until the next one. So a commit is made in
    /// any case.
    TakeOver,
}

/// An open file with its log, and the news about the log.
pub(crate) struct TakenUp {
    pub(crate) handle: Handle,
    pub(crate) log: Option<crate::engine::wal::Log>,
    pub(crate) news: LogNews,
}

/// The row of the log in a store's file.
pub(in crate::engine::wal) fn row(handle: &Handle) -> Result<Option<Wal>> {
    let rows = ReadRows::new(handle.begin_read()?, Overlay::none());
    Wal::read(rows.get(Table::Meta, meta::WAL)?.as_deref())
}

/// Whether a store's file has a feed.
fn is_fed(handle: &Handle) -> Result<bool> {
    let rows = ReadRows::new(handle.begin_read()?, Overlay::none());
    Ok(rows.get(Table::Meta, meta::FEED)?.is_some())
}

/// Whether the log of a store's file is in use.
pub(in crate::engine) fn is_in_use(handle: &Handle) -> Result<bool> {
    Ok(row(handle)?.is_some_and(|wal| wal.in_use))
}

/// Moves the log of a store that nobody else has open, or whose turn this process has, into redb, where one is in use.
/// Gives the row of the log, and what redb had no room for: then the handle is used no more. `find` reads the rows of
/// the log, with their entries for a feed, before anything is changed.
///
/// # Errors
///
/// Every error of `find`, and of redb.
pub(in crate::engine::wal) fn settle(
    handle: &Handle,
    folder: &dyn LogFolder,
    files: Files,
    why: Settle,
    begin: &dyn Fn() -> Result<Transaction>,
    find: &dyn Fn(&Wal, bool) -> Result<UnsavedRows>,
) -> Result<(Option<Wal>, OpenedLog, LogNews)> {
    let before = row(handle)?;
    let in_use = before.filter(|wal| wal.in_use);
    let mut news = LogNews::default();
    if in_use.is_none() && why != Settle::TakeOver {
        return Ok((before, OpenedLog::Empty, news));
    }
    // A reader changes no file: it reads the rows of the log from memory.
    if let (Settle::Look, Some(wal)) = (why, in_use) {
        let UnsavedRows { maps, number } = find(&wal, is_fed(handle)?)?;
        return Ok((before, OpenedLog::Unsaved { maps, number, error: None, is_durable: false }, news));
    }
    let transaction = begin()?;
    // Only in a write transaction is it seen for certain: a process may have been killed in the commit.
    let mut rows = WriteRows::of(&transaction);
    let wal = match Wal::read(rows.get(Table::Meta, meta::WAL)?.as_deref())? {
        Some(wal) if wal.in_use => wal,
        // W16: also a commit that reads do not show yet is the newest from here on.
        other if why == Settle::TakeOver => {
            let written = write_shared_format(&mut rows);
            drop(rows);
            match written {
                Ok(()) => transaction.commit()?,
                Err(error) => {
                    drop(transaction.abort());
                    return Err(error);
                }
            }
            return Ok((other, OpenedLog::Empty, news));
        }
        other => {
            drop(rows);
            transaction.abort()?;
            return Ok((other, OpenedLog::Empty, news));
        }
    };
    let found = match outbox::is_on(&rows).and_then(|is_fed| find(&wal, is_fed)) {
        Ok(found) => found,
        Err(error) => {
            drop(rows);
            transaction.abort()?;
            return Err(error);
        }
    };
    let UnsavedRows { maps, number } = found;
    let entries = number.saturating_sub(wal.number);
    news.taken = Some(TakenLog { sections: maps.len() as u64, entries, since: wal.at() });
    let emptied = wal.emptied(number, wal.at());
    let overlay = Overlay::new(Some(wal.id), maps.clone().into(), number);
    // W4: the entries and *not in use* in one transaction, so nothing is ever appended behind this tail.
    let written = apply(&mut rows, &overlay, None).and_then(|()| emptied.write(&mut rows));
    drop(rows);
    let committed = match written {
        Ok(()) => transaction.commit(),
        Err(error) => {
            drop(transaction.abort());
            Err(error)
        }
    };
    match committed {
        // Only now: until the commit the sections were the only copy of these entries.
        Ok(()) => {
            if files == Files::Remove {
                news.set_aside = clear_or_say(folder, Some(wal.id));
            }
            Ok((Some(emptied), OpenedLog::Empty, news))
        }
        // W12: the child must not go on with the log of its parent.
        Err(error) if error.kind() == ErrorKind::Forked => Err(error),
        // They are read from memory: on a full disk, and where a page that would have to be written is damaged.
        Err(error) => {
            let unsaved = OpenedLog::Unsaved { maps, number, error: Some(error), is_durable: false };
            Ok((Some(wal), unsaved, news))
        }
    }
}

/// W5: puts the sections of a log that stays on the disk before anybody sees what is in them. They are written again as
/// they are: the system may have given up a page whose writing failed, and a sync alone would not say so.
///
/// # Errors
///
/// As writing them, and as [`find`].
fn put_on_disk(folder: &dyn LogFolder, wal: &Wal, maps: &[Arc<SectionMap>], is_fed: bool) -> Result<UnsavedRows> {
    for map in maps {
        let missing = || Error::damaged(format!("{} is missing", folder.name(map.section)));
        let bytes = load(folder, map.section)?.ok_or_else(missing)?;
        let file = folder.open_to_write(map.section)?.ok_or_else(missing)?;
        file.write(0, &bytes)?;
        file.sync_data()?;
    }
    find(folder, wal, is_fed, Damage::Refused)
}

/// The log of a damaged store, for a repair.
pub(in crate::engine) struct LogForRepair {
    /// Its rows, over those of the file.
    pub(in crate::engine) overlay: Overlay,
    /// The notes about it for the report.
    pub(in crate::engine) notes: Vec<String>,
    /// The entries behind its damage.
    pub(in crate::engine) behind: BehindDamage,
}

/// The rows of a log for a repair, which puts them over the rows that are left in the pages of the file; and the notes
/// about them for its report. Damage ends the log.
///
/// # Errors
///
/// As listing the folder.
pub(in crate::engine) fn rows_for_repair(
    row: Option<&[u8]>,
    folder: &dyn LogFolder,
    log: LogIs,
) -> Result<LogForRepair> {
    let (mut notes, mut behind) = (Vec::new(), BehindDamage::default());
    let wal = Wal::read(row).unwrap_or_else(|error| {
        notes.push(error.to_string());
        None
    });
    let is_beside = !folder.sections()?.is_empty();
    let overlay = match wal {
        Some(wal) if wal.in_use && log == LogIs::LeftOut => {
            notes.push(format!("acknowledged writes after {} were in a log that was left out", wal.at()));
            Overlay::none()
        }
        Some(wal) if wal.in_use && !is_beside => {
            notes.push(format!("acknowledged writes after {} were in a log that is missing", wal.at()));
            Overlay::none()
        }
        Some(wal) if wal.in_use => {
            let read = find(folder, &wal, false, Damage::Noted(&mut notes))?;
            if !notes.is_empty() {
                notes.push(format!("acknowledged writes after number {} of the log are lost", read.number));
                behind = BehindDamage::find(folder, &wal, read.number)?;
                notes.extend(behind.show());
            }
            Overlay::new(Some(wal.id), read.maps.into(), read.number)
        }
        // Without the row nobody knows which of its rows are older than those of the file.
        None if is_beside => {
            let note = "a log lies beside the file, and the file does not say that it is its own; it was not used";
            notes.push(note.into());
            Overlay::none()
        }
        _ => Overlay::none(),
    };
    Ok(LogForRepair { overlay, notes, behind })
}

/// Takes up the log of a store that was just opened: what is in use moves into redb, and a store that one process has
/// for itself, or whose processes share a log, gets one. `anew` opens the file again when redb could not take it. Names
/// change only while `is_in_place` says that the file of the handle is the one at the path.
pub(in crate::engine) fn take_up(
    handle: Handle,
    folder: Box<dyn LogFolder>,
    options: &Options,
    joining: Option<Joining>,
    is_in_place: impl Fn(&Handle) -> bool,
    anew: impl FnOnce() -> Result<Handle>,
) -> Result<TakenUp> {
    let files = if is_in_place(&handle) { Files::Remove } else { Files::Keep };
    let begin = || handle.begin_alone(options.lock_timeout, options.is_alone());
    let find_named = |wal: &Wal, is_fed: bool| find(&*folder, wal, is_fed, Damage::Refused);
    if joining.as_ref().is_some_and(|joining| joining.is_of_another_file(&handle)) {
        let message = "another file came to the path of the store while it was opened; try again";
        return Err(Error::new(ErrorKind::Moved, message));
    }
    let why = match (&joining, options.read_only) {
        (Some(_), _) => Settle::TakeOver,
        (None, true) => Settle::Look,
        (None, false) => Settle::Open,
    };
    let joins = joining.as_ref().is_some_and(|joining| !joining.is_first());
    let (wal, found, mut news) = match joins || options.follows_log {
        // The log is that of other processes.
        true => (row(&handle)?, OpenedLog::Empty, LogNews::default()),
        false => settle(&handle, &*folder, files, why, &begin, &find_named)?,
    };
    if options.follows_log {
        let log =
            crate::engine::wal::Log::new(folder, None, OpenedLog::Empty, false, options).with_turns(Turns::of_reader());
        return Ok(TakenUp { handle, log: Some(log), news });
    }
    // A reader looks at the log through memory, and removes nothing.
    if options.read_only && matches!(found, OpenedLog::Unsaved { .. }) {
        let log = Some(crate::engine::wal::Log::new(folder, wal, found, false, options));
        return Ok(TakenUp { handle, log, news });
    }
    if let OpenedLog::Unsaved { error: Some(error), .. } = &found {
        let id = handle.id();
        // Redb refuses all further work by this handle after a write that failed.
        handle.give_up();
        // Other processes may open a shared store, and they would not see the rows in memory.
        if !options.has_log() || joining.is_some() {
            let message =
                format!("the log of the store cannot be moved into its file; make room, or repair the store: {error}");
            return Err(Error::new(error.kind(), message).with_hint(Hint::RepairStore));
        }
        let again = anew()?;
        if again.id() != id {
            return Err(Error::new(
                ErrorKind::Moved,
                "another file came to the path of the store while it was opened; try again",
            ));
        }
        let is_fed = is_fed(&again)?;
        let found = found.on_disk(|maps| match &wal {
            Some(wal) if is_in_place(&again) => put_on_disk(&*folder, wal, maps, is_fed),
            _ => Err(Error::new(ErrorKind::Moved, "another file has the path of the store")),
        });
        let log = Some(crate::engine::wal::Log::new(folder, wal, found, is_fed, options));
        return Ok(TakenUp { handle: again, log, news });
    }
    if !options.has_log() {
        return Ok(TakenUp { handle, log: None, news });
    }
    // A process that was killed between two steps may have left sections; those of other files are reported.
    if is_in_place(&handle) && !joins {
        news.set_aside.extend(clear_or_say(&*folder, wal.map(|wal| wal.id)));
    }
    let turns = joining.map(|joining| joining.end(&*folder, &handle, wal.map_or(0, |wal| wal.number))).transpose()?;
    let log = crate::engine::wal::Log::new(folder, wal, found, is_fed(&handle)?, options);
    let log = match turns {
        Some(turns) => log.with_turns(turns),
        None => log,
    };
    Ok(TakenUp { handle, log: Some(log), news })
}
