//! Everything that was found sound in a damaged file, sorted by record: a redb database of its own, in memory when the
//! file is small, and removed when the repair ends.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use redb::backends::InMemoryBackend;
use redb::{
    Builder, Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    Table as RedbTable, TableDefinition, WriteTransaction,
};

use super::{Failure, OwnFile};
use crate::engine::format::epoch::Epoch;
use crate::engine::format::frame::{self, State};
use crate::engine::format::schema::{CollectionId, Place, Table};
use crate::engine::format::value;
use crate::engine::meta;
use crate::engine::rows::Row;
use crate::error::Error;
use crate::files;

type Result<T> = std::result::Result<T, Failure>;

/// A record and the epoch in which it became that: where it was found, and its frame.
const FACTS: TableDefinition<'static, (&'static [u8], u64), &'static [u8]> = TableDefinition::new("facts");
/// A table's number and key: a frame of a table that is not versioned.
const ROWS: TableDefinition<'static, (u8, &'static [u8]), &'static [u8]> = TableDefinition::new("rows");
/// A table's number and key: a row that another place has in place of a lost one; a byte for whether there is one, and
/// its frame.
const OFFERED: TableDefinition<'static, (u8, &'static [u8]), &'static [u8]> = TableDefinition::new("offered");
/// The content of a larger file does not go into memory.
const IN_MEMORY_MAX: u64 = 16 << 20;
/// The cache of the database. It is written and read nearly in the order of its keys, and the new store has a cache
/// too.
const CACHE: usize = 16 << 20;
/// The frames of one record that are kept in memory together; others are read when they are needed.
const FRAMES_MAX: usize = 1 << 20;
/// Facts and rows that are handed over at a time.
const FACTS_PER_READ: usize = 256;

/// Where a fact was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum FactSource {
    /// In `live` or `tombstones`: the present state of the record.
    Newest = 0,
    /// In `undo`.
    PreImage = 1,
    /// On a page that no tree leads to.
    LeftBehind = 2,
}

/// The state that a record got in an epoch.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Fact {
    pub(in crate::engine) birth: Epoch,
    pub(in crate::engine) found: FactSource,
    pub(in crate::engine) kind: ContentKind,
    /// Its frame, unless those of the record are too long to be kept together.
    frame: Option<Vec<u8>>,
}

/// The kind of content of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum ContentKind {
    Absent,
    Whole,
    /// The head of a value, and the number of its pieces.
    Long(u32),
}

/// Being filled.
pub(in crate::engine) struct Filling {
    // Before the database, which must be closed after it.
    transaction: WriteTransaction,
    file: ScratchFile,
    database: Database,
}

/// The tables of a scratch that is being filled.
pub(in crate::engine) struct Sink<'a> {
    facts: RedbTable<'a, (&'static [u8], u64), &'static [u8]>,
    rows: RedbTable<'a, (u8, &'static [u8]), &'static [u8]>,
    offered: RedbTable<'a, (u8, &'static [u8]), &'static [u8]>,
}

/// A row that another place has in place of a lost one.
pub(in crate::engine) struct Offered {
    pub(in crate::engine) table: Table,
    pub(in crate::engine) key: Vec<u8>,
    /// None: there is none any more.
    pub(in crate::engine) frame: Option<Vec<u8>>,
}

/// Filled, to be read.
pub(in crate::engine) struct Scratch {
    transaction: ReadTransaction,
    _database: Database,
    _file: ScratchFile,
}

/// Removes the file when it is dropped.
struct ScratchFile(Option<PathBuf>);

impl Drop for ScratchFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _gone = files::remove(path);
        }
    }
}

