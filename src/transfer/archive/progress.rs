//! The progress of an export or an import.

use super::manifest::ArchiveManifest;

/// The number of records between two reports.
const STEP: u64 = 256;

/// A callback with the number of finished records and the number of all records.
pub(super) type Progress<'p> = &'p (dyn Fn(u64, u64) + Sync);

/// Counts records, and reports the progress.
pub(super) struct Count<'p> {
    done: u64,
    of: u64,
    progress: Progress<'p>,
}

impl<'p> Count<'p> {
    pub(super) fn new(progress: Progress<'p>) -> Self {
        Self { done: 0, of: 0, progress }
    }

    pub(super) fn begin(&mut self, manifest: &ArchiveManifest) {
        (self.done, self.of) = (0, manifest.records());
    }

    /// Counts more records.
    pub(super) fn add(&mut self, records: u64) {
        let step = self.done / STEP;
        self.done += records;
        if self.done / STEP > step || self.done == self.of {
            (self.progress)(self.done, self.of);
        }
    }
}
