//! Opening and closing the file of a store.
//!
//! * `options`, `context`: how it is opened, and what every transaction needs from then on
//! * `open`, `slot`: opening or creating it, and where the open file is kept
//! * `reopen`, `close`: opening it anew after a failure, and closing it
//! * `copy`: a consistent copy beside writers
//! * `named_file`, `reserve`: whether it still has its name, and room for the day when the disk is full

mod close;
pub(super) mod context;
#[cfg(feature = "transfer")]
pub(crate) mod copy;
pub(super) mod named_file;
pub(crate) mod open;
pub(crate) mod options;
mod reopen;
pub(crate) mod reserve;
pub(super) mod slot;

#[cfg(test)]
mod test;
