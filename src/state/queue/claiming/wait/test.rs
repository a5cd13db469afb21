//! Bots wait for tasks.

use super::*;
use crate::state::queue::verbs_test::{bot, id, named};
use crate::state::queue::{NewTask, Retry};
use crate::testkit::checked_store::Fixture;

const LONG: Duration = Duration::from_secs(60);

fn claim_wait(hive: &Fixture, timeout: Duration) -> Vec<String> {
    let claims = hive.store.claim_wait(&bot("ant"), &ClaimOptions::default(), timeout).unwrap();
    claims.into_iter().map(|claim| claim.id.to_string()).collect()
}

/// The claims of a bot that waits while `work` is done, and how long it waited.
fn waiting_while(hive: &Fixture, work: impl FnOnce()) -> (Vec<String>, Duration) {
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let started = Instant::now();
            (claim_wait(hive, LONG), started.elapsed())
        });
        while hive.store.commits().asleep() == 0 && !waits.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        work();
        waits.join().unwrap()
    })
}

#[test]
fn a_bot_that_waits_gets_the_task_that_comes() {
    let hive = Fixture::new();
    let (got, waited) = waiting_while(&hive, || drop(hive.push(named("a"))));
    assert_eq!(got, ["a"]);
    assert!(waited < LONG);
}

#[test]
fn a_task_that_comes_due_and_one_whose_lease_ends_are_noticed_without_a_commit() {
    let hive = Fixture::new();
    hive.push(named("later").not_before(crate::testkit::checked_store::time(10)));
    for seconds in [10, 30] {
        let (got, waited) = waiting_while(&hive, || hive.pass(seconds));
        assert_eq!(got, ["later"]);
        assert!(waited < LONG);
    }
}

/// Does `work`, lets ten seconds pass while a bot waits, and expects that the bot gets that task at once.
fn comes_due_in_ten_seconds(hive: &Fixture, work: impl FnOnce()) {
    let (got, waited) = waiting_while(hive, || {
        work();
        // A bot that `work` has woken sleeps again.
        std::thread::sleep(Duration::from_millis(200));
        hive.pass(10);
    });
    assert_eq!(got, ["a"]);
    assert!(waited < LONG, "nobody told the bot");
}

#[test]
fn a_task_that_is_pushed_for_later_while_a_bot_waits_is_noticed_when_it_comes_due() {
    let hive = Fixture::new();
    comes_due_in_ten_seconds(&hive, || drop(hive.push(named("a").not_before(crate::testkit::checked_store::time(10)))));
}

#[test]
fn a_task_that_fails_while_another_bot_waits_is_noticed_when_its_delay_is_over() {
    let hive = Fixture::new();
    hive.push(named("a"));
    let held = hive.claim_one("bee");
    comes_due_in_ten_seconds(&hive, || {
        let delay = Retry::After(Duration::from_secs(10));
        hive.write(|tx| tx.queue().fail(&held.id, held.token, "it broke", delay));
    });
}

#[test]
fn a_lease_that_ends_earlier_than_it_did_when_a_bot_began_to_wait_is_noticed() {
    let hive = Fixture::new();
    hive.push(named("a"));
    let held = hive.claim_one("bee");
    comes_due_in_ten_seconds(&hive, || {
        hive.write(|tx| tx.queue().extend(&held.id, held.token, Duration::from_secs(10)));
    });
}

#[test]
fn a_wait_continues_past_tasks_that_are_not_for_the_bot() {
    let hive = Fixture::new();
    hive.push(named("of another").assign_to(bot("bee")));
    hive.push(named("beyond it").capability("fly"));
    assert!(claim_wait(&hive, Duration::from_millis(150)).is_empty());
    assert_eq!(waiting_while(&hive, || drop(hive.push(NewTask::new(1).id("mine".parse().unwrap())))).0, ["mine"]);
}

#[test]
fn several_waiting_bots_share_the_tasks_that_come_and_none_gets_the_task_of_another() {
    let hive = Fixture::new();
    let got = std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4)
            .map(|number| {
                let store = &hive.store;
                scope.spawn(move || {
                    store.claim_wait(&bot(&format!("b{number}")), &ClaimOptions::default(), LONG).unwrap()
                })
            })
            .collect();
        (0..4).for_each(|number| drop(hive.push(named(&format!("t{number}")))));
        waiting.into_iter().flat_map(|waits| waits.join().unwrap()).map(|claim| claim.id).collect::<Vec<_>>()
    });
    let mut names: Vec<_> = got.iter().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(names, ["t0", "t1", "t2", "t3"]);
}

