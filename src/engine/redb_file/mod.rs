//! Everything that names the crate `redb`. The folder has another name, so that nobody takes it for the crate.
//!
//! * `failure`, `end`: how redb's errors become ours, and why a file is used no more
//! * `guard`: calls into redb, whose panics it contains
//! * `handle`: an open database
//! * `definition`, `transaction`, `tables`: the names of the tables, a write transaction, and the open tables that
//!   [`rows`](crate::engine::rows) read and write
//! * `create`, `open`: making a store's file and opening it
//! * `own_file`: the files that the engine opens, each of one process alone
//! * `shadow`: reading a file while writes to it stay in memory
//! * `pages`: the pages of a file, read without redb
//! * `scratch`: the temporary database of a repair

mod create;
mod definition;
mod end;
mod failure;
mod guard;
mod handle;
pub(in crate::engine) mod open;
mod own_file;
pub(crate) mod pages;
pub(in crate::engine) mod scratch;
mod shadow;
mod tables;
mod transaction;

pub(crate) use redb::{BackendError, StorageBackend};

pub(crate) use self::create::create_empty;
#[cfg(test)]
pub(crate) use self::definition::definition;
pub(crate) use self::end::End;
pub(crate) use self::failure::Failure;
pub(crate) use self::guard::RedbGuard;
pub use self::guard::hush_contained_panics;
pub(crate) use self::handle::{Handle, locked};
pub(crate) use self::own_file::{FileId, OwnFile, not_a_store, unreadable};
pub(crate) use self::shadow::{Shadow, WRITER};
pub(crate) use self::tables::{OpenTable, PageRow, ReadTables, Tables, WriteTables};
pub(crate) use self::transaction::Transaction;
