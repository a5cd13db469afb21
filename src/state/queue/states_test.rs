//! The states that tasks are shown in, why a task is not claimed, who may hold how many, and keys that are used twice.

use std::time::Duration;

use serde_json::json;

use crate::error::ErrorKind;
use crate::state::queue::verbs_test::{bot, id, named};
use crate::state::queue::{ClaimOptions, ClaimOwner, NewTask, Priority, Retry, TaskState};
use crate::testkit::checked_store::{Fixture, time};

/// One task of each kind that is not ready, one that is, and a bot that can do Rust.
fn hive_of_all() -> Fixture {
    let hive = Fixture::new();
    hive.register("rusty", &["rust"], 3);
    hive.push(named("later").not_before(time(10)));
    hive.push(named("now"));
    hive.push(named("after").after(id("now")));
    hive.push(named("gone").assign_to(bot("nobody")));
    hive.push(named("gpu").capability("gpu"));
    hive.push(named("rust").capability("rust"));
    hive.push(named("rusty gpu").capability("gpu").assign_to(bot("rusty")));
    hive
}

fn why(hive: &Fixture, name: &str) -> String {
    hive.view().queue().why(&id(name), &ClaimOptions::default()).unwrap().to_string()
}

#[test]
fn scheduled_waiting_and_ready_tasks_differ_in_tasks_lists_and_counts() {
    let hive = hive_of_all();
    let states = [
        ("later", TaskState::Scheduled),
        ("now", TaskState::Ready),
        ("after", TaskState::Waiting),
        ("gone", TaskState::Waiting),
        ("gpu", TaskState::Waiting),
        ("rust", TaskState::Ready),
        ("rusty gpu", TaskState::Waiting),
    ];
    let check = |hive: &Fixture, states: &[(&str, TaskState)]| {
        let view = hive.view();
        let counts = view.queue().counts().unwrap();
        for state in TaskState::ALL {
            let mut expected: Vec<_> = states.iter().filter(|(_, own)| *own == state).map(|(name, _)| *name).collect();
            expected.sort_unstable();
            for limit in [1, 2, 100] {
                let (mut listed, mut cursor) = (Vec::new(), None);
                loop {
                    let page = view.queue().page(Some(state), cursor.as_deref(), limit).unwrap();
                    listed.extend(page.tasks.into_iter().map(|task| task.id.to_string()));
                    cursor = page.next;
                    if cursor.is_none() {
                        break;
                    }
                }
                listed.sort_unstable();
                assert_eq!(listed, expected, "{state} by {limit}");
            }
            assert_eq!(counts.of(state), expected.len() as u64, "{state}");
        }
        for (name, state) in states {
            assert_eq!(hive.task(name).state, *state, "{name}");
        }
        assert_eq!(counts.total(), states.len() as u64);
    };
    check(&hive, &states);
    // The time has come, and nobody has claimed since.
    hive.pass(10);
    let due = states.map(|(name, state)| (name, if name == "later" { TaskState::Ready } else { state }));
    check(&hive, &due);
    // Somebody comes who can do it, and the one that was waited for goes.
    hive.register("nobody", &["gpu"], 1);
    let came = due.map(|(name, state)| (name, if matches!(name, "gone" | "gpu") { TaskState::Ready } else { state }));
    check(&hive, &came);
    hive.write(|tx| tx.registry().remove(&bot("nobody")));
    check(&hive, &due);
    let then = hive.view_at(hive.seal());
    assert_eq!(then.queue().counts().unwrap().of(TaskState::Waiting), 4);
}

#[test]
fn why_is_known_for_the_present_only_because_claims_are() {
    let hive = hive_of_all();
    let then = hive.view_at(hive.seal());
    let refused = [
        then.queue().why(&id("now"), &ClaimOptions::default()).unwrap_err(),
        then.queue().why_bot(&id("now"), &bot("rusty"), &ClaimOptions::default()).unwrap_err(),
        then.queue().why_nothing(&bot("rusty"), &ClaimOptions::default()).unwrap_err(),
        then.queue().stuck(9).unwrap_err(),
    ];
    assert_eq!(refused.map(|error| error.kind()), [ErrorKind::Invalid; 4]);
}

