//! The count, bytes and digest of every collection.

use std::collections::BTreeMap;

use crate::engine::format::codec;
use crate::engine::format::digest::Stats;
use crate::engine::format::row_change::changes;
use crate::engine::format::schema::{CollectionId, Table};
use crate::engine::meta;
use crate::error::Result;

/// The count, bytes and digest of every collection at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct States(BTreeMap<CollectionId, Stats>);

impl States {
    pub(crate) fn new(stats: impl IntoIterator<Item = (CollectionId, Stats)>) -> Self {
        Self(stats.into_iter().collect())
    }

    /// The collections in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (CollectionId, Stats)> {
        self.0.iter().map(|(id, stats)| (*id, *stats))
    }

    #[cfg(test)]
    /// The state of a collection, empty when nothing was ever written to it.
    pub(crate) fn of(&self, id: CollectionId) -> Stats {
        self.0.get(&id).copied().unwrap_or_default()
    }

    /// The BLAKE3 of number, count, bytes and digest of every collection with records. So it is the same for a
    /// collection that lost its last record as for one that never had any.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (id, stats) in self.iter().filter(|(_, stats)| *stats != Stats::default()) {
            hasher.update(&id.0.to_be_bytes());
            hasher.update(&stats.count.to_le_bytes());
            hasher.update(&stats.bytes.to_le_bytes());
            hasher.update(&stats.digest.to_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// Goes on by the rows of one commit, which say what the state is behind it.
    ///
    /// # Errors
    ///
    /// `Damaged` for rows that no writer makes.
    pub(crate) fn apply(&mut self, rows: &[u8]) -> Result<()> {
        for change in changes(rows) {
            let change = change?;
            if change.table != Table::Meta {
                continue;
            }
            let Some(id) = meta::stats_collection(change.key) else { continue };
            match change.value {
                Some(value) => {
                    let stats = codec::decode(&meta::payload(Table::Meta, change.key, value)?)?;
                    self.0.insert(id, stats);
                }
                None => drop(self.0.remove(&id)),
            }
        }
        Ok(())
    }
}
