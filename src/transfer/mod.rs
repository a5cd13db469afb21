//! Exchange with other programs, and all that depends on it: adoption, archives, drills, diagnosis, summary.

pub(crate) mod adopt;
pub(crate) mod archive;
pub(crate) mod archives;
pub(crate) mod doctor;
pub(crate) mod drill;
#[cfg(test)]
mod limits_test;
pub(crate) mod summary;
