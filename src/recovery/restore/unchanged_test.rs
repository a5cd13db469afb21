//! A restore that changes nothing does not affect the undo of the restore before it.

use serde_json::json;

use crate::recovery::guard::GuardOptions;
use crate::recovery::points::selector::Selector;
use crate::recovery::restore::options::RestoreOptions;
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::{ClaimOptions, NewTask, TaskState};
use crate::testkit::checked_store::Fixture;

fn limit(hive: &Fixture) -> Option<serde_json::Value> {
    hive.view().config().get("limit").unwrap()
}

fn put(hive: &Fixture, value: u64) {
    hive.write(|tx| tx.config().put("limit", &json!(value)));
}

#[test]
fn after_a_restore_that_changes_nothing_undo_reverts_the_one_before() {
    let hive = Fixture::new();
    put(&hive, 1);
    let point = hive.store.restore_point("before").unwrap();
    put(&hive, 2);
    hive.store.restore(&point, RestoreOptions::new()).unwrap();
    let points = hive.store.all_points().unwrap();
    for options in [RestoreOptions::new(), RestoreOptions::new().only(["config"]).key("limit")] {
        let again = hive.store.restore(&point, options).unwrap();
        assert_eq!(again.total(), 0);
        assert_eq!(hive.store.all_points().unwrap(), points, "it makes no safety point");
    }
    hive.store.undo().unwrap();
    assert_eq!(limit(&hive), Some(json!(2)));
    hive.store.undo().unwrap();
    assert_eq!(limit(&hive), Some(json!(1)), "an undo is undone in the same way");
    assert!(hive.store.check().unwrap().is_sound());
}

#[test]
fn after_an_undo_that_changes_nothing_the_restore_can_still_be_undone() {
    let hive = Fixture::new();
    put(&hive, 1);
    let point = hive.store.restore_point("before").unwrap();
    put(&hive, 2);
    hive.store.restore(&point, RestoreOptions::new()).unwrap();
    put(&hive, 2);
    let points = hive.store.all_points().unwrap();
    assert_eq!(hive.store.undo().unwrap().total(), 0, "everything is as it was before the restore");
    assert_eq!(hive.store.all_points().unwrap(), points);
    put(&hive, 3);
    hive.store.undo_discarding().unwrap();
    assert_eq!(limit(&hive), Some(json!(2)));
}

#[test]
fn a_restore_that_only_returns_claims_can_be_undone() {
    let (hive, bot, id) = (Fixture::new(), BotId::new("ant").unwrap(), TaskId::new("a").unwrap());
    hive.write(|tx| tx.queue().enqueue(NewTask::new("work").id(id.clone())));
    hive.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default()));
    let point = hive.store.restore_point("claimed").unwrap();
    let report = hive.store.restore(&point, RestoreOptions::new()).unwrap();
    assert_eq!((report.total(), report.claims_returned), (0, 1));
    let state = || hive.view().queue().get(&id).unwrap().unwrap().state;
    assert_eq!(state(), TaskState::Ready);
    hive.store.undo().unwrap();
    assert_eq!(state(), TaskState::Claimed);
}

#[test]
fn after_a_rollback_of_a_guard_that_changes_nothing_undo_reverts_the_restore_before() {
    let (hive, bot, id) = (Fixture::new(), BotId::new("ant").unwrap(), TaskId::new("a").unwrap());
    hive.write(|tx| tx.queue().enqueue(NewTask::new("work").id(id.clone())));
    hive.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default()));
    let point = hive.store.restore_point("claimed").unwrap();
    let guard = hive.store.begin_guard(GuardOptions::new("work")).unwrap();
    hive.store.restore(&point, RestoreOptions::new()).unwrap();
    let plan = hive.store.plan_restore(guard.point(), RestoreOptions::new()).unwrap();
    assert_eq!(plan.total(), 2, "the task was claimed at the guard's point, and the rollback voids the claim again");
    let back = guard.roll_back(&hive.store, "no answer").unwrap();
    assert_eq!((back.total(), back.undo), (0, None));
    assert!(!hive.store.points().unwrap()[0].held, "the guard has ended");
    let events = hive.view().events().list(crate::state::page::Page::newest(1)).unwrap();
    assert_eq!(events[0].kind, crate::recovery::events::event::EventKind::GuardRolledBack);
    hive.store.undo().unwrap();
    assert_eq!(hive.view().queue().get(&id).unwrap().unwrap().state, TaskState::Claimed);
}

#[test]
fn a_restore_that_only_keeps_finished_tasks_does_not_block_the_undo_of_the_one_before() {
    let (hive, bot, id) = (Fixture::new(), BotId::new("ant").unwrap(), TaskId::new("a").unwrap());
    hive.write(|tx| tx.queue().enqueue(NewTask::new("work").id(id.clone())));
    let point = hive.store.restore_point("before").unwrap();
    put(&hive, 2);
    hive.write(|tx| {
        let claim = tx.queue().claim(&bot, &ClaimOptions::default())?.remove(0);
        tx.queue().complete(&claim.id, claim.token, "result")
    });
    let keep = RestoreOptions::new().keep_finished(true);
    hive.store.restore(&point, keep.clone()).unwrap();
    hive.store.restore(&point, keep).unwrap();
    hive.store.undo().unwrap();
    assert_eq!(limit(&hive), Some(json!(2)));
}

#[test]
fn a_restore_that_changes_nothing_appends_an_event() {
    let hive = Fixture::new();
    let point = hive.store.restore_point("before").unwrap();
    hive.store.restore(Selector::from(&point), RestoreOptions::new()).unwrap();
    let events = hive.view().events().list(crate::state::page::Page::newest(1)).unwrap();
    assert_eq!(events[0].kind, crate::recovery::events::event::EventKind::RestoreSuccessful);
}
