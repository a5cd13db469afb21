//! Archives: a point as one file that outlives the store, that ordinary tools open, and that can become a store again.
//!
//! * [`export`] writes one: [`source`] reads the point, [`readable`] and [`record`] are the two forms, [`line`] is both
//!   in one, [`write`] makes the entries, [`contents`] puts them together
//! * [`import`] makes a new store from one, [`apply`] imports one into a store with [`merging`], both with
//!   [`import_options`]: [`read`] reads it strictly, [`expect`] knows the next entry, [`valid`] checks each record
//! * [`automatic`] makes them from time to time: [`last`] is the store's record of them, [`folder`] their place, and
//!   [`retention`] decides which are kept
//! * [`manifest`] and [`layout`] are shared by writer and reader; [`progress`] counts for both
//! * [`pack`], [`seal`], [`hashed`] and [`draft`] are the file: compressed, encrypted, hashed, named at the end;
//!   [`unreadable`] tells damage from a failure of the system

mod apply;
#[cfg(test)]
mod apply_test;
mod automatic;
mod contents;
mod draft;
mod expect;
mod export;
mod folder;
mod hashed;
mod import;
mod import_options;
mod last;
mod layout;
mod line;
mod manifest;
mod merging;
mod pack;
mod progress;
mod read;
mod readable;
mod record;
mod retention;
mod seal;
mod source;
mod unreadable;
mod valid;
mod write;

pub use self::apply::ImportPlan;
pub use self::automatic::ArchiveSchedule;
pub use self::export::{ExportOptions, ExportReport};
pub use self::import::ImportReport;
pub use self::import_options::ImportOptions;
pub use self::last::LastArchive;
pub(crate) use self::last::Outside;
pub use self::manifest::{ArchiveManifest, ArchivedCollection, ArchivedLoss, ArchivedPoint, ArchivedTrail};
pub use self::retention::ArchivePolicy;
