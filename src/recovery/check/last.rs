//! When the whole store was last verified, and what that found. It stands in the file `PATH.checked` beside the store,
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

/// A note is far shorter.
const LONGEST: u64 = 64 << 10;

/// A whole check that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCheck {
    /// When it ended.
    #[serde(with = "clock::time")]
    pub at: Timestamp,
    /// How many things it found.
    pub found: u64,
    /// How many records it read.
    pub records: u64,
    /// Whether the pages of the file were verified too.
    pub pages: bool,
    /// The open epoch of the store then.
    epoch: Epoch,
}

impl Store {
    /// Notes beside the store what a whole check of it has found.
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

    /// Notes a check where the folder can be written to: a note that is missing is only missed by the next look.
    #[cfg(feature = "transfer")]
    pub(crate) fn note_check_if_possible(&self, report: &CheckReport) {
        if let Err(error) = self.note_check(report) {
            tracing::warn!(%error, "it could not be noted that the store was checked");
        }
    }

    /// The last whole check that was noted; none when there was none, or its note is of another store.
    ///
    /// # Errors
    ///
    /// `Reopen`, `Io`.
    pub fn last_check(&self) -> Result<Option<LastCheck>> {
        let Ok(text) = files::read_note(&beside(self.path()), LONGEST) else { return Ok(None) };
        let open = self.view()?.epochs().open;
        // Epochs never go back, so a later one is of a store that stood here before.
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
    fn a_check_is_noted_for_the_store_that_it_was_of() {
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