impl Filling {
    /// A scratch for the rows of a file of that length; a large one is at `path`.
    pub(in crate::engine) fn new(path: &Path, file_len: u64) -> Result<Self> {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE);
        let (file, database) = if file_len <= IN_MEMORY_MAX {
            (ScratchFile(None), builder.create_with_backend(InMemoryBackend::new())?)
        } else {
            (ScratchFile(Some(path.to_path_buf())), builder.create_with_backend(OwnFile::create(path)?)?)
        };
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::None).map_err(|error| Error::conflict(error.to_string()))?;
        Ok(Self { transaction, file, database })
    }

    pub(in crate::engine) fn sink(&self) -> Result<Sink<'_>> {
        let facts = self.transaction.open_table(FACTS)?;
        let (rows, offered) = (self.transaction.open_table(ROWS)?, self.transaction.open_table(OFFERED)?);
        Ok(Sink { facts, rows, offered })
    }

    /// Ends the filling.
    pub(in crate::engine) fn finish(self) -> Result<Scratch> {
        self.transaction.commit()?;
        Ok(Scratch { transaction: self.database.begin_read()?, _database: self.database, _file: self.file })
    }
}

impl Sink<'_> {
    /// Notes the state of a record. If two facts have the same epoch, the pre-image is the one that a point saw.
    pub(in crate::engine) fn fact(&mut self, row: &[u8], birth: Epoch, found: FactSource, frame: &[u8]) -> Result<()> {
        if found == FactSource::LeftBehind && self.facts.get((row, birth.0))?.is_some() {
            return Ok(());
        }
        // A fact that is both the newest and a pre-image stays the newest.
        let before = self.facts.get((row, birth.0))?.map(|before| before.value().to_vec());
        let newest = before.as_ref().is_some_and(|before| before.first() == Some(&(FactSource::Newest as u8)));
        let found = if newest { FactSource::Newest } else { found };
        let value = [&[found as u8], frame].concat();
        self.facts.insert((row, birth.0), value.as_slice())?;
        Ok(())
    }

    /// Up to which epoch pre-images serve no point: the row of epochs says so, or the earliest point that is left.
    pub(in crate::engine) fn served_after(&self) -> Result<Epoch> {
        let epochs = self.rows.get((Table::Meta as u8, meta::EPOCHS))?;
        if let Ok(epochs) = meta::epochs(epochs.as_ref().map(|row| row.value())) {
            return Ok(epochs.dropping);
        }
        let mut first = None;
        for table in [Table::Points, Table::Commits] {
            let number = table as u8;
            let row = self.rows.range((number, &[][..])..(number + 1, &[][..]))?.next().transpose()?;
            let epoch = row.and_then(|(key, _)| Epoch::split_key(key.value().1).map(|(epoch, _)| epoch));
            first = first.into_iter().chain(epoch).min();
        }
        Ok(first.unwrap_or_default())
    }

    /// Keeps a row of a table that is not versioned; says whether it is the first of its key.
    pub(in crate::engine) fn row(&mut self, table: Table, key: &[u8], frame: &[u8]) -> Result<bool> {
        if self.rows.get((table as u8, key))?.is_some() {
            return Ok(false);
        }
        self.rows.insert((table as u8, key), frame)?;
        Ok(true)
    }

    /// A row of a table that is not versioned, as far as it was found.
    pub(in crate::engine) fn found_row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.rows.get((table as u8, key))?.map(|frame| frame.value().to_vec()))
    }

    /// Puts a row of a table that is not versioned in the place of what was found, or, with none, removes that; says
    /// whether this changed anything.
    pub(in crate::engine) fn replace_row(&mut self, table: Table, key: &[u8], frame: Option<&[u8]>) -> Result<bool> {
        let before = self.found_row(table, key)?;
        match frame {
            Some(frame) => drop(self.rows.insert((table as u8, key), frame)?),
            None => drop(self.rows.remove((table as u8, key))?),
        }
        Ok(before.as_deref() != frame)
    }

    /// At most [`FACTS_PER_READ`] rows of a table behind a key, which begin with a prefix.
    pub(in crate::engine) fn found_rows(&self, table: Table, prefix: &[u8], after: &[u8]) -> Result<Vec<Row>> {
        let mut found = Vec::new();
        let bounds = (Bound::Excluded((table as u8, after)), Bound::Excluded((table as u8 + 1, &[][..])));
        for row in self.rows.range::<(u8, &[u8])>(bounds)?.take(FACTS_PER_READ) {
            let (key, frame) = row?;
            if !key.value().1.starts_with(prefix) {
                break;
            }
            found.push((key.value().1.to_vec(), frame.value().to_vec()));
        }
        Ok(found)
    }

    /// Keeps a row that another place has; a later one of the same key counts.
    pub(in crate::engine) fn offer(&mut self, table: Table, key: &[u8], frame: Option<&[u8]>) -> Result<()> {
        let value = [&[u8::from(frame.is_some())], frame.unwrap_or_default()].concat();
        self.offered.insert((table as u8, key), value.as_slice())?;
        Ok(())
    }

    /// Forgets all that was offered.
    pub(in crate::engine) fn forget_offered(&mut self) -> Result<()> {
        Ok(self.offered.retain(|_, _| false)?)
    }

    /// Whether a row was offered, or that there is none.
    pub(in crate::engine) fn is_offered(&self, table: Table, key: &[u8]) -> Result<bool> {
        Ok(self.offered.get((table as u8, key))?.is_some())
    }

    /// The row that was offered in place of one.
    pub(in crate::engine) fn offered(&self, table: Table, key: &[u8]) -> Result<Option<Offered>> {
        let offered = self.offered.get((table as u8, key))?;
        Ok(offered.map(|value| Offered { table, key: key.to_vec(), frame: offered_frame(value.value()) }))
    }

    /// At most [`FACTS_PER_READ`] of the offered rows behind one, in the order of tables and keys.
    pub(in crate::engine) fn offered_after(&self, last: Option<&Offered>) -> Result<Vec<Offered>> {
        let start = last.map_or(Bound::Unbounded, |last| Bound::Excluded((last.table as u8, last.key.as_slice())));
        let mut offered = Vec::new();
        for row in self.offered.range::<(u8, &[u8])>((start, Bound::Unbounded))?.take(FACTS_PER_READ) {
            let (place, value) = row?;
            let ((number, key), value) = (place.value(), value.value());
            let table = Table::ALL.get(usize::from(number)).copied();
            let table = table.ok_or_else(|| Error::damaged("the scratch of a repair has a row of no table"))?;
            offered.push(Offered { table, key: key.to_vec(), frame: offered_frame(value) });
        }
        Ok(offered)
    }

    /// Calls `each` with the present state of every record, as far as it was found.
    pub(in crate::engine) fn each_newest(
        &self,
        mut each: impl FnMut(&[u8], &[u8]) -> crate::error::Result<()>,
    ) -> Result<()> {
        for row in self.facts.iter()? {
            let (key, value) = row?;
            if let Some((found, frame)) = value.value().split_first()
                && *found == FactSource::Newest as u8
            {
                each(key.value().0, frame)?;
            }
        }
        Ok(())
    }

    /// The present state of a record, as far as it was found.
    pub(in crate::engine) fn newest(&self, row: &[u8]) -> Result<Option<(Epoch, Vec<u8>)>> {
        let mut newest = None;
        for fact in self.facts.range((row, 0)..=(row, u64::MAX))? {
            let (key, value) = fact?;
            if let Some((found, frame)) = value.value().split_first()
                && *found == FactSource::Newest as u8
            {
                newest = Some((Epoch(key.value().1), frame.to_vec()));
            }
        }
        Ok(newest)
    }

    /// Whether the state of a record in an epoch was found.
    pub(in crate::engine) fn is_found(&self, row: &[u8], birth: Epoch) -> Result<bool> {
        Ok(self.facts.get((row, birth.0))?.is_some())
    }

    /// Forgets the state of a record in an epoch.
    pub(in crate::engine) fn forget(&mut self, row: &[u8], birth: Epoch) -> Result<()> {
        self.facts.remove((row, birth.0))?;
        Ok(())
    }
}

