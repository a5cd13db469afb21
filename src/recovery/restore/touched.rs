//! The counts of records that a restore touches, for its plan and its report.

use std::collections::BTreeMap;

use crate::engine::schema::CollectionId;
use crate::recovery::diff::{ChangeKind, Counts};
use crate::recovery::points::names::Names;

/// The records that a restore touches, by collection.
#[derive(Default)]
pub(crate) struct Touched {
    counts: BTreeMap<CollectionId, Counts>,
}

impl Touched {
    /// Counts a record that returns, changes or is removed. Pieces of long values are not records.
    pub(crate) fn count(&mut self, collection: CollectionId, change: ChangeKind) {
        if collection != CollectionId::CHUNKS {
            self.counts.entry(collection).or_default().count(change);
        }
    }

    /// By the names of collections.
    pub(crate) fn named(self, names: &Names) -> BTreeMap<String, Counts> {
        self.counts.into_iter().map(|(collection, counts)| (names.of(collection), counts)).collect()
    }
}
