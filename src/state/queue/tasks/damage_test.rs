//! One damaged task stops nothing but itself: what is whole goes on, what is damaged is named, and not one byte of it
//! is written over.

use std::time::Duration;

use serde_json::json;

use crate::engine::commit::Outcome;
use crate::engine::schema::{CollectionId, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::state::assignments;
use crate::state::audit::NewEntry;
use crate::state::ids::{SessionId, TaskId};
use crate::state::page::Page;
use crate::state::queue::verbs_test::{bot, id, named};
use crate::state::queue::{Claim, ClaimOptions, ClaimOwner, NewTask, Priority, Task, TaskState};
use crate::testkit::checked_store::{Fixture, time};

impl Fixture {
    /// Flips a bit in a record.
    fn damage(&self, collection: CollectionId, key: &[u8]) {
        let row = collection.row_key(key);
        let mut bytes = self.view().stored().get(Table::Live, &row).unwrap().unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        self.store.alone(|tx| tx.insert(Table::Live, &row, &bytes).map(Outcome::Commit)).unwrap();
    }

    pub(in crate::state::queue) fn damage_task(&self, name: &str) {
        self.damage(CollectionId::QUEUE, id(name).as_bytes());
    }

    /// The bytes of a task as they are stored.
    fn bytes(&self, name: &str) -> Vec<u8> {
        self.view().stored().get(Table::Live, &CollectionId::QUEUE.row_key(id(name).as_bytes())).unwrap().unwrap()
    }

    /// Claims, in a queue in which something is damaged.
    fn try_claim(&self, who: &str, max: usize) -> Result<Vec<String>> {
        let options = ClaimOptions { max, ..ClaimOptions::default() };
        let claims = self.store.write(|tx| tx.queue().claim(&bot(who), &options))?;
        Ok(claims.into_iter().map(|Claim { id, .. }| id.to_string()).collect())
    }
}

fn names(error: &Error, task: &str) {
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().contains(task), "{error}");
}

#[test]
fn a_claim_passes_over_a_damaged_task_and_names_it_once_nothing_else_is_there() {
    let hive = Fixture::new();
    hive.register("b", &["fly"], 9);
    hive.push(named("first").priority(Priority::P0));
    hive.push(named("second").capability("fly"));
    hive.push(named("third"));
    hive.push(named("fourth"));
    hive.damage_task("first");
    hive.damage_task("third");
    let before = [hive.bytes("first"), hive.bytes("third")];
    assert_eq!(hive.try_claim("b", 1).unwrap(), ["second"]);
    assert_eq!(hive.try_claim("b", 9).unwrap(), ["fourth"]);
    names(&hive.try_claim("b", 1).unwrap_err(), "first");
    assert_eq!([hive.bytes("first"), hive.bytes("third")], before);
}

#[test]
fn a_batch_is_filled_from_behind_those_that_are_damaged() {
    let hive = Fixture::new();
    hive.register("b", &[], 100);
    let name = |number: u32| format!("t{number:02}");
    (0..20).for_each(|number| drop(hive.push(named(&name(number)))));
    let is_damaged = |number: &u32| *number < 5 || (7..12).contains(number);
    (0..20).filter(is_damaged).for_each(|number| hive.damage_task(&name(number)));
    let whole: Vec<_> = (0..20).filter(|number| !is_damaged(number)).map(name).collect();
    assert_eq!(hive.try_claim("b", 3).unwrap(), whole[..3]);
    assert_eq!(hive.try_claim("b", 50).unwrap(), whole[3..]);
}

