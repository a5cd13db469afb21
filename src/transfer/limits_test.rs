//! A check, an archive, an import and a repair can read every row that may be written. They also read rows of earlier
//! versions, which had no limits.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::engine::codec;
use crate::engine::commit::Outcome;
use crate::engine::options::VerifyOnOpen;
use crate::engine::point::{Origin, PointId};
use crate::engine::records::Records;
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::error::{ErrorKind, Result};
use crate::limits::*;
use crate::recovery::backups::{BackupRequest, Kind, NewSealed};
use crate::recovery::events::event::EventKind;
use crate::recovery::points::make::PointRequest;
use crate::state::audit::{Entry, Level, NewEntry};
use crate::state::audit::{EntryHash, Link, Trail};
use crate::state::chat::NewMessage;
use crate::state::ids::{BotId, TaskId, Token};
use crate::state::page::{Page, sequence_key};
use crate::state::queue::{ClaimOptions, NewTask, Retry};
use crate::state::registry::Bot;
use crate::transfer::archive::{ExportOptions, ImportOptions};

/// Writes a text of this many bytes, or this many items.
type Write = fn(&Store, usize) -> Result<()>;

fn text(bytes: usize) -> String {
    "x".repeat(bytes)
}

fn texts(bytes: usize) -> Option<String> {
    Some(text(bytes))
}

/// JSON of this many bytes.
fn value(bytes: usize) -> Value {
    Value::String(text(bytes - 2))
}

/// An object of this many bytes.
fn members(bytes: usize) -> Map<String, Value> {
    Map::from_iter([("a".to_owned(), value(bytes - 6))])
}

fn bot(store: &Store, bot: Bot) -> Result<()> {
    store.write(|tx| tx.registry().put(&bot))
}

fn named(name: &str) -> Bot {
    Bot::new(BotId::new(name).unwrap())
}

fn message(store: &Store, message: NewMessage) -> Result<()> {
    store.write(|tx| tx.chat().append(message)).map(drop)
}

fn entry(store: &Store, entry: NewEntry) -> Result<()> {
    store.write(|tx| tx.audit().append(entry)).map(drop)
}

fn task(store: &Store, task: NewTask) -> Result<()> {
    store.write(|tx| tx.queue().enqueue(task)).map(drop)
}

/// Claims a task of its own, and finishes it.
fn claimed(store: &Store, end: impl FnOnce(&Store, &TaskId, Token) -> Result<()>) -> Result<()> {
    let bot = BotId::new("worker")?;
    task(store, NewTask::new("work").assign_to(bot.clone()))?;
    let claims = store.write(|tx| tx.queue().claim(&bot, &ClaimOptions { max: 3, ..ClaimOptions::default() }))?;
    let claim = claims.last().unwrap();
    let ended = end(store, &claim.id, claim.token);
    if ended.is_err() {
        store.write(|tx| tx.queue().release(&claim.id, claim.token).and_then(|_| tx.queue().cancel(&claim.id)))?;
    }
    ended
}

fn point(store: &Store, request: PointRequest) -> Result<()> {
    store.make_point(request).map(drop)
}

fn new_message() -> NewMessage {
    NewMessage::new("c", "user", "hi")
}

fn new_entry() -> NewEntry {
    NewEntry::new("action", "actor")
}

