//! What the records mean: each file is its types, its keys, and its verbs on [`WriteTx`](crate::WriteTx) and
//! [`View`](crate::View).

pub(crate) mod assignments;
pub(crate) mod ids;
pub(crate) mod queue;
pub(crate) mod registry;

#[cfg(test)]
mod testing;

use crate::engine::index::IndexRule;

/// Every rule by which rows of the index follow from records.
pub(crate) const INDEXES: &[IndexRule] = &[queue::INDEX];
