//! Every verb of callers and bots, and every refusal. The fixture checks after each write that tasks, assignments,
//! counts and index agree.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::error::ErrorKind;
use crate::state::ids::{BotId, TaskId, Token};
use crate::state::queue::{Claim, ClaimOptions, NewTask, Priority, Retry, Task, TaskState};
use crate::state::registry::Bot;
use crate::testkit::checked_store::{Fixture, time};

pub(super) fn bot(name: &str) -> BotId {
    BotId::new(name).unwrap()
}

pub(super) fn id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

pub(super) fn named(name: &str) -> NewTask {
    NewTask::new(json!({ "work": name })).id(id(name))
}

impl Fixture {
    pub(super) fn push(&self, task: NewTask) -> Task {
        self.write(|tx| tx.queue().enqueue(task))
    }

    /// The ids of what a bot gets that asks for so many.
    pub(super) fn claim_ids(&self, who: &str, max: usize) -> Vec<String> {
        self.claim(who, max).into_iter().map(|claim| claim.id.to_string()).collect()
    }

    pub(super) fn claim(&self, who: &str, max: usize) -> Vec<Claim> {
        self.write(|tx| tx.queue().claim(&bot(who), &ClaimOptions { max, ..ClaimOptions::default() }))
    }

    pub(super) fn claim_one(&self, who: &str) -> Claim {
        self.claim(who, 1).pop().unwrap()
    }

    pub(super) fn task(&self, name: &str) -> Task {
        self.view().queue().get(&id(name)).unwrap().unwrap()
    }

    pub(super) fn register(&self, who: &str, able: &[&str], most: u32) {
        let specializations = able.iter().map(ToString::to_string).collect();
        let new = Bot { specializations, max_concurrent: Some(most), ..Bot::new(bot(who)) };
        self.write(|tx| tx.registry().put(&new));
    }

    /// The tasks of each bot, by the assignments.
    pub(super) fn assigned(&self) -> Vec<String> {
        let shown = |assignment: crate::state::assignments::Assignment| {
            format!("{} {} {:?}", assignment.bot, assignment.task, assignment.hold)
        };
        self.view().assignments().list().map(|assignment| shown(assignment.unwrap())).collect()
    }
}

#[test]
fn a_task_goes_in_and_is_there_as_it_was_given_back() {
    let hive = Fixture::new();
    let task = hive.push(
        named("a")
            .priority(Priority::P1)
            .capability("rust")
            .attributes(serde_json::from_value(json!({"title": "T"})).unwrap()),
    );
    assert_eq!(hive.task("a"), task);
    assert_eq!((task.state, task.attempts, task.enqueued_at), (TaskState::Waiting, 0, time(0)));
    assert_eq!(task.attributes["title"], "T");
}

#[test]
fn a_task_without_an_id_gets_one_that_is_free() {
    let hive = Fixture::new();
    assert_eq!(hive.push(NewTask::new(1)).id, id("task-1"));
    hive.push(named("task-3"));
    assert_eq!(hive.push(NewTask::new(2)).id, id("task-3-2"));
}

#[test]
fn the_same_id_twice_is_refused() {
    let hive = Fixture::new();
    hive.push(named("a"));
    let error = hive.refused(|tx| tx.queue().enqueue(named("a")));
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.to_string(), "there is a task with that id; choose another: task=a state=ready");
}

#[test]
fn the_same_idempotency_key_gives_the_same_task_even_when_it_is_done() {
    let hive = Fixture::new();
    let new = || NewTask::new("x").idempotency_key("k");
    let first = hive.push(new());
    assert_eq!(hive.push(new()), first);
    let other = hive.push(NewTask::new("x").idempotency_key("k2"));
    assert_ne!(other.id, first.id);
    let claim = hive.claim_one("b");
    hive.write(|tx| tx.queue().complete(&claim.id, claim.token, 1));
    let again = hive.push(new());
    assert_eq!((again.id, again.state), (first.id, TaskState::Done));
}

#[test]
fn a_dependency_that_never_existed_is_refused_unless_missing_dependencies_are_allowed() {
    let hive = Fixture::new();
    hive.push(named("build"));
    let error = hive.refused(|tx| tx.queue().enqueue(named("review").after(id("build")).after(id("biuld"))));
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "there is no task of that name to wait for; enqueue it first, or allow missing dependencies: \
         depends_on=biuld"
    );
    let review = hive.push(named("review").after(id("biuld")).allow_missing_dependencies());
    assert_eq!(review.waiting_for, [id("biuld")].into());
}