/// Every text and list, with its limit.
const FIELDS: &[(&str, usize, Write)] = &[
    ("bot id", NAME_BYTES, |s, n| bot(s, Bot::new(BotId::new(text(n))?))),
    ("bot kind", SHORT_BYTES, |s, n| bot(s, Bot { kind: texts(n), ..named("kind") })),
    ("bot status", SHORT_BYTES, |s, n| bot(s, Bot { status: texts(n), ..named("status") })),
    ("bot endpoint", SHORT_BYTES, |s, n| bot(s, Bot { endpoint: texts(n), ..named("endpoint") })),
    ("bot repo", SHORT_BYTES, |s, n| bot(s, Bot { repo: texts(n), ..named("repo") })),
    ("bot attributes", ATTRIBUTES_BYTES, |s, n| bot(s, Bot { attributes: members(n), ..named("attributes") })),
    ("specialization", NAME_BYTES, |s, n| bot(s, Bot { specializations: [text(n)].into(), ..named("able") })),
    ("specializations", SPECIALIZATIONS, |s, n| {
        bot(s, Bot { specializations: (0..n).map(|n| n.to_string()).collect(), ..named("very able") })
    }),
    ("task id", NAME_BYTES, |s, n| task(s, NewTask::new(1).id(TaskId::new(text(n))?))),
    ("payload", VALUE_BYTES, |s, n| task(s, NewTask::new(value(n)))),
    ("task attributes", ATTRIBUTES_BYTES, |s, n| task(s, NewTask::new(1).attributes(members(n)))),
    ("capability", NAME_BYTES, |s, n| task(s, NewTask::new(1).capability(text(n)))),
    ("capabilities", CAPABILITIES, |s, n| {
        task(s, (0..n).fold(NewTask::new(1), |task, n| task.capability(n.to_string())))
    }),
    ("dependencies", DEPENDENCIES, |s, n| {
        let new = NewTask::new(1).allow_missing_dependencies();
        task(s, (0..n).fold(new, |task, n| task.after(TaskId::new(format!("none {n}")).unwrap())))
    }),
    ("idempotency key", NAME_BYTES, |s, n| task(s, NewTask::new(1).idempotency_key(text(n)))),
    ("result", VALUE_BYTES, |s, n| {
        claimed(s, |s, id, token| s.write(|tx| tx.queue().complete(id, token, value(n))).map(drop))
    }),
    ("error", REASON_BYTES, |s, n| {
        claimed(s, |s, id, token| s.write(|tx| tx.queue().fail(id, token, text(n), Retry::Never)).map(drop))
    }),
    ("conversation", NAME_BYTES, |s, n| message(s, NewMessage { conversation: text(n), ..new_message() })),
    ("role", SHORT_BYTES, |s, n| message(s, NewMessage { role: text(n), ..new_message() })),
    ("content", CHAT_BYTES, |s, n| message(s, NewMessage { content: text(n), ..new_message() })),
    ("message time", SHORT_BYTES, |s, n| message(s, NewMessage { original_time: texts(n), ..new_message() })),
    ("message attributes", ATTRIBUTES_BYTES, |s, n| message(s, NewMessage { attributes: members(n), ..new_message() })),
    ("config key", NAME_BYTES, |s, n| s.write(|tx| tx.config().put(&text(n), &json!(1)))),
    ("config value", VALUE_BYTES, |s, n| s.write(|tx| tx.config().put("value", &value(n)))),
    ("collection name", COLLECTION_NAME_BYTES, |s, n| s.write(|tx| tx.collection(&text(n))?.put("k", &1))),
    ("record key", KEY_BYTES, |s, n| s.write(|tx| tx.collection("rooms")?.put(&text(n), &1))),
    ("record", VALUE_BYTES, |s, n| s.write(|tx| tx.collection("rooms")?.put("value", &value(n)))),
    ("document kind", SOURCE_BYTES, |s, n| s.write(|tx| tx.documents().put(&text(n), "s", &json!([1])).map(drop))),
    ("document source", SOURCE_BYTES, |s, n| s.write(|tx| tx.documents().put("k", &text(n), &json!([1])).map(drop))),
    ("element", VALUE_BYTES, |s, n| s.write(|tx| tx.documents().put("k", "s", &json!([value(n)])).map(drop))),
    ("action", SHORT_BYTES, |s, n| entry(s, NewEntry { action: text(n), ..new_entry() })),
    ("actor", SHORT_BYTES, |s, n| entry(s, NewEntry { actor: text(n), ..new_entry() })),
    ("target", SHORT_BYTES, |s, n| entry(s, NewEntry { target: texts(n), ..new_entry() })),
    ("audit result", REASON_BYTES, |s, n| entry(s, NewEntry { result: texts(n), ..new_entry() })),
    ("audit details", DETAILS_BYTES, |s, n| entry(s, NewEntry { details: value(n), ..new_entry() })),
    ("audit original", ORIGINAL_BYTES, |s, n| entry(s, NewEntry { original: texts(n), ..new_entry() })),
    ("event", EVENT_BYTES, |s, n| s.write(|tx| tx.events().append(EventKind::BackupFailed, value(n))).map(drop)),
    ("description", DESCRIPTION_BYTES, |s, n| point(s, PointRequest::new(text(n)))),
    ("tag", TAG_BYTES, |s, n| point(s, PointRequest::new("").tag("a", text(n - 1)))),
    ("tags", TAGS, |s, n| point(s, (0..n).fold(PointRequest::new(""), |new, n| new.tag(n.to_string(), "v")))),
    ("backup source", SOURCE_BYTES, |s, n| s.backup(BackupRequest::new(Kind::Queue).source(text(n))).map(drop)),
    ("backup tag", TAG_BYTES, |s, n| s.backup(BackupRequest::new(Kind::Queue).tag("a", text(n - 1))).map(drop)),
];

