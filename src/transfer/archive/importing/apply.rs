//! Imports an archive into an existing store: a restore of the archive's content, in one transaction, with a safety
//! point, so that it can be undone.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::import::ImportReport;
use super::import_options::ImportOptions;
use super::merging::Merging;
use super::read::read;
use crate::engine::point::Restored;
use crate::engine::schema::CollectionId;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::recovery::check::verify::untold;
use crate::recovery::diff::Counts;
use crate::recovery::events::event::EventKind;
use crate::recovery::restore::finished::{Finished, write_finished};
use crate::recovery::restore::safety::{Safety, outcome};
use crate::text::OneLine;
use crate::transfer::archive::format::manifest::ArchivedPoint;
use crate::transfer::archive::format::progress::Progress;

/// The plan of an import into an existing store. It changes nothing until it is given to [`Store::apply_import`].
#[derive(Clone, Debug, Serialize)]
pub struct ImportPlan {
    /// The archive, which has been verified.
    #[serde(serialize_with = "crate::files::as_text")]
    pub file: PathBuf,
    /// The archived point.
    pub point: ArchivedPoint,
    /// The numbers of records in each collection that would be added, changed, and removed.
    pub collections: BTreeMap<String, Counts>,
    /// Tasks that finished since the archived point and would run again, unless they are kept finished.
    pub tasks_run_again: u64,
    /// Tasks that are finished here but missing in the archive, and would be forgotten, unless they are kept finished.
    pub tasks_forgotten: u64,
    /// Whether these tasks stay finished, see [`ImportOptions::keep_finished`].
    pub keep_finished: bool,
    #[serde(skip)]
    options: ImportOptions,
}

impl ImportPlan {
    /// Whether the import is refused because the point is partial.
    fn is_refused(&self) -> bool {
        self.options.refuse_partial(&self.point).is_err()
    }

    /// The number of records that it would touch.
    pub fn total(&self) -> u64 {
        self.collections.values().map(Counts::total).sum()
    }
}

impl fmt::Display for ImportPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = crate::clock::show_time(self.point.timestamp);
        let (point, file) = (&self.point, self.file.display());
        writeln!(f, "{}", OneLine(format_args!("import would go back to {point} of {at}, from {file}")))?;
        for (name, counts) in &self.collections {
            writeln!(f, "  {name}: {counts}")?;
        }
        if self.collections.is_empty() {
            writeln!(f, "  nothing differs")?;
        }
        if self.point.partial {
            let way = if self.is_refused() { "; to import what is left of it, allow a partial import" } else { "" };
            writeln!(f, "  a repair lost part of that point before it was archived{way}")?;
        }
        write_finished(f, self.tasks_run_again, self.tasks_forgotten, self.keep_finished)
    }
}

impl Store {
    /// Verifies an archive and plans its import. This changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Store::verify_archive`]; `Invalid` when the archive lacks a collection that the options name.
    pub fn plan_import(&self, file: impl AsRef<Path>, options: &ImportOptions) -> Result<ImportPlan> {
        self.plan_import_with(file, options, untold)
    }

