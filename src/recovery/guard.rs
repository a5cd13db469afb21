//! Guarded work, such as a deployment: a restore point before it, held while it runs, and back to that point when it
//! fails.
//!
//! A guard is plain data. The store may be closed between its beginning and its end, so that the work can do with the
//! file what it likes.

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
use crate::recovery::points::point::{Point, PointRequest, names};
use crate::recovery::points::selector::Selector;
use crate::recovery::restore::plan::{RestoreOptions, RestorePlan, Verified};

/// What a guard's point is tagged with, so that one whose guard was killed is known.
const TAG: &str = "guard";
/// The value of the tag until the work has ended.
const RUNNING: &str = "running";

/// How work is guarded. The default goes back to everything as it was.
#[derive(Clone, Debug, Default)]
pub struct GuardOptions {
    description: String,
    only: Vec<String>,
    keep_finished: bool,
}

impl GuardOptions {
    /// Of work that is called so.
    pub fn new(description: impl Into<String>) -> Self {
        Self { description: description.into(), ..Self::default() }
    }

    /// Goes back in these collections only; what the work does in others stays. Queue and assignments go together.
    #[must_use]
    pub fn only<S: Into<String>>(mut self, collections: impl IntoIterator<Item = S>) -> Self {
        self.only = collections.into_iter().map(Into::into).collect();
        self
    }

    /// Leaves tasks finished that were finished meanwhile; otherwise they run again.
    #[must_use]
    pub fn keep_finished(mut self, keep: bool) -> Self {
        self.keep_finished = keep;
        self
    }

    fn restore(&self) -> RestoreOptions {
        RestoreOptions::new().only(self.only.clone()).keep_finished(self.keep_finished)
    }
}

/// Guarded work that has begun. Made by [`Store::begin_guard`]; one of its verbs ends it.
#[derive(Clone, Debug)]
#[must_use = "the work that it guards neither passes nor is rolled back by itself"]
pub struct Guard {
    point: PointId,
    options: GuardOptions,
}

/// What a guard rolled back.
#[derive(Clone, Debug, Serialize)]
pub struct RollBack {
    /// The point whose state came back.
    pub point: PointId,
    /// Why the work failed.
    pub reason: String,
    /// How many records of each collection came back, changed, and went.
    pub collections: BTreeMap<String, Counts>,
    /// The safety point, which undoes it; none when nothing had changed.
    pub undo: Option<PointId>,
    /// Claims that were returned to ready; their tokens are void.
    pub claims_returned: u64,
}

impl RollBack {
    /// How many records it touched.
    pub fn total(&self) -> u64 {
        self.collections.values().map(Counts::total).sum()
    }
}

/// How guarded work ended.
#[derive(Debug)]
pub enum Guarded<R> {
    /// It succeeded, and gave this.
    Passed(R),
    /// It failed with this error, and the store is as it was at the point.
    RolledBack(Error, RollBack),
}

impl Store {
    /// Makes a point, does some work, and goes back to the point when the work fails or panics.
    ///
    /// Whatever anybody writes meanwhile goes back too: name the collections that the work is about with
    /// [`GuardOptions::only`].
    ///
    /// # Errors
    ///
    /// As [`Store::begin_guard`], before the work; as [`Guard::roll_back`] when the work failed and could not be rolled
    /// back; as [`Store::write`] when it succeeded and that could not be noted.
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

    /// Makes a point that is held until the guarded work has ended.
    ///
    /// # Errors
    ///
    /// As [`Store::write`]; `Invalid` when a collection is unknown.
    pub fn begin_guard(&self, options: GuardOptions) -> Result<Guard> {
        // What cannot be rolled back is not begun.
        Scope::of_collections(&options.only, &names(&self.view()?)?)?;
        let mut description = format!("before {}", options.description);
        limits::shorten(&mut description, limits::DESCRIPTION_BYTES);
        let request = PointRequest::new(description).tag(TAG, RUNNING).held(true);
        let point = self.alone(|tx| {
            let point = tx.make_point(request)?;
            let details = json!({"restore_id": point.id, "description": options.description});
            tx.events().append(EventKind::GuardStarted, details)?;
            Ok(Outcome::Commit(point))
        })?;
        Ok(Guard { point: point.id, options })
    }
}

impl Guard {
    /// The point that it goes back to.
    pub fn point(&self) -> &PointId {
        &self.point
    }

    /// The work succeeded: the point is a usual one from now on.
    ///
    /// # Errors
    ///
    /// As [`Store::write`]; `NotFound` and `Gone` when the point was forgotten meanwhile.
    pub fn pass(self, store: &Store) -> Result<()> {
        self.end(store, EventKind::GuardPassed)
    }

    /// The work never began: nothing is rolled back.
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
            tx.events().append(kind, json!({"restore_id": self.point}))?;
            Ok(())
        })
    }

    /// The work failed: everything, or what the options name, is as it was at the point, in one transaction. It can be
    /// undone with [`Store::undo`].
    ///
    /// # Errors
    ///
    /// As [`Store::restore`].
    pub fn roll_back(self, store: &Store, reason: &str) -> Result<RollBack> {
        let plan = store.plan_restore(self.selector(), self.options.restore())?;
        let done = store.alone(|tx| self.restore(tx, &plan, reason).map(Outcome::Commit));
        done.inspect_err(|error| store.tell_of_failed_plan(&plan, error))
    }

    fn restore(&self, tx: &mut WriteTx<'_>, plan: &RestorePlan, reason: &str) -> Result<RollBack> {
        let mut back = RollBack {
            point: self.point.clone(),
            reason: reason.to_owned(),
            collections: BTreeMap::new(),
            undo: None,
            claims_returned: 0,
        };
        if plan.total() > 0 {
            let report = tx.restore(plan, Verified::Changed)?;
            back.collections = report.collections;
            back.undo = report.undo;
            back.claims_returned = report.claims_returned;
        }
        tx.let_go(&plan.point)?;
        let details = json!({
            "restore_id": self.point, "reason": reason, "collections": back.collections, "undo": back.undo,
        });
        tx.events().append(EventKind::GuardRolledBack, details)?;
        Ok(back)
    }

    fn selector(&self) -> Selector {
        Selector::from(&self.point)
    }
}

/// Whether a point is that of a guard that has not ended.
#[cfg(feature = "transfer")]
pub(crate) fn is_running(point: &Point) -> bool {
    point.held && point.tags.get(TAG).is_some_and(|tag| tag == RUNNING)
}

impl WriteTx<'_> {
    /// The point of a guard becomes a usual one.
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
    fn work_that_succeeds_stays_and_its_point_is_a_usual_one() {
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
    fn work_that_fails_is_rolled_back_and_that_can_be_undone() {
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
    fn work_that_fails_and_changed_nothing_needs_no_restore() {
        let (_folder, store) = store();
        let Guarded::RolledBack(_, back) = store.guard(GuardOptions::new("it"), |_| failed::<()>()).unwrap() else {
            panic!("it passed")
        };
        assert_eq!((back.total(), back.undo), (0, None));
        assert!(store.plan_undo().is_err());
        assert!(!store.points().unwrap()[0].held);
    }

    #[test]
    fn work_that_panics_is_rolled_back_and_panics_on() {
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
    fn only_what_is_named_goes_back_and_an_unknown_name_is_refused_before_the_work() {
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
