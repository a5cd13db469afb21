//! Guarded work, such as a deployment: a restore point before it, which is held while the work runs, and a rollback to
//! that point if the work fails.
//!
//! A guard is plain data. The store may be closed between its start and its end, so that the work can replace or move
//! the file.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use serde::Serialize;
use serde_json::json;

use crate::engine::commit::Outcome;
use crate::engine::point::{Manifest, PointId, Scope};
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{Error, Result};
use crate::limits;
use crate::recovery::diff::Counts;
use crate::recovery::events::event::EventKind;
use crate::recovery::points::make::PointRequest;
use crate::recovery::points::names::names;
use crate::recovery::points::point::Point;
use crate::recovery::points::selector::Selector;
use crate::recovery::restore::options::RestoreOptions;
use crate::recovery::restore::plan::Verified;
use crate::recovery::restore::safety::outcome;

/// The tag of a guard's point. It shows the points of guards that were killed.
const TAG: &str = "guard";
/// The value of the tag until the guard ends.
const RUNNING: &str = "running";

/// The options of a guard. By default, a rollback restores everything.
#[derive(Clone, Debug, Default)]
pub struct GuardOptions {
    description: String,
    restore: RestoreOptions,
}

impl GuardOptions {
    /// Describes the work.
    pub fn new(description: impl Into<String>) -> Self {
        Self { description: description.into(), ..Self::default() }
    }

    /// Rolls back only these collections. Changes of others stay. Queue and assignments belong together.
    #[must_use]
    pub fn only<S: Into<String>>(mut self, collections: impl IntoIterator<Item = S>) -> Self {
        self.restore = self.restore.only(collections);
        self
    }

    /// Keeps tasks finished that finished during the work; otherwise they run again.
    #[must_use]
    pub fn keep_finished(mut self, keep: bool) -> Self {
        self.restore = self.restore.keep_finished(keep);
        self
    }
}

/// Guarded work in progress. [`Store::begin_guard`] creates it, and one of its methods ends it.
#[derive(Clone, Debug)]
#[must_use = "the work that it guards neither passes nor is rolled back by itself"]
pub struct Guard {
    point: PointId,
    options: GuardOptions,
}

/// The report of a rollback.
#[derive(Clone, Debug, Serialize)]
pub struct RollBack {
    /// The restored point.
    pub point: PointId,
    /// The reason why the work failed.
    pub reason: String,
    /// The numbers of records in each collection that returned, changed, or were removed.
    pub collections: BTreeMap<String, Counts>,
    /// The safety point, which undoes the rollback; none if nothing had changed.
    pub undo: Option<PointId>,
    /// The number of claims that were voided. Their tasks are ready again.
    pub claims_returned: u64,
}

impl RollBack {
    /// The number of records that the rollback touched.
    pub fn total(&self) -> u64 {
        self.collections.values().map(Counts::total).sum()
    }
}

/// The outcome of guarded work.
#[derive(Debug)]
pub enum Guarded<R> {
    /// The work succeeded with this result.
    Passed(R),
    /// The work failed with this error, and the store has its state at the point again.
    RolledBack(Error, RollBack),
}

impl Store {
    /// Makes a point, runs the work, and rolls back to the point if the work fails or panics.
    ///
    /// A rollback also reverts what others write in the meantime. Name the collections of the work with
    /// [`GuardOptions::only`] to limit it.
    ///
    /// # Errors
    ///
    /// As [`Store::begin_guard`], before the work; as [`Guard::roll_back`] when the work failed and the rollback failed
    /// too; as [`Store::write`] when the work succeeded and this could not be stored.
    ///
    /// # Examples
    ///
    /// ```
    /// use hivekeep::{Error, ErrorKind, GuardOptions, Guarded};
    /// use serde_json::json;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = hivekeep::Store::open(dir.path().join("h.redb")).unwrap();
    /// let ended = store.guard(GuardOptions::new("release 1.3"), |_| {
    ///     store.write(|tx| tx.config().put("limit", &json!(0)))?;
    ///     Err::<(), _>(Error::new(ErrorKind::Conflict, "the fleet does not answer"))
    /// })?;
    /// assert!(matches!(ended, Guarded::RolledBack(_, back) if back.collections["config"].removed == 1));
    /// assert_eq!(store.view()?.config().get("limit")?, None);
    /// # Ok::<(), hivekeep::Error>(())
    /// ```
    pub fn guard<R>(&self, options: GuardOptions, work: impl FnOnce(&Guard) -> Result<R>) -> Result<Guarded<R>> {
        let guard = self.begin_guard(options)?;
        match catch_unwind(AssertUnwindSafe(|| work(&guard))) {
            Ok(Ok(value)) => guard.pass(self).map(|()| Guarded::Passed(value)),
            Ok(Err(error)) => {
                let back = guard.roll_back(self, &error.to_string())?;
                Ok(Guarded::RolledBack(error, back))
            }
            Err(panic) => {
                if let Err(error) = guard.roll_back(self, "it panicked") {
                    tracing::error!(%error, "guarded work panicked and could not be rolled back");
                }
                resume_unwind(panic)
            }
        }
    }

