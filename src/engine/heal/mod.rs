//! Healing a living store: rows that are not what was written get their bytes back from elsewhere, once these are
//! proved. Nobody sees a change: no version, pre-image or digest becomes another one.
//!
//! * `find`: the damaged rows, and the sums of the sound records beside them
//! * `remedies`: the rows that elsewhere has in their place; `judge`: their proof
//! * here: the report, and writing

mod find;
mod judge;
mod remedies;

use serde::Serialize;

pub(crate) use self::find::Damage;
pub(crate) use self::judge::Judged;
pub(crate) use self::remedies::Remedies;
use crate::engine::commit::{Outcome, Size};
use crate::engine::format::schema::Table;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::Result;

/// The bytes of rows that one transaction writes: a replica need not get more at once.
const BATCH_BYTES: usize = 4 << 20;
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

    fn heal(&mut self, table: Table, key: &[u8]) {
        self.healed += 1;
        if self.rows.len() < MOST_LISTED {
            self.rows.push(HealedRow { table: table.name().to_owned(), key: key.escape_ascii().to_string() });
        }
    }
}

/// A row with the bytes that it had, and the BLAKE3 of those that it has.
pub(crate) struct Remedy {
    table: Table,
    key: Vec<u8>,
    seen: blake3::Hash,
    bytes: Vec<u8>,
}

impl Store {
    /// Writes proved bytes in the place of damaged ones, each row that is still as it was seen. `note` is called in
    /// each transaction with the number of its rows.
    ///
    /// # Errors
    ///
    /// As a write, and every error of `note`.
    pub(crate) fn put_remedies(
        &self,
        judged: Judged,
        note: impl Fn(&mut WriteTx<'_>, u64) -> Result<()>,
    ) -> Result<HealReport> {
        let Judged { mut report, remedies } = judged;
        let mut rest = remedies.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|remedy| {
                bytes += remedy.key.len() + remedy.bytes.len();
                bytes <= BATCH_BYTES
            });
            let (now, later) = rest.split_at(fits.count().clamp(1, rest.len()));
            rest = later;
            let put: Vec<_> = self.alone_with(Size::Large, |tx| {
                let mut put = Vec::new();
                for remedy in now {
                    put.extend(tx.put_remedy(remedy)?.then_some(remedy));
                }
                if !put.is_empty() {
                    note(tx, put.len() as u64)?;
                }
                Ok(Outcome::Commit(put))
            })?;
            put.iter().for_each(|remedy| report.heal(remedy.table, &remedy.key));
        }
        Ok(report)
    }
}

impl WriteTx<'_> {
    /// Writes the bytes of a row, unless it was changed since; says whether it did.
    fn put_remedy(&mut self, Remedy { table, key, seen, bytes }: &Remedy) -> Result<bool> {
        let is_as_seen = self.stored().get(*table, key)?.is_some_and(|now| blake3::hash(&now) == *seen);
        if is_as_seen {
            self.insert(*table, key, bytes)?;
        }
        Ok(is_as_seen)
    }
}
