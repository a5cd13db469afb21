//! Reading a damaged file: everything whose checksum matches goes into the scratch, and what does not is noted.
//!
//! Trees are walked first. Where a page or a row of one is lost, what was left behind of the same keys on pages that
//! are not in use any more is taken as well: redb copies on writing, so the last copy but one is often still there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::elsewhere::{Elsewhere, Healed};
use super::lost::LostKeys;
use crate::engine::format::epoch::Epoch;
use crate::engine::format::frame;
use crate::engine::format::keys::PreImageKey;
use crate::engine::format::schema::{Place, Table};
use crate::engine::meta;
use crate::engine::redb_file::StorageBackend;
use crate::engine::redb_file::pages::{PageLink, PagePlace, Pages, Span, Visitor};
use crate::engine::redb_file::scratch::{FactSource, Filling, Scratch, Sink};
use crate::engine::wal::{Layer, Overlay};
use crate::error::{Error, ErrorKind, Result};

/// A page that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamagedPage {
    /// The table that it is of; none when it names tables.
    pub table: Option<String>,
    /// Where it begins in the file.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// Whether it was put right: one bit of it was flipped, or it was found elsewhere in the file.
    pub mended: bool,
}

/// A row that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DamagedRow {
    /// The table that it is in.
    pub table: String,
    /// Its key, with bytes that are no text escaped.
    pub key: String,
    /// The length of its value, which is lost.
    pub bytes: u64,
    /// The reason why it is damaged.
    pub what: String,
    /// The key as it is.
    #[serde(skip)]
    pub(crate) raw_key: Vec<u8>,
}

/// The content that could be read of a file.
pub(super) struct Salvage {
    pub(super) scratch: Scratch,
    pub(super) notes: Notes,
}

/// Notes of the walk.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) pages: Vec<DamagedPage>,
    pub(super) rows: Vec<DamagedRow>,
    /// How many rows of a table were not reached, by what redb says of their number.
    pub(super) unreached: BTreeMap<Table, u64>,
    /// How many rows of a table were sound in their place.
    pub(super) sound: BTreeMap<Table, u64>,
    /// Tables in which something was lost.
    pub(super) hurt: BTreeSet<Table>,
    /// The newest birth of any record.
    pub(super) newest: Epoch,
    /// Counters that were found left behind, and how far they had come.
    pub(super) counters: BTreeMap<Vec<u8>, u64>,
    /// How many rows of a table came from elsewhere.
    pub(super) healed: BTreeMap<Table, u64>,
    /// Why other rows did not.
    pub(super) not_healed: Vec<String>,
    /// Rows of keys that were found left behind. The present ones may be lost, or were removed before.
    pub(super) left_meta: BTreeSet<Vec<u8>>,
}

/// Reads all that is sound in a file, with the rows of its log over it, and what is lost from elsewhere. A scratch that
/// does not fit into memory is kept at `scratch`.
///
/// # Errors
///
/// `NewerFormat` when a newer version wrote to the file, `Damaged` when nothing in it can be read, `Io`; the errors of
/// the other place.
pub(super) fn salvage(
    file: &dyn StorageBackend,
    log: &Overlay,
    scratch: &Path,
    elsewhere: Option<&dyn Elsewhere>,
) -> Result<Salvage> {
    // A replica may have any number of rows, however short the rest of the file is.
    let length = if elsewhere.is_some() { u64::MAX } else { file.len()? };
    let filling = Filling::new(scratch, length)?;
    let notes = read(file, log, filling.sink()?, elsewhere)?;
    Ok(Salvage { scratch: filling.finish()?, notes })
}

/// The row of the log as it stands in a file; none when it cannot be found.
///
/// # Errors
///
/// `Damaged` when nothing in the file can be read, `Io`.
pub(super) fn row_of_log(file: &dyn StorageBackend) -> Result<Option<Vec<u8>>> {
    let (mut pages, mut row) = (Pages::new(file)?, RowOfLog(None));
    for root in pages.roots()? {
        let tables = pages.tables(root, &mut row)?;
        if let Some((_, root, _)) = tables.iter().find(|(name, _, _)| name == Table::Meta.name()) {
            root.map_or(Ok(()), |root| pages.walk(root, &mut row))?;
            break;
        }
    }
    Ok(row.0)
}

