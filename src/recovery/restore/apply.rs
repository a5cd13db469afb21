//! Applies a plan: one transaction, with a safety point in it. Every restore appends one event: in that transaction,
//! or, after a failure, in a transaction of its own.

use serde_json::{Value, json};

use crate::engine::epoch::Epoch;
use crate::engine::point::{Manifest, Restored, Scope};
use crate::engine::records::Records;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::engine::view::gone;
use crate::engine::write::WriteTx;
use crate::error::{Error, Hint, Result};
use crate::recovery::events::event::EventKind;
use crate::recovery::points::names::names;
use crate::recovery::points::point::Point;
use crate::recovery::points::selector::Selector;
use crate::recovery::restore::finished::Finished;
use crate::recovery::restore::options::RestoreOptions;
use crate::recovery::restore::plan::{Direction, RestorePlan, RestoreReport, Verified};
use crate::recovery::restore::safety::{Safety, outcome};
use crate::recovery::restore::writes::{RestoreWrites, compare_digests, mend_partial, refuse_second_tasks};
use crate::state::restored_together;

impl Store {
    /// Restores a point: everything, or the part that the options name. [`Store::undo`] undoes it.
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
        let selector = selector.into();
        let details = json!({"point": selector.to_string()});
        self.restore_as(selector, options, details)
    }

    /// Restores. If the plan fails, the event of the failure has these details.
    pub(crate) fn restore_as(
        &self,
        selector: Selector,
        options: RestoreOptions,
        details: Value,
    ) -> Result<RestoreReport> {
        let plan = self.plan_restore(selector, options);
        self.apply(&plan.inspect_err(|error| self.append_failed_restore(details, None, error))?)
    }

    /// Applies a plan to the present state: one transaction, with a safety point in it. A restore that changes nothing
    /// makes no safety point, so [`Store::undo`] still undoes the restore before it.
    ///
    /// # Errors
    ///
    /// `Gone` when the point was forgotten in the meantime; `Damaged` when a record that it reads is damaged, or the
    /// digests differ from the point's afterwards; `Conflict` as [`Store::undo`], for a partial point without
    /// [`RestoreOptions::partial`], and when a single task would return while another one has its idempotency key. On
    /// every error except `Uncertain`, nothing is changed.
    pub fn apply(&self, plan: &RestorePlan) -> Result<RestoreReport> {
        plan.refuse_partial()?;
        let action = if plan.is_undo() { "undo" } else { "restore" };
        let store = self.doing(action, Some(plan.point.to_string()));
        let done = self.verified(plan).and_then(|verified| {
            store.alone(|tx| tx.restore(plan, verified).map(|report| outcome(report, |report| report.undo.is_some())))
        });
        let report = done.inspect_err(|error| self.append_failed_plan(plan, error))?;
        if report.undo.is_none() {
            store.append_events([plan.event(&report, &[])]);
        }
        Ok(report)
    }

    /// Verifies everything first, if the plan requires it.
    fn verified(&self, plan: &RestorePlan) -> Result<Verified> {
        if !plan.options.verify {
            return Ok(Verified::Changed);
        }
        match self.verify_all(|_, _| Ok(()))?.findings.first() {
            None => Ok(Verified::All),
            Some(finding) => Err(Error::damaged(format!(
                "damage was found, so nothing was restored; check the store: {}",
                finding.what
            ))
            .with_hint(Hint::CheckStore)),
        }
    }
}

impl WriteTx<'_> {
    /// Applies a plan. The report has no safety point if nothing changed.
    pub(crate) fn restore(&mut self, plan: &RestorePlan, verified: Verified) -> Result<RestoreReport> {
        let names = names(self)?;
        // The plan is older than this transaction: the point may be gone, and the state another one.
        let manifest = self.manifest_to_restore(&plan.point)?;
        self.refuse_moved_on(plan)?;
        // An undo must not overwrite later work, unless the caller gives that up.
        if let Direction::Undo { discard } = plan.direction {
            self.refuse_undo(plan, discard)?;
        }
        let mut scope = plan.scope.clone();
        // Since the plan was made, a task may have been assigned to another bot.
        restored_together::with_assignments(self, &mut scope.rows)?;
        let spared = plan.spared.with_assignments(self)?;
        let verb = if plan.is_undo() { "undo of" } else { "restore of" };
        // Sealed before the first change, so that `undo` goes back to exactly this state.
        let safety = Safety::seal(self, format!("before the {verb} {}", plan.point))?;
        let mut writes = RestoreWrites::new(plan.point.epoch, &scope, &spared, plan.options.keep_finished);
        writes.run(self, safety.epoch)?;
        // D4: for whole collections, and before anything else changes them.
        if let Some(manifest) = &manifest
            && scope.is_whole()
        {
            compare_digests(self, &scope, &spared, manifest)?;
        }
        // T1: a document that lost rows in a repair is made whole from those that are left.
        let mended = mend_partial(self, &scope, manifest.as_ref(), &plan.point)?;
        // Claims of the past belong to bots that no longer work on them. An undo is exact, so its claims stay.
        let claims_returned = if plan.is_undo() { 0 } else { writes.settle(self)? };
        // A bulk change that goes on would change tasks that were just put back.
        self.end_bulk_for_restore(&scope)?;
        // No due time of the past fires again.
        self.schedules().settle()?;
        // Two tasks with one idempotency key would do the same work twice.
        refuse_second_tasks(self, &scope)?;
        let Finished { run_again: tasks_run_again, forgotten: tasks_forgotten, .. } = writes.finished;
        let mut collections = writes.touched(&names);
        let undo = safety.finish(self, plan.undoes(self.epochs().open, scope))?;
        // Records that were written and came out as before do not count.
        if undo.is_none() {
            collections.clear();
        }
        // Later work is born in a later epoch, by which an undo recognizes it.
        self.turn_epoch()?;
        let earlier = plan.earlier.clone().filter(|_| collections.is_empty());
        let report = RestoreReport {
            point: plan.point.to_string(),
            collections,
            undo,
            verified,
            claims_returned,
            tasks_run_again,
            tasks_forgotten,
            keep_finished: plan.keep_finished,
            earlier,
        };
        let (kind, details) = plan.event(&report, &mended);
        self.events().append(kind, details)?;
        Ok(report)
    }

    /// The manifest to compare with. The point of a single commit has none.
    fn manifest_to_restore(&self, point: &Point) -> Result<Option<Manifest>> {
        if !point.is_of_commit() {
            return self.manifest(point.epoch).map(Some);
        }
        let commit = self.row(Table::Commits, &point.epoch.to_key())?;
        commit.map(|_| None).ok_or_else(|| gone(point.epoch))
    }
}

impl RestorePlan {
    /// The content of the safety point: the restore that it undoes.
    fn undoes(&self, written_in: Epoch, scope: Scope) -> Restored {
        let (from, name) = (self.point.epoch, self.point.to_string());
        Restored { from, name, written_in, scope, undo: self.is_undo() }
    }

    /// The event of the restore, with the documents that were reassembled from the rows that a repair left.
    fn event(&self, report: &RestoreReport, mended: &[String]) -> (EventKind, Value) {
        let mut details = json!({
            "point": report.point, "undo": report.undo, "collections": report.collections, "is_undo": self.is_undo(),
        });
        if let Some(details) = details.as_object_mut() {
            details.extend(self.backup.iter().map(|id| ("backup_id".into(), id.as_str().into())));
            if !mended.is_empty() {
                details.insert("mended".into(), mended.into());
            }
        }
        let kind = if self.is_undo() { EventKind::RestoreUndone } else { EventKind::RestoreSuccessful };
        (kind, details)
    }
}
