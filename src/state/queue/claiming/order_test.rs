//! Aging: the order of claims, and that every page and every answer has the same order.

use std::time::Duration;

use crate::error::ErrorKind;
use crate::state::queue::verbs_test::{bot, id, named};
use crate::state::queue::{ClaimOptions, NewTask, Obstacle, Priority, Retry, TaskState};
use crate::testkit::checked_store::{Fixture, time};

/// A period of ten seconds.
fn aging() -> ClaimOptions {
    ClaimOptions { aging: Some(Duration::from_secs(10)), max_concurrent: Some(99), ..ClaimOptions::default() }
}

/// Tasks of every priority that became ready at different times: one came due unnoticed, the lease of one has ended.
fn hive_of_ages() -> Fixture {
    let hive = Fixture::new();
    hive.push(named("held").priority(Priority::P1));
    hive.claim_one("gone");
    for (number, priority) in [3, 2, 0, 1, 2, 3, 0, 1, 1, 0].into_iter().enumerate() {
        hive.push(named(&format!("t{number}")).priority(Priority::ALL[priority]));
        hive.pass(4);
    }
    hive.push(named("due").priority(Priority::P2).not_before(time(41)));
    hive.pass(1);
    hive
}

/// The ids of all ready tasks, by pages of this many.
fn listed(hive: &Fixture, options: &ClaimOptions, limit: usize) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = hive.view().queue().ready_page(options, cursor.as_deref(), limit).unwrap();
        assert!(page.tasks.len() <= limit && page.tasks.iter().all(|task| task.state == TaskState::Ready));
        ids.extend(page.tasks.into_iter().map(|task| task.id.to_string()));
        cursor = page.next;
        if cursor.is_none() {
            return ids;
        }
    }
}

/// The ids of all tasks as one claim after the other takes them.
fn claimed(hive: &Fixture, options: &ClaimOptions) -> Vec<String> {
    std::iter::from_fn(|| hive.write(|tx| tx.queue().claim(&bot("x"), options)).pop())
        .map(|claim| claim.id.to_string())
        .collect()
}

#[test]
fn with_aging_a_task_of_low_priority_runs_under_urgent_work_without_end_and_without_it_does_not() {
    for (aging, expected) in [(None, None), (Some(Duration::from_secs(10)), Some(30))] {
        let hive = Fixture::new();
        hive.push(named("low").priority(Priority::P3));
        let options = ClaimOptions { aging, ..ClaimOptions::default() };
        let mut ran_at = None;
        for second in 0..60 {
            hive.push(NewTask::new(second).priority(Priority::P0));
            let claim = hive.write(|tx| tx.queue().claim(&bot("x"), &options)).remove(0);
            if claim.id == id("low") {
                ran_at = Some(second);
            }
            hive.write(|tx| tx.queue().complete(&claim.id, claim.token, 1));
            hive.pass(1);
        }
        assert_eq!(ran_at, expected);
    }
}

#[test]
fn a_task_ages_from_the_time_that_it_could_be_claimed_on() {
    let hive = Fixture::new();
    let aging = ClaimOptions { aging: Some(Duration::from_secs(10)), ..ClaimOptions::default() };
    hive.push(named("delayed").priority(Priority::P1).not_before(time(100)));
    hive.pass(101);
    hive.push(named("urgent").priority(Priority::P0));
    let first = hive.write(|tx| tx.queue().claim(&bot("x"), &aging)).remove(0);
    assert_eq!(first.id, id("urgent"), "the other one has been ready for a second");
    hive.write(|tx| tx.queue().complete(&first.id, first.token, 1));
    assert_eq!(hive.task("delayed").ready_since, Some(time(100)));
    let claim = hive.claim_one("x");
    let failed = hive.write(|tx| tx.queue().fail(&claim.id, claim.token, "no", Retry::After(Duration::from_secs(5))));
    assert_eq!(failed.ready_since, None);
    hive.pass(60);
    let claim = hive.claim_one("x");
    assert_eq!(hive.write(|tx| tx.queue().release(&claim.id, claim.token)).ready_since, Some(time(106)));
}

