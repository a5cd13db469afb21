//! Imports an archive into an existing store: a restore of the archive's content, in one transaction, with a safety
//! point, so that it can be undone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::export::Progress;
use super::import::{Count, ImportReport};
use super::import_options::ImportOptions;
use super::manifest::{ArchiveManifest, ArchivedPoint};
use super::read::{Take, read};
use crate::engine::digest::Stats;
use crate::engine::point::{Restored, Scope};
use crate::engine::records::{FIRST_PAGE, KeyRange, Records, Row, next_page};
use crate::engine::schema::CollectionId;
use crate::engine::store::Store;
use crate::engine::value::in_frame;
use crate::engine::view::View;
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::recovery::check::verify::untold;
use crate::recovery::diff::{ChangeKind, Counts};
use crate::recovery::events::event::EventKind;
use crate::recovery::points::names::names;
use crate::recovery::restore::finished::{Finished, KeptFinished, write_finished};
use crate::recovery::restore::safety::{Safety, outcome};
use crate::state::assignments;
use crate::state::queue::Task;
use crate::text::OneLine;

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

    /// [`Store::plan_import`], and tells `progress` how many of how many records are done.
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
            keep_finished: options.keep_finished,
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

    /// [`Store::import`], and tells `progress` how many of how many records are done, of the plan and then of the
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

    /// [`Store::apply_import`], and tells `progress` how many of how many records are done.
    ///
    /// # Errors
    ///
    /// As [`Store::apply_import`].
    pub fn apply_import_with(&self, plan: &ImportPlan, progress: impl Fn(u64, u64) + Sync) -> Result<ImportReport> {
        plan.options.refuse_partial(&plan.point)?;
        let import = |tx: &mut WriteTx<'_>| tx.import(plan, &progress);
        let done = self.alone(|tx| import(tx).map(|report| outcome(report, |report| report.undo.is_some())));
        let report = done.inspect_err(|error| self.tell_of_failed_import(plan, error))?;
        if report.undo.is_none() {
            self.tell([(EventKind::Imported, report.details())]);
        }
        Ok(report)
    }

    /// Appends the event of an import that failed after the archive was verified.
    fn tell_of_failed_import(&self, plan: &ImportPlan, error: &Error) {
        if !matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Full | ErrorKind::Io) {
            return;
        }
        let details = json!({"file": plan.file.to_string_lossy(), "error": error.to_string()});
        if let Err(error) = self.write(|tx| tx.events().append(EventKind::ImportFailed, details)) {
            tracing::warn!(%error, "the event of a failed import could not be written");
        }
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
            tasks_run_again,
            tasks_forgotten,
            keep_finished: plan.keep_finished,
        };
        self.events().append(EventKind::Imported, report.details())?;
        Ok(report)
    }
}

/// The state to compare with an archive. In a transaction, the archive's content replaces it.
trait Target {
    fn records(&self) -> &dyn Records;
    fn collection(&mut self, name: &str) -> Result<Option<CollectionId>>;
    fn put(&mut self, collection: CollectionId, key: &[u8], payload: &[u8]) -> Result<()>;
    fn remove(&mut self, collection: CollectionId, key: &[u8]) -> Result<()>;
    /// Compares the statistics of a collection with the expected ones.
    fn compare(&self, collection: CollectionId, expected: &Stats) -> Result<()>;
}

/// A plan only compares.
impl Target for View {
    fn records(&self) -> &dyn Records {
        self
    }

    fn collection(&mut self, name: &str) -> Result<Option<CollectionId>> {
        self.collection_id(name)
    }

    fn put(&mut self, _: CollectionId, _: &[u8], _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: CollectionId, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn compare(&self, _: CollectionId, _: &Stats) -> Result<()> {
        Ok(())
    }
}

impl Target for WriteTx<'_> {
    fn records(&self) -> &dyn Records {
        self
    }

    fn collection(&mut self, name: &str) -> Result<Option<CollectionId>> {
        match CollectionId::built_in(name) {
            Some(id) => Ok(Some(id)),
            None => self.user_collection(name).map(Some),
        }
    }

    fn put(&mut self, collection: CollectionId, key: &[u8], payload: &[u8]) -> Result<()> {
        WriteTx::put(self, collection, key, payload)
    }

