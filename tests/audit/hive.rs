//! A store for the verbs, and what a verb does.

use std::path::PathBuf;

use hivekeep::{Bot, BotId, Claim, ClaimOptions, Entry, NewKey, NewTask, Page, Point, Role, Store, TaskId, WriteTx};
use serde_json::json;

/// The work of a verb, by example.
pub enum Does {
    /// It changes no state.
    Reads,
    /// It changes something and leaves no entry by itself, for that reason.
    Nothing(&'static str),
    /// It leaves one entry of this action.
    One(&'static str, fn(&Hive)),
}

/// One store: for nobody, which prepares, and for an actor.
pub struct Hive {
    folder: tempfile::TempDir,
    pub plain: Store,
    pub acting: Store,
}

impl Hive {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plain = Store::open(folder.path().join("h.redb")).unwrap();
        let acting = plain.acting_as("me");
        Self { folder, plain, acting }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes something on behalf of the actor.
    pub fn act<R>(&self, change: impl FnOnce(&mut WriteTx<'_>) -> hivekeep::Result<R>) -> R {
        self.acting.write(change).unwrap()
    }

    /// Changes something that the test needs.
    pub fn prepare<R>(&self, change: impl FnOnce(&mut WriteTx<'_>) -> hivekeep::Result<R>) -> R {
        self.plain.write(change).unwrap()
    }

    pub fn register(&self) {
        self.prepare(|tx| tx.registry().put(&Bot::new(bot())));
    }

    pub fn task(&self) -> TaskId {
        self.prepare(|tx| tx.queue().enqueue(NewTask::new(1))).id
    }

    pub fn finished(&self) -> TaskId {
        let task = self.task();
        self.prepare(|tx| tx.queue().cancel(&task));
        task
    }

    pub fn claim(&self) -> Claim {
        self.task();
        self.prepare(|tx| tx.queue().claim(&bot(), &ClaimOptions::default())).remove(0)
    }

    pub fn value(&self, value: u64) {
        self.prepare(|tx| tx.config().put("a", &json!(value)));
    }

    /// A point of another state than the present one.
    pub fn point(&self) -> Point {
        self.value(1);
        let point = self.plain.restore_point("p").unwrap();
        self.value(2);
        point
    }

    pub fn key(&self) {
        self.prepare(|tx| tx.keys().add(NewKey::new(key(), Role::Reader)));
    }

    pub fn trail(&self) -> Vec<Entry> {
        self.plain.view().unwrap().audit().list(Page::oldest(100)).unwrap()
    }
}

pub fn bot() -> BotId {
    BotId::new("B").unwrap()
}

pub fn key() -> hivekeep::KeyName {
    "k".parse().unwrap()
}