#[test]
fn what_another_process_pushes_is_noticed() {
    let hive = Fixture::new();
    let other = Store::options().open_with(hive.store.path(), crate::state::indexes::INDEXES).unwrap();
    let push = || drop(other.write(|tx| tx.queue().enqueue(named("a"))).unwrap());
    let (got, waited) = waiting_while(&hive, push);
    assert_eq!(got, ["a"]);
    assert!(waited < LONG);
}

#[test]
fn what_another_process_pushes_is_noticed_although_this_one_commits_something_else_at_once() {
    let hive = Fixture::new();
    let other = Store::options().open_with(hive.store.path(), crate::state::indexes::INDEXES).unwrap();
    let (got, waited) = waiting_while(&hive, || {
        other.write(|tx| tx.queue().enqueue(named("a"))).unwrap();
        hive.store.write(|tx| tx.config().put("a", &serde_json::json!(1))).unwrap();
    });
    assert_eq!(got, ["a"]);
    assert!(waited < LONG, "nobody told the bot");
}

#[test]
fn who_waits_for_nothing_that_comes_does_not_look() {
    let hive = Fixture::new();
    hive.push(named("later").not_before(crate::testkit::checked_store::time(10)));
    let news = std::thread::scope(|scope| {
        scope.spawn(|| claim_wait(&hive, Duration::from_millis(600)));
        std::thread::sleep(Duration::from_millis(200));
        let seen = hive.store.commits().count();
        std::thread::sleep(Duration::from_millis(300));
        hive.store.commits().count() - seen
    });
    assert_eq!(news, 0);
}

/// How often each of many waiting bots looks while `work` is done, and the claims of each.
fn looks_while(hive: &Fixture, bots: usize, work: impl FnOnce()) -> Vec<(usize, Vec<String>)> {
    let waiting = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let wait = |number: usize| {
            let (store, waiting) = (&hive.store, &waiting);
            scope.spawn(move || {
                let until = Duration::from_secs(4);
                let mut wait = ClaimWait::new(&bot(&format!("b{number}")), &ClaimOptions::default(), until);
                for looks in 0.. {
                    if let Some(claims) = wait.look(store).unwrap() {
                        return (looks, claims.into_iter().map(|claim| claim.id.to_string()).collect());
                    }
                    waiting.fetch_add(usize::from(looks == 0), std::sync::atomic::Ordering::SeqCst);
                    let _woken = wait.sleep(LONG);
                }
                unreachable!("it looks for ever")
            })
        };
        let bots: Vec<_> = (0..bots).map(wait).collect();
        while waiting.load(std::sync::atomic::Ordering::SeqCst) < bots.len() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(50));
        work();
        bots.into_iter().map(|waits| waits.join().unwrap()).collect()
    })
}

/// The bots that looked again before the end, besides their first look and their last.
fn woken(looks: &[(usize, Vec<String>)]) -> usize {
    looks.iter().filter(|(looks, claims)| *looks > 1 || !claims.is_empty()).count()
}

#[test]
fn a_task_wakes_one_of_many_bots_that_wait_and_a_batch_as_many_as_it_has_tasks() {
    let hive = Fixture::new();
    wakes(1, |number| {
        let name = format!("a{number}");
        let looks = looks_while(&hive, 100, || drop(hive.push(named(&name))));
        assert_eq!(looks.iter().flat_map(|(_, claims)| claims.clone()).collect::<Vec<_>>(), [name]);
        woken(&looks)
    });
    wakes(7, |_| {
        let tasks = (0..7).map(NewTask::new).collect();
        let looks = looks_while(&hive, 100, || drop(hive.store.enqueue_all(tasks).unwrap()));
        assert_eq!(looks.iter().filter(|(_, claims)| claims.len() == 1).count(), 7);
        woken(&looks)
    });
    // That is no task.
    wakes(0, |number| {
        woken(&looks_while(&hive, 100, || {
            hive.write(|tx| tx.config().put("a", &serde_json::json!(number)));
        }))
    });
}

#[test]
fn a_commit_of_another_process_wakes_one_of_many_bots_and_a_batch_of_it_as_many_as_it_has_tasks() {
    let hive = Fixture::new();
    let other = Store::options().open_with(hive.store.path(), crate::state::indexes::INDEXES).unwrap();
    wakes(1, |number| {
        let looks = looks_while(&hive, 100, || {
            other.write(|tx| tx.config().put("a", &serde_json::json!(number))).unwrap();
        });
        woken(&looks)
    });
    let tasks = (0..7).map(NewTask::new).collect();
    let looks = looks_while(&hive, 100, || drop(other.enqueue_all(tasks).unwrap()));
    assert_eq!(looks.iter().filter(|(_, claims)| claims.len() == 1).count(), 7);
    assert!(woken(&looks) < 50, "{}", woken(&looks));
    // One that only the last can do reaches it.
    hive.register("b23", &["fly"], 9);
    let looks = looks_while(&hive, 30, || {
        other.write(|tx| tx.queue().enqueue(named("b").capability("fly"))).unwrap();
    });
    assert_eq!(looks[23].1, ["b"]);
}

