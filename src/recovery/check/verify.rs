//! The check of the whole store: everything that the engine can verify, and the rules between records.

use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use crate::engine::check::{self, CheckReport, Finding, Position};
use crate::engine::codec::{self, Stored};
use crate::engine::meta;
use crate::engine::records::{KeyRange, Records, scan_rows};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Rights};
use crate::recovery::backups::Backup;
use crate::recovery::events::event::Event;
use crate::recovery::points::selector::Selector;
use crate::recovery::repair::plan::numbers_in_use;
use crate::recovery::sessions::session::Session;
use crate::state::assignments::check_assignments;
use crate::state::documents::check_documents;
use crate::state::queue::check_queue;

/// A place consists of the name of a table and a key, in hexadecimal digits.
const LONGEST_PLACE: u64 = 1 << 20;

impl Store {
    /// Verifies every record, pre-image, point, digest and index row, the hash chain of the audit trail, the agreement
    /// of queue and assignments, and the rows of each document. It changes no record.
    ///
    /// If a check finds damage, it appends one event `corruption_detected`; if it cannot run, one event `check_failed`.
    /// It writes nothing to a store opened with [`Options::read_only`](crate::Options::read_only), as the command line
    /// does for checks. There, only the report and [`Store::note_check`] contain the result.
    ///
    /// [`Store::check_pages`] verifies the pages of the file.
    ///
    /// # Errors
    ///
    /// `Io` and `Reopen`. Damage is not an error here: the report contains it.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// assert!(store.check()?.is_sound());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn check(&self) -> Result<CheckReport> {
        self.check_with(untold)
    }

    /// The same as [`Store::check`], with a callback for the numbers of finished and of all rows.
    ///
    /// # Errors
    ///
    /// As [`Store::check`].
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let report = store.check_with(|done, of| eprintln!("{done} of {of}"))?;
    /// assert!(report.is_sound());
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn check_with(&self, progress: impl Fn(u64, u64) + Sync) -> Result<CheckReport> {
        self.reported(self.verify_all(told(progress)))
    }

    fn reported(&self, checked: Result<CheckReport>) -> Result<CheckReport> {
        self.append_check(&checked);
        checked
    }

    /// Refuses a store that was just made if it is not sound; `message` says what that means.
    ///
    /// # Errors
    ///
    /// `Damaged` then, with the first finding; as [`Store::check`].
    pub(crate) fn refuse_unsound(&self, message: &str) -> Result<()> {
        let report = self.check()?;
        let Some(Finding { table, key, what }) = report.findings.first() else { return Ok(()) };
        Err(Error::damaged(format!("{message}: table={table} key={key}: {what}")))
    }

    /// Verifies everything, without events. An error of `progress` ends it.
    pub(crate) fn verify_all(&self, progress: impl Fn(u64, u64) -> Result<()> + Sync) -> Result<CheckReport> {
        let view = self.view_of_all()?;
        let mut report = check::check(&view, &progress)?;
        check_between_records(&view, &mut report)?;
        report.pages = self.has_verified_pages()?;
        Ok(report)
    }

    /// Verifies that one point can be read completely and matches its manifest.
    ///
    /// If a repair lost some of the point's documents, it skips whether their rows fit together: they are known not to,
    /// and a restore reassembles them from the remaining rows.
    ///
    /// # Errors
    ///
    /// As [`Store::at`], `Io` and `Reopen`. Damage is not an error here: the report contains it.
    pub fn check_at(&self, selector: impl Into<Selector>) -> Result<CheckReport> {
        self.check_at_with(selector, untold)
    }

    /// The same as [`Store::check_at`], with a callback for the numbers of finished and of all rows.
    ///
    /// # Errors
    ///
    /// As [`Store::check_at`].
    pub fn check_at_with(
        &self,
        selector: impl Into<Selector>,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<CheckReport> {
        match selector.into() {
            Selector::Now => self.check_with(progress),
            selector => {
                let view = self.at(selector)?;
                let mut report = check::check_at(&view, &told(progress))?;
                if !is_partial(&view)? {
                    check_the_documents(&view, &mut report)?;
                }
                self.reported(Ok(report))
            }
        }
    }

    /// Verifies a part of the rows of all tables, starting where the last such check ended. For example, a tenth each
    /// day covers everything in ten days. `part` is from 0 to 1. It skips all rules that need every row, such as
    /// digests; [`Store::check`] verifies these.
    ///
    /// The file `PATH.check` beside the store contains the place where it ended. Without it, the next check starts at
    /// the beginning.
    ///
    /// # Errors
    ///
    /// `Invalid` for a part out of range, `Io` and `Reopen`. Damage is not an error here: the report contains it.
    pub fn check_sample(&self, part: f64) -> Result<CheckReport> {
        self.check_sample_with(part, untold)
    }

    /// The same as [`Store::check_sample`], with a callback for the numbers of finished and of all rows.
    ///
    /// # Errors
    ///
    /// As [`Store::check_sample`].
    pub fn check_sample_with(&self, part: f64, progress: impl Fn(u64, u64) + Sync) -> Result<CheckReport> {
        if !(part > 0.0 && part <= 1.0) {
            return Err(Error::invalid(format!("the part to check must be greater than 0 and at most 1: part={part}")));
        }
        let place = beside(self.path());
        let after = match files::read_note(&place, LONGEST_PLACE) {
            Err(error) if files::is_other(&error).is_some() => return Err(files::failed(&place, error)),
            text => text.ok().and_then(|text| Position::from_text(&text)),
        };
        let (report, ended) = check::check_sample(&self.view()?, part, after, &progress)?;
        let text = ended.map(|ended| ended.to_text()).unwrap_or_default();
        match files::write_whole(&place, text.as_bytes(), Rights::beside(self.path())) {
            Err(error) if matches!(error.kind(), IoKind::ReadOnlyFilesystem | IoKind::PermissionDenied) => {
                tracing::warn!(%error, path = %place.display(), "the place of this sample cannot be stored, so the next one starts at the same place");
            }
            written => written.map_err(|error| files::failed(&place, error))?,
        }
        self.reported(Ok(report))
    }

    /// Verifies the checksum of every page of the file. The writers of all processes wait for it: 1 to 2 s per GB.
    /// Returns a description of the damage, or none.
    ///
    /// No record changes, but redb notes in the file that it was verified. If a store was opened with
    /// [`Options::untouched`](crate::Options::untouched) and no other process had it open, its pages were verified
    /// then, as [`CheckReport::pages`] of a check says.
    ///
    /// # Errors
    ///
    /// `Locked` when the store is open exclusively, `Io`.
    pub fn check_pages(&self) -> Result<Option<Finding>> {
        match self.verify_pages() {
            Ok(()) => Ok(None),
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(Some(Finding::new("pages", b"", error.to_string()))),
            Err(error) => Err(error),
        }
    }
}

