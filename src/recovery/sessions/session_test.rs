//! Sessions end cleanly, or their crash is noticed.

use std::time::Duration;

use crate::clock::{Clock, ManualClock};
use crate::engine::codec;
use crate::engine::commit::Outcome;
use crate::engine::feed::Fed;
use crate::engine::options::Sharing;
use crate::engine::store::{Options, Store};
use crate::error::ErrorKind;
use crate::recovery::events::event::EventKind;
use crate::recovery::points::selector::Selector;
use crate::recovery::sessions::session::{Session, SessionState};
use crate::state::ids::{BotId, SessionId};
use crate::state::page::Page;
use crate::state::queue::{ClaimOptions, ClaimOwner, NewTask, TaskState};

struct Hive {
    folder: tempfile::TempDir,
    clock: ManualClock,
}

impl Hive {
    fn new() -> Self {
        let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
        Self { folder: tempfile::tempdir().unwrap(), clock }
    }

    fn open(&self) -> Store {
        self.options().open(self.folder.path().join("h.redb")).unwrap()
    }

    fn options(&self) -> Options {
        Store::options().clock(self.clock.clone())
    }

    /// A session of a dead process: its row is open, and no process holds its byte.
    fn leave_a_dead_session(&self, id: u64) {
        let store = self.options().session(false).open(self.folder.path().join("h.redb")).unwrap();
        let now = store.clock().now();
        let session = Session {
            id: SessionId(id),
            pid: 1,
            program: "bot".into(),
            opened_at: now,
            alive_at: now,
            state: SessionState::Open,
            ended_at: None,
        };
        store
            .alone(|tx| {
                let bytes = codec::encode(&session)?;
                tx.put_row(crate::engine::schema::Table::Sessions, &id.to_be_bytes(), &bytes)?;
                let bot = BotId::new("BOT-1")?;
                tx.queue().enqueue(NewTask::new("work"))?;
                tx.queue().claim(
                    &bot,
                    &ClaimOptions { owner: ClaimOwner::Session(SessionId(id)), ..ClaimOptions::default() },
                )?;
                Ok(Outcome::Commit(()))
            })
            .unwrap();
        store.close().unwrap();
    }
}

#[test]
fn a_session_that_is_kept_alive_sends_nothing_to_a_replica_and_tells_when_it_was_alive() {
    for sharing in [Sharing::Shared, Sharing::Exclusive, Sharing::SharedLog] {
        let hive = Hive::new();
        let store = hive.options().sharing(sharing).open(hive.folder.path().join("h.redb")).unwrap();
        store.begin_feed(0).unwrap();
        let begun = store.feed_status().unwrap().unwrap().sequence;
        let kept = |store: &Store| match store.feed_after(begun, usize::MAX).unwrap() {
            Fed::Commits(commits) => commits.len(),
            Fed::Gap => panic!("nothing is lost"),
        };
        let session = store.session().unwrap();
        // Some of them go past the log, and some into it, from where they are moved into the file.
        for round in 0..8 {
            hive.clock.advance(Duration::from_secs(10));
            store.write(|tx| tx.keep_alive(session)).unwrap();
            if round == 5 {
                store.lay_log_down().unwrap();
            }
            assert_eq!(kept(&store), 0, "{sharing:?} {round}");
            assert_eq!(store.sessions().unwrap()[0].alive_at, hive.clock.now());
        }
        store.write(|tx| tx.keep_alive(session).and_then(|()| tx.queue().enqueue(NewTask::new("work")))).unwrap();
        assert_eq!(kept(&store), 1, "{sharing:?}");
        store.lay_log_down().unwrap();
        assert_eq!(kept(&store), 1, "{sharing:?}");
        store.close().unwrap();
        let ended = hive.open().sessions().unwrap()[1].clone();
        assert_eq!((ended.state, ended.alive_at), (SessionState::Closed, hive.clock.now()));
    }
}

#[test]
fn the_bytes_of_a_session_are_fixed() {
    let session = Session {
        id: SessionId(7),
        pid: 9,
        program: "p".into(),
        opened_at: jiff::Timestamp::from_microsecond(1).unwrap(),
        alive_at: jiff::Timestamp::from_microsecond(2).unwrap(),
        state: SessionState::Crashed,
        ended_at: Some(jiff::Timestamp::from_microsecond(3).unwrap()),
    };
    let bytes = codec::encode(&session).unwrap();
    assert_eq!(bytes, b"\x01\x07\x09\x01p\x02\x04\x02\x01\x06");
    assert_eq!(codec::decode::<Session>(&bytes).unwrap(), session);
}

