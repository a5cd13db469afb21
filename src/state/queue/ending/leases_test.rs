//! Tasks that move without a caller: leases that end, times that come, others that are done, crashes, restores.

use std::time::Duration;

use serde_json::{Value, json};

use crate::engine::codec;
use crate::engine::options::{Durability, Sharing};
use crate::engine::records::Records;
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::error::ErrorKind;
use crate::state::ids::SessionId;
use crate::state::queue::claiming::wait::LookResult;
use crate::state::queue::verbs_test::{bot, id, named};
use crate::state::queue::{ClaimOptions, ClaimOwner, NewTask, Retry, Task, TaskState};
use crate::testkit::checked_store::{Fixture, time};

#[test]
fn a_claim_is_on_the_disk_when_it_is_answered_whatever_its_writer_chose() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody but a writer syncs.
    let options = Store::options().sharing(Sharing::Exclusive).session(false).tends_log(false);
    let store = options.open_with(&folder.path().join("h.redb"), crate::state::indexes::INDEXES).unwrap();
    let soft = store.with_durability(Durability::System);
    (0..5).for_each(|number| drop(soft.write(|tx| tx.queue().enqueue(NewTask::new(number))).unwrap()));
    let log = store.inner.gate.log().unwrap();
    let is_on_disk = || log.is_durable(log.lock().number());
    assert!(!is_on_disk(), "what was pushed is answered before");
    assert_eq!(soft.write(|tx| tx.queue().claim(&bot("ant"), &ClaimOptions::default())).unwrap().len(), 1);
    assert!(is_on_disk());
}

#[test]
fn a_task_whose_lease_ended_goes_to_another_bot_and_the_first_one_is_refused() {
    let hive = Fixture::new();
    hive.push(named("a"));
    let first = hive.claim_one("ant");
    hive.pass(29);
    assert_eq!(hive.claim("bee", 1), []);
    hive.pass(1);
    let second = hive.claim_one("bee");
    assert_eq!(second.attempts, 2);
    assert_eq!(hive.task("a").last_error.as_deref(), Some("the lease ended: bot=ant attempt=1"));
    let late = hive.refused(|tx| tx.queue().complete(&first.id, first.token, 1));
    assert!(late.to_string().ends_with("held_by=bee"), "{late}");
    hive.write(|tx| tx.queue().complete(&second.id, second.token, 1));
}

#[test]
fn a_late_completion_counts_as_long_as_nobody_else_has_the_task() {
    let hive = Fixture::new();
    hive.push(named("a"));
    let claim = hive.claim_one("ant");
    hive.pass(1000);
    assert_eq!(hive.write(|tx| tx.queue().complete(&claim.id, claim.token, 1)).state, TaskState::Done);
}

#[test]
fn an_extended_lease_ends_later() {
    let hive = Fixture::new();
    hive.push(named("a"));
    let claim = hive.claim_one("ant");
    hive.pass(20);
    let extended = hive.write(|tx| tx.queue().extend(&claim.id, claim.token, Duration::from_secs(60)));
    assert_eq!(extended.holder.unwrap().deadline, time(80));
    hive.pass(59);
    assert_eq!(hive.write(|tx| tx.queue().expire(10)), 0);
    hive.pass(1);
    assert_eq!(hive.write(|tx| tx.queue().expire(10)), 1);
}

#[test]
fn a_task_that_kills_its_bots_ends_as_dead() {
    let hive = Fixture::new();
    hive.push(named("poison").max_attempts(3));
    for attempt in 1..=3 {
        assert_eq!(hive.claim_one("b").attempts, attempt);
        hive.pass(30);
    }
    assert_eq!(hive.claim("b", 1), []);
    let dead = hive.task("poison");
    assert_eq!((dead.state, dead.finished_by), (TaskState::Dead, Some(bot("b"))));
    assert_eq!(dead.last_error.as_deref(), Some("the lease ended: bot=b attempt=3"));
}

#[test]
fn expiring_takes_back_at_most_the_limit_and_the_first_to_end_first() {
    let hive = Fixture::new();
    for (name, wait) in [("c", 1), ("a", 1), ("b", 60)] {
        hive.push(named(name));
        hive.claim_one("x");
        hive.pass(wait);
    }
    assert_eq!(hive.write(|tx| tx.queue().expire(2)), 2);
    assert_eq!(hive.task("b").state, TaskState::Claimed);
    assert_eq!(hive.write(|tx| tx.queue().expire(2)), 1);
    assert_eq!(hive.write(|tx| tx.queue().expire(2)), 0);
}