impl Scratch {
    /// Calls `each` with every record and all that is known of it, oldest first.
    pub(in crate::engine) fn records(
        &self,
        mut each: impl FnMut(&[u8], Vec<Fact>) -> crate::error::Result<()>,
    ) -> Result<()> {
        let table = self.transaction.open_table(FACTS)?;
        let mut current: Option<(Vec<u8>, Vec<Fact>)> = None;
        let mut kept = 0;
        for row in table.iter()? {
            let (key, value) = row?;
            let ((record, birth), value) = (key.value(), value.value());
            if let Some((other, facts)) = current.take_if(|(other, _)| other != record) {
                each(&other, facts)?;
                kept = 0;
            }
            let (_, facts) = current.get_or_insert_with(|| (record.to_vec(), Vec::new()));
            kept += value.len();
            facts.extend(fact(record, birth, value, kept <= FRAMES_MAX)?);
        }
        current.map_or(Ok(()), |(record, facts)| Ok(each(&record, facts)?))
    }

    /// The state of a record in an epoch.
    pub(in crate::engine) fn fact_at(&self, record: &[u8], at: Epoch) -> Result<Option<Fact>> {
        let table = self.transaction.open_table(FACTS)?;
        let Some(row) = table.range((record, 0)..=(record, at.0))?.next_back() else { return Ok(None) };
        let (key, value) = row?;
        fact(record, key.value().1, value.value(), true)
    }

