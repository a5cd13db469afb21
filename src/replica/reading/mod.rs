//! Reading a replica: its bases, its log, and how far a store is in it.
//!
//! * `bases`: reading bases; `prefetch`: asks for objects ahead; `held`: the hold of a reader
//! * `log_pages`: the slots of a term, for those that look for missing objects
//! * `position`: how far a copy is; `shipped`: how far a store is shipped; `shipped_here`: whether a replica is the one
//!   that it was shipped to
//! * `verified_state`: a state that is read and compared, and not kept

pub(crate) mod bases;
pub(crate) mod held;
pub(super) mod log_pages;
pub(crate) mod position;
pub(crate) mod prefetch;
pub(crate) mod shipped;
pub(super) mod shipped_here;
pub(crate) mod verified_state;

#[cfg(test)]
mod hostile_test;
