//! Going back: plan, then apply. A restore moves forward: it seals a safety point, then writes what the records were,
//! all in one transaction, so that it can be undone. Its cost follows what changed since the point.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::json;

use crate::engine::commit::Outcome;
use crate::engine::epoch::Epoch;
use crate::engine::point::{Manifest, NewPoint, Origin, PointId, Restored, Scope};
use crate::engine::records::Records;
use crate::engine::schema::{CollectionId, Place, Table};
use crate::engine::store::Store;
use crate::engine::view::{View, undo_range};
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::recovery::diff::{Counts, kind};
use crate::recovery::events::EventKind;
use crate::recovery::finished::{Finished, write_finished};
use crate::recovery::points::{Point, gone, names};
use crate::recovery::revert::{Revert, compare_digests, mend_partial};
use crate::recovery::scope::target;
use crate::recovery::selector::Selector;
use crate::recovery::touched::Touched;
use crate::state::unit;
use crate::text::{OneLine, printable};

/// Rows read at a time.
const PAGE: usize = 256;

/// What part of the state is restored, and how. The default is everything.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    pub(crate) only: Vec<String>,
    pub(crate) key: Option<String>,
    pub(crate) keep_finished: bool,
    pub(crate) verify: bool,
    pub(crate) partial: bool,
}

impl RestoreOptions {
    /// Everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only these collections. Queue and assignments go together.
    #[must_use]
    pub fn only<S: Into<String>>(mut self, collections: impl IntoIterator<Item = S>) -> Self {
        self.only = collections.into_iter().map(Into::into).collect();
        self
    }

    /// Only this record of the one collection named by [`RestoreOptions::only`]. A task brings its assignment along.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Leaves tasks finished that have been finished since the point; otherwise they would run again.
    #[must_use]
    pub fn keep_finished(mut self, keep: bool) -> Self {
        self.keep_finished = keep;
        self
    }

    /// Verifies every record and every point first, not only what the restore touches.
    #[must_use]
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Restores a point of which a repair has lost something all the same: what it lost is then missing, or older.
    ///
    /// A document of which rows are lost is put together from those that are left; the restore's event says which were.
    #[must_use]
    pub fn partial(mut self, partial: bool) -> Self {
        self.partial = partial;
        self
    }
}

/// What a restore would do. It changes nothing until it is given to [`Store::apply`].
#[derive(Clone, Debug, Serialize)]
pub struct RestorePlan {
    /// The point whose state comes back.
    pub point: Point,
    /// How many records of each collection come back, change, and go. Tasks that stay finished are not among them.
    pub collections: BTreeMap<String, Counts>,
    /// Tasks that have finished since the point and would run again, unless they are kept finished.
    pub tasks_run_again: u64,
    /// Tasks that came and finished after the point and would be forgotten, unless they are kept finished: with their
    /// idempotency keys, so that the same work, pushed once more, would run again.
    pub tasks_forgotten: u64,
    /// Whether these stay as they are, as [`RestoreOptions::keep_finished`] says.
    pub keep_finished: bool,
    #[serde(skip)]
    options: RestoreOptions,
    #[serde(skip)]
    pub(crate) scope: Scope,
    #[serde(skip)]
    pub(crate) direction: Direction,
}

/// Whether a plan goes back to a point, or undoes that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Restore,
    /// Refused when records have changed since the restore, unless they may be lost.
    Undo {
        discard: bool,
    },
}

/// What a restore did.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreReport {
    /// The point whose state came back, by id, or by time for the point of a commit.
    pub point: String,
    /// How many records of each collection came back, changed, and went.
    pub collections: BTreeMap<String, Counts>,
    /// The safety point, which undoes the restore.
    pub undo: PointId,
    /// What was verified: what changed, or everything.
    pub verified: Verified,
    /// Claims that were returned to ready; their tokens are void.
    pub claims_returned: u64,
    /// Tasks that had finished since the point and run again, unless they were kept finished. An undo counts none.
    pub tasks_run_again: u64,
    /// Tasks that had come and finished after the point and are forgotten, unless they were kept finished.
    pub tasks_forgotten: u64,
    /// Whether these have stayed as they were.
    pub keep_finished: bool,
}

