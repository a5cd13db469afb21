//! Going back: plan, then apply. A restore moves forward: it seals a safety point, then writes what the records were,
//! all in one transaction, so that it can be undone. Its cost follows what changed since the point.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::json;

use crate::engine::commit::Outcome;
use crate::engine::epoch::Epoch;
use crate::engine::frame::{self, State};
use crate::engine::meta;
use crate::engine::point::{NewPoint, Origin, PointId, Restored, Scope};
use crate::engine::records::Records;
use crate::engine::schema::{CollectionId, Place, Table};
use crate::engine::store::Store;
use crate::engine::view::{View, undo_range};
use crate::engine::write::WriteTx;
use crate::error::{Error, ErrorKind, Result};
use crate::recovery::backups::{Backup, BackupOf, backup_row, find_backup};
use crate::recovery::diff::{Counts, kind};
use crate::recovery::events::EventKind;
use crate::recovery::points::{Point, gone, names};
use crate::recovery::resolve::Resolved;
use crate::recovery::selector::Selector;
use crate::state::unit;

/// Rows read at a time.
const PAGE: usize = 256;

/// What part of the state is restored, and how. The default is everything.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    pub(crate) only: Vec<String>,
    pub(crate) key: Option<String>,
    pub(crate) keep_finished: bool,
    pub(crate) verify: bool,
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
}

/// What a restore would do. It changes nothing until it is given to [`Store::apply`].
#[derive(Clone, Debug, Serialize)]
pub struct RestorePlan {
    /// The point whose state comes back.
    pub point: Point,
    /// How many records of each collection come back, change, and go.
    pub collections: BTreeMap<String, Counts>,
    /// Tasks that have finished since the point and would run again.
    pub tasks_run_again: u64,
    #[serde(skip)]
    options: RestoreOptions,
    #[serde(skip)]
    scope: Scope,
    #[serde(skip)]
    undo: bool,
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
}

impl RestoreReport {
    /// How many records the restore touched.
    pub fn total(&self) -> u64 {
        self.collections.values().map(Counts::total).sum()
    }
}

impl fmt::Display for RestorePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.undo { "undo would go back to" } else { "restore would go back to" };
        write!(f, "{what} {} of {}", self.point.label(), crate::clock::show_time(self.point.timestamp))?;
        if !self.point.description.is_empty() {
            write!(f, " ({})", self.point.description)?;
        }
        writeln!(f)?;
        for (name, Counts { added, changed, removed }) in &self.collections {
            writeln!(f, "  {name}: {added} added, {changed} changed, {removed} removed")?;
        }
        if self.collections.is_empty() {
            writeln!(f, "  nothing differs")?;
        }
        if self.tasks_run_again > 0 {
            let kept =
                if self.options.keep_finished { "stay finished" } else { "would run again; see --keep-finished" };
            writeln!(f, "  finished tasks since then: {} {kept}", self.tasks_run_again)?;
        }
        Ok(())
    }
}

impl Store {
    /// Works out what restoring a point would do, and changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Store::at`]; `Invalid` when a collection is unknown, or a key is given without its one collection;
    /// `NotFound` when there is no record of that key, at the point or now.
    pub fn plan_restore(&self, selector: impl Into<Selector>, options: RestoreOptions) -> Result<RestorePlan> {
        let selector = selector.into();
        let view = self.view()?;
        let (point, backups) = target(&view, &selector)?;
        let documents: Vec<_> = backups.iter().filter(|backup| backup.of == BackupOf::Documents).collect();
        let scope = if !documents.is_empty() && options.only.is_empty() && options.key.is_none() {
            Scope::of_documents(&documents)?
        } else {
            match backups.as_slice() {
                [backup] if options.only.is_empty() => {
                    let options = options.clone().only([backup.backup_type.as_str()]);
                    self.scope(&view, &point, &options)?
                }
                _ => self.scope(&view, &point, &options)?,
            }
        };
        self.plan(&view, point, scope, options, false)
    }