#[test]
fn with_aging_why_counts_the_tasks_that_a_claim_takes_first() {
    for options in [aging(), ClaimOptions { aging: None, ..aging() }] {
        let hive = hive_of_ages();
        let view = hive.view();
        for (number, name) in claimed(&hive, &options).iter().enumerate() {
            let whys = [
                view.queue().why(&id(name), &options).unwrap(),
                view.queue().why_bot(&id(name), &bot("x"), &options).unwrap(),
            ];
            for why in whys {
                let ahead = why.reasons.iter().map(|reason| match reason {
                    Obstacle::Behind { tasks } => *tasks,
                    other => panic!("{name}: {other}"),
                });
                assert_eq!(ahead.sum::<u64>(), number as u64, "{name}: {why}");
            }
        }
    }
}

#[test]
fn with_aging_ready_tasks_are_listed_in_the_order_of_claims_by_pages_of_any_length() {
    for options in [aging(), ClaimOptions { aging: None, ..aging() }] {
        let hive = hive_of_ages();
        // Tasks that nobody has noticed to be ready yet stand at the end of a list, and are not told apart here.
        hive.write(|tx| tx.queue().claim(&bot("none"), &ClaimOptions { max_concurrent: Some(0), ..aging() }));
        let pages: Vec<_> = [1, 2, 3, 99].map(|limit| listed(&hive, &options, limit)).into();
        let order = claimed(&hive, &options);
        assert_eq!(order.len(), 12);
        for page in pages {
            assert_eq!(page, order);
        }
    }
}

#[test]
fn a_list_with_aging_has_the_lanes_of_bots_and_the_tasks_that_came_due_too() {
    let hive = hive_of_ages();
    hive.register("rusty", &["rust"], 9);
    for name in ["r0", "r1"] {
        hive.push(named(name).capability("rust").priority(Priority::P3));
    }
    hive.push(named("nobody can").capability("gpu"));
    let once = listed(&hive, &aging(), 99);
    assert_eq!(once.len(), 13, "all but what nobody can do and what is still claimed: {once:?}");
    assert_eq!(once.last().unwrap(), "due");
    for limit in 1..=13 {
        assert_eq!(listed(&hive, &aging(), limit), once);
    }
}

#[test]
fn a_cursor_of_a_list_with_aging_is_refused_when_it_is_cut_off_or_another_lists() {
    let hive = hive_of_ages();
    let cursor = hive.view().queue().ready_page(&aging(), None, 1).unwrap().next.unwrap();
    let of_done = "7107640000000000000000";
    for wrong in (0..cursor.len()).map(|len| &cursor[..len]).chain([of_done, "zz"]) {
        let error = hive.view().queue().ready_page(&aging(), Some(wrong), 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}");
    }
}

#[test]
fn a_claim_of_no_task_and_aging_without_length_are_refused() {
    let hive = hive_of_ages();
    for (options, message) in [
        (ClaimOptions { max: 0, ..aging() }, "a claim takes at least one task: max=0"),
        (
            ClaimOptions { aging: Some(Duration::ZERO), ..aging() },
            "aging takes at least a millisecond; leave it out for none: aging_ms=0",
        ),
    ] {
        let error = hive.refused(|tx| tx.queue().claim(&bot("x"), &options));
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Invalid, message.to_owned()));
        let error = hive.store.claim_wait(&bot("x"), &options, Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(hive.view().queue().why(&id("t0"), &options).unwrap_err().to_string(), message);
    }
    assert_eq!(hive.refused(|tx| tx.queue().expire(0)).kind(), ErrorKind::Invalid);
    assert_eq!(hive.refused(|tx| tx.queue().purge(time(99), 0)).kind(), ErrorKind::Invalid);
}
