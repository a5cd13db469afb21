//! The collections with an index, for the engine.

use super::{chat, queue};
use crate::engine::index::IndexRule;

/// Every rule by which rows of the index follow from records.
pub(crate) const INDEXES: &[IndexRule] = &[queue::INDEX, chat::INDEX];