#[test]
fn within_a_transaction_the_task_to_wait_for_comes_first() {
    let hive = Fixture::new();
    hive.write(|tx| {
        tx.queue().enqueue(named("build"))?;
        tx.queue().enqueue(named("review").after(id("build")))
    });
    let error = hive.refused(|tx| {
        tx.queue().enqueue(named("late").after(id("early")))?;
        tx.queue().enqueue(named("early"))
    });
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn a_delay_counts_from_the_enqueueing_by_the_clock_of_the_store() {
    let hive = Fixture::new();
    hive.pass(5);
    let delayed = hive.push(named("a").delay(Duration::from_secs(10)));
    assert_eq!(delayed.not_before, Some(time(15)));
    let both = hive.push(named("b").delay(Duration::from_secs(10)).not_before(time(20)));
    assert_eq!(both.not_before, Some(time(20)), "the later of both counts");
    hive.pass(10);
    assert_eq!(hive.claim_ids("x", 2), ["a"]);
}

#[test]
fn a_claim_goes_by_priority_and_within_one_first_in_first_out() {
    let hive = Fixture::new();
    for (name, priority) in [("c", Priority::P2), ("z", Priority::P1), ("a", Priority::P2), ("y", Priority::P1)] {
        hive.push(named(name).priority(priority));
    }
    hive.push(named("p3").priority(Priority::P3));
    hive.push(named("p0").priority(Priority::P0));
    hive.register("b", &[], 10);
    assert_eq!(hive.claim_ids("b", 3), ["p0", "z", "y"]);
    assert_eq!(hive.claim_ids("b", 10), ["c", "a", "p3"]);
    assert_eq!(hive.claim_ids("b", 10), [""; 0]);
}

#[test]
fn a_claim_tells_all_that_the_work_needs() {
    let hive = Fixture::new();
    hive.push(named("a"));
    let claim = hive.claim_one("b");
    let json = serde_json::to_value(&claim).unwrap();
    assert_eq!(json["id"], "a");
    assert_eq!(json["token"], 1);
    assert_eq!(json["payload"], json!({"work": "a"}));
    assert_eq!(json["attempt"], 1);
    assert_eq!(claim.deadline, time(30));
    let holder = hive.task("a").holder.unwrap();
    assert_eq!((holder.bot, holder.token, holder.deadline, holder.session), (bot("b"), Token(1), time(30), None));
    assert_eq!(hive.assigned(), ["b a Claimed"]);
}

#[test]
fn a_start_beyond_the_last_time_is_kept_as_the_last_time() {
    let hive = Fixture::new();
    let pushed = hive.push(named("z").not_before(jiff::Timestamp::MAX));
    assert_eq!(hive.task("z"), pushed);
}

#[test]
fn a_lease_is_seven_days_at_most_and_a_retry_comes_within_thirty() {
    let hive = Fixture::new();
    hive.push(named("a"));
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    let of = |lease| ClaimOptions { lease, ..ClaimOptions::default() };
    for longer in [week + Duration::from_millis(1), Duration::MAX] {
        let error = hive.refused(|tx| tx.queue().claim(&bot("b"), &of(longer)));
        assert!(error.to_string().starts_with("a lease is too long; shorten it: length_ms="), "{error}");
    }
    let claim = hive.write(|tx| tx.queue().claim(&bot("b"), &of(week))).remove(0);
    assert_eq!(hive.refused(|tx| tx.queue().extend(&claim.id, claim.token, Duration::MAX)).kind(), ErrorKind::Invalid);
    hive.write(|tx| tx.queue().extend(&claim.id, claim.token, week));
    let later = Retry::After(Duration::from_secs(30 * 24 * 60 * 60 + 1));
    let error = hive.refused(|tx| tx.queue().fail(&claim.id, claim.token, "why", later));
    assert!(error.to_string().starts_with("the delay of a retry is too long"), "{error}");
}

#[test]
fn a_lease_without_length_is_refused() {
    let hive = Fixture::new();
    let none = ClaimOptions { lease: Duration::ZERO, ..ClaimOptions::default() };
    let error = hive.refused(|tx| tx.queue().claim(&bot("b"), &none));
    assert_eq!(error.to_string(), "a lease lasts at least a millisecond: lease_ms=0");
    hive.push(named("a"));
    let claim = hive.claim_one("b");
    let error = hive.refused(|tx| tx.queue().extend(&claim.id, claim.token, Duration::ZERO));
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn a_bot_gets_only_what_it_can_do() {
    let hive = Fixture::new();
    for (name, asked) in [("rust", &["rust"][..]), ("both", &["python", "rust"]), ("none", &[]), ("go", &["go"])] {
        hive.push(asked.iter().fold(named(name), |task, capability| task.capability(*capability)));
    }
    hive.register("rusty", &["rust", "sql"], 10);
    hive.register("poly", &["python", "rust", "c"], 10);
    assert_eq!(hive.claim_ids("stranger", 10), ["none"]);
    assert_eq!(hive.claim_ids("rusty", 10), ["rust"]);
    assert_eq!(hive.claim_ids("poly", 10), ["both"]);
    assert_eq!(hive.task("go").state, TaskState::Waiting);
}

#[test]
fn no_bot_holds_more_than_it_may() {
    let hive = Fixture::new();
    (0..9).for_each(|i| drop(hive.push(named(&format!("t{i}")))));
    hive.register("two", &[], 2);
    hive.register("zero", &[], 0);
    assert_eq!(hive.claim("stranger", 9).len(), 3);
    assert_eq!(hive.claim("two", 1).len() + hive.claim("two", 9).len(), 2);
    assert_eq!(hive.claim("two", 9).len(), 0);
    assert_eq!(hive.claim("zero", 9).len(), 0);
    let done = hive.view().queue().claimed_by(&bot("two")).unwrap().remove(0);
    hive.write(|tx| tx.queue().complete(&done.id, done.holder.unwrap().token, 1));
    assert_eq!(hive.claim("two", 9).len(), 1);
}

#[test]
fn an_assigned_task_goes_to_its_bot_alone() {
    let hive = Fixture::new();
    hive.push(named("a").assign_to(bot("bee")).priority(Priority::P0));
    hive.push(named("b"));
    assert_eq!(hive.assigned(), ["bee a Assigned"]);
    assert_eq!(hive.claim_ids("ant", 5), ["b"]);
    hive.push(named("c"));
    assert_eq!(hive.claim_ids("bee", 5), ["a", "c"]);
    assert_eq!(hive.assigned(), ["ant b Claimed", "bee a Claimed", "bee c Claimed"]);
}

#[test]
fn assigning_moves_a_ready_task_and_is_refused_for_what_another_holds_or_nobody_can_do() {
    let hive = Fixture::new();
    hive.push(named("a"));
    hive.write(|tx| tx.queue().assign(&id("a"), &bot("ant")));
    hive.write(|tx| tx.queue().assign(&id("a"), &bot("bee")));
    assert_eq!(hive.assigned(), ["bee a Assigned"]);
    hive.write(|tx| tx.queue().unassign(&id("a")));
    assert_eq!(hive.assigned(), [""; 0]);

    let claim = hive.claim_one("ant");
    let error = hive.refused(|tx| tx.queue().assign(&id("a"), &bot("bee")));
    assert_eq!(error.to_string(), "another bot holds the task; release it first: task=a held_by=ant");
    hive.write(|tx| tx.queue().assign(&id("a"), &bot("ant")));
    hive.write(|tx| tx.queue().release(&id("a"), claim.token));
    assert_eq!(hive.assigned(), ["ant a Assigned"]);

    hive.write(|tx| tx.queue().cancel(&id("a")));
    assert_eq!(hive.assigned(), [""; 0]);
    let error = hive.refused(|tx| tx.queue().assign(&id("a"), &bot("bee")));
    assert_eq!(error.to_string(), "a finished task cannot be assigned; requeue it first: task=a state=cancelled");
    let error = hive.refused(|tx| tx.queue().assign(&id("x"), &bot("bee")));
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::NotFound, "there is no such task: task=x"));
}

