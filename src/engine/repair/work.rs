//! The order of a repair.

use std::fs;
use std::path::Path;

use super::elsewhere::Elsewhere;
use super::report::RepairReport;
use super::{rebuild, salvage};
use crate::engine::opening::open;
use crate::engine::redb_file::Shadow;
use crate::engine::store::Store;
use crate::engine::wal::{FolderOfStore, LogIs};

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
