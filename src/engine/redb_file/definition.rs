//! The tables as redb knows them.

use redb::TableDefinition;

use crate::engine::format::schema::Table;

/// Keys and values.
pub(super) type Bytes = &'static [u8];

/// A table as redb knows it.
pub(crate) fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(table.name())
}
