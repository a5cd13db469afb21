//! The row `feed` of `meta`, and the names of the rows that stay in their store.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

#[cfg(any(test, feature = "replica"))]
use crate::clock;
use crate::engine::format::codec::{self, Stored};
use crate::engine::format::row_change::changes;
#[cfg(any(test, feature = "replica"))]
use crate::engine::format::schema::FED_FORMAT;
use crate::engine::format::schema::Table;
use crate::engine::meta;
#[cfg(any(test, feature = "replica"))]
use crate::engine::records::Records;
use crate::engine::rows::WriteRows;
#[cfg(any(test, feature = "replica"))]
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};

/// No commit of any store gets so far, and everything behind it has a number.
pub(in crate::engine::feed) const MOST: u64 = u64::MAX / 2;

/// The row `feed`: a store that has none has no feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine::feed) struct FeedRow {
    /// The number of this feed, which no other has: a feed that begins again goes on from none before it.
    pub(in crate::engine::feed) id: u64,
    /// The newest commit that redb has.
    pub(in crate::engine::feed) sequence: u64,
    /// The newest number of the log that redb has: entries behind it go on from the sequence.
    pub(in crate::engine::feed) log_number: u64,
    /// Commits up to this one are not kept.
    pub(in crate::engine::feed) kept_from: u64,
    /// The bytes of the rows of the outbox.
    pub(in crate::engine::feed) bytes: u64,
    /// The newest commit that the replica had when the row was written.
    pub(in crate::engine::feed) shipped: u64,
}

impl Stored for FeedRow {
    const VERSION: u8 = 1;
    const WHAT: &'static str = "the row of the feed";
}

impl FeedRow {
    /// The row of a feed that begins in this transaction.
    #[cfg(any(test, feature = "replica"))]
    pub(in crate::engine::feed) fn begun_at(sequence: u64) -> Self {
        Self {
            id: clock::random_number(),
            sequence,
            log_number: MOST,
            kept_from: sequence,
            bytes: 0,
            shipped: sequence,
        }
    }

    /// The same of a copy that becomes a source: its replica has everything up to a commit, and its own commits go on
    /// far behind that one.
    #[cfg(any(test, feature = "replica"))]
    pub(in crate::engine::feed) fn resumed_at(shipped: u64, sequence: u64) -> Self {
        Self { kept_from: shipped, shipped, ..Self::begun_at(sequence) }
    }

    /// The same of a store that was overtaken and becomes a source again: nothing leads from the one commit to the
    /// other.
    #[cfg(any(test, feature = "replica"))]
    pub(in crate::engine::feed) fn resumed_behind_a_gap(shipped: u64, sequence: u64) -> Self {
        Self { shipped, ..Self::begun_at(sequence) }
    }

    /// Whether it begins in this transaction: it does not know the number of the log yet.
    pub(in crate::engine::feed) fn begins(&self) -> bool {
        self.log_number == MOST
    }

    /// The row as it is stored; none while there is no feed.
    pub(in crate::engine::feed) fn read(bytes: Option<&[u8]>) -> Result<Option<Self>> {
        let Some(bytes) = bytes else { return Ok(None) };
        let row: Self = codec::decode(&meta::payload(Table::Meta, meta::FEED, bytes)?)?;
        if row.sequence.max(row.log_number).max(row.kept_from) > MOST {
            let message = "the row of the feed has a number that no writer gives";
            return Err(Error::damaged(format!("{message}: sequence={}", row.sequence)));
        }
        Ok(Some(row))
    }

    /// The row as a transaction of redb finds it.
    pub(in crate::engine::feed) fn of(rows: &WriteRows<'_>) -> Result<Option<Self>> {
        Self::read(rows.get(Table::Meta, meta::FEED)?.as_deref())
    }

    pub(in crate::engine::feed) fn write(&self, rows: &mut WriteRows<'_>) -> Result<()> {
        meta::put(rows, meta::FEED, &codec::encode(self)?)
    }

    /// The sequence of an entry of the log, or of the state that has it.
    pub(in crate::engine::feed) fn sequence_of(&self, number: u64) -> u64 {
        self.sequence.saturating_add(number.saturating_sub(self.log_number))
    }
}

/// The key of a commit in the outbox.
pub(in crate::engine::feed) fn outbox_key(sequence: u64) -> Vec<u8> {
    [meta::OUTBOX, &sequence.to_be_bytes()].concat()
}

/// The commit of a key of the outbox.
#[cfg(any(test, feature = "replica"))]
pub(in crate::engine::feed) fn outbox_sequence(key: &[u8]) -> Result<u64> {
    let number = key.strip_prefix(meta::OUTBOX).and_then(|number| number.try_into().ok());
    let number = number.map(u64::from_be_bytes).filter(|number| *number <= MOST);
    number.ok_or_else(|| Error::damaged(format!("a row of the outbox has no number: key={}", key.escape_ascii())))
}

/// R3: whether a row says something about its file, and not about the state in it: it never travels.
pub(crate) fn is_local(table: Table, key: &[u8]) -> bool {
    const ROWS: [&[u8]; 7] =
        [meta::FORMAT, meta::HOST, meta::WAL, meta::FEED, meta::FEED_POSITION, meta::STANDBY, meta::FENCE];
    let is_of = |prefix: &&[u8]| key.starts_with(prefix);
    table == Table::Meta && (ROWS.contains(&key) || [meta::OUTBOX, meta::ALIVE].iter().any(is_of))
}

/// R3: the rows of an entry of the log without those that never travel; none if no others are there.
pub(in crate::engine::feed) fn travelling(rows: Arc<[u8]>) -> Result<Option<Arc<[u8]>>> {
    let is_mixed = changes(&rows).try_fold(false, |found, row| row.map(|row| found || is_local(row.table, row.key)))?;
    if !is_mixed {
        return Ok(Some(rows));
    }
    let mut bytes = Vec::new();
    for row in changes(&rows) {
        let row = row?;
        if !is_local(row.table, row.key) && !row.push_to(&mut bytes) {
            return Err(Error::damaged("an entry of the log has a row that is too long"));
        }
    }
    Ok((!bytes.is_empty()).then(|| bytes.into()))
}

#[cfg(any(test, feature = "replica"))]
impl WriteTx<'_> {
    /// R10: keeps programs from the file that know nothing of these rows: they would commit past them.
    pub(in crate::engine::feed) fn refuse_older_programs(&mut self) -> Result<()> {
        let stored = self.row(Table::Meta, meta::FORMAT)?.map_or(Ok(0), |bytes| meta::number(&bytes))?;
        match stored >= FED_FORMAT {
            true => Ok(()),
            false => self.put_row(Table::Meta, meta::FORMAT, &FED_FORMAT.to_be_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::format::digest::hex;

    #[test]
    fn the_bytes_of_the_row_of_the_feed_stay_as_they_are() {
        let row = FeedRow { id: 7, sequence: 300, log_number: 9, kept_from: 2, bytes: 70, shipped: 3 };
        let bytes = codec::encode(&row).unwrap();
        assert_eq!(hex(&bytes), "0107fb2c0109024603");
        assert_eq!(codec::decode::<FeedRow>(&bytes).unwrap(), row);
    }

    #[test]
    fn a_row_of_the_outbox_has_a_number() {
        assert_eq!(outbox_sequence(&outbox_key(7)).unwrap(), 7);
        for wrong in [&b"outbox/"[..], b"outbox/1234567", &outbox_key(u64::MAX)] {
            outbox_sequence(wrong).unwrap_err();
        }
    }
}
