//! Restores of tasks that finished after the point.

use serde_json::json;

use crate::error::ErrorKind;
use crate::recovery::points::selector::Selector;
use crate::recovery::restore::options::RestoreOptions;
use crate::recovery::restore::plan::RestoreReport;
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::{ClaimOptions, NewTask, Task, TaskState};
use crate::testkit::checked_store::Fixture;

fn bot() -> BotId {
    BotId::new("ant").unwrap()
}

fn id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

fn named(name: &str) -> NewTask {
    NewTask::new(json!({ "work": name })).id(id(name))
}

fn push(hive: &Fixture, new: NewTask) -> Task {
    hive.write(|tx| tx.queue().enqueue(new))
}

/// Claims one task and completes it.
fn complete(hive: &Fixture) -> Task {
    hive.write(|tx| {
        let claim = tx.queue().claim(&bot(), &ClaimOptions::default())?.remove(0);
        tx.queue().complete(&claim.id, claim.token, "result")
    })
}

fn task(hive: &Fixture, name: &str) -> Option<Task> {
    hive.view().queue().get(&id(name)).unwrap()
}

/// Restores the newest point as planned, and checks that everything agrees.
fn restore(hive: &Fixture, keep: bool) -> RestoreReport {
    let options = RestoreOptions::new().keep_finished(keep);
    let plan = hive.store.plan_restore(Selector::Latest(0), options).unwrap();
    let report = hive.store.apply(&plan).unwrap();
    let numbers = (plan.tasks_run_again, plan.tasks_forgotten, plan.keep_finished);
    assert_eq!(numbers, (report.tasks_run_again, report.tasks_forgotten, report.keep_finished));
    assert_eq!(plan.collections, report.collections, "a dry run counts what the restore then touches");
    hive.check();
    report
}

#[test]
fn a_task_that_was_pushed_and_done_after_the_point_stays_done_with_its_idempotency_key() {
    let hive = Fixture::new();
    hive.store.restore_point("before").unwrap();
    let new = || named("inv").idempotency_key("invoice 7");
    push(&hive, new());
    let done = complete(&hive);
    push(&hive, named("open"));
    let report = restore(&hive, true);
    assert_eq!((report.tasks_run_again, report.tasks_forgotten, report.keep_finished), (0, 1, true));
    assert_eq!(report.collections["queue"].removed, 1, "only what was not finished goes");
    assert_eq!((task(&hive, "inv").as_ref(), task(&hive, "open")), (Some(&done), None));
    assert_eq!(push(&hive, new()), done, "the producer's same push does not run again");
    hive.store.undo().unwrap();
    assert_eq!(task(&hive, "open").unwrap().state, TaskState::Ready);
}

#[test]
fn without_the_option_a_task_that_was_pushed_and_done_after_the_point_is_counted_as_forgotten() {
    let hive = Fixture::new();
    hive.store.restore_point("before").unwrap();
    push(&hive, named("inv"));
    complete(&hive);
    let plan = hive.store.plan_restore(Selector::Latest(0), RestoreOptions::new()).unwrap();
    assert!(plan.to_string().contains("finished tasks since then: 1 would be forgotten"), "{plan}");
    assert_eq!(restore(&hive, false).tasks_forgotten, 1);
    assert_eq!(task(&hive, "inv"), None);
}

#[test]
fn a_task_does_not_return_if_a_kept_task_has_its_idempotency_key() {
    let hive = Fixture::new();
    push(&hive, named("first").idempotency_key("k").assign_to(bot()));
    hive.store.restore_point("before").unwrap();
    hive.write(|tx| tx.queue().cancel(&id("first")));
    hive.pass(1);
    assert_eq!(hive.store.purge_finished(std::time::Duration::ZERO).unwrap(), 1);
    push(&hive, named("second").idempotency_key("k"));
    let done = complete(&hive);
    let report = restore(&hive, true);
    assert!(report.collections.is_empty(), "{:?}", report.collections);
    assert_eq!((task(&hive, "first"), task(&hive, "second")), (None, Some(done.clone())));
    let third = || named("third").idempotency_key("k");
    let refused = hive.refused(|tx| tx.queue().enqueue(third()));
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("task=second state=done"), "{refused}");
    assert_eq!(push(&hive, third().allow_different()), done);
}

#[test]
fn a_dead_task_that_was_requeued_and_done_since_stays_done() {
    let hive = Fixture::new();
    push(&hive, named("a"));
    hive.write(|tx| tx.queue().cancel(&id("a")));
    hive.store.restore_point("before").unwrap();
    hive.write(|tx| tx.queue().requeue(&id("a")));
    let done = complete(&hive);
    let report = restore(&hive, true);
    assert_eq!((report.tasks_run_again, report.collections.len()), (0, 0));
    assert_eq!(task(&hive, "a"), Some(done));
    restore(&hive, false);
    assert_eq!(task(&hive, "a").unwrap().state, TaskState::Cancelled);
}