    fn remove(&mut self, collection: CollectionId, key: &[u8]) -> Result<()> {
        WriteTx::remove(self, collection, key).map(drop)
    }

    fn compare(&self, collection: CollectionId, expected: &Stats) -> Result<()> {
        if self.stats(collection)? == *expected {
            return Ok(());
        }
        let name = names(self)?.of(collection);
        let message = "the imported state would differ from the archived one, so nothing was changed";
        Err(Error::damaged(format!("{message}; run hivekeep check: collection={name}")))
    }
}

/// Walks a store and an archive side by side, both in the order of keys.
struct Merging<'m, T> {
    target: &'m mut T,
    options: &'m ImportOptions,
    progress: Count<'m>,
    expected: BTreeMap<String, Stats>,
    complete: bool,
    scope: Scope,
    /// The keys of records that stay although the archive lacks them, by collection: the point is known to have lost
    /// them.
    spared: BTreeMap<String, BTreeSet<Vec<u8>>>,
    counts: BTreeMap<String, Counts>,
    name: String,
    /// The finished tasks that it meets, and those of them to keep.
    finished: Finished,
    kept: KeptFinished,
    /// For the current collection, when it is wanted: its number, if it has one, and its rows in the store.
    into: Option<(Option<CollectionId>, Ahead)>,
}

/// The records of a collection in the store, from the position of the archive.
struct Ahead {
    page: VecDeque<Row>,
    /// The range after the page, and the number of rows to fetch next.
    rest: Option<KeyRange>,
    limit: usize,
}

impl Ahead {
    /// From the first record.
    fn new() -> Self {
        Self { page: VecDeque::new(), rest: Some(KeyRange::all()), limit: FIRST_PAGE }
    }

    /// The next record.
    fn next(&mut self, records: &dyn Records, collection: CollectionId) -> Result<Option<&Row>> {
        if self.page.is_empty() {
            let fetch = |range: &KeyRange, limit| records.part(collection, range, limit);
            self.page = next_page(&mut self.rest, &mut self.limit, fetch)?.into();
        }
        Ok(self.page.front())
    }
}

impl<'m, T: Target> Merging<'m, T> {
    fn new(target: &'m mut T, options: &'m ImportOptions, progress: Progress<'m>) -> Self {
        Self {
            target,
            options,
            progress: Count::new(progress),
            expected: BTreeMap::new(),
            complete: false,
            scope: Scope::default(),
            spared: BTreeMap::new(),
            counts: BTreeMap::new(),
            name: String::new(),
            finished: Finished::new(options.keep_finished),
            kept: KeptFinished::default(),
            into: None,
        }
    }

    /// The counts of changed records, by the names of collections.
    fn named(&mut self) -> BTreeMap<String, Counts> {
        let mut counts = std::mem::take(&mut self.counts);
        counts.retain(|_, counts| counts.total() > 0);
        self.finished.correct(&mut counts);
        counts
    }

    /// Call this once everything was read. Returns the finished tasks to keep.
    fn leave_out(&mut self) -> KeptFinished {
        self.kept.left_out.extend(self.finished.left_out());
        std::mem::take(&mut self.kept)
    }

    /// Decides about a task that differs, by its value in the archive and its value here.
    fn see(&mut self, collection: CollectionId, key: &[u8], then: Option<&[u8]>, now: Option<&[u8]>) -> Result<()> {
        if collection == CollectionId::QUEUE {
            let fate = self.finished.see(self.target.records(), key, then, now)?;
            self.kept.note(fate, key, now);
        }
        Ok(())
    }

    fn count(&mut self, change: ChangeKind) {
        self.counts.entry(self.name.clone()).or_default().count(change);
    }

