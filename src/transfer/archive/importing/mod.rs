//! A store from an archive.
//!
//! * [`import`]: makes a new store; [`apply`]: imports into one that is there, with [`merging`]; [`import_options`]:
//!   the options of both
//! * [`read`]: reads an archive strictly

pub(super) mod apply;
pub(super) mod import;
pub(super) mod import_options;
mod merging;
mod read;

#[cfg(test)]
mod apply_test;