#[test]
fn when_the_clock_goes_back_no_lease_lasts_longer_than_it_was_asked_for() {
    let hive = Fixture::new();
    hive.push(named("a"));
    hive.pass(3600);
    let claim = hive.claim_one("ant");
    hive.clock.set(time(0));
    assert_eq!(hive.claim("bee", 1), []);
    assert_eq!(hive.task("a").holder.unwrap().deadline, time(30));
    hive.write(|tx| tx.queue().extend(&claim.id, claim.token, Duration::from_secs(60)));
    hive.pass(60);
    assert_eq!(hive.claim_one("bee").attempts, 2);
}

#[test]
fn a_clock_that_went_back_is_noticed_although_others_have_written_since() {
    let hive = Fixture::new();
    hive.push(named("a"));
    hive.pass(3600);
    hive.claim_one("ant");
    hive.clock.set(time(0));
    hive.push(named("b").assign_to(bot("nobody")));
    assert_eq!(hive.claim("bee", 1), []);
    assert_eq!(hive.task("a").holder.unwrap().deadline, time(30));
    hive.pass(30);
    assert_eq!(hive.claim_one("bee").attempts, 2);
}

#[test]
fn who_waits_for_work_notices_that_the_clock_went_back_and_once_is_enough() {
    let hive = Fixture::new();
    hive.pass(3600);
    hive.push(named("a"));
    hive.claim_one("ant");
    hive.clock.set(time(0));
    let look =
        || !matches!(hive.store.claim_if_any(&bot("bee"), &ClaimOptions::default(), false), Ok(LookResult::Claims(_)));
    assert!(look());
    assert_eq!(hive.task("a").holder.unwrap().deadline, time(30));
    let commits = hive.store.commits().count();
    assert!(look());
    assert_eq!(hive.store.commits().count(), commits);
}

#[test]
fn when_the_clock_goes_back_a_retry_comes_no_later_than_it_should_and_a_task_put_in_for_later_stays() {
    let hive = Fixture::new();
    for name in ["scheduled", "failed"] {
        hive.push(named(name).not_before(time(if name == "failed" { 0 } else { 3700 })));
    }
    hive.pass(3600);
    let claim = hive.claim_one("ant");
    hive.write(|tx| tx.queue().fail(&claim.id, claim.token, "e", Retry::Later));
    let delay = hive.task("failed").not_before.unwrap().duration_since(time(3600));
    hive.clock.set(time(0));
    assert_eq!(hive.claim("ant", 1), []);
    assert_eq!(hive.task("failed").not_before.unwrap().duration_since(time(0)), delay);
    hive.pass(1);
    assert_eq!(hive.claim_ids("ant", 2), ["failed"]);
    assert_eq!(hive.task("scheduled").not_before, Some(time(3700)));
}

#[test]
fn a_task_waits_for_its_time() {
    let hive = Fixture::new();
    hive.push(named("later").not_before(time(10)));
    hive.push(named("now"));
    assert_eq!(hive.claim_ids("b", 2), ["now"]);
    hive.pass(10);
    assert_eq!(hive.claim_ids("b", 2), ["later"]);
    assert_eq!(hive.push(named("past").not_before(time(9))).not_before, None);
}

#[test]
fn a_task_waits_until_all_that_it_depends_on_are_done() {
    let hive = Fixture::new();
    hive.register("b", &[], 10);
    hive.push(named("last").after(id("one")).after(id("two")).allow_missing_dependencies());
    hive.push(named("one"));
    hive.push(named("two"));
    let claims = hive.claim("b", 10);
    assert_eq!(claims.len(), 2);
    hive.write(|tx| tx.queue().complete(&claims[0].id, claims[0].token, 1));
    assert_eq!(hive.task("last").waiting_for, [id("two")].into());
    assert_eq!(hive.claim("b", 10), []);
    hive.write(|tx| tx.queue().complete(&claims[1].id, claims[1].token, 1));
    assert_eq!(hive.claim_ids("b", 10), ["last"]);
    assert!(hive.push(named("after").after(id("one"))).waiting_for.is_empty());
}