#[test]
fn completing_finishes_the_task_with_its_result() {
    let hive = Fixture::new();
    hive.push(named("a"));
    let claim = hive.claim_one("b");
    hive.pass(2);
    let done = hive.write(|tx| tx.queue().complete(&claim.id, claim.token, json!({"ok": true})));
    assert_eq!(hive.task("a"), done);
    assert_eq!((done.state, done.finished_at, done.finished_by), (TaskState::Done, Some(time(2)), Some(bot("b"))));
    assert_eq!((done.result, done.holder), (json!({"ok": true}), None));
    assert_eq!(hive.assigned(), [""; 0]);
}

#[test]
fn a_failed_attempt_comes_back_later_until_all_are_spent() {
    let hive = Fixture::new();
    hive.push(named("a").max_attempts(2));
    let claim = hive.claim_one("b");
    let failed = hive.write(|tx| tx.queue().fail(&claim.id, claim.token, "boom", Retry::Later));
    assert_eq!((failed.state, failed.attempts), (TaskState::Scheduled, 1));
    assert_eq!(failed.last_error.as_deref(), Some("boom"));
    let after = failed.not_before.unwrap();
    assert!(after >= time(0) + Duration::from_millis(500) && after <= time(1), "{after}");
    assert_eq!(hive.claim("b", 1), []);
    hive.pass(1);
    let claim = hive.claim_one("b");
    assert_eq!(claim.attempts, 2);
    let dead = hive.write(|tx| tx.queue().fail(&claim.id, claim.token, "boom", Retry::Later));
    assert_eq!((dead.state, dead.finished_by), (TaskState::Dead, Some(bot("b"))));
    assert_eq!(hive.claim("b", 1), []);
}