#[test]
fn a_first_start_and_a_clean_close_are_not_crashes() {
    let hive = Hive::new();
    let store = hive.open();
    assert!(store.session().is_some() && store.crash().unwrap().is_none());
    store.close().unwrap();
    drop(hive.open());
    let store = hive.open();
    assert!(store.crash().unwrap().is_none());
    let states: Vec<_> = store.sessions().unwrap().iter().map(|session| session.state).collect();
    assert_eq!(states, [SessionState::Open, SessionState::Closed, SessionState::Closed]);
}

#[test]
fn a_close_while_another_writes_can_be_tried_again_and_a_drop_waits() {
    let hive = Hive::new();
    let other = hive.options().session(false).open(hive.folder.path().join("h.redb")).unwrap();
    let open = || {
        let options = hive.options().lock_timeout(Duration::from_millis(50));
        options.open(hive.folder.path().join("h.redb")).unwrap()
    };
    let store = open();
    let refused = other.write(|_| Ok(store.close().unwrap_err())).unwrap();
    assert_eq!(refused.kind(), ErrorKind::Locked, "{refused}");
    assert!(store.view().is_ok() && other.notice_crashes().unwrap().is_empty(), "it is open, and lives");
    store.close().unwrap();

    let dropped = open();
    let dropping = other.write(|_| {
        let dropping = std::thread::spawn(|| drop(dropped));
        std::thread::sleep(Duration::from_millis(300));
        Ok(dropping)
    });
    dropping.unwrap().join().unwrap();
    assert_eq!(other.notice_crashes().unwrap(), []);
    let states: Vec<_> = other.sessions().unwrap().iter().map(|session| session.state).collect();
    assert_eq!(states, [SessionState::Closed, SessionState::Closed]);
}

#[test]
fn a_search_for_dead_processes_creates_no_file() {
    let hive = Hive::new();
    hive.leave_a_dead_session(900);
    let path = hive.folder.path().join("h.redb");
    let store = hive.options().read_only(true).open(&path).unwrap();
    assert_eq!(store.crash().unwrap().unwrap().session.id, SessionId(900));
    assert!(!hive.folder.path().join("h.redb.sessions").exists());
}

#[test]
fn a_crash_is_shown_and_can_be_acknowledged_before_a_process_has_noticed_it() {
    let hive = Hive::new();
    hive.leave_a_dead_session(900);
    let path = hive.folder.path().join("h.redb");
    let before = std::fs::read(&path).unwrap();
    let looks = hive.options().read_only(true).open(&path).unwrap();
    let crash = looks.crash().unwrap().unwrap();
    assert_eq!((crash.session.id, crash.reason, crash.tasks_returned), (SessionId(900), "process_died", 1));
    assert_eq!(crash.outcome(), "nothing acknowledged is lost; 1 task goes back to ready once that is noticed");
    drop(looks);
    assert_eq!(std::fs::read(&path).unwrap(), before, "looking wrote");
    let store = hive.options().session(false).open(&path).unwrap();
    assert_eq!(store.acknowledge_crashes().unwrap(), 1);
    assert!(store.crash().unwrap().is_none());
    assert_eq!(store.view().unwrap().queue().list().next().unwrap().unwrap().state, TaskState::Ready);
}

#[test]
fn the_mark_of_a_clean_shutdown_excuses_a_dead_process_before_it_is_noticed_too() {
    for (wait, expected) in [(10, None), (31, Some(("stale_marker", 0)))] {
        let hive = Hive::new();
        hive.leave_a_dead_session(900);
        let path = hive.folder.path().join("h.redb");
        hive.options().session(false).open(&path).unwrap().mark_shutdown().unwrap();
        hive.clock.advance(Duration::from_secs(wait));
        let crash = hive.options().read_only(true).open(&path).unwrap().crash().unwrap();
        assert_eq!(crash.map(|crash| (crash.reason, crash.tasks_returned)), expected, "{wait} s");
    }
}

