//! An archive from a point.
//!
//! * [`export`]: makes one; [`source`]: reads the point; [`write`]: makes the entries, [`contents`]: puts them together
//! * [`draft`]: the file until it gets its name

mod contents;
mod draft;
pub(super) mod export;
mod source;
pub(super) mod write;
