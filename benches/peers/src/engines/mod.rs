//! One file for each engine.

pub mod fjall;
pub mod hivekeep;
pub mod json_files;
pub mod lmdb;
pub mod redb;
pub mod rocksdb;
pub mod sqlite;