    /// Removes the store's records up to a key, or all remaining ones. Returns how the record with that key would
    /// change, if it would.
    fn catch_up(&mut self, key: Option<&[u8]>, payload: &[u8]) -> Result<Option<ChangeKind>> {
        let Some((collection, mut ahead)) = self.into.take() else { return Ok(None) };
        let mut change = Some(ChangeKind::Added);
        if let Some(id) = collection {
            while let Some((own, value)) = ahead.next(self.target.records(), id)? {
                match key.map(|key| own.as_slice().cmp(key)) {
                    Some(std::cmp::Ordering::Greater) => break,
                    Some(std::cmp::Ordering::Equal) => {
                        change = (value != payload).then_some(ChangeKind::Changed);
                        if let (Some((own, value)), true) = (ahead.page.pop_front(), change.is_some()) {
                            self.see(id, &own, Some(payload), Some(&value))?;
                        }
                        break;
                    }
                    Some(std::cmp::Ordering::Less) | None => {
                        if let Some((own, value)) = ahead.page.pop_front()
                            && !self.spare(id, &own, &value)?
                        {
                            self.see(id, &own, None, Some(&value))?;
                            self.target.remove(id, &own)?;
                            self.count(ChangeKind::Removed);
                        }
                    }
                }
            }
        }
        self.into = Some((collection, ahead));
        Ok(change)
    }

    /// Whether a record that the archive lacks stays, because the point is known to have lost it. A task keeps its
    /// assignment, which comes after it.
    fn spare(&mut self, id: CollectionId, key: &[u8], payload: &[u8]) -> Result<bool> {
        if !self.spared.get(&self.name).is_some_and(|keys| keys.contains(key)) {
            return Ok(false);
        }
        self.expected.entry(self.name.clone()).or_default().add(key, &in_frame(payload));
        if id == CollectionId::QUEUE
            && let Some(assignment) = assignments::key_of(&Task::from_record(key, payload)?)
            && let Some(name) = CollectionId::ASSIGNMENTS.built_in_name()
        {
            self.spared.entry(name.to_owned()).or_default().insert(assignment);
        }
        Ok(true)
    }

    fn begin_collection(&mut self, name: &str) -> Result<()> {
        name.clone_into(&mut self.name);
        self.into = match self.options.wants(name) {
            true => Some((self.target.collection(name)?, Ahead::new())),
            false => None,
        };
        Ok(())
    }

    /// Whether the archive defines the content of every collection.
    fn is_everything(&self) -> bool {
        self.complete && (self.options.only.is_empty() || self.options.only.iter().any(|only| only == "full"))
    }

    /// Empties collections that a complete archive does not contain.
    fn remove_others(&mut self) -> Result<()> {
        let known = names(self.target.records())?;
        for name in known.all().filter(|name| !name.starts_with('#')) {
            if self.expected.contains_key(name) {
                continue;
            }
            self.begin_collection(name)?;
            self.expected.insert(name.to_owned(), Stats::default());
            Take::collection_end(self)?;
        }
        Ok(())
    }
}

impl<T: Target> Take for Merging<'_, T> {
    fn begin(&mut self, manifest: &ArchiveManifest) -> Result<()> {
        self.options.refuse_missing(manifest)?;
        self.progress.begin(manifest);
        self.complete = manifest.complete;
        for collection in &manifest.collections {
            self.expected.insert(collection.name.clone(), collection.stats()?);
        }
        // A document with lost rows is put together from the remaining rows.
        for (name, loss) in manifest.point.lost.iter().filter(|(name, _)| *name != "documents") {
            self.spared.insert(name.clone(), loss.lost_keys()?.into_iter().collect());
        }
        Ok(())
    }

    fn collection(&mut self, name: &str) -> Result<()> {
        self.begin_collection(name)
    }

    fn record(&mut self, key: &[u8], payload: &[u8]) -> Result<()> {
        self.progress.add();
        let Some(change) = self.catch_up(Some(key), payload)? else { return Ok(()) };
        self.count(change);
        let Some((Some(id), _)) = self.into else { return Ok(()) };
        if change == ChangeKind::Added {
            self.see(id, key, Some(payload), None)?;
        }
        self.target.put(id, key, payload)
    }

    fn collection_end(&mut self) -> Result<()> {
        self.catch_up(None, &[])?;
        let Some((Some(id), _)) = self.into.take() else { return Ok(()) };
        self.scope.collections.push(id);
        let expected = self.expected.get(&self.name).copied().unwrap_or_default();
        self.target.compare(id, &expected)
    }

    fn audit(&mut self, _: &[u8], _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.is_everything() {
            self.remove_others()?;
            self.scope = Scope::default();
        }
        self.scope.collections.sort_unstable();
        Ok(())
    }
}