/// How much a restore verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// Every record that it read or wrote, and the digests.
    Changed,
    /// Every record of the store too.
    All,
}

impl RestorePlan {
    /// How many records the restore would touch.
    pub fn total(&self) -> u64 {
        self.collections.values().map(Counts::total).sum()
    }

    /// Of an undo: it may overwrite what was written after the restore. That is then in the undo's own safety point.
    #[must_use]
    pub fn discard(mut self) -> Self {
        if let Direction::Undo { discard } = &mut self.direction {
            *discard = true;
        }
        self
    }

    fn is_undo(&self) -> bool {
        self.direction != Direction::Restore
    }

    /// Refuses to restore what a repair could not bring back whole, unless that was asked for.
    fn refuse_partial(&self) -> Result<()> {
        if !self.point.partial || self.options.partial || self.is_undo() {
            return Ok(());
        }
        let point = &self.point;
        let message =
            "a repair could not bring all of that point back; see hivekeep point show; to restore what is left of it";
        Err(Error::conflict(format!("{message}: hivekeep restore {point} --partial")))
    }
}

impl RestoreReport {
    /// How many records the restore touched.
    pub fn total(&self) -> u64 {
        self.collections.values().map(Counts::total).sum()
    }
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_undo() { "undo would go back to" } else { "restore would go back to" };
        let at = crate::clock::show_time(self.point.timestamp);
        match self.point.given_id() {
            Some(id) => write!(f, "{what} {} of {at}", OneLine(id))?,
            None => write!(f, "{what} the commit of {at}")?,
        }
        if !self.point.description.is_empty() {
            write!(f, " ({})", printable(&self.point.description))?;
        }
        writeln!(f)?;
        for (name, counts) in &self.collections {
            writeln!(f, "  {name}: {counts}")?;
        }
        if self.collections.is_empty() {
            writeln!(f, "  nothing differs")?;
        }
        if self.point.partial {
            writeln!(f, "  a repair could not bring all of that point back; see hivekeep point show")?;
        }
        write_finished(f, self.tasks_run_again, self.tasks_forgotten, self.keep_finished)
    }
}

