//! Versioned records in one redb file.

pub(crate) mod codec;
pub(crate) mod digest;
pub(crate) mod epoch;
pub(crate) mod frame;
pub(crate) mod records;
pub(crate) mod schema;