#[test]
fn a_bot_says_when_to_try_again_or_that_it_is_no_use() {
    let hive = Fixture::new();
    hive.push(named("a"));
    let claim = hive.claim_one("b");
    let later = Retry::After(Duration::from_secs(60));
    assert_eq!(hive.write(|tx| tx.queue().fail(&claim.id, claim.token, "e", later)).not_before, Some(time(60)));
    hive.pass(60);
    let claim = hive.claim_one("b");
    let now = Retry::After(Duration::ZERO);
    hive.write(|tx| tx.queue().fail(&claim.id, claim.token, "e", now));
    let claim = hive.claim_one("b");
    let failed = hive.write(|tx| tx.queue().fail(&claim.id, claim.token, "wrong input", Retry::Never));
    assert_eq!((failed.state, failed.attempts), (TaskState::Failed, 3));
}

#[test]
fn a_released_task_has_lost_neither_attempt_nor_place() {
    let hive = Fixture::new();
    hive.push(named("a").max_attempts(1));
    hive.push(named("b"));
    let claim = hive.claim_one("x");
    let released = hive.write(|tx| tx.queue().release(&claim.id, claim.token));
    assert_eq!((released.state, released.attempts), (TaskState::Ready, 0));
    assert_eq!(hive.claim_ids("x", 2), ["a", "b"]);
}

#[test]
fn an_old_token_is_refused_by_every_verb_and_the_message_says_who_holds_the_task() {
    let hive = Fixture::new();
    hive.push(named("a"));
    let old = hive.claim_one("ant").token;
    hive.write(|tx| tx.queue().release(&id("a"), old));
    let nobody = hive.refused(|tx| tx.queue().complete(&id("a"), old, 1));
    assert_eq!(nobody.kind(), ErrorKind::Conflict);
    assert_eq!(
        nobody.to_string(),
        "the token is void, nobody holds the task now; throw this work away: task=a token=1 state=ready"
    );
    let new = hive.claim_one("bee").token;
    assert!(new > old);
    let held = "the token is void, another claim holds the task now; throw this work away: task=a token=1 held_by=bee";
    let a = id("a");
    let long = Duration::from_secs(9);
    assert_eq!(hive.refused(|tx| tx.queue().complete(&a, old, 1)).to_string(), held);
    assert_eq!(hive.refused(|tx| tx.queue().extend(&a, old, long)).to_string(), held);
    assert_eq!(hive.refused(|tx| tx.queue().release(&a, old)).to_string(), held);
    assert_eq!(hive.refused(|tx| tx.queue().fail(&a, old, "e", Retry::Later)).to_string(), held);
    assert_eq!(hive.refused(|tx| tx.queue().complete(&id("x"), new, 1)).kind(), ErrorKind::NotFound);
    hive.write(|tx| tx.queue().complete(&a, new, 1));
    assert_eq!(hive.refused(|tx| tx.queue().complete(&a, new, 1)).kind(), ErrorKind::Conflict);
}

