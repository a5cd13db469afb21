//! A store of every released format is kept under `tests/fixtures/` and must open, be sound, and hold what it held.
//!
//! To write the one of the current format again, after the format itself has changed:
//!
//!     cargo test --test fixture -- --ignored
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use hivekeep::{
    BackupRequest, Bot, BotId, ChatFilter, ClaimOptions, Kind, ManualClock, NewEntry, NewMessage, NewTask, Options,
    Origin, Page, PointRequest, Priority, RestoreOptions, Retry, Selector, SessionState, Store, TaskId, TaskState,
    show_time,
};
use serde_json::{Value, json};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1.redb")
}

fn clock() -> ManualClock {
    ManualClock::new("2026-01-02T03:04:05.678901Z".parse().unwrap())
}

fn bot(name: &str) -> BotId {
    BotId::new(name).unwrap()
}

fn task(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

fn document() -> Value {
    hivekeep::json::parse(br#"{"bots": [{"id": "ant", "n": 12345678901234567890123}, {"id": "bee"}], "e": 1e400}"#)
        .unwrap()
}

/// Every table and every kind of record, but for the pieces of values over 1 MiB, which would make the file too large.
fn fill(store: &Store, clock: &ManualClock) {
    let pass = || clock.advance(Duration::from_secs(1));
    let write_state = |number: u32| {
        store
            .write(|tx| {
                tx.config().put("limit", &json!(number))?;
                tx.config().put(&format!("only {number}"), &json!({ "at": number }))?;
                tx.collection("rooms")?.put("attic", &json!({ "celsius": number }))?;
                tx.chat().append(NewMessage::new("general", "ant", format!("message {number}")))?;
                tx.audit().append(NewEntry::new("deploy", "ops"))
            })
            .unwrap();
        pass();
    };
    write_state(1);
    store
        .write(|tx| {
            let specializations = ["rust".to_owned()].into();
            let ant =
                Bot { kind: Some("claude-code".into()), port: Some(8001), specializations, ..Bot::new(bot("ant")) };
            tx.registry().put(&ant)?;
            tx.registry().put(&Bot::new(bot("bee")))?;
            tx.registry().heartbeat(&bot("ant"), "2026-01-02T03:00:00Z".parse().unwrap())?;
            let mut queue = tx.queue();
            queue.enqueue(NewTask::new("work").id(task("ready")).priority(Priority::P1).capability("rust"))?;
            queue.enqueue(NewTask::new("work").id(task("waiting")).after(task("ready")))?;
            queue
                .enqueue(NewTask::new("work").id(task("later")).not_before("2027-01-01T00:00:00Z".parse().unwrap()))?;
            queue.enqueue(NewTask::new("work").id(task("assigned")).assign_to(bot("fly")).idempotency_key("once"))?;
            for name in ["done", "failed", "dead", "cancelled", "claimed"] {
                let worker = bot(&format!("{name} worker"));
                queue.enqueue(NewTask::new("work").id(task(name)).assign_to(worker.clone()).max_attempts(1))?;
                let options = ClaimOptions::default();
                let claim = queue.claim(&worker, &options)?.remove(0);
                match name {
                    "done" => drop(queue.complete(&claim.id, claim.token, json!("result"))?),
                    "failed" => drop(queue.fail(&claim.id, claim.token, "never", Retry::Never)?),
                    "dead" => drop(queue.fail(&claim.id, claim.token, "later", Retry::Later)?),
                    "cancelled" => drop(queue.cancel(&claim.id)?),
                    _ => {}
                }
            }
            Ok(())
        })
        .unwrap();
    pass();
    let held = PointRequest::new("first").tag("release", "1").held(true);
    let first = store.make_point(held).unwrap();
    pass();
    store.backup(BackupRequest::new(Kind::Registry).source("nightly").data(document())).unwrap();
    pass();
    store.backup(BackupRequest::new(Kind::Queue)).unwrap();
    write_state(2);
    store.write(|tx| tx.config().remove("only 1")).unwrap();
    pass();
    store.make_point(PointRequest::new("second").automatic()).unwrap();
    write_state(3);
    store.restore(&first, RestoreOptions::new().only(["config"])).unwrap();
    pass();
    write_state(4);
}

#[test]
#[ignore = "writes the fixture of the current format"]
fn the_fixture_of_the_current_format_is_written() {
    let (path, clock) = (fixture(), clock());
    let _none = std::fs::remove_file(&path);
    let store = Store::options().clock(clock.clone()).history(Duration::from_secs(86_400)).open(&path).unwrap();
    fill(&store, &clock);
    store.close().unwrap();
    let store = Store::options().clock(clock).session(false).open(&path).unwrap();
    while store.compact().unwrap() {}
    store.close().unwrap();
    for beside in ["sessions", "reserve"] {
        let _none = std::fs::remove_file(path.with_extension(format!("redb.{beside}")));
    }
    let length = std::fs::metadata(&path).unwrap().len();
    assert!(length < 200_000, "too large to be kept: bytes={length}");
}

/// A copy that may be written to.
fn open(options: Options) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("format-1.redb");
    std::fs::copy(fixture(), &path).unwrap();
    let clock = clock();
    clock.advance(Duration::from_secs(60));
    let store = options.clock(clock).session(false).open(path).unwrap();
    (folder, store)
}

#[test]
fn a_store_of_format_1_opens_and_is_sound() {
    let (_folder, store) = open(Store::options());
    let report = store.check().unwrap();
    assert!(report.is_sound(), "{:#?}", report.findings);
    assert!(report.points > 4 && report.pre_images > 0);
    assert_eq!(store.check_pages().unwrap(), None);
}

#[test]
fn a_store_of_format_1_holds_what_it_held() {
    let (_folder, store) = open(Store::options().read_only(true));
    let view = store.view().unwrap();
    let config: Vec<_> = view.config().list().map(Result::unwrap).collect();
    let config: Vec<_> = config.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(config, ["limit=4", "only 1={\"at\":1}", "only 4={\"at\":4}"]);
    let attic = view.collection::<Value>("rooms").unwrap().get("attic").unwrap();
    assert_eq!(attic, Some(json!({"celsius": 4})));
    let ant = view.registry().get(&bot("ant")).unwrap().unwrap();
    assert_eq!((ant.port, ant.kind.as_deref(), ant.specializations.len()), (Some(8001), Some("claude-code"), 1));
    assert_eq!(ant.last_heartbeat.map(show_time).as_deref(), Some("2026-01-02T03:00:00.000000+00:00"));
    assert_eq!(view.documents().get("registry", "nightly").unwrap(), Some(document()));
    let messages = view.chat().list(&ChatFilter::default(), Page::oldest(9)).unwrap();
    let messages: Vec<_> = messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(messages, ["message 1", "message 2", "message 3", "message 4"]);
    let audit = view.audit().list(Page::newest(9)).unwrap();
    assert_eq!((audit.len(), audit[0].action.as_str()), (4, "deploy"));
    let events = view.events().list(Page::oldest(99)).unwrap();
    let events: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    let told = ["restore_point_created", "backup_created", "backup_created", "restore_point_created"];
    assert_eq!(events, [&told[..], &["restore_successful"]].concat());
    let sessions: Vec<_> = store.sessions().unwrap().iter().map(|session| session.state).collect();
    assert_eq!(sessions, [SessionState::Closed]);
}

#[test]
fn the_tasks_of_a_store_of_format_1_are_as_they_were() {
    let (_folder, store) = open(Store::options());
    let view = store.view().unwrap();
    let states: Vec<_> =
        view.queue().list().map(|task| task.map(|task| (task.id.to_string(), task.state)).unwrap()).collect();
    let expected = [
        ("assigned", TaskState::Waiting),
        ("cancelled", TaskState::Cancelled),
        ("claimed", TaskState::Claimed),
        ("dead", TaskState::Dead),
        ("done", TaskState::Done),
        ("failed", TaskState::Failed),
        ("later", TaskState::Scheduled),
        ("ready", TaskState::Ready),
        ("waiting", TaskState::Waiting),
    ];
    assert_eq!(states, expected.map(|(id, state)| (id.to_owned(), state)));
    let assignments: Vec<_> = view.assignments().list().map(|found| found.unwrap().task.to_string()).collect();
    assert_eq!(assignments, ["claimed", "assigned"]);
    assert_eq!(view.queue().counts().unwrap().total(), 9);

    let token = view.queue().get(&task("claimed")).unwrap().unwrap().holder.unwrap().token;
    assert_eq!(token.0, 5);
    let next = store.write(|tx| tx.queue().claim(&bot("ant"), &ClaimOptions::default())).unwrap();
    assert_eq!((next[0].id.as_str(), next[0].token.0), ("ready", 6), "counters go on");
    let known =
        store.write(|tx| tx.queue().enqueue(NewTask::new("again").idempotency_key("once").allow_different())).unwrap();
    assert_eq!(known.id, task("assigned"));
}

#[test]
fn the_points_of_a_store_of_format_1_are_read_restored_and_undone() {
    let (_folder, store) = open(Store::options());
    let points = store.all_points().unwrap();
    let named: Vec<_> = points.iter().filter(|point| point.origin.is_some()).collect();
    let origins: Vec<_> = named.iter().map(|point| point.origin.unwrap()).collect();
    assert_eq!(origins, [Origin::Safety, Origin::Live, Origin::Live, Origin::Documents, Origin::Live]);
    assert!(points.len() > named.len(), "points of single commits");
    let (first, second) = (*named.last().unwrap(), named[1]);
    assert_eq!((first.description.as_str(), first.held, first.tags["release"].as_str()), ("first", true, "1"));
    assert_eq!((second.description.as_str(), second.manual), ("second", false));
    assert_eq!(show_time(first.timestamp), "2026-01-02T03:04:07.678901+00:00");

    let between = store.diff(first, second).unwrap().to_string();
    let expected = "~ config/limit 1 -> 2\n- config/only 1 {\"at\":1}\n+ config/only 2 {\"at\":2}\n";
    assert!(between.contains(expected), "{between}");
    for backup in store.backups(None).unwrap() {
        store.backup_data(&backup).unwrap();
    }
    let documents: Vec<_> = store.backups(Some(Kind::Registry)).unwrap();
    assert!(documents.iter().any(|backup| store.backup_data(backup).unwrap() == document()));

    let at = "2026-01-02T03:04:06Z".parse().unwrap();
    let commit = store.at(Selector::At(at)).unwrap();
    assert_eq!((commit.config().get("limit").unwrap(), commit.registry().list().count()), (Some(json!(1)), 0));

    assert!(store.undo().unwrap_err().to_string().contains("config/limit"));
    store.undo_discarding().unwrap();
    assert_eq!(store.view().unwrap().config().get("limit").unwrap(), Some(json!(3)));
    store.restore(second, RestoreOptions::new()).unwrap();
    assert_eq!(store.view().unwrap().config().get("limit").unwrap(), Some(json!(2)));
    assert!(store.check().unwrap().is_sound());
}