#[test]
fn a_task_whose_assignment_is_damaged_is_passed_over_as_a_whole() {
    let hive = Fixture::new();
    let mine = hive.push(named("mine").assign_to(bot("b")));
    hive.push(named("next"));
    hive.damage(CollectionId::ASSIGNMENTS, &assignments::key_of(&mine).unwrap());
    assert_eq!(hive.try_claim("b", 1).unwrap(), ["next"]);
    assert_eq!(hive.try_claim("b", 1).unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(hive.task("mine"), mine);
}

#[test]
fn leases_end_and_times_come_behind_a_damaged_task() {
    let hive = Fixture::new();
    hive.register("b", &[], 9);
    for name in ["held-1", "held-2"] {
        hive.push(named(name));
        hive.claim_one("b");
        hive.pass(1);
    }
    hive.push(named("due-1").not_before(time(10)));
    hive.push(named("due-2").not_before(time(11)));
    hive.damage_task("held-1");
    hive.damage_task("due-1");
    hive.pass(60);
    assert_eq!(hive.store.write(|tx| tx.queue().expire(1)).unwrap(), 1);
    names(&hive.store.write(|tx| tx.queue().expire(1)).unwrap_err(), "held-1");
    assert_eq!(hive.try_claim("c", 2).unwrap(), ["held-2", "due-2"]);
}

#[test]
fn upkeep_goes_on_behind_a_damaged_task_and_names_it() {
    let hive = Fixture::new();
    hive.push(named("held"));
    hive.claim_one("b");
    hive.write(|tx| tx.audit().append(NewEntry::new("old", "b")));
    hive.damage_task("held");
    hive.pass(100 * 24 * 60 * 60);
    names(&hive.store.upkeep().unwrap_err(), "held");
    assert_eq!(hive.view().audit().list(Page::newest(9)).unwrap(), []);
}

#[test]
fn when_the_clock_went_back_the_deadlines_behind_a_damaged_task_are_corrected() {
    let hive = Fixture::new();
    for name in ["a", "b"] {
        hive.push(named(name));
        hive.claim_one("bot");
    }
    hive.damage_task("a");
    hive.clock.set(time(-3600));
    assert_eq!(hive.store.write(|tx| tx.queue().expire(9)).map_err(|error| error.kind()), Err(ErrorKind::Damaged));
    hive.push_unchecked(named("c"));
    assert_eq!(hive.try_claim("bot", 1).unwrap(), ["c"]);
    assert_eq!(hive.task("b").holder.unwrap().deadline, time(-3600 + 30));
}

#[test]
fn what_a_crashed_process_held_comes_back_but_for_a_damaged_task() {
    let hive = Fixture::new();
    hive.push(named("a"));
    hive.push(named("b"));
    let within = ClaimOptions { owner: ClaimOwner::Session(SessionId(7)), max: 2, ..ClaimOptions::default() };
    hive.write(|tx| tx.queue().claim(&bot("bot"), &within));
    hive.damage_task("a");
    assert_eq!(hive.store.write(|tx| tx.queue().return_claims_of_session(SessionId(7))).unwrap(), 1);
    assert_eq!(hive.task("b").state, TaskState::Ready);
}

#[test]
fn a_task_can_be_completed_although_one_that_waits_for_it_is_damaged() {
    let hive = Fixture::new();
    hive.push(named("work"));
    hive.push(named("waits-1").after(id("work")));
    hive.push(named("waits-2").after(id("work")));
    hive.damage_task("waits-1");
    let done = hive.store.write(|tx| {
        let claim = tx.queue().claim(&bot("b"), &ClaimOptions::default())?.remove(0);
        tx.queue().complete(&claim.id, claim.token, json!(1))
    });
    assert_eq!(done.unwrap().state, TaskState::Done);
    assert_eq!(hive.task("waits-2").waiting_for, [].into());
}

#[test]
fn all_that_is_old_is_purged_but_for_a_damaged_task_which_is_named() {
    let hive = Fixture::new();
    for name in ["a", "b", "c"] {
        hive.push(named(name));
        hive.write(|tx| tx.queue().cancel(&id(name)));
    }
    hive.pass(9);
    hive.damage_task("a");
    assert_eq!(hive.store.write(|tx| tx.queue().purge(time(5), 1)).unwrap(), 1);
    names(&hive.store.purge_finished(Duration::ZERO).unwrap_err(), "key=a");
    let left = |name: &str| hive.view().queue().get(&id(name)).map(|task| task.is_some()).map_err(|error| error.kind());
    assert_eq!(["a", "b", "c"].map(left), [Err(ErrorKind::Damaged), Ok(false), Ok(false)]);
}

#[test]
fn the_id_of_a_damaged_task_is_not_given_out_again() {
    let hive = Fixture::new();
    hive.push(named("task-2"));
    hive.damage_task("task-2");
    assert_eq!(hive.push_unchecked(NewTask::new("next")).id, TaskId::new("task-2-2").unwrap());
}

#[test]
fn a_row_that_leads_to_a_task_of_another_state_gives_nobody_that_task() {
    let hive = Fixture::new();
    let task = hive.push(named("a"));
    let row = hive.ready_rows().remove(0);
    hive.claim_one("b");
    hive.store.write(|tx| tx.put_row(Table::Index, &row, &[])).unwrap();
    names(&hive.try_claim("c", 1).unwrap_err(), "task=a state=claimed");
    let Task { holder, .. } = hive.task("a");
    assert_eq!((holder.unwrap().bot, task.id), (bot("b"), id("a")));
}

impl Fixture {
    fn push_unchecked(&self, task: NewTask) -> Task {
        self.store.write(|tx| tx.queue().enqueue(task)).unwrap()
    }

    fn ready_rows(&self) -> Vec<Vec<u8>> {
        use crate::engine::records::Records;
        let rows = self.view().rows(Table::Index, &super::keys::ready().range(), 9).unwrap();
        rows.into_iter().map(|(row, _)| row).collect()
    }
}

#[test]
fn no_task_is_said_to_wait_for_somebody_while_a_damaged_bot_might_be_able_to_do_it() {
    let hive = Fixture::new();
    hive.register("able", &["fly"], 3);
    hive.register("other", &["swim"], 3);
    hive.push(named("fly").capability("fly"));
    hive.push(named("due").capability("fly").not_before(time(1)));
    hive.push(named("swim").capability("swim"));
    hive.push(named("his").assign_to(bot("able")));
    hive.pass(2);
    let shown = |hive: &Fixture| {
        let states = ["fly", "due", "swim", "his"].map(|name| hive.task(name).state);
        let counts = hive.view().queue().counts().unwrap();
        (states, counts.ready, counts.waiting, hive.view().queue().page(Some(TaskState::Ready), None, 9).unwrap())
    };
    let before = shown(&hive);
    assert_eq!((before.0, before.1, before.2), ([TaskState::Ready; 4], 4, 0));
    hive.damage(CollectionId::REGISTRY, bot("able").as_bytes());
    assert_eq!(shown(&hive), before);
    assert!(hive.view().queue().stuck(9).unwrap().is_empty());
    for task in ["fly", "his"] {
        assert_eq!(
            hive.view().queue().why(&id(task), &ClaimOptions::default()).unwrap_err().kind(),
            ErrorKind::Damaged,
            "{task}"
        );
    }
}
