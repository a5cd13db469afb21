//! The report of a heal, and one row of it.

use serde::Serialize;

use crate::engine::format::schema::Table;

/// More rows than this are counted, not listed.
const MOST_LISTED: usize = 1000;

/// The result of a heal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HealReport {
    /// The number of rows that have their bytes again.
    pub healed: u64,
    /// The number of those that do not.
    pub refused: u64,
    /// The healed rows; at most a thousand are listed.
    pub rows: Vec<HealedRow>,
    /// The others, with the reasons; at most a thousand are listed.
    pub refusals: Vec<RefusedRow>,
}

/// A row that has its bytes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealedRow {
    /// The table that it is in.
    pub table: String,
    /// Its key, with bytes that are no text escaped.
    pub key: String,
}

/// A damaged row that stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedRow {
    /// The table that it is in.
    pub table: String,
    /// Its key, with bytes that are no text escaped; empty for the table as a whole.
    pub key: String,
    /// The reason.
    pub why: String,
}

impl HealReport {
    /// Whether no damaged row is left.
    pub fn is_whole(&self) -> bool {
        self.refused == 0
    }

    pub(crate) fn refuse(&mut self, table: Table, key: &[u8], why: impl Into<String>) {
        self.refused += 1;
        if self.refusals.len() < MOST_LISTED {
            let (table, key) = (table.name().to_owned(), key.escape_ascii().to_string());
            self.refusals.push(RefusedRow { table, key, why: why.into() });
        }
    }

    pub(super) fn heal(&mut self, table: Table, key: &[u8]) {
        self.healed += 1;
        if self.rows.len() < MOST_LISTED {
            self.rows.push(HealedRow { table: table.name().to_owned(), key: key.escape_ascii().to_string() });
        }
    }
}

/// A row with the bytes that it had, and the BLAKE3 of those that it has.
pub(crate) struct Remedy {
    pub(super) table: Table,
    pub(super) key: Vec<u8>,
    pub(super) seen: blake3::Hash,
    pub(super) bytes: Vec<u8>,
}