#[test]
fn a_task_that_fails_is_waited_for_until_it_is_requeued_and_done() {
    let hive = Fixture::new();
    hive.push(named("one"));
    hive.push(named("two").after(id("one")));
    let claim = hive.claim_one("b");
    hive.write(|tx| tx.queue().fail(&claim.id, claim.token, "e", Retry::Never));
    assert_eq!(hive.claim("b", 1), []);
    hive.write(|tx| tx.queue().requeue(&id("one")));
    let claim = hive.claim_one("b");
    hive.write(|tx| tx.queue().complete(&claim.id, claim.token, 1));
    assert_eq!(hive.claim_ids("b", 1), ["two"]);
}

#[test]
fn a_task_that_comes_in_as_done_lets_go_those_that_waited_for_it() {
    let hive = Fixture::new();
    hive.push(named("two").after(id("one")).allow_missing_dependencies());
    let one = hive.push(named("one").enqueued_at(time(-9)).done(time(-5), Some(bot("old")), json!("r")));
    assert_eq!((one.state, one.enqueued_at, one.finished_at), (TaskState::Done, time(-9), Some(time(-5))));
    assert_eq!((one.finished_by, one.result), (Some(bot("old")), json!("r")));
    assert_eq!(hive.claim_ids("b", 1), ["two"]);
}

#[test]
fn a_requeued_task_waits_again_for_what_is_not_done() {
    let hive = Fixture::new();
    hive.push(named("two").after(id("one")).after(id("zero")).allow_missing_dependencies());
    hive.write(|tx| tx.queue().cancel(&id("two")));
    hive.push(named("zero").done(time(0), None, Value::Null));
    let again = hive.write(|tx| tx.queue().requeue(&id("two")));
    assert_eq!(again.waiting_for, [id("one")].into());
}

