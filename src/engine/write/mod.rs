//! Writing: put, remove, and the pre-images that let every retained point be read.
//!
//! In a store without a log, several closures share one transaction. Each keeps a list of the values that it overwrote,
//! so that a failed closure takes back its own changes and no others.
//!
//! A put goes through them in this order:
//!
//! * `index_rows`: those that follow from the row that is `found`, and from the new one, in the collections that have
//!   an index (`state::INDEXES`); in the others nothing is looked for, and `replace` reads the row that it overwrites
//! * `long_values`: the value in one piece or in several
//! * `versions`: the frame of each, the pre-image that a point needs, and the digest of the collection
//! * here again: `replace`, the one place where a row changes, on [`rows`](crate::engine::rows)
//! * `transaction`: the write transaction, and the batch of closures that share it
//!
//! A restore changes the index rows itself, and then begins at `versions`. `read` is the closure's view of its own
//! transaction.

mod found;
mod index_rows;
mod long_values;
mod read;
pub(crate) mod transaction;
mod versions;

pub(crate) use self::transaction::Batch;
pub use self::transaction::WriteTx;