#[test]
fn a_cancelled_task_is_taken_from_its_holder() {
    let hive = Fixture::new();
    hive.push(named("a"));
    let claim = hive.claim_one("b");
    let cancelled = hive.write(|tx| tx.queue().cancel(&id("a")));
    assert_eq!((cancelled.state, cancelled.finished_by), (TaskState::Cancelled, None), "the bot finished nothing");
    assert_eq!(hive.refused(|tx| tx.queue().complete(&claim.id, claim.token, 1)).kind(), ErrorKind::Conflict);
    let error = hive.refused(|tx| tx.queue().cancel(&id("a")));
    assert_eq!(error.to_string(), "only what is not finished can be cancelled: task=a state=cancelled");
}

#[test]
fn a_holder_that_cancels_its_task_has_finished_it() {
    let hive = Fixture::new();
    hive.push(named("a"));
    hive.claim_one("b");
    let store = hive.store.acting_as(crate::Actor::new("b").as_bot("b"));
    assert_eq!(store.write(|tx| tx.queue().cancel(&id("a"))).unwrap().finished_by, Some(bot("b")));
}

#[test]
fn a_requeued_task_begins_again_behind_the_others() {
    let hive = Fixture::new();
    hive.push(named("a").max_attempts(1));
    let error = hive.refused(|tx| tx.queue().requeue(&id("a")));
    assert_eq!(error.to_string(), "only a failed, dead or cancelled task can be requeued: task=a state=ready");
    let claim = hive.claim_one("x");
    hive.write(|tx| tx.queue().fail(&claim.id, claim.token, "boom", Retry::Later));
    hive.push(named("b"));
    let again = hive.write(|tx| tx.queue().requeue(&id("a")));
    assert_eq!((again.state, again.attempts, again.finished_at), (TaskState::Ready, 0, None));
    assert_eq!(again.last_error.as_deref(), Some("boom"));
    assert_eq!(hive.claim_ids("x", 2), ["b", "a"]);
}

#[test]
fn pages_by_state_give_every_task_once_and_in_order() {
    let hive = Fixture::new();
    hive.push(named("later").not_before(time(50)));
    hive.push(named("soon").not_before(time(5)));
    hive.push(named("waits").after(id("later")).after(id("soon")).after(id("unknown")).allow_missing_dependencies());
    hive.push(named("second"));
    hive.push(named("first").priority(Priority::P0));
    hive.push(named("gone"));
    hive.write(|tx| tx.queue().cancel(&id("gone")));
    let pages = |state: Option<TaskState>, limit: usize| {
        let view = hive.view();
        let (mut names, mut cursor) = (Vec::new(), None);
        loop {
            let page = view.queue().page(state, cursor.as_deref(), limit).unwrap();
            assert!(!page.tasks.is_empty() || cursor.is_none(), "a page that was said to come is empty");
            names.extend(page.tasks.into_iter().map(|task| task.id.to_string()));
            cursor = page.next;
            if cursor.is_none() {
                return names;
            }
        }
    };
    for limit in [0, 1, 2, 3, 100] {
        assert_eq!(pages(Some(TaskState::Ready), limit), ["first", "second"]);
        assert_eq!(pages(Some(TaskState::Scheduled), limit), ["soon", "later"]);
        assert_eq!(pages(Some(TaskState::Waiting), limit), ["waits"]);
        assert_eq!(pages(Some(TaskState::Cancelled), limit), ["gone"]);
        assert_eq!(pages(Some(TaskState::Claimed), limit), [""; 0]);
        assert_eq!(pages(None, limit), ["first", "gone", "later", "second", "soon", "waits"]);
    }
    let view = hive.view();
    let next = |state| view.queue().page(state, None, 1).unwrap().next.unwrap();
    let (of_all, of_ready) = (next(None), next(Some(TaskState::Ready)));
    let others = [(None, &*of_ready), (Some(TaskState::Ready), &of_all), (Some(TaskState::Claimed), &of_ready)];
    for (state, cursor) in others.into_iter().chain([(None, "x")]) {
        let error = view.queue().page(state, Some(cursor), 1).unwrap_err();
        let message = format!("a cursor must come from the previous page of the same list: cursor={cursor}");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Invalid, message));
    }
}

