//! The form of an archive, which writer and reader share.
//!
//! * [`manifest`]: its first entry; [`layout`]: the names and the order of the others; [`expect`]: the next one
//! * [`readable`] and [`record`]: the two forms of a record, [`line`]: both in one; [`valid`]: checks one
//! * [`pack`], [`seal`], [`hashed`]: the file: compressed, encrypted, hashed; [`unreadable`]: damage, and failures of
//!   the system
//! * [`progress`]: the progress of an export or an import

pub(super) mod expect;
pub(super) mod hashed;
pub(super) mod layout;
pub(super) mod line;
pub(super) mod manifest;
pub(super) mod pack;
pub(super) mod progress;
pub(super) mod readable;
pub(super) mod record;
pub(super) mod seal;
pub(super) mod unreadable;
pub(super) mod valid;
