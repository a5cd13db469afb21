//! Archives: a point as one file that outlives the store, that ordinary tools open, and that becomes a store again.
//!
//! * [`export`] makes one; [`source`] reads the point, [`readable`] and [`record`] are its two forms, [`write`] its entries
//! * [`import`] makes a new store of one, [`apply`] takes one into a store; [`read`] reads it, strictly, by what
//!   [`expect`] knows must come; [`valid`] looks at each record
//! * [`automatic`] makes them from time to time; [`last`] is what the store knows of them, [`folder`] where they go, and
//!   [`retain`] says which are kept
//! * [`manifest`] and [`layout`] are what both sides agree on
//! * [`pack`], [`seal`], [`hashed`] and [`place`] are the file: compressed, encrypted, hashed, named last

mod apply;
#[cfg(test)]
mod apply_test;
mod automatic;
mod expect;
mod export;
mod folder;
mod hashed;
mod import;
mod last;
mod layout;
mod line;
mod manifest;
mod pack;
mod place;
mod read;
mod readable;
mod record;
mod retain;
mod seal;
mod source;
mod valid;
mod write;

pub use self::apply::ImportPlan;
pub use self::automatic::ArchiveSchedule;
pub use self::export::{ExportOptions, ExportReport};
pub use self::import::{ImportOptions, ImportReport};
pub use self::last::LastArchive;
pub(crate) use self::last::Outside;
pub use self::manifest::{ArchiveManifest, ArchivedCollection, ArchivedLoss, ArchivedPoint, ArchivedTrail};
pub use self::retain::ArchivePolicy;