#[test]
fn tasks_that_another_process_assigns_to_bots_that_are_not_registered_reach_each_of_them() {
    let hive = Fixture::new();
    let other = Store::options().open_with(hive.store.path(), crate::state::indexes::INDEXES).unwrap();
    let tasks = [("x", "b5"), ("y", "b7")].map(|(task, one)| named(task).assign_to(bot(one)));
    let looks = looks_while(&hive, 9, || drop(other.enqueue_all(tasks.to_vec()).unwrap()));
    assert_eq!((&*looks[5].1, &*looks[7].1), (&["x".to_owned()][..], &["y".to_owned()][..]));
}

/// The watch may look between a commit and its telling, and then it wakes everybody. It does not three times in a row.
fn wakes(wanted: usize, mut woken: impl FnMut(usize) -> usize) {
    let mut counts = Vec::new();
    while counts.len() < 3 && !counts.contains(&wanted) {
        counts.push(woken(counts.len()));
    }
    assert!(counts.contains(&wanted), "{counts:?} were woken, not {wanted}");
}

#[test]
fn a_task_for_one_bot_wakes_that_one_and_a_task_that_only_the_last_can_do_reaches_it() {
    let hive = Fixture::new();
    wakes(1, |number| {
        let name = format!("a{number}");
        let looks = looks_while(&hive, 30, || drop(hive.push(named(&name).assign_to(bot("b17")))));
        assert_eq!(looks[17].1, [name]);
        woken(&looks)
    });
    hive.register("b23", &["fly"], 9);
    let looks = looks_while(&hive, 30, || drop(hive.push(named("b").capability("fly"))));
    assert_eq!(looks[23].1, ["b"]);
}

#[test]
fn a_bot_that_gets_room_and_one_that_gains_a_capability_find_the_task_that_was_there() {
    let hive = Fixture::new();
    hive.register("b0", &[], 1);
    ["a", "b"].iter().for_each(|name| drop(hive.push(named(name))));
    let held = hive.claim_one("b0");
    hive.write(|tx| tx.queue().assign(&id("b"), &bot("b0")));
    let looks = looks_while(&hive, 3, || {
        hive.write(|tx| tx.queue().complete(&held.id, held.token, 1));
    });
    assert_eq!(looks[0].1, ["b"]);
    hive.push(named("c").capability("fly"));
    let looks = looks_while(&hive, 3, || hive.register("b2", &["fly"], 9));
    assert_eq!(looks[2].1, ["c"]);
}

#[test]
fn when_the_store_is_closed_waiting_ends() {
    let hive = Fixture::new();
    let started = Instant::now();
    let error = std::thread::scope(|scope| {
        let waits = scope.spawn(|| hive.store.claim_wait(&bot("ant"), &ClaimOptions::default(), LONG));
        std::thread::sleep(Duration::from_millis(30));
        hive.store.close_file().unwrap();
        waits.join().unwrap().unwrap_err()
    });
    assert_eq!(error.kind(), crate::error::ErrorKind::Reopen);
    assert!(started.elapsed() < LONG);
}

#[test]
fn a_time_beyond_every_calendar_is_waited_for() {
    let hive = Fixture::new();
    hive.push(named("a"));
    assert_eq!(claim_wait(&hive, Duration::MAX), ["a"]);
}

#[test]
fn a_bot_that_wakes_to_see_to_other_work_needs_no_writer_meanwhile_and_is_told() {
    let hive = Fixture::new();
    let mut wait = ClaimWait::new(&bot("ant"), &ClaimOptions::default(), LONG);
    assert!(wait.sleep(LONG), "it has not looked yet");
    assert_eq!(wait.look(&hive.store).unwrap(), None);
    // While a transaction is open, another one would wait for it.
    hive.write(|_| {
        assert!((0..5).all(|_| !wait.sleep(Duration::from_millis(10))));
        Ok(())
    });
    let claims = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            hive.push(named("a"))
        });
        loop {
            if wait.sleep(Duration::from_millis(100))
                && let Some(claims) = wait.look(&hive.store).unwrap()
            {
                return claims;
            }
        }
    });
    assert_eq!(claims.first().map(|claim| claim.id.as_str()), Some("a"));
}
