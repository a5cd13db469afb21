//! The meaning of the bytes of a store, as FORMAT.md describes it.
//!
//! * `epoch`, `keys`: numbers of stretches of commits and of collections, and keys made of them
//! * `schema`: the tables
//! * `frame`: the checksum around every value
//! * `codec`, `point`: stored types, and the manifest of a point
//! * `digest`: the sum over a collection
//! * `row_change`: the rows of a commit
//! * `value`: values of any length
//! * `index`: rows that follow from records; `wakes`: the waiting callers that they concern

pub(crate) mod codec;
pub(crate) mod digest;
pub(crate) mod epoch;
pub(crate) mod frame;
pub(crate) mod index;
pub(crate) mod keys;
pub(crate) mod point;
pub(crate) mod row_change;
pub(crate) mod schema;
pub(crate) mod value;
pub(crate) mod wakes;
