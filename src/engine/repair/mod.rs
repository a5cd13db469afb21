//! Making a sound store from the rest of a damaged one. The damaged file is only read.
//!
//! * `salvage`: everything in the file's pages whose checksum matches, kept in `redb_file::scratch`, sorted by record
//! * `lost`: the keys of which something is lost; `elsewhere`: a replica that has it; `healing`: taking it from there
//! * `timeline`: which rows a record needs, from the versions of it that are left
//! * `rebuild`: the new store
//! * `long`: values that are kept in pieces
//! * `report`: the losses

mod elsewhere;
mod healing;
mod long;
mod lost;
mod rebuild;
mod report;
mod salvage;
mod timeline;

use std::fs;
use std::path::Path;

pub(crate) use self::elsewhere::Elsewhere;
#[cfg(feature = "replica")]
pub(crate) use self::elsewhere::TakesChanges;
pub use self::report::{CollectionLoss, LostRecord, PartialPoint, RepairOutcome, RepairReport};
pub use self::salvage::{DamagedPage, DamagedRow};
use crate::engine::opening::open;
use crate::engine::redb_file::Shadow;
use crate::engine::store::Store;
use crate::engine::wal::FolderOfStore;
pub(crate) use crate::engine::wal::LogIs;
use crate::engine::wal::beginning::recover;
use crate::error::{Error, ErrorKind, Result};

/// Fills a new, empty store with all sound data of the file at `from`, with what is lost there from elsewhere, and
/// reports the losses.
///
/// # Errors
///
/// `Locked` while the file is in use, `NotAStore` when nothing of a store is in it, `NewerFormat`, `Io`, `Full`; the
/// errors of the other place.
pub(crate) fn repair(from: &Path, into: &Store, log: LogIs, elsewhere: Option<&dyn Elsewhere>) -> Result<RepairReport> {
    open::refuse_in_use(from)?;
    let file = Shadow::open(from)?;
    let mut scratch = into.path().as_os_str().to_owned();
    scratch.push(".scratch");
    let own_name = fs::canonicalize(from).map_err(|error| Error::from(error).context(from.display()))?;
    let row = salvage::row_of_log(&file)?;
    let log = recover::rows_for_repair(row.as_deref(), &FolderOfStore::new(&own_name), log)?;
    let salvaged = salvage::salvage(&file, &log.overlay, Path::new(&scratch), elsewhere)?;
    if salvaged.found_nothing()? {
        let message = format!("nothing of a store is left in {}", from.display());
        return Err(Error::new(ErrorKind::NotAStore, message));
    }
    let mut report = rebuild::rebuild(salvaged, into, &log.behind)?;
    report.notes.extend(log.notes);
    Ok(report)
}
