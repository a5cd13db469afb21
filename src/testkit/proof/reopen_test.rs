//! A store whose disk fails and comes back is opened anew without losing its session or what was acknowledged.

use std::path::Path;

use serde_json::{Value, json};

use super::disk::{EIO, Fault, Operation};
use super::fleet::{Fleet, Mode};
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::recovery::sessions::session::SessionState;
use crate::state::ids::BotId;
use crate::state::queue::{ClaimOptions, NewTask, TaskState};

const THREADS: usize = 4;
const PUTS: usize = 40;
/// Modes that share the file, and that do not.
const MODES: [usize; 2] = [0, 1];

fn failing(kind: Operation, nth: usize, for_ever: bool) -> Fault {
    Fault { kind, nth, for_ever, errno: EIO, short: false, forgets: false }
}

fn put(store: &Store, key: &str, value: usize) -> Result<()> {
    store.write(|tx| tx.collection("things")?.put(key, &json!(value)))
}

fn get(store: &Store, key: &str) -> Option<Value> {
    store.view().unwrap().collection::<Value>("things").unwrap().get(key).unwrap()
}

/// A store with a session, and its disk.
fn fleet(folder: &Path, mode: usize) -> Fleet {
    Fleet::new(folder, Mode::of(mode)).unwrap()
}

/// Has the next commit fail at its sync.
fn fail_a_commit(fleet: &Fleet) {
    fleet.disk.fail(failing(Operation::Sync, 1, false));
    assert_eq!(put(&fleet.store, "lost", 1).unwrap_err().kind(), ErrorKind::Uncertain);
    assert_eq!(put(&fleet.store, "refused", 1).unwrap_err().kind(), ErrorKind::Reopen);
}

#[test]
fn after_a_failed_commit_the_store_is_opened_again_and_its_session_continues() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let fleet = fleet(folder.path(), mode);
        let (store, session) = (fleet.store.clone(), fleet.store.session());
        let (bot, options) = (BotId::new("ant").unwrap(), ClaimOptions::default());
        let task = store.write(|tx| tx.queue().enqueue(NewTask::new(json!(1)))).unwrap();
        let claim = store.write(|tx| tx.queue().claim(&bot, &options)).unwrap().remove(0);
        put(&store, "kept", 1).unwrap();
        fail_a_commit(&fleet);

        store.reopen().unwrap();
        assert_eq!(get(&fleet.store, "kept"), Some(json!(1)));
        put(&fleet.store, "kept", 2).unwrap();
        assert_eq!(store.session(), session);
        assert_eq!(store.notice_crashes().unwrap(), []);
        store.write(|tx| tx.queue().complete(&claim.id, claim.token, json!("done"))).unwrap();
        assert_eq!(store.view().unwrap().queue().get(&task.id).unwrap().unwrap().state, TaskState::Done);

        store.close().unwrap();
        let after = Fleet::on(&fleet.disk, folder.path(), Mode::of(mode), fleet.known.clone()).unwrap();
        let ended = after.store.sessions().unwrap().remove(0);
        assert_eq!((Some(ended.id), ended.state), (session, SessionState::Closed));
    }
}

#[test]
fn a_store_that_is_closed_after_a_failed_commit_has_a_clean_end_nevertheless() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let fleet = fleet(folder.path(), mode);
        fail_a_commit(&fleet);
        fleet.store.close().unwrap();
        let after = Fleet::on(&fleet.disk, folder.path(), Mode::of(mode), fleet.known.clone()).unwrap();
        assert_eq!(after.store.sessions().unwrap().remove(0).state, SessionState::Closed);
        assert_eq!(after.store.notice_crashes().unwrap(), []);
    }
}

#[test]
fn an_end_that_cannot_be_written_at_first_is_written_after_the_file_was_opened_again() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let fleet = fleet(folder.path(), mode);
        put(&fleet.store, "kept", 1).unwrap();
        fleet.disk.fail(failing(Operation::Sync, 1, false));
        fleet.store.close().unwrap();
        let (disk, known) = (fleet.disk.clone(), fleet.known.clone());
        drop(fleet);
        let after = Fleet::on(&disk, folder.path(), Mode::of(mode), known).unwrap();
        assert_eq!(after.store.sessions().unwrap().remove(0).state, SessionState::Closed);
    }
}

