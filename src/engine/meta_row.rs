//! Rows of `meta` that hold one value each, such as the last drill.

use std::marker::PhantomData;

use crate::engine::format::codec::{self, Stored};
use crate::engine::format::schema::Table;
use crate::engine::records::Records;
use crate::engine::write::WriteTx;
use crate::error::Result;

/// A row of `meta`, with the type of its value.
pub(crate) struct MetaRow<T> {
    key: &'static [u8],
    value: PhantomData<fn() -> T>,
}

impl<T: Stored> MetaRow<T> {
    pub(crate) const fn new(key: &'static [u8]) -> Self {
        Self { key, value: PhantomData }
    }

    /// The value; none if it was never stored.
    pub(crate) fn read<R: Records + ?Sized>(&self, records: &R) -> Result<Option<T>> {
        records.row(Table::Meta, self.key)?.map(|bytes| codec::decode(&bytes)).transpose()
    }

    pub(crate) fn put(&self, tx: &mut WriteTx<'_>, value: &T) -> Result<()> {
        tx.put_row(Table::Meta, self.key, &codec::encode(value)?)
    }

    /// Removes the value. Returns whether there was one.
    pub(crate) fn remove(&self, tx: &mut WriteTx<'_>) -> Result<bool> {
        tx.remove_row(Table::Meta, self.key)
    }
}
