//! A store whose file is moved, replaced or removed while it is open: nothing is acknowledged that is written to no
//! name.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hivekeep::{ErrorKind, SessionState, Sharing, Store};
use serde_json::json;

struct Hive {
    folder: tempfile::TempDir,
    store: Store,
}

fn hive(sharing: Sharing) -> Hive {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::options().sharing(sharing).open(folder.path().join("h.redb")).unwrap();
    let hive = Hive { folder, store };
    // The third commit of a process that has the store for itself begins a log.
    (0..4).for_each(|_| hive.put(1).unwrap());
    hive
}

impl Hive {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn path(&self) -> &Path {
        self.store.path()
    }

    fn put(&self, number: usize) -> hivekeep::Result<()> {
        self.store.write(|tx| tx.config().put("a", &json!(number)))
    }
}

/// Takes the file away from its path.
type Away = fn(&Hive);

const AWAY: [Away; 3] = [
    |hive| fs::remove_file(hive.path()).unwrap(),
    |hive| fs::rename(hive.path(), hive.at("moved")).unwrap(),
    |hive| {
        fs::copy(hive.path(), hive.at("other")).unwrap();
        fs::rename(hive.at("other"), hive.path()).unwrap();
    },
];

#[test]
fn every_write_to_a_file_that_was_moved_replaced_or_removed_is_an_error_of_its_own_and_no_end_is_clean() {
    for sharing in [Sharing::Shared, Sharing::Exclusive] {
        for take_away in AWAY {
            let hive = hive(sharing);
            take_away(&hive);
            let store = &hive.store;
            let writes: [&dyn Fn() -> hivekeep::Result<()>; 8] = [
                &|| hive.put(2),
                &|| store.load(|tx| tx.config().put("a", &json!(2))),
                &|| store.restore_point("gone").map(drop),
                &|| store.mark_shutdown().map(drop),
                &|| store.upkeep(),
                &|| store.compact().map(drop),
                &|| hive.put(3),
                &|| store.close(),
            ];
            for (number, write) in writes.into_iter().enumerate() {
                let error = write().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Moved, "write {number}: {error}");
                assert!(error.to_string().starts_with("the file of the store was "), "{error}");
            }
        }
    }
}

#[test]
fn writes_acknowledged_before_a_file_was_moved_or_replaced_are_at_both_paths_afterwards() {
    for sharing in [Sharing::Shared, Sharing::Exclusive] {
        for (take_away, left) in [(AWAY[1], "moved"), (AWAY[2], "h.redb")] {
            for closes in [true, false] {
                let hive = hive(sharing);
                take_away(&hive);
                assert_eq!(hive.put(2).unwrap_err().kind(), ErrorKind::Moved);
                let path = hive.at(left);
                let Hive { folder: _folder, store } = hive;
                if closes {
                    store.close().unwrap_err();
                }
                drop(store);
                let store = Store::options().sharing(sharing).open(path).unwrap();
                assert_eq!(store.view().unwrap().config().get("a").unwrap(), Some(json!(1)));
            }
        }
    }
}

#[test]
fn a_file_that_is_put_back_takes_writes_again_and_what_was_refused_is_not_in_it() {
    let hive = hive(Sharing::Shared);
    fs::rename(hive.path(), hive.at("moved")).unwrap();
    assert_eq!(hive.put(2).unwrap_err().kind(), ErrorKind::Moved);
    assert_eq!(hive.store.view().unwrap().config().get("a").unwrap(), Some(json!(1)));
    fs::rename(hive.at("moved"), hive.path()).unwrap();
    assert_eq!(hive.store.view().unwrap().config().get("a").unwrap(), Some(json!(1)));
    hive.put(3).unwrap();
    hive.store.close().unwrap();
    let store = Store::open(hive.path()).unwrap();
    assert_eq!(store.view().unwrap().config().get("a").unwrap(), Some(json!(3)));
    assert_eq!(store.crash().unwrap(), None);
}

#[test]
fn a_store_that_another_has_replaced_is_not_opened_again_in_its_place() {
    let hive = hive(Sharing::Shared);
    fs::rename(hive.path(), hive.at("moved")).unwrap();
    Store::open(hive.path()).unwrap().close().unwrap();
    assert_eq!(hive.put(2).unwrap_err().kind(), ErrorKind::Moved);
    assert_eq!(hive.store.view().unwrap().config().get("a").unwrap(), Some(json!(1)));
    assert_eq!(hive.store.close().unwrap_err().kind(), ErrorKind::Moved);
    assert_eq!(Store::open(hive.path()).unwrap().view().unwrap().config().get("a").unwrap(), None);
}

#[test]
fn crashes_are_acknowledged_without_taking_the_work_of_a_process_that_cannot_be_seen() {
    let hive = hive(Sharing::Shared);
    let own = hive.store.session().unwrap();
    fs::remove_file(hive.at("h.redb.sessions")).unwrap();
    let other = Store::options().session(false).open(hive.path()).unwrap();
    assert_eq!(other.acknowledge_crashes().unwrap(), 0);
    let sessions = other.sessions().unwrap();
    let state = sessions.into_iter().find(|session| session.id == own).unwrap().state;
    assert_eq!(state, SessionState::Open);
    other.close().unwrap();
    hive.store.close().unwrap();
}

#[test]
fn a_process_whose_file_of_sessions_was_removed_is_not_taken_for_dead() {
    let hive = hive(Sharing::Shared);
    let (own, other) = (hive.store.session().unwrap(), Store::open(hive.path()).unwrap());
    for _ in 0..2 {
        fs::remove_file(hive.at("h.redb.sessions")).unwrap();
        std::thread::sleep(Duration::from_millis(1100));
        hive.put(2).unwrap();
        other.write(|tx| tx.config().put("b", &json!(2))).unwrap();
        assert_eq!(other.notice_crashes().unwrap(), []);
        assert_eq!(hive.store.notice_crashes().unwrap(), []);
    }
    let sessions = other.sessions().unwrap();
    let state = sessions.into_iter().find(|session| session.id == own).unwrap().state;
    assert_eq!(state, SessionState::Open);
    other.close().unwrap();
    hive.store.close().unwrap();
}
