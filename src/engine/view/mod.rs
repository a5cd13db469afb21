//! Reading: a consistent view of now, or as of a retained point.
//!
//! * `read`: the reads of records; `chain`: the state of a key at a point, found by following its pre-images
//! * `reader`: the view, and the read transaction that it holds

mod chain;
mod read;
mod reader;

pub(crate) use self::chain::StoredFrame;
pub use self::reader::View;
pub(crate) use self::reader::gone;