#[test]
fn as_of_a_point_the_queue_is_as_it_was() {
    let hive = Fixture::new();
    hive.push(named("a"));
    hive.push(named("b"));
    hive.claim_one("x");
    let point = hive.seal();
    let now = hive.claim_one("x");
    hive.write(|tx| tx.queue().complete(&now.id, now.token, 1));
    let then = hive.view_at(point);
    let names = |tasks: Vec<Task>| tasks.into_iter().map(|task| task.id.to_string()).collect::<BTreeSet<_>>();
    let page = |state, limit| then.queue().page(Some(state), None, limit).unwrap();
    assert_eq!(names(page(TaskState::Ready, 9).tasks), ["b".to_string()].into());
    assert_eq!(names(page(TaskState::Claimed, 9).tasks), ["a".to_string()].into());
    assert_eq!(names(then.queue().claimed_by(&bot("x")).unwrap()), ["a".to_string()].into());
    let counts = then.queue().counts().unwrap();
    assert_eq!((counts.ready, counts.claimed, counts.done), (1, 1, 0));
}

#[test]
fn purging_removes_what_finished_before_a_time_and_forgets_its_key() {
    let hive = Fixture::new();
    let new = || named("a").idempotency_key("k");
    hive.push(new());
    hive.push(named("b"));
    hive.push(named("c"));
    hive.write(|tx| tx.queue().cancel(&id("a")));
    hive.pass(10);
    hive.write(|tx| tx.queue().cancel(&id("b")));
    assert_eq!(hive.write(|tx| tx.queue().purge(time(0), 10)), 0);
    assert_eq!(hive.write(|tx| tx.queue().purge(time(10), 10)), 1);
    assert_eq!(hive.write(|tx| tx.queue().purge(time(11), 10)), 1);
    assert_eq!(hive.view().queue().list().count(), 1);
    assert_eq!(hive.push(new()).state, TaskState::Ready);
}

#[test]
fn a_task_that_others_wait_for_is_not_purged_and_does_not_stand_in_the_way_of_those_behind_it() {
    let hive = Fixture::new();
    hive.push(named("waiting").after(id("a")).allow_missing_dependencies());
    for name in ["a", "b", "c"] {
        hive.push(named(name));
        hive.write(|tx| tx.queue().cancel(&id(name)));
    }
    hive.pass(10);
    assert_eq!(hive.write(|tx| tx.queue().purge(time(10), 1)), 1);
    assert_eq!(hive.write(|tx| tx.queue().purge(time(10), 9)), 1);
    assert_eq!(hive.write(|tx| tx.queue().requeue(&id("a"))).state, TaskState::Ready);
    let claim = hive.claim_one("x");
    hive.write(|tx| tx.queue().complete(&claim.id, claim.token, 1));
    hive.pass(10);
    assert_eq!(hive.write(|tx| tx.queue().purge(time(20), 9)), 1, "it has nothing to wait for any more");
    assert_eq!(hive.claim_ids("x", 9), ["waiting"]);
}

#[test]
fn a_task_that_is_put_back_does_not_wait_for_one_that_was_purged() {
    let hive = Fixture::new();
    hive.push(named("before"));
    hive.push(named("dead").after(id("before")));
    hive.push(named("never claimed").after(id("none yet")).allow_missing_dependencies());
    let before = hive.claim_one("x");
    hive.write(|tx| tx.queue().complete(&before.id, before.token, 1));
    hive.pass(10);
    let dead = hive.claim_one("x");
    hive.write(|tx| tx.queue().fail(&dead.id, dead.token, "no", Retry::Never));
    hive.write(|tx| tx.queue().cancel(&id("never claimed")));
    assert_eq!(hive.write(|tx| tx.queue().purge(time(10), 9)), 1);
    assert_eq!(hive.write(|tx| tx.queue().requeue(&dead.id)).waiting_for, BTreeSet::new());
    let waiting = hive.write(|tx| tx.queue().requeue(&id("never claimed")));
    assert_eq!(waiting.waiting_for, [id("none yet")].into(), "what has not come yet may still come");
    assert_eq!(hive.claim_ids("x", 9), ["dead"]);
}

#[test]
fn all_that_is_old_is_purged_however_much_it_is() {
    let hive = Fixture::new();
    hive.write(|tx| {
        for number in 0..600 {
            let task = tx.queue().enqueue(NewTask::new(number))?;
            tx.queue().cancel(&task.id)?;
        }
        Ok(())
    });
    let ten = Duration::from_secs(10);
    hive.pass(10);
    assert_eq!(hive.store.purge_finished(ten).unwrap(), 0, "it is not older than that");
    hive.pass(1);
    assert_eq!(hive.store.purge_at_most(ten, 300).unwrap(), 300);
    assert_eq!(hive.store.purge_finished(ten).unwrap(), 300);
    hive.check();
}