    /// [`Store::plan_import`], with a callback for the numbers of finished and of all records.
    ///
    /// # Errors
    ///
    /// As [`Store::plan_import`].
    pub fn plan_import_with(
        &self,
        file: impl AsRef<Path>,
        options: &ImportOptions,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<ImportPlan> {
        let file = file.as_ref();
        let mut view = self.view()?;
        let mut merging = Merging::new(&mut view, options, &progress);
        let manifest = read(file, options, &mut merging)?;
        merging.leave_out();
        let collections = merging.named();
        let Finished { run_again: tasks_run_again, forgotten: tasks_forgotten, .. } = merging.finished;
        Ok(ImportPlan {
            file: file.to_path_buf(),
            point: manifest.point,
            collections,
            tasks_run_again,
            tasks_forgotten,
            keep_finished: options.restore.keep_finished,
            options: options.clone(),
        })
    }

    /// Imports an archive into this store. Its collections replace those of the store. Other collections stay, unless
    /// the archive is complete and everything is imported. The archive is verified first. [`Store::undo`] undoes the
    /// import. The store keeps its own audit trail.
    ///
    /// # Errors
    ///
    /// As [`Store::plan_import`] and [`Store::apply_import`].
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{ExportOptions, ImportOptions, Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("hive.redb"))?;
    /// let archive = dir.path().join("hive.tar.zst");
    /// store.export(&archive, &ExportOptions::new())?;
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(5)))?;
    /// store.import(&archive, &ImportOptions::new())?;
    /// assert_eq!(store.view()?.config().get("limit")?, None);
    /// store.undo()?;
    /// assert_eq!(store.view()?.config().get("limit")?, Some(serde_json::json!(5)));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn import(&self, file: impl AsRef<Path>, options: &ImportOptions) -> Result<ImportReport> {
        self.import_with(file, options, untold)
    }

    /// [`Store::import`], with a callback for the numbers of finished and of all records, of the plan and then of the
    /// import.
    ///
    /// # Errors
    ///
    /// As [`Store::import`].
    pub fn import_with(
        &self,
        file: impl AsRef<Path>,
        options: &ImportOptions,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<ImportReport> {
        let plan = self.plan_import_with(file, options, &progress)?;
        self.apply_import_with(&plan, progress)
    }

    /// Applies a plan to the present state: one transaction, with a safety point in it. The archive is verified again
    /// while it is read. An import that changes nothing makes no safety point, so [`Store::undo`] still undoes the
    /// operation before it.
    ///
    /// # Errors
    ///
    /// As [`Store::verify_archive`]; `Damaged` when a record that it overwrites is damaged; `Conflict` for a partial
    /// point without [`ImportOptions::partial`]; as [`Store::write`]. On every error except `Uncertain`, nothing is
    /// changed.
    pub fn apply_import(&self, plan: &ImportPlan) -> Result<ImportReport> {
        self.apply_import_with(plan, untold)
    }

    /// [`Store::apply_import`], with a callback for the numbers of finished and of all records.
    ///
    /// # Errors
    ///
    /// As [`Store::apply_import`].
    pub fn apply_import_with(&self, plan: &ImportPlan, progress: impl Fn(u64, u64) + Sync) -> Result<ImportReport> {
        plan.options.refuse_partial(&plan.point)?;
        let import = |tx: &mut WriteTx<'_>| tx.import(plan, &progress);
        let store = self.doing("import", Some(plan.file.display().to_string()));
        let done = store.alone(|tx| import(tx).map(|report| outcome(report, |report| report.undo.is_some())));
        let report = done.inspect_err(|error| self.append_failed_import(plan, error))?;
        if report.undo.is_none() {
            store.append_events([(EventKind::Imported, report.details())]);
        }
        Ok(report)
    }

    /// Appends the event of an import that failed after the archive was verified.
    fn append_failed_import(&self, plan: &ImportPlan, error: &Error) {
        if !matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Full | ErrorKind::Io) {
            return;
        }
        let details = json!({"file": plan.file.to_string_lossy(), "error": error.to_string()});
        self.append_events([(EventKind::ImportFailed, details)]);
    }
}

impl ImportReport {
    /// The details of its event.
    fn details(&self) -> Value {
        json!({
            "file": self.file.to_string_lossy(), "point": self.point.to_string(), "undo": self.undo,
            "collections": self.collections, "created": self.created,
        })
    }
}

impl WriteTx<'_> {
    fn import(&mut self, plan: &ImportPlan, progress: Progress<'_>) -> Result<ImportReport> {
        let name = plan.file.file_name().unwrap_or_default().to_string_lossy();
        let safety = Safety::seal(self, format!("before the import of {name}"))?;
        let mut merging = Merging::new(self, &plan.options, progress);
        let manifest = read(&plan.file, &plan.options, &mut merging)?;
        let scope = merging.scope.clone();
        let kept = merging.leave_out();
        let collections = merging.named();
        let Finished { run_again: tasks_run_again, forgotten: tasks_forgotten, .. } = merging.finished;
        kept.put(self)?;
        self.mend_imported(&manifest.point, &plan.options)?;
        self.raise_numbers(0)?;
        self.end_bulk_for_restore(&scope)?;
        self.schedules().settle()?;
        let claims_returned =
            if scope.has_all_of(CollectionId::QUEUE) { self.queue().void_claims()? as u64 } else { 0 };
        let (from, written_in) = (safety.epoch, self.epochs().open);
        let undo = safety.finish(self, Restored { from, name: name.into_owned(), written_in, scope, undo: false })?;
        self.turn_epoch()?;
        let report = ImportReport {
            file: plan.file.clone(),
            point: manifest.point,
            created: false,
            collections,
            undo,
            claims_returned,
            audit_entries: 0,
            keys: Vec::new(),
            tasks_run_again,
            tasks_forgotten,
            keep_finished: plan.keep_finished,
        };
        self.events().append(EventKind::Imported, report.details())?;
        Ok(report)
    }
}
