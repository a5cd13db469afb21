//! The keys that a transaction of redb has changed.

use std::collections::BTreeSet;

use crate::engine::format::schema::Table;

/// A transaction that changes more keys than fit into this is not kept: a replica of it needs a new base.
const MOST_BYTES: usize = 16 << 20;
/// The memory of a key beside its bytes.
const OVERHEAD: usize = 64;

/// The keys that a transaction of redb has changed.
#[derive(Debug, Default)]
pub(crate) struct ChangedKeys {
    tables: [BTreeSet<Vec<u8>>; Table::COUNT],
    bytes: usize,
}

impl ChangedKeys {
    /// Notes a key. If they become too many, only that is known.
    pub(crate) fn note(&mut self, table: Table, key: &[u8]) {
        let keys = &mut self.tables[table as usize];
        if self.bytes > MOST_BYTES || keys.contains(key) {
            return;
        }
        keys.insert(key.to_vec());
        self.bytes += key.len() + OVERHEAD;
        if self.bytes > MOST_BYTES {
            self.tables = Default::default();
        }
    }

    /// The keys in the order of tables and keys; none when they were too many.
    pub(in crate::engine::feed) fn keys(&self) -> Option<impl Iterator<Item = (Table, &[u8])>> {
        (self.bytes <= MOST_BYTES).then(|| {
            let tables = Table::ALL.into_iter().zip(&self.tables);
            tables.flat_map(|(table, keys)| keys.iter().map(move |key| (table, key.as_slice())))
        })
    }
}