impl Store {
    /// Works out what restoring a point would do, and changes nothing.
    ///
    /// Of a backup, or a point, of documents only those documents come back; live collections stay as they are.
    ///
    /// # Errors
    ///
    /// As [`Store::at`]; `Invalid` when a collection is unknown, or a key is given without its one collection;
    /// `NotFound` when there is no record of that key, or no document of that kind, at the point or now.
    pub fn plan_restore(&self, selector: impl Into<Selector>, options: RestoreOptions) -> Result<RestorePlan> {
        let selector = selector.into();
        let view = self.view()?;
        let target = target(&view, &selector)?;
        let scope = match (&target.documents, &options.key) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("a backup of documents has no keys; restore the document whole"));
            }
            (Some(documents), None) => Scope::of_documents(documents, &options.only)?,
            (None, key) => {
                let only = if options.only.is_empty() { &target.only } else { &options.only };
                match key {
                    Some(key) => self.scope_of_key(&view, &target.point, only, key)?,
                    None => Scope::of_collections(only, &names(&view)?)?,
                }
            }
        };
        self.plan(&view, target.point, scope, options, Direction::Restore)
    }

    fn scope_of_key(&self, view: &View, point: &Point, only: &[String], key: &str) -> Result<Scope> {
        let [name] = only else {
            return Err(Error::invalid("a key needs the one collection that it is of: --only COLLECTION --key KEY"));
        };
        let collection = names(view)?.of_record(name)?;
        let past = self.view_at(point.epoch)?;
        let rows = unit::rows_of(&past, view, collection, key)?;
        rows.map(Scope::of_rows).ok_or_else(|| {
            let key = key.escape_debug();
            Error::not_found(format!("no such record, at the point or now: collection={name} key={key}"))
        })
    }

    pub(crate) fn plan(
        &self,
        view: &View,
        point: Point,
        scope: Scope,
        options: RestoreOptions,
        direction: Direction,
    ) -> Result<RestorePlan> {
        let (mut touched, mut finished) = (Touched::default(), Finished::new(options.keep_finished));
        view.each_difference(point.epoch, Epoch::NOW, &scope, |row, then, now| {
            let Place { collection, key, .. } = Place::of_record(row);
            touched.count(collection, kind(now.is_some(), then.is_some()));
            if collection == CollectionId::QUEUE && direction == Direction::Restore {
                finished.see(key, then.as_deref(), now.as_deref())?;
            }
            Ok(())
        })?;
        finished.left_out();
        let mut collections = touched.named(&names(view)?);
        finished.correct(&mut collections);
        let Finished { run_again: tasks_run_again, forgotten: tasks_forgotten, .. } = finished;
        let keep_finished = options.keep_finished;
        Ok(RestorePlan {
            point,
            collections,
            tasks_run_again,
            tasks_forgotten,
            keep_finished,
            options,
            scope,
            direction,
        })
    }

    /// Restores a point: everything, or what the options name. It can be undone with [`Store::undo`].
    ///
    /// # Errors
    ///
    /// As [`Store::plan_restore`] and [`Store::apply`].
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::RestoreOptions;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let point = store.restore_point("before")?;
    /// store.write(|tx| tx.config().put("limit", &serde_json::json!(5)))?;
    /// store.restore(&point, RestoreOptions::new())?;
    /// assert_eq!(store.view()?.config().get("limit")?, None);
    /// store.undo()?;
    /// assert_eq!(store.view()?.config().get("limit")?, Some(serde_json::json!(5)));
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn restore(&self, selector: impl Into<Selector>, options: RestoreOptions) -> Result<RestoreReport> {
        self.apply(&self.plan_restore(selector, options)?)
    }

    /// Does what a plan says, with the state as it is by now: one transaction, with a safety point in it.
    ///
    /// # Errors
    ///
    /// `Gone` when the point was forgotten meanwhile; `Damaged` when a record that it reads is damaged, or the digests
    /// after it are not the point's; `Conflict` as [`Store::undo`], and for a partial point without
    /// [`RestoreOptions::partial`]. Whatever the error but `Uncertain`, nothing is
    /// changed.
    pub fn apply(&self, plan: &RestorePlan) -> Result<RestoreReport> {
        plan.refuse_partial()?;
        let verified = self.verified(plan);
        let done = verified.and_then(|verified| self.alone(|tx| tx.restore(plan, verified).map(Outcome::Commit)));
        done.inspect_err(|error| self.tell_of_failure(plan, error))
    }

    /// Verifies everything first when the plan asks for it.
    fn verified(&self, plan: &RestorePlan) -> Result<Verified> {
        if !plan.options.verify {
            return Ok(Verified::Changed);
        }
        match self.check()?.findings.first() {
            None => Ok(Verified::All),
            Some(finding) => Err(Error::damaged(format!(
                "damage was found, so nothing was restored; run hivekeep check: {}",
                finding.what
            ))),
        }
    }

    /// An event for a restore that could not be done. What was refused because of how it was asked for is none.
    pub(crate) fn tell_of_failure(&self, plan: &RestorePlan, error: &Error) {
        if !matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Gone | ErrorKind::Full | ErrorKind::Io) {
            return;
        }
        let details = json!({"point": plan.point.id, "is_undo": plan.is_undo(), "error": error.to_string()});
        if let Err(error) = self.write(|tx| tx.events().append(EventKind::RestoreFailed, details)) {
            tracing::warn!(%error, "the event of a failed restore could not be written");
        }
    }
}

