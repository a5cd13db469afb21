//! The bodies of the fuzz targets. `tests/seeds` runs the same ones over `fuzz/seeds` without the fuzzer.
//!
//! A body takes any bytes, and panics when a promise does not hold.

pub mod archive;
pub mod documents;
pub mod input;
pub mod json;
pub mod open_file;
pub mod selector;
pub mod store_ops;
