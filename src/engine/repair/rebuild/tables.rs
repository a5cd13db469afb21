//! The tables that are not versioned.

use super::new_store::Rebuild;
use crate::engine::format::schema::{CollectionId, Table};
use crate::engine::meta;
use crate::error::Result;

impl Rebuild<'_> {
    /// Copies the tables that are not versioned, as they are; those that follow from others are derived again.
    pub(super) fn copy_tables(&mut self) -> Result<()> {
        let salvage = self.salvage;
        let derived = [Table::Points, Table::PointIds, Table::Commits, Table::Index, Table::Meta];
        let records = [Table::Live, Table::PreImages, Table::Tombstones];
        for table in Table::ALL.into_iter().filter(|table| !derived.contains(table) && !records.contains(table)) {
            let mut copied = 0;
            salvage.scratch.rows(table, |rows| {
                copied += rows.len() as u64;
                rows.iter().try_for_each(|(key, bytes)| self.push(table, key.clone(), bytes.clone()))
            })?;
            self.name_lost_rows(table, copied)?;
        }
        self.name_lost_rows(Table::Points, 0)?;
        self.name_lost_rows(Table::Commits, 0)?;
        for (id, name) in self.names.clone() {
            if salvage.scratch.row(Table::Collections, name.as_bytes())?.is_none() {
                self.report.notes.push(format!("the name of a collection is lost; it is now called {name}"));
                self.push_payload(Table::Collections, name.as_bytes(), &id.0.to_be_bytes())?;
            }
        }
        let mut rows = Vec::new();
        salvage.scratch.rows(Table::Meta, |page| {
            rows.extend(page.iter().filter(|(key, _)| !meta::is_rebuilt(key)).cloned());
            Ok(())
        })?;
        rows.into_iter().try_for_each(|(key, bytes)| self.push(Table::Meta, key, bytes))?;
        self.name_lost_meta()?;
        self.raise_counters()
    }

    /// The same for `meta`, of which the engine writes some rows itself; and which others may be lost,
    /// as they are on older pages only.
    fn name_lost_meta(&mut self) -> Result<()> {
        self.name_lost_rows(Table::Meta, 0)?;
        let notes = &self.salvage.notes;
        let damaged = notes.rows.iter().filter(|row| row.table == Table::Meta.name()).map(|row| &row.raw_key);
        for key in damaged.chain(&notes.left_meta).filter(|key| !is_written_anew(Table::Meta, key)) {
            if self.salvage.scratch.row(Table::Meta, key)?.is_none() {
                self.report.lost_meta.insert(key.clone());
            }
        }
        Ok(())
    }

    /// Says which rows of a table are gone for good.
    fn name_lost_rows(&mut self, table: Table, copied: u64) -> Result<()> {
        for row in self.salvage.notes.rows.iter().filter(|row| row.table == table.name()) {
            if is_written_anew(table, &row.raw_key) {
                continue;
            }
            if self.salvage.scratch.row(table, &row.raw_key)?.is_none() {
                self.report.notes.push(format!("a row is lost: table={} key={}", row.table, row.key));
            }
        }
        let unreached = self.salvage.notes.unreached.get(&table).copied().unwrap_or_default();
        let found_again = copied.saturating_sub(self.salvage.notes.sound.get(&table).copied().unwrap_or_default());
        if unreached > found_again {
            self.report.unreached.insert(table.name().into(), unreached - found_again);
        }
        Ok(())
    }

    /// Counters never go back: of what was read and what was seen on older pages, the higher counts.
    fn raise_counters(&mut self) -> Result<()> {
        let given = self.names.keys().map(|id| u64::from(id.0.saturating_sub(CollectionId::FIRST_USER.0)) + 1).max();
        let mut counters = self.salvage.notes.counters.clone();
        let collections = counters.entry(meta::counter_key(meta::COLLECTIONS)).or_default();
        *collections = (*collections).max(given.unwrap_or_default());
        for (key, seen) in counters {
            let read = self.salvage.scratch.row(Table::Meta, &key)?;
            let read = read.map_or(Ok(0), |bytes| meta::number(&meta::payload(Table::Meta, &key, &bytes)?));
            if read.unwrap_or_default() < seen {
                self.push_payload(Table::Meta, &key, &seen.to_be_bytes())?;
            }
        }
        Ok(())
    }
}

/// Whether a row is none that is copied.
fn is_written_anew(table: Table, key: &[u8]) -> bool {
    table == Table::Meta && (meta::is_rebuilt(key) || meta::is_counter(key))
}