/// Archives a store, imports the archive, and repairs the store. Returns the two new stores, which must be sound.
fn taken_further(folder: &Path, store: &Store) -> [Store; 2] {
    let path = |name: &str| folder.join(name);
    store.export(path("a.tar.zst"), &ExportOptions::new()).unwrap();
    Store::import_new(path("a.tar.zst"), path("imported.redb"), &ImportOptions::new()).unwrap();
    store.clone().close().unwrap();
    let plan = Store::plan_repair(store.path(), path("repaired.redb")).unwrap();
    let report = plan.apply().unwrap();
    assert!(report.is_whole(), "{report}");
    ["imported.redb", "repaired.redb"].map(|name| {
        let store = Store::open(path(name)).unwrap();
        assert_eq!(store.check().unwrap().findings, []);
        store
    })
}

fn stats(store: &Store) -> Vec<(CollectionId, crate::engine::digest::Stats)> {
    crate::engine::meta::all_stats(&store.view().unwrap()).unwrap()
}

#[test]
fn every_text_at_its_limit_survives_archives_and_repairs_and_one_more_byte_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("h.redb")).unwrap();
    for (what, most, write) in FIELDS {
        let error = write(&store, most + 1).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
        if *what != "collection name" && *what != "record key" {
            let (is, most) = (format!("={} ", most + 1), format!(" max={most}"));
            assert!(error.to_string().contains(&is) && error.to_string().ends_with(&most), "{what}: {error}");
        }
        write(&store, *most).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    assert_eq!(store.check().unwrap().findings, []);
    assert_eq!(store.check_pages().unwrap(), None);
    let before = stats(&store);
    for other in taken_further(folder.path(), &store) {
        assert_eq!(stats(&other), before, "{}", other.path().display());
    }
}

/// Rows outside of records in the form of earlier versions, one for each table with texts of callers.
fn longer_rows(store: &Store) -> String {
    let long = text(17 << 20);
    let sealed = |description: String, tags| NewSealed { backups: Vec::new(), manual: true, description, tags };
    let seal = |description: String, tags: BTreeMap<_, _>| {
        let sealed = sealed(description, tags);
        store.alone(|tx| tx.seal_backups_as(PointId::new(), Origin::Live, None, sealed).map(Outcome::Commit)).unwrap();
    };
    store
        .write(|tx| {
            let at = tx.now();
            let entry = Entry {
                sequence: 1,
                at,
                recorded: at,
                action: "a".into(),
                actor: "b".into(),
                target: None,
                level: Level::Info,
                result: None,
                details: Value::String(long.clone()),
                original: None,
                previous: EntryHash::default(),
                asked_by: None,
            };
            let payload = codec::encode(&entry)?;
            tx.put_row(Table::Audit, &sequence_key(1), &payload)?;
            let head = Link { sequence: 1, hash: EntryHash::of(&payload) };
            Trail { purged: Link::default(), head, lost: Vec::new() }.write(tx)
        })
        .unwrap();
    seal(text(63 << 20), BTreeMap::new());
    // A page of 8 MiB, which the reader of a repair used to skip.
    seal(String::new(), BTreeMap::from([("long".to_owned(), text(5 << 20))]));
    long
}

#[test]
fn longer_rows_of_earlier_versions_are_not_damage_and_nothing_of_them_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let store = Store::open(&path).unwrap();
    store.write(|tx| tx.config().put("limit", &json!(5))).unwrap();
    let details = longer_rows(&store);
    assert_eq!((store.check().unwrap().findings, store.check_pages().unwrap()), (vec![], None));
    store.close().unwrap();
    let store = Store::options().verify_on_open(VerifyOnOpen::Always).open(&path).unwrap();
    assert_eq!((store.check().unwrap().findings, store.check_pages().unwrap()), (vec![], None));
    let [imported, repaired] = taken_further(folder.path(), &store);
    for other in [&imported, &repaired] {
        let entries = other.view().unwrap().audit().list(Page::newest(9)).unwrap();
        assert!(entries[0].details == details.as_str(), "{}", other.path().display());
    }
    let points = repaired.points().unwrap();
    assert_eq!((points[1].description.len(), points[0].tags["long"].len()), (63 << 20, 5 << 20));
    let point = &imported.points().unwrap()[0];
    assert!(tags(&point.tags).is_ok() && point.tags["long"].ends_with('…'), "it is made to fit");
}
