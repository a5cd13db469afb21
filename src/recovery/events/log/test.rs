//! The moment at which a line is in the file, and that no line is there twice.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::file::LogFile;
use super::lines::*;
use crate::engine::codec;
use crate::engine::schema::Table;
use crate::engine::store::Store;
use crate::error::{Error, ErrorKind};
use crate::recovery::events::event::EventKind;
use crate::state::page::Page;

struct Logged {
    folder: tempfile::TempDir,
}

impl Logged {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("events.jsonl")
    }

    fn open(&self) -> Store {
        Store::options().session(false).event_log(self.log()).open(self.folder.path().join("h.redb")).unwrap()
    }

    /// The numbers in the details of the events in a file.
    fn numbers_in(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        text.lines().map(|line| crate::json::parse(line.as_bytes()).unwrap()["details"]["n"].clone()).collect()
    }

    fn numbers(&self) -> Vec<Value> {
        Self::numbers_in(&self.log())
    }
}

fn append(store: &Store, n: u64) {
    store.write(|tx| tx.events().append(EventKind::BackupCreated, json!({"n": n}))).unwrap();
}

fn forget_progress(store: &Store, logged: &Logged) {
    let key = [b"event log/", logged.log().as_os_str().as_encoded_bytes()].concat();
    store.write(|tx| tx.put_row(Table::Meta, &key, &codec::encode(&Written(0)).unwrap())).unwrap();
}

#[test]
fn a_line_is_in_the_file_when_the_call_returns() {
    let logged = Logged::new();
    let store = logged.open();
    for n in 0..5 {
        append(&store, n);
        assert_eq!(logged.numbers().last(), Some(&json!(n)));
    }
    store.load(|tx| tx.events().append(EventKind::Adopted, json!({"n": 5})).map(drop)).unwrap();
    assert_eq!(logged.numbers(), [0, 1, 2, 3, 4, 5]);
    assert!(
        store
            .write(|tx| {
                tx.events().append(EventKind::Adopted, json!({"n": 6}))?;
                Err::<(), _>(Error::conflict("changed my mind"))
            })
            .is_err()
    );
    assert_eq!(logged.numbers(), [0, 1, 2, 3, 4, 5], "of an event that did not happen there is no line");
}

#[test]
fn every_event_is_one_line_once_over_restarts() {
    let logged = Logged::new();
    for n in 0..3 {
        let store = logged.open();
        append(&store, n);
        store.close().unwrap();
    }
    assert_eq!(logged.numbers(), [0, 1, 2]);
    let text = std::fs::read_to_string(logged.log()).unwrap();
    let line = crate::json::parse(text.lines().next().unwrap().as_bytes()).unwrap();
    assert_eq!(line["event"], "backup_created");
}