#[test]
fn a_cursor_of_scheduled_tasks_stays_good_when_its_task_comes_due() {
    let hive = Fixture::new();
    for (name, seconds) in [("a", 5), ("b", 10), ("c", 15)] {
        hive.push(named(name).not_before(time(seconds)));
    }
    let first = hive.view().queue().page(Some(TaskState::Scheduled), None, 1).unwrap();
    hive.pass(12);
    let rest = hive.view().queue().page(Some(TaskState::Scheduled), first.next.as_deref(), 9).unwrap();
    assert_eq!(rest.tasks.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["c"]);
}

#[test]
fn why_says_of_each_task_what_keeps_it_or_who_may_claim_it() {
    let hive = hive_of_all();
    hive.register("idle", &[], 0);
    let shown = crate::clock::show_time(time(10));
    assert_eq!(why(&hive, "later"), format!("scheduled until {shown}"));
    assert_eq!(why(&hive, "now"), "ready: any bot may claim it");
    assert_eq!(why(&hive, "after"), "waiting: waits for now (ready)");
    assert_eq!(why(&hive, "gone"), "waiting: assigned to nobody, which is not registered");
    assert_eq!(why(&hive, "gpu"), "waiting: needs gpu; no registered bot has it");
    assert_eq!(why(&hive, "rusty gpu"), "waiting: needs gpu, which rusty does not have");
    assert_eq!(why(&hive, "rust"), "ready: rusty may claim it; behind 1 task that goes first");
    assert_eq!(hive.view().queue().why(&id("x"), &ClaimOptions::default()).unwrap_err().kind(), ErrorKind::NotFound);

    assert_eq!(hive.claim_ids("rusty", 3), ["now", "rust"]);
    let until = crate::clock::show_time(time(30));
    assert_eq!(why(&hive, "now"), format!("claimed by rusty until {until}"));
    assert_eq!(why(&hive, "after"), "waiting: waits for now (claimed by rusty)");
    hive.push(named("third").priority(Priority::P0));
    assert_eq!(hive.claim_ids("rusty", 1), ["third"]);
    hive.push(named("more rust").capability("rust"));
    assert_eq!(why(&hive, "more rust"), "ready: rusty holds 3 of 3");
    hive.write(|tx| tx.queue().cancel(&id("now")));
    let given_up = "waiting: waits for now (cancelled: will never be done; requeue or cancel it)";
    assert_eq!(why(&hive, "after"), given_up);
    assert!(why(&hive, "now").starts_with("cancelled since "));
    hive.push(named("to come").after(id("not yet")).allow_missing_dependencies());
    assert_eq!(why(&hive, "to come"), "waiting: waits for not yet (no task has that name yet)");
}

#[test]
fn a_claim_whose_lease_has_ended_is_described_as_the_next_claim_will_find_it() {
    let hive = Fixture::new();
    hive.register("ant", &[], 1);
    hive.push(named("a"));
    hive.claim_one("ant");
    hive.pass(31);
    let why = hive.view().queue().why_bot(&id("a"), &bot("ant"), &ClaimOptions::default()).unwrap();
    assert!(why.is_next(), "{why}");
    let ended = crate::clock::show_time(time(30));
    assert_eq!(why.to_string(), format!("claimed: the lease of ant ended at {ended}; ant may claim it"));
    assert_eq!(hive.claim_ids("ant", 1), ["a"]);
}

#[test]
fn a_lease_that_has_ended_with_the_last_attempt_says_when() {
    let hive = Fixture::new();
    hive.push(named("a").max_attempts(1));
    hive.claim_one("ant");
    hive.pass(500);
    let ended = crate::clock::show_time(time(30));
    let expected = format!("claimed: the lease of ant ended at {ended}, and no attempt is left");
    assert_eq!(why(&hive, "a"), expected);
    let of_bot = hive.view().queue().why_bot(&id("a"), &bot("bee"), &ClaimOptions::default()).unwrap();
    assert_eq!((of_bot.to_string(), of_bot.is_next()), (expected, false));
    assert!(hive.claim_ids("bee", 1).is_empty());
    assert_eq!(why(&hive, "a"), format!("dead since {}", crate::clock::show_time(time(500))));
}

#[test]
fn a_task_that_is_scheduled_and_waits_names_both() {
    let hive = Fixture::new();
    hive.push(named("build"));
    hive.push(named("review").after(id("build")).not_before(time(10)));
    let expected = format!("waiting: waits for build (ready); scheduled until {}", crate::clock::show_time(time(10)));
    assert_eq!(why(&hive, "review"), expected);
    let of_bot = hive.view().queue().why_bot(&id("review"), &bot("ant"), &ClaimOptions::default()).unwrap();
    assert_eq!(of_bot.to_string(), expected);
}

