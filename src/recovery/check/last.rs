//! The last check of the whole store: its time and result. They are stored in the file `PATH.checked` beside the store,
//! because a check changes nothing in the store itself.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::engine::check::CheckReport;
use crate::engine::epoch::Epoch;
use crate::engine::store::Store;
use crate::error::Result;
use crate::files::{self, Rights};

/// The most bytes of the file. The real content is far shorter.
const LONGEST: u64 = 64 << 10;

/// The result of a check of the whole store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCheck {
    /// When it ended.
    #[serde(with = "clock::time")]
    pub at: Timestamp,
    /// The number of findings.
    pub found: u64,
    /// The number of records that it read.
    pub records: u64,
    /// Whether the pages of the file were verified too.
    pub pages: bool,
    /// The open epoch of the store at that time.
    epoch: Epoch,
}

impl Store {
    /// Stores the result of a whole check beside the store.
    ///
    /// # Errors
    ///
    /// `Io`, `Reopen`.
    pub fn note_check(&self, report: &CheckReport) -> Result<()> {
        let last = LastCheck {
            at: self.clock().now(),
            found: report.found,
            records: report.records,
            pages: report.pages,
            epoch: self.view()?.epochs().open,
        };
        let path = beside(self.path());
        let line = serde_json::to_string(&last).map_err(std::io::Error::from)?;
        let written = files::write_whole(&path, (line + "\n").as_bytes(), Rights::beside(self.path()));
        written.map_err(|error| files::failed(&path, error))
    }

    /// Stores the result if the folder is writable. A missing result only means that the next reader does not find it.
    pub(crate) fn note_check_if_possible(&self, report: &CheckReport) {
        if let Err(error) = self.note_check(report) {
            tracing::warn!(%error, "the result of the check could not be stored beside the store");
        }
    }

    /// The last stored result; none if there is none, or if it belongs to another store.
    ///
    /// # Errors
    ///
    /// `Reopen`, `Io`.
    pub fn last_check(&self) -> Result<Option<LastCheck>> {
        let Ok(text) = files::read_note(&beside(self.path()), LONGEST) else { return Ok(None) };
        let open = self.view()?.epochs().open;
        // Epochs never decrease, so a later one belongs to a store that was here before.
        Ok(serde_json::from_str(&text).ok().filter(|last: &LastCheck| last.epoch <= open))
    }
}

fn beside(store: &Path) -> PathBuf {
    files::beside(store, ".checked")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_result_of_a_check_belongs_to_one_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.redb");
        let store = Store::open(&path).unwrap();
        assert_eq!(store.last_check().unwrap(), None);
        store.restore_point("one").unwrap();
        let report = store.check().unwrap();
        store.note_check(&report).unwrap();
        let last = store.last_check().unwrap().unwrap();
        assert_eq!((last.found, last.pages), (0, false));
        store.close().unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(Store::open(&path).unwrap().last_check().unwrap(), None);
    }
}