    fn scope(&self, view: &View, point: &Point, options: &RestoreOptions) -> Result<Scope> {
        let names = names(view)?;
        let Some(key) = &options.key else { return Scope::of_collections(&options.only, &names) };
        let [name] = options.only.as_slice() else {
            return Err(Error::invalid("a key needs the one collection that it is of: --only COLLECTION --key KEY"));
        };
        let Some(collection) = names.id(name) else { return Scope::of_collections(&options.only, &names) };
        let past = self.view_at(point.epoch)?;
        let rows = unit::rows_of(&past, view, collection, key)?;
        rows.map(Scope::of_rows).ok_or_else(|| {
            Error::not_found(format!("no such record, at the point or now: collection={name} key={key}"))
        })
    }

    fn plan(
        &self,
        view: &View,
        point: Point,
        scope: Scope,
        options: RestoreOptions,
        undo: bool,
    ) -> Result<RestorePlan> {
        let names = names(view)?;
        let mut collections: BTreeMap<String, Counts> = BTreeMap::new();
        let mut tasks_run_again = 0;
        view.each_difference(point.epoch, Epoch::NOW, &scope, |row, then, now| {
            let Place { collection, key, .. } = Place::of_record(row);
            if collection != CollectionId::CHUNKS {
                let change = kind(now.is_some(), then.is_some());
                collections.entry(names.of(collection)).or_default().count(change);
            }
            if collection == CollectionId::QUEUE && !undo {
                tasks_run_again += u64::from(unit::runs_again(key, then.as_deref(), now.as_deref())?);
            }
            Ok(())
        })?;
        Ok(RestorePlan { point, collections, tasks_run_again, options, scope, undo })
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
    /// store.undo(false)?;
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
    /// after it are not the point's: then nothing is changed.
    pub fn apply(&self, plan: &RestorePlan) -> Result<RestoreReport> {
        let verified = if plan.options.verify { Verified::All } else { Verified::Changed };
        if verified == Verified::All {
            let report = self.check(&|_, _| ())?;
            if let Some(finding) = report.findings.first() {
                let what = format!("damage was found, so nothing was restored; run hivekeep check: {}", finding.what);
                return Err(Error::damaged(what));
            }
        }
        self.alone(|tx| {
            let report = tx.restore(plan, verified)?;
            Ok(Outcome::Commit(report))
        })
    }

    /// Works out what undoing the last restore would do.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no restore to undo.
    pub fn plan_undo(&self) -> Result<RestorePlan> {
        let view = self.view()?;
        let last = view.all_points()?.into_iter().find(|point| point.undoes.is_some());
        let point = last.ok_or_else(|| Error::not_found("there is no restore to undo"))?;
        let scope = point.undoes.as_ref().map(|restored| restored.scope.clone()).unwrap_or_default();
        self.plan(&view, point, scope, RestoreOptions::default(), true)
    }

    /// Undoes the last restore, exactly: claims and tokens included. Undoing an undo does the restore again.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no restore to undo; `Conflict`, naming them, when records that it would overwrite have
    /// changed since the restore, unless `discard` says that they may be lost (they are in the safety point).
    pub fn undo(&self, discard: bool) -> Result<RestoreReport> {
        let plan = self.plan_undo()?;
        self.alone(|tx| {
            if !discard {
                tx.refuse_later_work(&plan)?;
            }
            tx.restore(&plan, Verified::Changed).map(Outcome::Commit)
        })
    }
}

/// The point that a selector means, and, when it means a backup or a point of documents, which backups.
fn target(view: &View, selector: &Selector) -> Result<(Point, Vec<Backup>)> {
    let resolved = view.resolve(selector);
    if let (Selector::Id(id), Err(error)) = (selector, &resolved)
        && error.kind() == ErrorKind::NotFound
        && let Some(backup) = find_backup(view, id)?
    {
        return Ok((view.point(backup.epoch)?, vec![backup]));
    }
    match resolved? {
        Resolved::Now => Err(Error::invalid("the state is as it is now; name a point to restore")),
        Resolved::Point { epoch, .. } => {
            let point = view.point(epoch)?;
            // A backup that is named is of one kind, although its point has all.
            let is_named = matches!(selector, Selector::Id(_)) && point.is_backup();
            let of_documents = is_named || matches!(point.origin, Some(Origin::Documents | Origin::Adopted));
            let ids = point.backups.iter().filter(|_| of_documents);
            let backups = ids.filter_map(|id| backup_row(view, id).transpose()).collect::<Result<_>>()?;
            Ok((point, backups))
        }
    }
}

impl WriteTx<'_> {
    fn restore(&mut self, plan: &RestorePlan, verified: Verified) -> Result<RestoreReport> {
        let names = names(self)?;
        let from = plan.point.epoch;
        let manifest = match plan.point.id {
            Some(_) => Some(self.manifest(from)?),
            None => self.row(Table::Commits, &from.to_key())?.map(|_| None).ok_or_else(|| gone(from))?,
        };
        let name = plan.point.label();
        let verb = if plan.undo { "undo of" } else { "restore of" };
        let (safety, safe) = self.seal(NewPoint {
            id: PointId::new(),
            at: self.now(),
            origin: Origin::Safety,
            manual: false,
            backups: Vec::new(),
            description: format!("before the {verb} {name}"),
            tags: BTreeMap::new(),
            undoes: Some(Restored {
                from,
                name: name.clone(),
                written_in: self.epochs().open.next(),
                scope: plan.scope.clone(),
                undo: plan.undo,
            }),
        })?;
        let mut changes = Reverted::default();
        self.revert(from, safety, plan, &mut changes)?;
        if let Some(manifest) = &manifest
            && plan.scope.is_whole()
        {
            self.compare_digests(&plan.scope, manifest)?;
        }
        let claims_returned = if plan.undo { 0 } else { self.settle(plan, changes.kept)? };
        self.seal_commit()?;
        let collections = changes.counts.into_iter().map(|(id, counts)| (names.of(id), counts)).collect();
        let report = RestoreReport { point: name, collections, undo: safe.id, verified, claims_returned };
        let details = json!({
            "point": report.point, "undo": report.undo, "collections": report.collections, "is_undo": plan.undo,
        });
        let kind = if plan.undo { EventKind::RestoreUndone } else { EventKind::RestoreSuccessful };
        self.events().append(kind, details)?;
        Ok(report)
    }