#[test]
fn a_crash_around_a_line_neither_loses_nor_duplicates_it() {
    let logged = Logged::new();
    let store = logged.open();
    (0..4).for_each(|n| append(&store, n));
    // As if the process had died before it could store the progress of the file.
    forget_progress(&store, &logged);
    drop(store);
    let path = logged.folder.path().join("h.redb");
    let unlogged = Store::options().session(false).open(&path).unwrap();
    forget_progress(&unlogged, &logged);
    append(&unlogged, 4);
    drop(unlogged);
    // And as if it had died in the middle of a line.
    let whole = std::fs::read_to_string(logged.log()).unwrap();
    std::fs::write(logged.log(), &whole[..whole.len() - 10]).unwrap();
    let store = logged.open();
    assert_eq!(logged.numbers(), [0, 1, 2, 3, 4]);
    append(&store, 5);
    assert_eq!(logged.numbers(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_renamed_file_is_not_written_to_any_more_and_a_truncated_one_is() {
    let logged = Logged::new();
    let store = logged.open();
    append(&store, 0);
    let rotated = logged.folder.path().join("events.jsonl.1");
    std::fs::rename(logged.log(), &rotated).unwrap();
    append(&store, 1);
    assert_eq!((Logged::numbers_in(&rotated), logged.numbers()), (vec![json!(0)], vec![json!(1)]));
    std::fs::write(logged.log(), "").unwrap();
    append(&store, 2);
    assert_eq!(logged.numbers(), [2]);
    std::fs::remove_file(logged.log()).unwrap();
    append(&store, 3);
    assert_eq!(logged.numbers(), [3]);
}

#[test]
fn several_writers_of_one_file_write_each_line_once_and_in_order() {
    let logged = Logged::new();
    let stores = [logged.open(), logged.open()];
    let other = Store::options().session(false).open(logged.folder.path().join("h.redb")).unwrap();
    for n in 0..20 {
        append(&stores[n as usize % 2], n);
        assert_eq!(logged.numbers().len() as u64, n + 1);
    }
    append(&other, 20);
    assert_eq!(logged.numbers().len(), 20, "it writes to no file");
    stores[0].tend_event_log().unwrap();
    stores[1].tend_event_log().unwrap();
    assert_eq!(logged.numbers(), (0..=20).collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for store in &stores {
            scope.spawn(move || (21..61).for_each(|n| append(store, n)));
        }
    });
    let view = other.view().unwrap();
    let stored: Vec<_> = view.events().list(Page::oldest(999)).unwrap();
    assert_eq!(logged.numbers(), stored.iter().map(|event| event.details["n"].clone()).collect::<Vec<_>>());
}

#[test]
fn a_rename_duplicates_no_line_that_another_process_wrote() {
    let logged = Logged::new();
    let stores = [logged.open(), logged.open()];
    (0..5).for_each(|n| append(&stores[0], n));
    let rotated = logged.folder.path().join("events.jsonl.1");
    std::fs::rename(logged.log(), &rotated).unwrap();
    append(&stores[1], 5);
    append(&stores[0], 6);
    assert_eq!((Logged::numbers_in(&rotated).len(), logged.numbers()), (5, vec![json!(5), json!(6)]));
}

#[test]
fn a_crash_around_a_rename_duplicates_the_lines_of_the_last_commit_at_most() {
    let logged = Logged::new();
    let killed = logged.open();
    (0..6).for_each(|n| append(&killed, n));
    let rotated = logged.folder.path().join("events.jsonl.1");
    std::fs::rename(logged.log(), &rotated).unwrap();
    // The next process starts before the first has stored its progress, as after a kill.
    let next = logged.open();
    append(&next, 6);
    assert_eq!((Logged::numbers_in(&rotated).len(), logged.numbers()), (6, vec![json!(5), json!(6)]));
}

#[cfg(unix)]
#[test]
fn the_stored_progress_covers_synced_lines_only() {
    let logged = Logged::new();
    let store = Store::options().session(false).open(logged.folder.path().join("h.redb")).unwrap();
    append(&store, 0);
    let log = EventLog::new(&store, logged.log());
    log.catch_up(&store, PATIENCE).unwrap();
    let saved = || {
        store.write(|tx| log.save_in(tx)).unwrap();
        log.written(&store.view().unwrap()).unwrap()
    };
    assert_eq!((logged.numbers(), saved()), (vec![json!(0)], 0));
    // A pipe cannot be synced.
    let (_reader, writer) = std::io::pipe().unwrap();
    let pipe = LogFile::over(std::fs::File::from(std::os::fd::OwnedFd::from(writer)));
    let file = log.progress.lock().file.replace(pipe);
    assert!(log.sync().is_err());
    assert_eq!(saved(), 0);
    log.progress.lock().file = file;
    log.sync().unwrap();
    assert_eq!(saved(), 1);
}

#[test]
fn a_file_that_cannot_be_written_fails_no_call_and_gets_its_lines_later() {
    let logged = Logged::new();
    let store = logged.open();
    append(&store, 0);
    std::fs::remove_file(logged.log()).unwrap();
    std::fs::create_dir(logged.log()).unwrap();
    append(&store, 1);
    let said = store.event_log_error().unwrap();
    assert!(said.contains("name a regular file"), "{said}");
    std::fs::remove_dir(logged.log()).unwrap();
    store.tend_event_log().unwrap();
    assert_eq!((store.event_log_error(), logged.numbers()), (None, vec![json!(1)]));
    let options = Store::options().session(false).event_log(logged.folder.path());
    let refused = options.open(logged.folder.path().join("h.redb")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

#[test]
fn terminal_control_characters_are_escaped_in_a_line_and_a_line_of_an_earlier_version_is_not_written_again() {
    let logged = Logged::new();
    let said = "a\u{202e}b\u{9b}31m\u{e0041}größe";
    let store = logged.open();
    append(&store, 0);
    let event = |store: &Store| {
        store.write(|tx| tx.events().append(EventKind::BackupFailed, json!({"n": 1, "error": said}))).unwrap();
    };
    event(&store);
    let text = std::fs::read_to_string(logged.log()).unwrap();
    assert!(text.contains(r"a\u202eb\u009b31m\udb40\udc41größe"), "{text}");
    assert!(!text.contains(|c| crate::text::is_hidden(c) && c != '\n'), "{text:?}");
    let line = crate::json::parse(text.lines().last().unwrap().as_bytes()).unwrap();
    assert_eq!(line["details"]["error"], said);
    forget_progress(&store, &logged);
    drop(store);
    let unescaped =
        text.replace(r"\u202e", "\u{202e}").replace(r"\u009b", "\u{9b}").replace(r"\udb40\udc41", "\u{e0041}");
    std::fs::write(logged.log(), unescaped).unwrap();
    let unlogged = Store::options().session(false).open(logged.folder.path().join("h.redb")).unwrap();
    forget_progress(&unlogged, &logged);
    drop(unlogged);
    let store = logged.open();
    append(&store, 2);
    assert_eq!(logged.numbers(), [0, 1, 2]);
}

#[test]
fn the_bytes_of_the_stored_progress_are_fixed() {
    assert_eq!(codec::encode(&Written(7)).unwrap(), b"\x01\x07");
    assert_eq!(codec::encode(&Reached { boot: "ab".into(), last: 7 }).unwrap(), b"\x01\x02ab\x07");
}