/// Progress that ends nothing.
fn told(progress: impl Fn(u64, u64) + Sync) -> impl Fn(u64, u64) -> Result<()> + Sync {
    move |done, of| {
        progress(done, of);
        Ok(())
    }
}

/// Ignores progress.
pub(crate) fn untold(_done: u64, _of: u64) {}

/// The file with the place of the last sample.
fn beside(store: &Path) -> PathBuf {
    files::beside(store, ".check")
}

fn check_between_records(view: &View, report: &mut CheckReport) -> Result<()> {
    each(report, "live", |find| check_queue(view, find))?;
    each(report, "live", |find| check_assignments(view, find))?;
    check_the_documents(view, report)?;
    each(report, "audit", |find| {
        view.audit().verify()?.findings.iter().for_each(|finding| find(finding.to_string()));
        Ok(())
    })?;
    each(report, "meta", |find| {
        for (counter, highest) in numbers_in_use(view)? {
            meta::counter_behind(view, counter, highest)?.map(&mut *find);
        }
        Ok(())
    })?;
    read_all::<Backup>(view, Table::Backups, report, |backup| {
        let known = view.row(Table::Points, &backup.epoch.to_key())?.is_some();
        Ok((!known).then(|| "the point of a backup is missing: its content is lost".to_owned()))
    })?;
    read_all::<Session>(view, Table::Sessions, report, |_| Ok(None))?;
    read_all::<Event>(view, Table::Events, report, |_| Ok(None))?;
    for point in view.epochs_of(Table::Points)? {
        for id in view.manifest(point).ok().flatten().into_iter().flat_map(|manifest| manifest.backups) {
            if matches!(view.stored().get(Table::Backups, id.as_bytes()), Ok(None)) {
                let what = format!("a point lists a backup that is missing: epoch={point}");
                report.find(Finding::new(Table::Backups.name(), id.as_bytes(), what));
            }
        }
    }
    Ok(())
}

fn check_the_documents(view: &View, report: &mut CheckReport) -> Result<()> {
    let find = &mut |key: &[u8], what| report.find(live_record(CollectionId::DOCUMENTS, key, what));
    match check_documents(view, find) {
        Err(error) if error.kind() == ErrorKind::Damaged => {
            report.find(live_record(CollectionId::DOCUMENTS, b"", error.to_string()));
            Ok(())
        }
        done => done,
    }
}

fn live_record(collection: CollectionId, key: &[u8], what: String) -> Finding {
    Finding::new(Table::Live.name(), &collection.row_key(key), what)
}

/// Whether the point of a view lost documents in a repair.
fn is_partial(view: &View) -> Result<bool> {
    let Some(epoch) = view.epoch() else { return Ok(false) };
    Ok(match view.manifest(epoch)? {
        Some(manifest) => manifest.has_lost_of(CollectionId::DOCUMENTS),
        None => view.point(epoch)?.partial,
    })
}

/// Decodes every row of a table. The engine's check has already found the rows with damaged bytes.
fn read_all<T: Stored>(
    view: &View,
    table: Table,
    report: &mut CheckReport,
    wrong: impl Fn(T) -> Result<Option<String>>,
) -> Result<()> {
    for row in scan_rows(view, table, KeyRange::all()) {
        let read = row.map(|(key, payload)| (key, codec::decode(&payload).and_then(&wrong)));
        match read {
            Ok((_, Ok(None))) => {}
            Ok((key, Ok(Some(what)))) => report.find(Finding::new(table.name(), &key, what)),
            Ok((key, Err(error))) if error.kind() == ErrorKind::Damaged => {
                report.find(Finding::new(table.name(), &key, error.to_string()));
            }
            Err(error) if error.kind() == ErrorKind::Damaged => return Ok(()),
            Err(error) | Ok((_, Err(error))) => return Err(error),
        }
    }
    Ok(())
}

/// Runs one of the checks between records. The engine's check has already found damage that stops it.
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