    /// Makes a point that is held until the guarded work ends.
    ///
    /// # Errors
    ///
    /// As [`Store::write`]; `Invalid` when a collection is unknown.
    pub fn begin_guard(&self, options: GuardOptions) -> Result<Guard> {
        // Work that could not be rolled back does not start.
        Scope::of_collections(&options.restore.only, &names(&self.view()?)?)?;
        let mut description = format!("before {}", options.description);
        limits::shorten(&mut description, limits::DESCRIPTION_BYTES);
        let request = PointRequest::new(description).tag(TAG, RUNNING).held(true);
        let point = self.alone(|tx| {
            let point = tx.make_point(request)?;
            let details = json!({"restore_id": point.id, "description": options.description});
            tx.events().append(EventKind::GuardStarted, details)?;
            tx.note("guard_begin", Some(&point.to_string()))?;
            Ok(Outcome::Commit(point))
        })?;
        Ok(Guard { point: point.id, options })
    }
}

impl Guard {
    /// The point of the rollback.
    pub fn point(&self) -> &PointId {
        &self.point
    }

    /// Ends the guard after success. Its point is an ordinary one from now on.
    ///
    /// # Errors
    ///
    /// As [`Store::write`]; `NotFound` and `Gone` when the point was forgotten in the meantime.
    pub fn pass(self, store: &Store) -> Result<()> {
        self.end(store, EventKind::GuardPassed)
    }

    /// Ends the guard of work that did not start. Nothing is rolled back.
    ///
    /// # Errors
    ///
    /// As [`Guard::pass`].
    pub fn call_off(self, store: &Store) -> Result<()> {
        self.end(store, EventKind::GuardCalledOff)
    }

    fn end(self, store: &Store, kind: EventKind) -> Result<()> {
        let point = store.named_point(&self.selector())?;
        store.write(|tx| {
            tx.let_go(&point)?;
            let action = if kind == EventKind::GuardPassed { "guard_pass" } else { "guard_call_off" };
            tx.events().append(kind, json!({"restore_id": self.point}))?;
            tx.note(action, Some(&point.to_string()))
        })
    }

    /// Ends the guard after a failure: restores everything, or the part that the options name, in one transaction.
    /// [`Store::undo`] undoes it.
    ///
    /// # Errors
    ///
    /// As [`Store::restore`].
    pub fn roll_back(self, store: &Store, reason: &str) -> Result<RollBack> {
        let plan = store.plan_restore(self.selector(), self.options.restore.clone())?;
        let mut back = RollBack {
            point: self.point.clone(),
            reason: reason.to_owned(),
            collections: BTreeMap::new(),
            undo: None,
            claims_returned: 0,
        };
        if plan.total() > 0 {
            let done = store.alone(|tx| {
                let report = tx.restore(&plan, Verified::Changed)?;
                let back = RollBack {
                    collections: report.collections,
                    undo: report.undo,
                    claims_returned: report.claims_returned,
                    ..back.clone()
                };
                tx.end_guard(&plan.point, &back)?;
                Ok(outcome(back, |back| back.undo.is_some()))
            });
            back = done.inspect_err(|error| store.append_failed_plan(&plan, error))?;
        }
        if back.undo.is_none() {
            // Nothing changed, so the transaction was aborted or never began.
            store.write(|tx| tx.end_guard(&plan.point, &back))?;
        }
        Ok(back)
    }

    fn selector(&self) -> Selector {
        Selector::from(&self.point)
    }
}

/// Whether a point belongs to a guard that has not ended.
#[cfg(feature = "transfer")]
pub(crate) fn is_running(point: &Point) -> bool {
    point.held && point.tags.get(TAG).is_some_and(|tag| tag == RUNNING)
}

