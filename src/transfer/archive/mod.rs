//! Archives: a point as one file that outlives the store, that ordinary tools open, and that can become a store again.
//!
//! * [`exporting`]: an archive from a point; [`importing`]: a store from an archive
//! * [`format`]: the form of the file, which both share
//! * [`routine`]: archives from time to time

pub use self::exporting::export::{ExportOptions, ExportReport};
pub use self::format::manifest::{ArchiveManifest, ArchivedCollection, ArchivedLoss, ArchivedPoint, ArchivedTrail};
pub use self::importing::apply::ImportPlan;
pub use self::importing::import::ImportReport;
pub use self::importing::import_options::ImportOptions;
pub use self::routine::automatic::ArchiveSchedule;
pub use self::routine::last::LastArchive;
pub(crate) use self::routine::last::Outside;
pub use self::routine::retention::ArchivePolicy;
mod exporting;
mod format;
mod importing;
mod routine;