#[test]
fn a_bot_that_takes_no_tasks_is_named() {
    let hive = Fixture::new();
    hive.register("idle", &["gpu"], 0);
    hive.push(named("train").capability("gpu"));
    hive.push(named("own").assign_to(bot("idle")));
    assert_eq!(
        why(&hive, "train"),
        "waiting: needs gpu; a bot that has it takes no tasks: raise its max_concurrent from 0: bot=idle"
    );
    assert_eq!(why(&hive, "own"), "waiting: idle takes no tasks; raise its max_concurrent from 0");
}

#[test]
fn tasks_that_wait_for_what_cannot_come_are_named() {
    let hive = hive_of_all();
    let stuck = |limit| {
        let stuck = hive.view().queue().stuck(limit).unwrap();
        let mut names: Vec<_> = stuck.into_iter().map(|(id, _)| id.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(stuck(9), ["gone", "gpu", "rusty gpu"]);
    assert_eq!(stuck(2).len(), 2);
    hive.write(|tx| tx.queue().cancel(&id("now")));
    hive.push(named("to come").after(id("not yet")).allow_missing_dependencies());
    assert_eq!(stuck(9), ["after", "gone", "gpu", "rusty gpu"], "what is to come may still come");
    hive.pass(24 * 60 * 60 + 1);
    assert_eq!(stuck(9), ["after", "gone", "gpu", "rusty gpu", "to come"]);
}

#[test]
fn a_bot_that_holds_as_many_as_it_may_is_told_so() {
    let hive = Fixture::new();
    (0..5).for_each(|number| drop(hive.push(named(&format!("t{number}")))));
    let ask =
        |who: &str, options: &ClaimOptions| hive.view().queue().why_nothing(&bot(who), options).unwrap().to_string();
    let usual = ClaimOptions { max: 9, ..ClaimOptions::default() };
    assert_eq!(hive.claim("stranger", 9).len(), 3);
    assert_eq!(ask("stranger", &usual), "stranger holds 3 of at most 3 tasks; finish one, or raise max_concurrent");
    let five = ClaimOptions { max_concurrent: Some(5), ..usual.clone() };
    assert_eq!(hive.write(|tx| tx.queue().claim(&bot("stranger"), &five)).len(), 2);
    assert_eq!(ask("stranger", &five), "stranger holds 5 of at most 5 tasks; finish one, or raise max_concurrent");
    let one = ClaimOptions { max_concurrent: Some(1), ..usual.clone() };
    let told = "stranger holds 5 of at most 1 task; finish one, or raise max_concurrent";
    assert_eq!(ask("stranger", &one), told, "it was allowed more before");
    hive.push(named("next"));
    let why = |options: &ClaimOptions| hive.view().queue().why_bot(&id("next"), &bot("stranger"), options).unwrap();
    assert_eq!(why(&one).to_string(), "ready: stranger holds 5 of 1");
    hive.write(|tx| tx.queue().cancel(&id("next")));
    assert_eq!(ask("other", &usual), "there is nothing to claim now: bot=other");
    hive.push(named("mine").assign_to(bot("registered")));
    hive.register("registered", &[], 1);
    assert_eq!(ask("other", &usual), "there is nothing to claim now: bot=other ready_for_others=1");
    hive.push(named("yours"));
    assert_eq!(hive.write(|tx| tx.queue().claim(&bot("registered"), &five)).len(), 1, "the smaller of both counts");
}

#[test]
fn a_key_that_is_used_again_tells_of_the_earlier_task_and_another_task_under_it_is_refused() {
    let hive = Fixture::new();
    let new = || named("a").idempotency_key("k").not_before(time(9));
    let again = |new: NewTask| hive.write(|tx| tx.queue().enqueue_once(new));
    assert!(again(new()).is_new);
    let same = again(new());
    assert_eq!((same.is_new, same.task.state, same.differs), (false, TaskState::Scheduled, vec![]));
    let without_wishes = NewTask::new(json!({"work": "a"})).idempotency_key("k");
    assert!(again(without_wishes).differs.is_empty(), "neither an id nor a time was asked for");

    for (other, differs) in [
        (NewTask::new(1).idempotency_key("k"), "payload"),
        (new().id(id("b")), "id"),
        (new().priority(Priority::P0), "priority"),
        (new().not_before(time(8)), "not_before"),
        (new().max_attempts(1), "max_attempts"),
        (new().assign_to(bot("ant")).capability("rust"), "capabilities,assigned_to"),
    ] {
        let error = hive.refused(|tx| tx.queue().enqueue(other.clone()));
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().ends_with(&format!("task=a state=scheduled differs={differs}")), "{error}");
        assert_eq!(again(other.allow_different()).differs.join(","), differs);
    }
    hive.write(|tx| tx.queue().cancel(&id("a")));
    let cancelled = again(new());
    assert_eq!((cancelled.is_new, cancelled.task.state), (false, TaskState::Cancelled));
}

#[test]
fn a_key_that_is_used_again_with_another_delay_is_another_task() {
    let hive = Fixture::new();
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let new = |key: &str| NewTask::new("work").idempotency_key(key);
    for task in [new("delayed").delay(minutes(10)), new("at once"), new("waits").delay(minutes(5)).after(id("task-2"))]
    {
        hive.push(task);
    }
    let differs = |new: NewTask| hive.write(|tx| tx.queue().enqueue_once(new.allow_different())).differs.join(",");
    hive.pass(7);
    let waits = || new("waits").after(id("task-2"));
    for (again, expected) in [
        (new("delayed").delay(minutes(10)), ""),
        (new("delayed"), ""),
        (new("delayed").delay(minutes(20)), "delay_ms"),
        (new("delayed").delay(minutes(0)), "delay_ms"),
        (new("delayed").not_before(time(60)), "not_before"),
        (new("delayed").not_before(time(600)), ""),
        (new("at once").delay(minutes(0)), ""),
        (new("at once").delay(minutes(1)), "delay_ms"),
        (new("at once").not_before(time(-60)), ""),
        (new("at once").not_before(time(60)), ""),
        (waits().delay(minutes(5)), ""),
        (waits().delay(minutes(6)), "delay_ms"),
    ] {
        assert_eq!(differs(again.clone()), expected, "{again:?}");
    }
    let error = hive.refused(|tx| tx.queue().enqueue(new("delayed").delay(minutes(20))));
    assert!(error.to_string().ends_with("task=task-1 state=scheduled differs=delay_ms"), "{error}");
    // A clock that goes on within a transaction makes no difference.
    let folder = tempfile::tempdir().unwrap();
    let store = crate::Store::open(folder.path().join("h.redb")).unwrap();
    store.write(|tx| tx.queue().enqueue(new("at once"))).unwrap();
    let later = new("at once").delay(minutes(1));
    assert_eq!(store.write(|tx| tx.queue().enqueue(later)).unwrap_err().kind(), ErrorKind::Conflict);
    // The same again is the same task, however it has gone on since.
    hive.pass(10 * 60);
    let claims = hive.claim("ant", 3);
    assert_eq!(claims.len(), 2);
    for (key, delay) in [("delayed", 10), ("at once", 0), ("waits", 5)] {
        let again = new(key).delay(minutes(delay));
        assert_eq!(differs(if key == "waits" { again.after(id("task-2")) } else { again }), "", "{key}");
    }
    for claim in claims {
        hive.write(|tx| tx.queue().fail(&claim.id, claim.token, "no", Retry::Later));
        hive.write(|tx| tx.queue().cancel(&claim.id));
        hive.write(|tx| tx.queue().requeue(&claim.id));
    }
    for (key, delay) in [("delayed", 10), ("at once", 0)] {
        assert_eq!(differs(new(key).delay(minutes(delay))), "", "{key}");
    }
}

#[test]
fn a_claim_belongs_to_the_process_that_has_a_session_unless_it_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::Store::open(folder.path().join("h.redb")).unwrap();
    let own = store.session().unwrap();
    let session = |owner| {
        let options = ClaimOptions { owner, max_concurrent: Some(9), ..ClaimOptions::default() };
        let claim = store
            .write(|tx| {
                tx.queue().enqueue(NewTask::new(1))?;
                tx.queue().claim(&bot("x"), &options)
            })
            .unwrap()
            .remove(0);
        store.view().unwrap().queue().get(&claim.id).unwrap().unwrap().holder.unwrap().session
    };
    assert_eq!(session(ClaimOptions::default().owner), Some(own));
    assert_eq!(session(ClaimOwner::Nobody), None);
    let other = crate::state::ids::SessionId(99);
    assert_eq!(session(ClaimOwner::Session(other)), Some(other));
}
