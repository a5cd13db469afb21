//! The whole check: what the engine can verify, and what must hold between records.

use crate::engine::check::{self, CheckReport, Finding};
use crate::engine::open;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::{ErrorKind, Result};
use crate::state::assignments::check_assignments;
use crate::state::queue::check_queue;

impl Store {
    /// Verifies every record, pre-image, point, digest and index row, the audit trail's chain, and that queue and
    /// assignments agree. Changes nothing. `progress` is told how many of how many rows are done.
    ///
    /// The pages of the file are verified by [`Store::check_pages`].
    ///
    /// # Errors
    ///
    /// `Io` and `Reopen`. Damage is no error here: it is in the report.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let report = store.check(&|done, of| eprintln!("{done} of {of}"))?;
    /// assert!(report.is_sound());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn check(&self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<CheckReport> {
        let view = self.view()?;
        let mut report = check::check(&view, progress)?;
        check_between_records(&view, &mut report)?;
        Ok(report)
    }

    /// Verifies the checksum of every page of the file, with the writers of every process waiting meanwhile: 1 to 2 s
    /// per GB. Says what is wrong, or nothing.
    ///
    /// A store opened with [`Options::untouched`](crate::Options::untouched) that nobody else had open was verified then.
    ///
    /// # Errors
    ///
    /// `Locked` when the store is open exclusively, `Io`.
    pub fn check_pages(&self) -> Result<Option<Finding>> {
        match open::check_pages(self.path()) {
            Ok(()) => Ok(None),
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(Some(Finding::new("pages", b"", error.to_string()))),
            Err(error) => Err(error),
        }
    }
}

fn check_between_records(view: &View, report: &mut CheckReport) -> Result<()> {
    each(report, "live", |find| check_queue(view, find))?;
    each(report, "live", |find| check_assignments(view, find))?;
    each(report, "audit", |find| {
        view.audit().verify()?.findings.iter().for_each(|finding| find(finding.to_string()));
        Ok(())
    })
}

/// Runs one of the checks between records; damage that stops it was found by the engine's check already.
fn each(report: &mut CheckReport, table: &str, check: impl FnOnce(&mut dyn FnMut(String)) -> Result<()>) -> Result<()> {
    let done = check(&mut |what| report.find(Finding::new(table, b"", what)));
    match done {
        Err(error) if error.kind() == ErrorKind::Damaged => {
            report.find(Finding::new(table, b"", error.to_string()));
            Ok(())
        }
        done => done,
    }
}