impl WriteTx<'_> {
    /// Ends a guard that was rolled back.
    fn end_guard(&mut self, point: &Point, back: &RollBack) -> Result<()> {
        self.let_go(point)?;
        let details = json!({
            "restore_id": back.point, "reason": back.reason, "collections": back.collections, "undo": back.undo,
        });
        self.events().append(EventKind::GuardRolledBack, details)?;
        self.note("guard_roll_back", Some(&point.to_string()))
    }

    /// Makes the point of a guard an ordinary one.
    fn let_go(&mut self, point: &Point) -> Result<()> {
        let mut manifest = self.manifest(point.epoch)?;
        manifest.tags.insert(TAG.to_owned(), "ended".to_owned());
        self.put_manifest(point.epoch, &Manifest { held: false, ..manifest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::recovery::events::event::Event;
    use crate::state::page::Page;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("h.redb")).unwrap();
        store.write(|tx| tx.config().put("limit", &json!(5))).unwrap();
        (folder, store)
    }

    fn put(store: &Store, value: u64) {
        store.write(|tx| tx.config().put("limit", &json!(value))).unwrap();
    }

    fn limit(store: &Store) -> Option<serde_json::Value> {
        store.view().unwrap().config().get("limit").unwrap()
    }

    fn failed<R>() -> Result<R> {
        Err(Error::new(ErrorKind::Conflict, "no answer"))
    }

    fn newest(store: &Store) -> Event {
        store.view().unwrap().events().list(Page::newest(1)).unwrap().remove(0)
    }

    #[test]
    fn after_success_the_changes_stay_and_the_point_is_an_ordinary_one() {
        let (_folder, store) = store();
        let work = |guard: &Guard| {
            assert!(store.find_point(guard.selector()).unwrap().unwrap().held);
            put(&store, 6);
            Ok(7)
        };
        assert!(matches!(store.guard(GuardOptions::new("it"), work).unwrap(), Guarded::Passed(7)));
        assert_eq!(limit(&store), Some(json!(6)));
        assert_eq!(newest(&store).kind, EventKind::GuardPassed);
        assert!(!store.points().unwrap()[0].held);
    }

    #[test]
    fn after_a_failure_the_work_is_rolled_back_and_the_rollback_can_be_undone() {
        let (_folder, store) = store();
        let ended = store.guard(GuardOptions::new("it"), |_| {
            put(&store, 6);
            failed::<()>()
        });
        let Guarded::RolledBack(error, back) = ended.unwrap() else { panic!("it passed") };
        assert_eq!((error.to_string(), back.total(), back.undo.is_some()), ("no answer".into(), 1, true));
        assert_eq!(limit(&store), Some(json!(5)));
        let event = newest(&store);
        assert_eq!((event.kind, &event.details["reason"]), (EventKind::GuardRolledBack, &json!("no answer")));
        assert!(store.check().unwrap().is_sound());
        store.undo().unwrap();
        assert_eq!(limit(&store), Some(json!(6)));
    }

    #[test]
    fn after_a_failure_without_changes_nothing_is_restored() {
        let (_folder, store) = store();
        let Guarded::RolledBack(_, back) = store.guard(GuardOptions::new("it"), |_| failed::<()>()).unwrap() else {
            panic!("it passed")
        };
        assert_eq!((back.total(), back.undo), (0, None));
        assert!(store.plan_undo().is_err());
        assert!(!store.points().unwrap()[0].held);
    }

    #[test]
    fn work_that_panics_is_rolled_back_and_the_panic_continues() {
        let (_folder, store) = store();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            store.guard(GuardOptions::new("it"), |_| -> Result<()> {
                put(&store, 6);
                panic!("in the work")
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(limit(&store), Some(json!(5)));
    }

    #[test]
    fn only_the_named_collections_are_rolled_back_and_an_unknown_name_is_refused_before_the_work() {
        let (_folder, store) = store();
        let options = GuardOptions::new("it").only(["registry"]);
        let ended = store.guard(options, |_| {
            put(&store, 6);
            failed::<()>()
        });
        assert!(matches!(ended.unwrap(), Guarded::RolledBack(_, back) if back.total() == 0));
        assert_eq!(limit(&store), Some(json!(6)));
        let unknown = store.guard(GuardOptions::new("it").only(["nothing"]), |_| -> Result<()> { panic!("it ran") });
        assert_eq!(unknown.unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_guard_outlives_the_handle_that_began_it() {
        let (_folder, store) = store();
        let path = store.path().to_path_buf();
        let guard = store.begin_guard(GuardOptions::new("it")).unwrap();
        put(&store, 6);
        store.close().unwrap();
        let store = Store::open(path).unwrap();
        guard.roll_back(&store, "the check failed").unwrap();
        assert_eq!(limit(&store), Some(json!(5)));
    }
}
