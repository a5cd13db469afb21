//! Opening and closing the file of a store.
//!
//! * `options`: how it is opened; `context`: what every transaction needs from then on. It begins write
//!   transactions, in the line of the processes
//! * `open_store`: a store over it; `open`, `slot`: opening or creating the file, and where the open file is kept
//! * `reopen`, `close`: opening it again after a failure, and closing it
//! * `copy`: a consistent copy beside writers
//! * `named_file`: whether it still has its name, asked before every commit; `reserve`: space that is given up when a
//!   write finds the disk full

mod close;
pub(super) mod context;
#[cfg(feature = "transfer")]
pub(crate) mod copy;
pub(super) mod named_file;
pub(crate) mod open;
mod open_store;
pub(crate) mod options;
mod reopen;
pub(crate) mod reserve;
pub(super) mod slot;

#[cfg(test)]
mod test;
