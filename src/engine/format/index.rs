//! The rules from which the table `index` is derived: one per collection, from the layer that knows its records.

use crate::engine::format::schema::CollectionId;
use crate::engine::format::wakes::Wakes;
use crate::error::Result;

/// A function that names the index rows of one record: its key, its payload, and where each row's key goes.
pub(crate) type Derive = fn(&[u8], &[u8], &mut dyn FnMut(&[u8])) -> Result<()>;

/// How the index rows of a collection follow from its records. Put, remove and restore apply it by themselves, and
/// `check` derives the rows again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexRule {
    pub(crate) collection: CollectionId,
    pub(crate) derive: Derive,
    /// The waiting callers that a changed row concerns.
    pub(crate) wakes: fn(&[u8], RowIs, &mut Wakes),
}

/// The change of an index row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowIs {
    New,
    Gone,
}

impl IndexRule {
    /// The index rows of a record, or none when there is no record.
    pub(crate) fn keys(&self, key: &[u8], payload: Option<&[u8]>) -> Result<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        if let Some(payload) = payload {
            (self.derive)(key, payload, &mut |index_key| keys.push(index_key.to_vec()))?;
        }
        Ok(keys)
    }
}