struct RowOfLog(Option<Vec<u8>>);

impl Visitor for RowOfLog {
    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if key == meta::WAL {
            self.0 = Some(value.to_vec());
        }
        Ok(())
    }

    fn flipped_bit(&self, key: &[u8], value: &[u8]) -> Option<usize> {
        frame::flipped_bit(Table::Meta.place(key), value)
    }

    fn damaged(&mut self, _place: PagePlace, _span: Span, _mended: bool) {}
}

fn read(file: &dyn StorageBackend, log: &Overlay, sink: Sink<'_>, elsewhere: Option<&dyn Elsewhere>) -> Result<Notes> {
    let mut reader = Reader {
        sink,
        log,
        lost: LostKeys::default(),
        healed: Healed::default(),
        table: None,
        met: 0,
        served_after: Epoch(0),
        notes: Notes::default(),
    };
    let mut pages = Pages::new(file)?;
    let tables = reader.tables(&mut pages)?;
    // Epochs and points come first: they tell which pre-images still serve a point.
    let mut in_turn = Table::ALL;
    in_turn.sort_by_key(|table| !matches!(table, Table::Meta | Table::Points | Table::Commits));
    for table in in_turn {
        reader.table = Some(table);
        if table == Table::PreImages {
            reader.served_after = reader.sink.served_after()?;
        }
        match tables.iter().find(|(name, _, _)| name == table.name()) {
            // No sound page names the table, so any of its rows may be lost.
            None => reader.lost.spans.entry(table).or_default().push(Span::default()),
            Some((_, root, rows)) => {
                reader.met = 0;
                root.map_or(Ok(()), |root| pages.walk(root, &mut reader))?;
                if *rows > reader.met {
                    reader.notes.unreached.insert(table, rows - reader.met);
                }
            }
        }
        reader.rows_of_log(table)?;
    }
    if let Some(elsewhere) = elsewhere.filter(|_| !reader.lost.is_empty()) {
        reader.heal(elsewhere)?;
        reader.forget_healed();
    }
    // The last copy but one is often on an unused page. Without a loss, such copies are only older.
    if !reader.lost.is_empty() {
        pages.scan(&mut |key, value| reader.left_behind(key, value))?;
    }
    let Reader { mut notes, lost, healed, .. } = reader;
    // They say why something is lost.
    notes.not_healed = if lost.is_empty() { Vec::new() } else { healed.notes };
    notes.healed = healed.rows;
    notes.hurt = lost.spans.into_keys().chain(lost.keys.into_keys()).collect();
    Ok(notes)
}

impl Salvage {
    /// Whether not one row was sound.
    pub(super) fn found_nothing(&self) -> Result<bool> {
        Ok(self.notes.newest == Epoch(0) && self.scratch.has_no_rows()?)
    }
}

pub(super) struct Reader<'a> {
    pub(super) sink: Sink<'a>,
    /// Rows that the file does not have yet.
    pub(super) log: &'a Overlay,
    pub(super) lost: LostKeys,
    pub(super) healed: Healed,
    /// The table that is being walked; none for the one of tables.
    table: Option<Table>,
    /// Rows of it that were met.
    met: u64,
    /// Pre-images up to here serve no point, and wait to be dropped.
    served_after: Epoch,
    notes: Notes,
}