    /// Writes what the records in scope were at a point.
    fn revert(&mut self, from: Epoch, safety: Epoch, plan: &RestorePlan, changes: &mut Reverted) -> Result<()> {
        let mut range = undo_range(from, safety);
        loop {
            let page = self.raw_page(Table::Undo, &range, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            range = range.after(last);
            for (key, bytes) in &page {
                let row = key.get(8..).unwrap_or_default();
                let before = frame::decode(Place::of_record(row), bytes)?;
                // One row for each key that changed has a birth at or before the point: it is the key's state there.
                if before.birth <= from && plan.scope.contains(row) {
                    self.revert_row(row, before.state, plan, changes)?;
                }
            }
        }
        self.index_long_values(std::mem::take(&mut changes.long))
    }

    fn revert_row(&mut self, row: &[u8], state: State<'_>, plan: &RestorePlan, changes: &mut Reverted) -> Result<()> {
        let Place { collection, key, .. } = Place::of_record(row);
        let current = self.raw(Table::Live, row)?;
        let now = match &current {
            Some(bytes) => frame::decode(Place::of_record(row), bytes)?.state,
            None => State::Absent,
        };
        if now == state {
            return Ok(());
        }
        if collection == CollectionId::QUEUE && plan.options.keep_finished {
            let finished = self.whole_value(collection, key, now)?;
            let then = if let State::Present(payload) = state { Some(payload) } else { None };
            if unit::runs_again(key, then, finished.as_deref())? {
                changes.kept.extend(finished);
            }
        }
        self.revert_index(collection, key, now, state, changes)?;
        match state {
            State::Absent => drop(self.remove_state(collection, key)?),
            state => drop(self.put_state(collection, key, state)?),
        }
        if collection != CollectionId::CHUNKS {
            let change = kind(now != State::Absent, state != State::Absent);
            changes.counts.entry(collection).or_default().count(change);
        }
        Ok(())
    }

    /// Keeps the index right. What a long value becomes is derived at the end: its pieces come back after its head.
    fn revert_index(
        &mut self,
        collection: CollectionId,
        key: &[u8],
        now: State<'_>,
        then: State<'_>,
        changes: &mut Reverted,
    ) -> Result<()> {
        let Some(rule) = self.context.index_rule(collection) else { return Ok(()) };
        let before = rule.keys(key, self.whole_value(collection, key, now)?.as_deref())?;
        let after = match then {
            State::Absent => Vec::new(),
            State::Present(payload) => rule.keys(key, Some(payload))?,
            State::Chunked(_) => {
                changes.long.push((collection, key.to_vec()));
                Vec::new()
            }
        };
        self.change_index(&before, &after)
    }

    fn index_long_values(&mut self, long: Vec<(CollectionId, Vec<u8>)>) -> Result<()> {
        for (collection, key) in long {
            if let Some(rule) = self.context.index_rule(collection) {
                let after = rule.keys(&key, self.get(collection, &key)?.as_deref())?;
                self.change_index(&[], &after)?;
            }
        }
        Ok(())
    }

    /// After a restore of whole collections their digests must be the point's: that proves that the set of reverted
    /// changes is complete, without reading what did not change.
    fn compare_digests(&self, scope: &Scope, manifest: &crate::engine::point::Manifest) -> Result<()> {
        let stored = meta::all_stats(self)?.into_iter().map(|(collection, _)| collection);
        let there = manifest.collections.iter().map(|(collection, _)| *collection);
        for collection in stored.chain(there) {
            // Pieces of long values may belong to collections that stay as they are.
            let whole = scope.has_all_of(collection) && (collection != CollectionId::CHUNKS || scope.is_everything());
            if whole && self.stats(collection)? != manifest.stats(collection) {
                return Err(Error::damaged(format!(
                    "the restored state would differ from the point's, so nothing was changed; run hivekeep check: \
                     collection={} point={}",
                    names(self)?.of(collection),
                    manifest.id
                )));
            }
        }
        Ok(())
    }

    /// What has to follow a restore of the queue: tasks that stay finished, and claims of the past, whose bots are
    /// gone, back to ready. Gives how many claims.
    fn settle(&mut self, plan: &RestorePlan, finished: Vec<Vec<u8>>) -> Result<u64> {
        for payload in finished {
            self.queue().keep_finished(&payload)?;
        }
        if plan.scope.has_all_of(CollectionId::QUEUE) {
            return Ok(self.queue().void_claims()? as u64);
        }
        for task in plan.scope.rows.iter().filter_map(|row| unit::task_of_row(row)) {
            self.queue().settle(&task)?;
        }
        Ok(0)
    }

    /// Refuses when a record that the undo would overwrite was written after the restore.
    fn refuse_later_work(&self, plan: &RestorePlan) -> Result<()> {
        let Some(restored) = &plan.point.undoes else { return Ok(()) };
        let names = names(self)?;
        let (mut later, mut more) = (Vec::new(), 0u64);
        let mut range = undo_range(plan.point.epoch, self.epochs().open);
        loop {
            let page = self.raw_page(Table::Undo, &range, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            range = range.after(last);
            for (key, bytes) in &page {
                let row = key.get(8..).unwrap_or_default();
                let place = Place::of_record(row);
                let before = frame::decode(place, bytes)?;
                if before.birth > plan.point.epoch
                    || !plan.scope.contains(row)
                    || place.collection == CollectionId::CHUNKS
                    || self.born(row)? <= restored.written_in
                {
                    continue;
                }
                if later.len() < 10 {
                    later.push(format!("{}/{}", names.of(place.collection), place.key.escape_ascii()));
                } else {
                    more += 1;
                }
            }
        }
        if later.is_empty() {
            return Ok(());
        }
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Err(Error::conflict(format!(
            "records have changed since the restore, and undoing it would overwrite them: {}{more}; to do it all the \
             same: hivekeep undo --discard",
            later.join(", ")
        )))
    }

    /// The epoch in which a key became what it is now.
    fn born(&self, row: &[u8]) -> Result<Epoch> {
        for table in [Table::Live, Table::Tombstones] {
            if let Some(bytes) = self.raw(table, row)? {
                return Ok(frame::decode(Place::of_record(row), &bytes)?.birth);
            }
        }
        Ok(Epoch(0))
    }
}

/// What reverting leaves to do, and what it did.
#[derive(Default)]
struct Reverted {
    counts: BTreeMap<CollectionId, Counts>,
    /// Long values whose index rows are still to be derived.
    long: Vec<(CollectionId, Vec<u8>)>,
    /// Tasks that stay finished, as they were before the restore.
    kept: Vec<Vec<u8>>,
}