impl WriteTx<'_> {
    pub(crate) fn restore(&mut self, plan: &RestorePlan, verified: Verified) -> Result<RestoreReport> {
        let names = names(self)?;
        let manifest = self.manifest_to_restore(&plan.point)?;
        if let Direction::Undo { discard } = plan.direction {
            self.refuse_undo(plan, discard)?;
        }
        let mut scope = plan.scope.clone();
        // A task may have come to another bot since the plan was made.
        unit::with_assignments(self, &mut scope.rows)?;
        let (safety, safe) = self.seal_safety(plan, &scope)?;
        let mut revert = Revert::new(plan.point.epoch, &scope, plan.options.keep_finished);
        revert.run(self, safety)?;
        if let Some(manifest) = &manifest
            && scope.is_whole()
        {
            compare_digests(self, &scope, manifest)?;
        }
        let mended = mend_partial(self, &scope, manifest.as_ref(), &plan.point)?;
        let claims_returned = if plan.is_undo() { 0 } else { revert.settle(self)? };
        let Finished { run_again: tasks_run_again, forgotten: tasks_forgotten, .. } = revert.finished;
        let collections = revert.touched(&names);
        let (undo, point) = (safe.id.clone(), plan.point.to_string());
        self.widen_undo(safety, safe)?;
        self.turn_epoch()?;
        let keep_finished = plan.keep_finished;
        let report = RestoreReport {
            point,
            collections,
            undo,
            verified,
            claims_returned,
            tasks_run_again,
            tasks_forgotten,
            keep_finished,
        };
        let mut details = json!({
            "point": report.point, "undo": report.undo, "collections": report.collections, "is_undo": plan.is_undo(),
        });
        if let (Some(details), false) = (details.as_object_mut(), mended.is_empty()) {
            details.insert("mended".into(), mended.into());
        }
        let kind = if plan.is_undo() { EventKind::RestoreUndone } else { EventKind::RestoreSuccessful };
        self.events().append(kind, details)?;
        Ok(report)
    }

    /// The manifest to compare with; the point of a single commit has none.
    fn manifest_to_restore(&self, point: &Point) -> Result<Option<Manifest>> {
        if !point.is_of_commit() {
            return self.manifest(point.epoch).map(Some);
        }
        let commit = self.row(Table::Commits, &point.epoch.to_key())?;
        commit.map(|_| None).ok_or_else(|| gone(point.epoch))
    }

    /// Seals what is about to change.
    fn seal_safety(&mut self, plan: &RestorePlan, scope: &Scope) -> Result<(Epoch, Manifest)> {
        let name = plan.point.to_string();
        let verb = if plan.is_undo() { "undo of" } else { "restore of" };
        self.seal(NewPoint {
            id: PointId::new(),
            at: self.now(),
            origin: Origin::Safety,
            manual: false,
            backups: Vec::new(),
            description: format!("before the {verb} {name}"),
            tags: BTreeMap::new(),
            undoes: Some(Restored {
                from: plan.point.epoch,
                name,
                written_in: self.epochs().open.next(),
                scope: scope.clone(),
                undo: plan.is_undo(),
            }),
        })
    }

    /// A restore of single records may have changed others too, such as tasks that waited for one: undoing it must give
    /// these back as well.
    fn widen_undo(&mut self, safety: Epoch, mut manifest: Manifest) -> Result<()> {
        let Some(restored) = manifest.undoes.as_mut().filter(|restored| !restored.scope.is_whole()) else {
            return Ok(());
        };
        let mut range = undo_range(safety, self.epochs().open);
        let mut widened = false;
        loop {
            let page = self.raw_page(Table::Undo, &range, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            range = range.after(last);
            for (key, _) in &page {
                let row = key.get(8..).unwrap_or_default();
                if !restored.scope.contains(row) {
                    restored.scope.rows.push(row.to_vec());
                    widened = true;
                }
            }
        }
        if widened { self.put_manifest(safety, &manifest) } else { Ok(()) }
    }
}