#[test]
fn tasks_that_would_wait_for_each_other_are_refused() {
    let hive = Fixture::new();
    hive.push(named("a").after(id("b")).allow_missing_dependencies());
    hive.push(named("b").after(id("c")).allow_missing_dependencies());
    let error = hive.refused(|tx| tx.queue().enqueue(named("c").after(id("a"))));
    assert_eq!(error.to_string(), "the task would wait for itself: task=c through=b");
    hive.push(named("c"));
    hive.write(|tx| tx.queue().cancel(&id("a")));
    hive.push(named("d").after(id("a")));
    hive.push(named("e").after(id("d")).after(id("f")).allow_missing_dependencies());
    let error = hive.refused(|tx| tx.queue().enqueue(named("f").after(id("e"))));
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn what_a_crashed_process_had_claimed_goes_back_and_the_attempt_counts() {
    let hive = Fixture::new();
    hive.push(named("mine").max_attempts(1));
    hive.push(named("mine too"));
    hive.push(named("another's"));
    let within =
        |session| ClaimOptions { owner: ClaimOwner::Session(SessionId(session)), max: 2, ..ClaimOptions::default() };
    hive.write(|tx| tx.queue().claim(&bot("b"), &within(7)));
    hive.write(|tx| tx.queue().claim(&bot("b"), &within(8)));
    assert_eq!(hive.view().queue().count_claimed_in(SessionId(7)).unwrap(), 2);
    assert_eq!(hive.write(|tx| tx.queue().return_claims_of_session(SessionId(7))), 2);
    assert_eq!(hive.task("mine").state, TaskState::Dead);
    let back = hive.task("mine too");
    assert_eq!((back.state, back.attempts), (TaskState::Ready, 1));
    assert_eq!(back.last_error.as_deref(), Some("the process crashed: bot=b attempt=1"));
    assert_eq!(hive.task("another's").state, TaskState::Claimed);
}

#[test]
fn voiding_all_claims_counts_no_attempt() {
    let hive = Fixture::new();
    hive.push(named("a").max_attempts(1).assign_to(bot("b")));
    hive.push(named("c"));
    let claims = hive.claim("b", 2);
    assert_eq!(hive.write(|tx| tx.queue().void_claims()), 2);
    assert_eq!((hive.task("a").state, hive.task("a").attempts), (TaskState::Waiting, 0));
    assert_eq!(hive.assigned(), ["b a Assigned"]);
    assert_eq!(hive.refused(|tx| tx.queue().complete(&claims[0].id, claims[0].token, 1)).kind(), ErrorKind::Conflict);
}

impl Fixture {
    /// Puts one record as a restore does: behind the queue's back. The rules are not checked.
    fn put_back(&self, task: &Task) {
        let state = if task.state.is_finished() || task.holder.is_some() { task.state } else { TaskState::Ready };
        let payload = codec::encode(&Task { state, ..task.clone() }).unwrap();
        self.store.write(|tx| tx.put(CollectionId::QUEUE, task.key(), &payload)).unwrap();
    }
}

#[test]
fn after_one_task_alone_was_restored_settling_makes_it_agree_with_the_others() {
    let hive = Fixture::new();
    hive.push(named("one"));
    let two = hive.push(named("two").after(id("one")));
    let claim = hive.claim_one("b");
    let one_claimed = hive.task("one");
    let one_done = hive.write(|tx| tx.queue().complete(&claim.id, claim.token, 1));

    hive.put_back(&two);
    hive.write(|tx| tx.queue().settle(&id("two")));
    assert!(hive.task("two").waiting_for.is_empty());

    hive.put_back(&Task { attempts: 1, ..one_claimed });
    hive.store.write(|tx| crate::state::assignments::follow(tx, Some(&one_done), Some(&hive.task("one")))).unwrap();
    hive.write(|tx| tx.queue().settle(&id("one")));
    assert_eq!((hive.task("one").state, hive.task("one").attempts), (TaskState::Ready, 0));

    hive.write(|tx| tx.queue().cancel(&id("two")));
    hive.write(|tx| tx.queue().requeue(&id("two")));
    assert_eq!(hive.task("two").waiting_for, [id("one")].into());
    hive.write(|tx| tx.queue().assign(&id("one"), &bot("b")));
    hive.write(|tx| tx.queue().unassign(&id("one")));
    hive.put_back(&one_done);
    hive.write(|tx| tx.queue().settle(&id("one")));
    assert!(hive.task("two").waiting_for.is_empty());
    hive.write(|tx| tx.queue().settle(&id("unknown")));
}

#[test]
fn a_task_that_stays_finished_after_a_restore_is_put_back_and_waited_for_no_more() {
    let hive = Fixture::new();
    hive.push(named("one"));
    hive.push(named("two").after(id("one")));
    let then = [hive.task("one"), hive.task("two")];
    let claim = hive.claim_one("b");
    let done = hive.write(|tx| tx.queue().complete(&claim.id, claim.token, 1));
    then.iter().for_each(|task| hive.put_back(task));
    assert_eq!(hive.task("one").state, TaskState::Ready);
    let payload = codec::encode(&done).unwrap();
    hive.write(|tx| tx.queue().keep_finished(&payload));
    assert_eq!(hive.task("one"), done);
    assert_eq!(hive.claim_ids("b", 2), ["two"]);
}

#[test]
fn counts_are_exact_when_something_else_than_the_queue_has_changed_it() {
    let hive = Fixture::new();
    let task = hive.push(named("a"));
    hive.push(named("w").after(id("x")).after(id("y")).allow_missing_dependencies());
    hive.push(named("d").not_before(time(9)));
    hive.push(named("done").done(time(0), None, Value::Null));
    hive.push(named("gone"));
    hive.write(|tx| tx.queue().cancel(&id("gone")));
    let counts = || {
        let counts = hive.view().queue().counts().unwrap();
        (counts.ready + counts.scheduled + counts.waiting, counts.done, counts.cancelled, counts.total())
    };
    assert_eq!(counts(), (3, 1, 1, 5));
    hive.put_back(&Task { id: id("b"), ..task });
    assert_eq!(counts(), (4, 1, 1, 6));
    hive.push(NewTask::new("next"));
    assert_eq!(counts(), (5, 1, 1, 7));
}

#[test]
fn a_row_of_the_index_without_its_task_is_damage_and_no_panic() {
    let hive = Fixture::new();
    hive.push(named("a"));
    let row =
        hive.view().rows(Table::Index, &crate::state::queue::tasks::keys::ready().range(), 1).unwrap().remove(0).0;
    let stray = [&row[..], b"x"].concat();
    hive.store.write(|tx| tx.put_row(Table::Index, &stray, &[])).unwrap();
    let claim = |max| hive.store.write(|tx| tx.queue().claim(&bot("b"), &ClaimOptions { max, ..Default::default() }));
    assert_eq!(claim(2).unwrap().len(), 1);
    let error = claim(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert_eq!(error.to_string(), "the index names a task that is not there; check the store: task=ax");
}