    /// The frame of a fact.
    pub(in crate::engine) fn frame<'f>(&self, record: &[u8], fact: &'f Fact) -> Result<Cow<'f, [u8]>> {
        if let Some(frame) = &fact.frame {
            return Ok(Cow::Borrowed(frame));
        }
        let again = self.fact_at(record, fact.birth)?.and_then(|fact| fact.frame);
        again.map(Cow::Owned).ok_or_else(|| Error::damaged("the scratch of a repair has lost a row").into())
    }

    /// The collections that any record is of.
    pub(in crate::engine) fn collections(&self) -> Result<BTreeSet<CollectionId>> {
        let table = self.transaction.open_table(FACTS)?;
        let mut collections = BTreeSet::new();
        let mut next = Some(CollectionId(0));
        while let Some(from) = next {
            let row = table.range((from.row_key(&[]).as_slice(), 0)..)?.next().transpose()?;
            let found = row.and_then(|(key, _)| CollectionId::split_row_key(key.value().0).map(|(found, _)| found));
            collections.extend(found);
            next = found.and_then(|found| found.0.checked_add(1)).map(CollectionId);
        }
        Ok(collections)
    }

    /// Calls `each` with at most [`FACTS_PER_READ`] rows of a table at a time.
    pub(in crate::engine) fn rows(
        &self,
        table: Table,
        mut each: impl FnMut(&[Row]) -> crate::error::Result<()>,
    ) -> Result<()> {
        let opened = self.transaction.open_table(ROWS)?;
        let number = table as u8;
        let mut page = Vec::new();
        for row in opened.range((number, &[][..])..(number + 1, &[][..]))? {
            let (key, value) = row?;
            page.push((key.value().1.to_vec(), value.value().to_vec()));
            if page.len() == FACTS_PER_READ {
                each(&page)?;
                page.clear();
            }
        }
        Ok(each(&page)?)
    }

    /// Whether there is not one row of a table that is not versioned.
    pub(in crate::engine) fn has_no_rows(&self) -> Result<bool> {
        Ok(self.transaction.open_table(ROWS)?.is_empty()?)
    }

    /// One row of a table that is not versioned.
    pub(in crate::engine) fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let opened = self.transaction.open_table(ROWS)?;
        Ok(opened.get((table as u8, key))?.map(|frame| frame.value().to_vec()))
    }
}

fn offered_frame(value: &[u8]) -> Option<Vec<u8>> {
    value.split_first().filter(|(is_there, _)| **is_there == 1).map(|(_, frame)| frame.to_vec())
}

fn fact(record: &[u8], birth: u64, value: &[u8], keep: bool) -> Result<Option<Fact>> {
    let Some((found, bytes)) = value.split_first() else { return Ok(None) };
    let found = match found {
        0 => FactSource::Newest,
        1 => FactSource::PreImage,
        _ => FactSource::LeftBehind,
    };
    let kind = match frame::decode(Place::of_record(record), bytes)?.state {
        State::Absent => ContentKind::Absent,
        State::Present(_) => ContentKind::Whole,
        state @ State::Chunked(_) => ContentKind::Long(value::pieces_of(state)),
    };
    Ok(Some(Fact { birth: Epoch(birth), found, kind, frame: keep.then(|| bytes.to_vec()) }))
}
