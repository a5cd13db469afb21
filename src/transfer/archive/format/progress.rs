//! The progress of an export or an import.

use super::manifest::ArchiveManifest;

/// The number of records between two reports.
const STEP: u64 = 256;

/// A callback with the number of finished records and the number of all records.
pub(in crate::transfer::archive) type Progress<'p> = &'p (dyn Fn(u64, u64) + Sync);

/// Counts records, and reports the progress.
pub(in crate::transfer::archive) struct Count<'p> {
    done: u64,
    of: u64,
    progress: Progress<'p>,
}

impl<'p> Count<'p> {
    pub(in crate::transfer::archive) fn new(progress: Progress<'p>) -> Self {
        Self { done: 0, of: 0, progress }
    }

    pub(in crate::transfer::archive) fn begin(&mut self, manifest: &ArchiveManifest) {
        (self.done, self.of) = (0, manifest.records());
    }

    /// Counts more records.
    pub(in crate::transfer::archive) fn add(&mut self, records: u64) {
        let step = self.done / STEP;
        self.done += records;
        if self.done / STEP > step || self.done == self.of {
            (self.progress)(self.done, self.of);
        }
    }
}
