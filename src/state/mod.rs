//! The meaning of the records: each file is its types, its keys, and its verbs on [`WriteTx`](crate::WriteTx) and
//! [`View`](crate::View).

pub(crate) mod assignments;
pub(crate) mod audit;
pub(crate) mod chat;
pub(crate) mod collection;
pub(crate) mod config;
pub(crate) mod documents;
pub(crate) mod heartbeats;
pub(crate) mod ids;
pub(crate) mod page;
pub(crate) mod queue;
pub(crate) mod registry;
pub(crate) mod show;
pub(crate) mod unit;

use crate::engine::index::IndexRule;

/// Every rule by which rows of the index follow from records.
pub(crate) const INDEXES: &[IndexRule] = &[queue::INDEX, chat::INDEX];
