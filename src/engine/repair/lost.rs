//! The keys of which something is lost.

use std::collections::{BTreeMap, BTreeSet};

use super::elsewhere::Healed;
use crate::engine::format::schema::Table;
use crate::engine::redb_file::pages::Span;

/// Keys of which something is lost, by table.
#[derive(Default)]
pub(super) struct LostKeys {
    pub(super) spans: BTreeMap<Table, Vec<Span>>,
    pub(super) keys: BTreeMap<Table, BTreeSet<Vec<u8>>>,
}

impl LostKeys {
    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.keys.is_empty()
    }

    pub(super) fn holds(&self, table: Table, key: &[u8]) -> bool {
        self.keys.get(&table).is_some_and(|keys| keys.contains(key))
            || self.spans.get(&table).is_some_and(|spans| spans.iter().any(|span| span.holds(key)))
    }

    /// Whether something may be lost of the keys with a prefix behind one of them.
    pub(super) fn holds_behind(&self, table: Table, after: &[u8], prefix: &[u8]) -> bool {
        let keys = self.keys.get(&table).into_iter().flatten();
        let mut keys = keys.filter(|key| key.as_slice() > after);
        let mut spans = self.spans.get(&table).into_iter().flatten();
        keys.any(|key| key.starts_with(prefix)) || spans.any(|span| span.may_hold_behind(after, prefix))
    }

    /// Leaves out what came from elsewhere.
    pub(super) fn without(mut self, healed: &Healed) -> Self {
        self.spans.retain(|table, _| !healed.covers_all(*table));
        self.keys.retain(|table, keys| {
            keys.retain(|key| !healed.covers(*table, key));
            !keys.is_empty()
        });
        self
    }
}