#[test]
fn an_undo_reverts_exactly_the_effect_of_keeping_finished_tasks() {
    let hive = Fixture::new();
    push(&hive, named("a").assign_to(bot()));
    push(&hive, named("b").after(id("a")));
    hive.store.restore_point("before").unwrap();
    complete(&hive);
    push(&hive, named("c"));
    hive.write(|tx| tx.queue().cancel(&id("c")));
    push(&hive, named("d").assign_to(bot()));
    let all = |hive: &Fixture| hive.view().queue().list().map(|task| task.unwrap()).collect::<Vec<_>>();
    let before = all(&hive);
    let by_key = RestoreOptions::new().only(["queue"]).keep_finished(true);
    let whole = RestoreOptions::new().keep_finished(true);
    for (options, changes) in [(whole, true), (by_key.clone().key("a"), false), (by_key.key("c"), false)] {
        let report = hive.store.restore(Selector::Latest(0), options).unwrap();
        hive.check();
        assert_eq!(report.undo.is_some(), changes);
        if changes {
            hive.store.undo().unwrap();
        }
        hive.check();
        assert_eq!(all(&hive), before);
    }
}

/// Completes the only task, and purges it.
fn complete_and_purge(hive: &Fixture) {
    complete(hive);
    hive.pass(1);
    assert_eq!(hive.store.purge_finished(std::time::Duration::ZERO).unwrap(), 1);
}

#[test]
fn a_task_that_was_done_and_purged_after_the_point_does_not_return_and_nothing_waits_for_it() {
    let hive = Fixture::new();
    push(&hive, named("m").assign_to(bot()));
    push(&hive, named("waits").after(id("m")));
    hive.store.restore_point("before").unwrap();
    complete_and_purge(&hive);
    let report = restore(&hive, true);
    assert_eq!((report.tasks_run_again, report.tasks_forgotten), (1, 0));
    assert_eq!(task(&hive, "m"), None);
    assert_eq!(complete(&hive).id, id("waits"), "what is done is waited for no more");
    hive.store.undo_discarding().unwrap();
    hive.check();
}

#[test]
fn without_the_option_a_task_that_was_done_and_purged_is_counted_as_running_again() {
    let hive = Fixture::new();
    push(&hive, named("m"));
    hive.store.restore_point("before").unwrap();
    complete_and_purge(&hive);
    let plan = hive.store.plan_restore(Selector::Latest(0), RestoreOptions::new()).unwrap();
    assert!(plan.to_string().contains("finished tasks since then: 1 would run again"), "{plan}");
    assert_eq!(restore(&hive, false).tasks_run_again, 1);
    assert_eq!(task(&hive, "m").unwrap().state, TaskState::Ready);
}

#[test]
fn a_task_that_was_cancelled_and_purged_was_not_finished_and_returns() {
    let hive = Fixture::new();
    push(&hive, named("m"));
    hive.store.restore_point("before").unwrap();
    hive.write(|tx| tx.queue().cancel(&id("m")));
    hive.pass(1);
    hive.store.purge_finished(std::time::Duration::ZERO).unwrap();
    assert_eq!(restore(&hive, true).tasks_run_again, 0);
    assert_eq!(task(&hive, "m").unwrap().state, TaskState::Ready);
}

/// Cancels and purges a task, and pushes another one with its idempotency key.
fn give_key_to_another(hive: &Fixture) {
    hive.write(|tx| tx.queue().cancel(&id("first")));
    hive.pass(1);
    hive.store.purge_finished(std::time::Duration::ZERO).unwrap();
    push(hive, named("second").idempotency_key("k"));
}

#[test]
fn a_single_task_does_not_return_while_another_one_has_its_idempotency_key() {
    let hive = Fixture::new();
    push(&hive, named("first").idempotency_key("k"));
    hive.store.restore_point("before").unwrap();
    let by_key = RestoreOptions::new().only(["queue"]).key("first");
    let planned = hive.store.plan_restore(Selector::Latest(0), by_key.clone()).unwrap();
    give_key_to_another(&hive);
    let options = [by_key.clone(), by_key.clone().keep_finished(true)];
    let refused = options.map(|options| hive.store.restore(Selector::Latest(0), options).unwrap_err());
    for refused in refused.into_iter().chain([hive.store.apply(&planned).unwrap_err()]) {
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.to_string().ends_with("task=first other=second idempotency_key=k"), "{refused}");
    }
    assert_eq!(task(&hive, "first"), None);
    hive.store.restore(Selector::Latest(0), RestoreOptions::new().only(["queue"])).unwrap();
    assert_eq!((task(&hive, "first").is_some(), task(&hive, "second")), (true, None), "the whole queue comes back");
}

#[test]
fn an_undo_does_not_return_a_task_while_another_one_has_its_idempotency_key() {
    let hive = Fixture::new();
    let empty = hive.store.restore_point("empty").unwrap();
    push(&hive, named("first").idempotency_key("k"));
    hive.store.restore(&empty, RestoreOptions::new().only(["queue"]).key("first")).unwrap();
    push(&hive, named("second").idempotency_key("k"));
    for refused in [hive.store.undo().unwrap_err(), hive.store.undo_discarding().unwrap_err()] {
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.to_string().ends_with("task=first other=second idempotency_key=k"), "{refused}");
    }
}

#[test]
fn one_finished_task_stays_and_two_stay() {
    let hive = Fixture::new();
    hive.store.restore_point("before").unwrap();
    let plan = || {
        let keep = RestoreOptions::new().keep_finished(true);
        hive.store.plan_restore(Selector::Latest(0), keep).unwrap().to_string()
    };
    for (name, shown) in [("a", "1 stays finished"), ("b", "2 stay finished")] {
        push(&hive, named(name));
        complete(&hive);
        let plan = plan();
        assert!(plan.contains(shown) && plan.contains("nothing else differs"), "{plan}");
    }
}
