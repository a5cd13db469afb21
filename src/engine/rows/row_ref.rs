//! A row where it lies: on its page, or in memory.

use super::range::Row;
use crate::engine::redb_file::PageRow;

/// A row where it lies.
pub(crate) enum RowRef<'t> {
    /// On its page, which it keeps in memory.
    OnPage(PageRow<'t>),
    InMemory(Row),
}

impl RowRef<'_> {
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::OnPage(row) => row.key(),
            Self::InMemory((key, _)) => key,
        }
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        match self {
            Self::OnPage(row) => row.value(),
            Self::InMemory((_, value)) => value,
        }
    }
}