impl Reader<'_> {
    /// The tables by the newest commit that names any.
    fn tables(&mut self, pages: &mut Pages<'_>) -> Result<Vec<(String, Option<PageLink>, u64)>> {
        for root in pages.roots()? {
            let tables = pages.tables(root, self)?;
            if tables.iter().any(|(name, _, _)| Table::ALL.iter().any(|table| table.name() == name)) {
                return Ok(tables);
            }
        }
        Ok(Vec::new())
    }

    /// Takes a row where it stands, if it is sound there.
    pub(super) fn take(&mut self, table: Table, key: &[u8], value: &[u8], left_behind: bool) -> Result<()> {
        let as_found = |found| if left_behind { FactSource::LeftBehind } else { found };
        match table {
            Table::Live | Table::Tombstones => self.fact(key, value, as_found(FactSource::Newest)),
            Table::PreImages => {
                // The report of a repair must not advise to run one.
                let PreImageKey { part, row } =
                    PreImageKey::split(key).ok_or_else(|| Error::damaged("its key is short"))?;
                // S7: it waits to be dropped.
                if part <= self.served_after {
                    return Ok(());
                }
                self.fact(row, value, as_found(FactSource::PreImage))
            }
            // Rows that follow from records are derived again.
            Table::Index | Table::PointIds => Ok(()),
            table => {
                meta::payload(table, key, value)?;
                Ok(self.sink.row(table, key, value).map(drop)?)
            }
        }
    }

    fn fact(&mut self, record: &[u8], value: &[u8], found: FactSource) -> Result<()> {
        let birth = frame::decode(Place::of_record(record), value)?.birth;
        self.notes.newest = self.notes.newest.max(birth);
        Ok(self.sink.fact(record, birth, found, value)?)
    }

    /// Takes a row where it stands; one that is not sound is lost there.
    fn take_or_note(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        match self.take(table, key, value, false) {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                self.lost.keys.entry(table).or_default().insert(key.to_vec());
                self.notes.rows.push(DamagedRow {
                    table: table.name().into(),
                    key: key.escape_ascii().to_string(),
                    bytes: value.len() as u64,
                    what: error.to_string(),
                    raw_key: key.to_vec(),
                });
                Ok(())
            }
            taken => {
                *self.notes.sound.entry(table).or_default() += 1;
                taken
            }
        }
    }

    /// Forgets the losses that came from elsewhere.
    fn forget_healed(&mut self) {
        let Self { lost, healed, notes, .. } = self;
        *lost = std::mem::take(lost).without(healed);
        notes.unreached.retain(|table, _| !healed.covers_all(*table));
        let table_of = |name: &str| Table::ALL.into_iter().find(|table| table.name() == name);
        notes.rows.retain(|row| !table_of(&row.table).is_some_and(|table| healed.covers(table, &row.raw_key)));
    }

    /// Takes the rows of a table that only the log has.
    fn rows_of_log(&mut self, table: Table) -> Result<()> {
        for (key, newest) in self.log.all(table) {
            if let Some(value) = newest.value {
                self.take_or_note(table, &key, &value)?;
            }
        }
        Ok(())
    }

    /// Takes a row of a page that no tree may lead to, when something of its key is lost. It does not say of which
    /// table it is; but its checksum does.
    fn left_behind(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        for table in Table::ALL {
            // An older copy must not replace a sound row, nor one of the log, which is newer.
            if !self.lost.holds(table, key) || self.healed.covers(table, key) || self.log.find(table, key).is_some() {
                continue;
            }
            if table == Table::Meta {
                self.note_meta(key, value);
                continue;
            }
            match self.take(table, key, value, true) {
                Err(error) if error.kind() == ErrorKind::Damaged => {}
                taken => taken?,
            }
        }
        Ok(())
    }

    /// Old rows of `meta` are of no use, except counters, the highest of which counts, and the names of keys.
    fn note_meta(&mut self, key: &[u8], value: &[u8]) {
        let Ok(payload) = meta::payload(Table::Meta, key, value) else { return };
        if key.starts_with(meta::KEY) {
            self.notes.left_meta.insert(key.to_vec());
        } else if let (true, Ok(number)) = (meta::is_counter(key), meta::number(&payload)) {
            let highest = self.notes.counters.entry(key.to_vec()).or_default();
            *highest = number.max(*highest);
        }
    }
}

impl Visitor for Reader<'_> {
    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let Some(table) = self.table else { return Ok(()) };
        self.met += 1;
        // W1: the log has a newer value.
        if self.log.find(table, key).is_some() {
            return Ok(());
        }
        self.take_or_note(table, key, value)
    }

    fn flipped_bit(&self, key: &[u8], value: &[u8]) -> Option<usize> {
        self.table.and_then(|table| frame::flipped_bit(table.place(key), value))
    }

    fn damaged(&mut self, place: PagePlace, span: Span, mended: bool) {
        let PagePlace { offset, bytes } = place;
        self.notes.pages.push(DamagedPage {
            table: self.table.map(|table| table.name().into()),
            offset,
            bytes,
            mended,
        });
        if let (Some(table), false) = (self.table, mended) {
            self.lost.spans.entry(table).or_default().push(span);
        }
    }
}