#[test]
fn reopening_is_refused_while_the_disk_fails_and_works_once_it_is_back() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let fleet = fleet(folder.path(), mode);
        put(&fleet.store, "kept", 1).unwrap();
        fail_a_commit(&fleet);
        fleet.disk.fail(failing(Operation::Read, 1, true));
        for _ in 0..3 {
            assert_eq!(fleet.store.reopen().unwrap_err().kind(), ErrorKind::Io);
            assert_eq!(put(&fleet.store, "refused", 1).unwrap_err().kind(), ErrorKind::Reopen);
            assert_eq!(fleet.store.view().unwrap_err().kind(), ErrorKind::Reopen);
        }
        fleet.disk.mend();
        fleet.store.reopen().unwrap();
        assert_eq!(get(&fleet.store, "kept"), Some(json!(1)));
        put(&fleet.store, "kept", 2).unwrap();
        assert!(fleet.store.check().unwrap().is_sound());
    }
}

#[test]
fn on_a_full_disk_the_store_that_was_opened_again_can_be_read() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let fleet = fleet(folder.path(), mode);
        put(&fleet.store, "kept", 1).unwrap();
        fleet.disk.leave_room(4);
        let long = "x".repeat(40_000);
        let fill = |number: usize| fleet.store.write(|tx| tx.collection("filling")?.put(&number.to_string(), &long));
        let _full: Error = (0..).find_map(|number| fill(number).err()).unwrap();
        fleet.store.reopen().unwrap();
        assert_eq!(get(&fleet.store, "kept"), Some(json!(1)));
        fleet.disk.leave_room(1000);
        // A failure for want of space while it was opened is over too.
        fleet.store.reopen().unwrap();
        put(&fleet.store, "kept", 2).unwrap();
    }
}

#[test]
fn a_view_from_before_fails_cleanly_and_says_why() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let fleet = fleet(folder.path(), mode);
        let before = fleet.store.view().unwrap();
        fail_a_commit(&fleet);
        fleet.store.reopen().unwrap();
        let error = before.collection::<Value>("things").and_then(|things| things.get("a")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Reopen);
        let message = "an earlier failure closed the file, and this view with it; begin another view";
        assert_eq!(error.to_string(), message);
        drop(before);
        put(&fleet.store, "a", 2).unwrap();

        let kept = fleet.store.view().unwrap();
        fleet.store.close().unwrap();
        let error = kept.collection::<Value>("things").and_then(|things| things.get("a")).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::Reopen, "the store was closed; open it again")
        );
    }
}

#[test]
fn without_a_failure_nothing_is_opened_again_and_a_closed_store_stays_closed() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(folder.path(), 0);
    let view = fleet.store.view().unwrap();
    fleet.store.reopen().unwrap();
    assert_eq!(view.config().get("a").unwrap(), Some(json!("first")));
    let nested = fleet.store.write(|_| fleet.store.reopen()).unwrap_err();
    assert_eq!(nested.kind(), ErrorKind::Conflict);
    fleet.store.close().unwrap();
    let closed = fleet.store.reopen().unwrap_err();
    assert_eq!(
        (closed.kind(), closed.to_string().as_str()),
        (ErrorKind::Reopen, "the store was closed; open it again")
    );
}

/// Puts numbers one after another, and opens the store anew whenever that fails.
fn put_all(store: &Store, key: &str) {
    for number in 0..PUTS {
        while let Err(error) = put(store, key, number) {
            let kinds = [ErrorKind::Uncertain, ErrorKind::NotCommitted, ErrorKind::Reopen, ErrorKind::Io];
            assert!(kinds.contains(&error.kind()), "{error}");
            while store.reopen().is_err() {}
        }
    }
}

#[test]
fn clones_that_write_at_the_same_time_open_a_failing_store_again_and_lose_nothing() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let fleet = fleet(folder.path(), mode);
        let keys: Vec<_> = (0..THREADS).map(|thread| format!("thread {thread}")).collect();
        std::thread::scope(|scope| {
            let writers: Vec<_> = keys.iter().map(|key| scope.spawn(|| put_all(&fleet.store.clone(), key))).collect();
            for nth in (1..7).cycle() {
                fleet.disk.fail(failing(if nth % 2 == 0 { Operation::Sync } else { Operation::Write }, nth, false));
                std::thread::sleep(std::time::Duration::from_millis(2));
                if writers.iter().all(|writer| writer.is_finished()) {
                    break;
                }
            }
        });
        fleet.disk.mend();
        fleet.store.reopen().unwrap();
        for key in keys {
            assert_eq!(get(&fleet.store, &key), Some(json!(PUTS - 1)));
        }
        assert!(fleet.store.check().unwrap().is_sound());
        fleet.store.close().unwrap();
    }
}