#[test]
fn tasks_that_a_dead_process_had_claimed_are_ready_again_with_the_attempt_counted() {
    let hive = Hive::new();
    hive.leave_a_dead_session(900);
    let store = hive.open();
    let crash = store.crash().unwrap().unwrap();
    assert_eq!((crash.session.id, crash.reason, crash.tasks_returned), (SessionId(900), "process_died", 1));
    let said = "nothing acknowledged is lost; 1 task went back to ready; acknowledge it once seen";
    assert_eq!(crash.to_string(), said, "a crash is no reason to restore");
    let task = store.view().unwrap().queue().list().next().unwrap().unwrap();
    assert_eq!((task.state, task.attempts), (TaskState::Ready, 1));
    assert_eq!(store.acknowledge_crashes().unwrap(), 1);
    assert!(store.crash().unwrap().is_none());
}

#[test]
fn with_a_history_of_every_commit_the_return_of_claims_is_a_commit_of_it() {
    let hive = Hive::new();
    let store = hive.options().history(Duration::from_secs(3600)).open(hive.folder.path().join("h.redb")).unwrap();
    hive.leave_a_dead_session(900);
    hive.clock.advance(Duration::from_secs(5));
    let noticed = hive.clock.now();
    assert_eq!(store.notice_crashes().unwrap().len(), 1);
    hive.clock.advance(Duration::from_secs(5));
    store.write(|tx| tx.config().put("later", &serde_json::json!(1))).unwrap();
    let before = store.at(Selector::At(noticed)).unwrap();
    let task = before.queue().list().next().unwrap().unwrap();
    assert_eq!((task.state, before.config().get("later").unwrap()), (TaskState::Ready, None));
}

#[test]
fn the_event_of_an_acknowledged_crash_says_how_it_came_and_who_did_it() {
    type End = fn(&Store);
    let ends: [(&str, End); 3] = [
        ("person", |store| assert_eq!(store.clone().acting_as("cli:7").acknowledge_crashes().unwrap(), 1)),
        ("shutdown_mark", |store| assert!(store.mark_shutdown().is_ok())),
        ("clean_end", |store| store.clone().close().unwrap()),
    ];
    for (because, end) in ends {
        let hive = Hive::new();
        hive.leave_a_dead_session(900);
        end(&hive.open());
        let event = hive.open().view().unwrap().events().list(Page::newest(9)).unwrap();
        let event = event.into_iter().find(|event| event.kind == EventKind::CrashAcknowledged).unwrap();
        assert_eq!(event.details["because"], because);
        let by = event.details["by"].as_str().unwrap().to_owned();
        assert!(if because == "person" { by == "cli:7" } else { by.starts_with("process ") }, "{by}");
    }
}

#[test]
fn another_living_process_is_not_taken_for_dead_and_notices_one_that_died() {
    let hive = Hive::new();
    let (first, second) = (hive.open(), hive.open());
    assert_eq!(second.notice_crashes().unwrap(), []);
    hive.leave_a_dead_session(900);
    let noticed = first.notice_crashes().unwrap();
    assert_eq!(noticed.iter().map(|session| session.id).collect::<Vec<_>>(), [SessionId(900)]);
    assert_eq!(second.notice_crashes().unwrap(), []);
}

#[test]
fn a_marked_shutdown_is_not_a_crash_unless_the_mark_is_stale_or_removed() {
    for (wait, take_back, expected) in
        [(10, false, None), (31, false, Some("stale_marker")), (10, true, Some("process_died"))]
    {
        let hive = Hive::new();
        let store = hive.open();
        store.mark_shutdown().unwrap();
        if take_back {
            store.take_mark_back().unwrap();
        }
        std::mem::forget(store.clone());
        hive.leave_a_dead_session(900);
        hive.clock.advance(Duration::from_secs(wait));
        let noticed = hive.open().crash().unwrap();
        assert_eq!(noticed.map(|crash| crash.reason), expected, "{wait} s, taken back: {take_back}");
    }
}

#[cfg(feature = "transfer")]
#[test]
fn a_store_that_was_overtaken_has_no_crash_since_nobody_can_acknowledge_one() {
    let hive = Hive::new();
    hive.leave_a_dead_session(900);
    let store = hive.options().session(false).open(hive.folder.path().join("h.redb")).unwrap();
    assert!(store.crash().unwrap().is_some());
    let fence = crate::engine::feed::Fence { replica: "there".into(), by_term: None, at: store.clock().now() };
    store.fence(&fence).unwrap();
    assert_eq!(store.crash().unwrap(), None);
    store.close().unwrap();
    assert_eq!(hive.open().crash().unwrap(), None);
}
