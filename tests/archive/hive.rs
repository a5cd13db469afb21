//! A folder with a store, and archives of it.

use std::path::{Path, PathBuf};

use hivekeep::{
    Bot, ClaimOptions, ErrorKind, ExportOptions, ExportReport, ImportOptions, ManualClock, NewEntry, NewMessage,
    NewTask, Selector, Stats, Store,
};
use serde_json::json;

pub struct Hive {
    pub store: Store,
    pub clock: ManualClock,
    folder: tempfile::TempDir,
}

impl Hive {
    /// A folder with an empty store.
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-01-02T03:04:05.678901Z".parse().unwrap());
        let store = Store::options().clock(clock.clone()).session(false).open(folder.path().join("h.redb")).unwrap();
        Self { store, clock, folder }
    }

    /// One with a record of every collection, and a value that is kept in pieces.
    pub fn full() -> Self {
        let hive = Self::empty();
        let clock = hive.clock.clone();
        let long = "é".repeat(700_000);
        hive.store
            .write(|tx| {
                for name in ["ant", "bee"] {
                    tx.registry().put(&Bot { port: Some(8001), ..Bot::new(name.parse()?) })?;
                }
                let mut queue = tx.queue();
                queue.enqueue(NewTask::new(json!({"n": 1})).id("one".parse()?))?;
                queue.enqueue(NewTask::new(json!([1e300, null])).id("two".parse()?).after("one".parse()?))?;
                queue.enqueue(NewTask::new("x").id("three".parse()?).assign_to("bee".parse()?))?;
                queue.claim(&"bee".parse()?, &ClaimOptions::default())?;
                tx.chat().append(NewMessage::new("general", "ant", "hello\nthere"))?;
                tx.config().put("limit", &json!(5))?;
                tx.config().put("long", &json!(long))?;
                tx.collection("rooms.attic")?.put("a/../b", &json!({"celsius": 21.5}))?;
                // So much that it has a line for each record.
                let mut lines = tx.collection("lines")?;
                (0..6).try_for_each(|n| lines.put(&format!("a \"{n}\""), &"é\n".repeat(70_000)))?;
                let document = hivekeep::json::parse(br#"{"bots": [{"id": "ant"}, 1e400], "z": -0}"#)?;
                tx.documents().put("registry", "nightly", &document)?;
                tx.audit().append(NewEntry::new("deploy", "ops"))?;
                tx.audit().append(NewEntry::new("restart", "ops")).map(drop)
            })
            .unwrap();
        hivekeep::Clock::sleep(&clock, std::time::Duration::from_secs(1));
        hive
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn export(&self, name: &str) -> ExportReport {
        self.store.export(self.path(name), &ExportOptions::new()).unwrap()
    }

    /// The store that an archive becomes.
    pub fn become_new(&self, archive: &str, name: &str) -> Store {
        Store::import_new(self.path(archive), self.path(name), &ImportOptions::new()).unwrap();
        Store::options().session(false).open(self.path(name)).unwrap()
    }

    /// Why a file is refused, by a new store and by the one that is there, neither of which it changes.
    pub fn refused(&self, file: &Path) -> (ErrorKind, String) {
        let before = digests(&self.store);
        let names = names(self.folder());
        let options = ImportOptions::new();
        let new = Store::import_new(file, self.path("new.redb"), &options).unwrap_err();
        let there = self.store.import(file, &options).unwrap_err();
        let only_looked = Store::verify_archive(file, &options).unwrap_err();
        assert_eq!(new.to_string(), there.to_string());
        assert_eq!(new.to_string(), only_looked.to_string());
        assert_eq!(digests(&self.store), before);
        assert_eq!(self::names(self.folder()), names, "something was left behind");
        (new.kind(), new.to_string())
    }
}

/// The content of every collection now, without the pieces of long values, which bear the number of their collection.
pub fn digests(store: &Store) -> Vec<(String, Stats)> {
    let epoch = store.restore_point("to look").unwrap();
    let point = store.find_point(Selector::from(&epoch)).unwrap().unwrap();
    store.forget(&[Selector::from(&point)]).unwrap();
    let all = point.collections.into_iter();
    all.filter(|(name, stats)| name != "#chunks" && stats.count > 0).collect()
}

pub fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}
