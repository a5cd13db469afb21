//! Taking over what the replaced service left: all of it, twice, in part, and when it is not what its names say.
#![cfg(feature = "transfer")]
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use hivekeep::{
    AdoptOptions, AdoptReport, AdoptThing, AssignmentKind, Backup, BackupOf, BackupRequest, BotId, ChatFilter,
    ClaimOptions, EventKind, Kind, ManualClock, Origin, Page, Policy, Priority, Selector, Store, Task, TaskState,
};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A folder with what a service left, and a store beside it.
struct Hive {
    folder: tempfile::TempDir,
    store: Store,
}

impl Hive {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("left")).unwrap();
        let clock = ManualClock::new("2026-11-22T00:00:00Z".parse().unwrap());
        let store = Store::options().clock(clock).open(folder.path().join("hive.redb")).unwrap();
        Self { folder, store }
    }

    fn left(&self) -> PathBuf {
        self.folder.path().join("left")
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.left().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn adopt_with(&self, options: &AdoptOptions) -> AdoptReport {
        let report = self.store.adopt(&[self.left()], options).unwrap();
        let check = self.store.check().unwrap();
        assert!(check.findings.is_empty(), "{check:?}");
        report
    }

    fn adopt(&self) -> AdoptReport {
        self.adopt_with(&options())
    }

    /// Adopts what must be taken as a whole.
    fn adopt_all(&self) -> AdoptReport {
        let report = self.adopt();
        assert!(!report.in_part(), "{report}");
        report
    }

    fn task(&self, id: &str) -> Task {
        self.store.view().unwrap().queue().get(&id.parse().unwrap()).unwrap().unwrap()
    }

    fn claim(&self, bot: &str) -> Vec<String> {
        let all = ClaimOptions { max: 3, ..ClaimOptions::default() };
        let claims = self.store.write(|tx| tx.queue().claim(&bot.parse()?, &all)).unwrap();
        claims.into_iter().map(|claim| claim.id.to_string()).collect()
    }

    fn events(&self, kind: &str) -> Vec<Value> {
        let events = self.store.view().unwrap().events().list(Page::oldest(10_000)).unwrap();
        events.into_iter().filter(|event| event.kind.as_str() == kind).map(|event| event.details).collect()
    }

    /// Everything that a second adoption must leave as it is.
    fn content(&self) -> Value {
        let view = self.store.view().unwrap();
        let (events, audit) = (view.events().list(Page::oldest(10_000)), view.audit().list(Page::oldest(10_000)));
        json!({
            "registry": view.registry().list().map(Result::unwrap).collect::<Vec<_>>(),
            "queue": view.queue().list().map(Result::unwrap).collect::<Vec<_>>(),
            "assignments": view.assignments().list().map(Result::unwrap).collect::<Vec<_>>(),
            "chat": view.chat().all().map(Result::unwrap).collect::<Vec<_>>(),
            "documents": view.documents().list().map(|id| id.unwrap().to_string()).collect::<Vec<_>>(),
            "events": events.unwrap(),
            "audit": audit.unwrap(),
            "points": self.store.all_points().unwrap(),
            "backups": self.store.backups(None).unwrap(),
        })
    }
}

fn options() -> AdoptOptions {
    AdoptOptions { time_zone: TimeZone::UTC, ..AdoptOptions::default() }
}

/// The problems of a report, one a line.
fn problems(report: &AdoptReport) -> Vec<String> {
    let in_files = report.files.iter().flat_map(|file| &file.problems);
    in_files.chain(&report.problems).map(|problem| format!("{}: {}", problem.place, problem.why)).collect()
}

fn taken(report: &AdoptReport, thing: AdoptThing) -> u64 {
    report.taken().get(&thing).copied().unwrap_or_default()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The entry of a backup in an index, and its file.
fn backup(id: &str, kind: &str, source: &str, second: u32, text: &str) -> (String, Value) {
    let entry = json!({
        "backup_id": id, "backup_type": kind, "timestamp": format!("2026-11-21T21:16:{second:02}.624407"),
        "source": source, "size_bytes": text.len(), "item_count": 1, "checksum": sha256(text.as_bytes()),
        "tags": {"version": "1.0"},
    });
    (id.to_owned(), entry)
}

fn point(id: &str, second: u32, parts: &[&str]) -> (String, Value) {
    let entry = json!({
        "restore_id": id, "timestamp": format!("2026-11-21T21:16:{second:02}.626111"), "backups": parts,
        "description": "before-config-change", "manually_created": true,
    });
    (id.to_owned(), entry)
}

const REGISTRY: &str = "{\n  \"BOT-1\": {\n    \"port\": 8001\n  }\n}";
const QUEUE: &str = "{\n  \"tasks\": [\n    {\n      \"id\": \"T-1\"\n    }\n  ]\n}";
const LATER: &str = "{\n  \"BOT-1\": {\n    \"port\": 9001\n  }\n}";

const P1: &str = "6bedefe8-0b55-46d5-b8a6-bf7530b3317f";

/// Four backups: two in one point, one before it, one behind it.
fn write_backups(hive: &Hive) {
    let listed: BTreeMap<_, _> = [
        backup("b-first", "registry", "registry-backup", 1, REGISTRY),
        backup("b-reg", "registry", "registry-backup", 2, LATER),
        backup("b-queue", "queue", "queue-backup", 2, QUEUE),
        backup("b-last", "registry", "registry-backup", 4, REGISTRY),
    ]
    .into();
    let points: BTreeMap<_, _> = [point(P1, 3, &["b-reg", "b-queue"])].into();
    let files = [("b-first", REGISTRY), ("b-reg", LATER), ("b-queue", QUEUE), ("b-last", REGISTRY)];
    let index = json!({"backups": listed, "restore_points": points});
    hive.write("backups/index.json", serde_json::to_string_pretty(&index).unwrap());
    for (id, text) in files {
        hive.write(&format!("backups/{id}.json"), text);
    }
}

fn registry() -> Value {
    let bot = |port, kind| {
        json!({
            "port": port, "pid": 50080, "repo": "BOT", "status": "active",
            "registered_at": "2025-10-29T08:02:05.006801", "last_heartbeat": "2025-10-31T17:20:00.999125",
            "metadata": {"bot_type": kind, "adapter_type": "cli"},
        })
    };
    json!({"bots": {"BOT-222": bot(8251, "claude-code"), "BOT-446": bot(8029, "claude")}, "updated_at": "2025-10-31T17:20:00"})
}

fn backlog_task(id: &str, status: &str, bot: Option<&str>, dependencies: &[&str]) -> Value {
    let mut task = json!({
        "id": id, "title": format!("title of {id}"), "description": "what is to be done", "status": status,
        "priority": "P1", "type": "integration", "estimated_steps": 3, "dependencies": dependencies,
    });
    if let Some(bot) = bot {
        task["assigned_to"] = json!(bot);
    }
    if status == "DONE" {
        task["completed_by"] = json!("BOT-3");
        task["completed_at"] = json!("2025-10-11T15:55:00");
        task["result"] = json!("works");
    }
    task
}

fn backlog(tasks: &[Value]) -> String {
    format!("\u{feff}{}", json!({"version": "1.0", "backlog": tasks, "backlog_stats": {"total_items": tasks.len()}}))
}

const CHAT: &str = r#"{"timestamp": "2025-10-25T14:12:21.405449", "bot_id": null, "role": "assistant", "content": "✓ Bot 004 launched"}
{"timestamp": "2025-10-25T14:12:34.993947", "bot_id": "004", "role": "user", "content": "hello"}
{"timestamp": "2025-10-25T15:09:19.100975", "bot_id": "004", "role": "user", "content": "again", "session_id": "df4da1a0", "mood": 1.0}
"#;
const ACTIVITY: &str = r#"{"ts":"2025-10-16T12:00:00Z","agent_id":"CLAUDE-CODE-001","role":"worker","event":"session_start","message":"started","meta":{"user":"x"}}
{"ts":"2025-10-17T23:00:00Z","agent_id":"CLAUDE-CODE-001","event":"session_documented","meta":{"deliverables_counted":40+","files_changed":134}}
{"timestamp":"2025-10-26T12:00:00","bot_id":"BOT-3","event_type":"task_start","message":"Fix","metadata":{"task":"BUG-005"}}
"#;
const CHANGES: &str = r#"{"timestamp": "2025-10-26T13:01:35.555347", "action": "registered", "bot_id": "BOT-001", "details": {"port": 8025, "pid": -1}}
"#;
const EVENTS: &str = r#"{"timestamp": "2026-11-21T21:16:03.624441", "event": "backup_created", "details": {"backup_id": "b-first"}}
{"timestamp": "2026-11-21T21:16:03.628245", "event": "index_saved", "details": {"backups": 7}}
"#;

/// All kinds of files, all sound but for one line of the activities.
fn whole_hive() -> Hive {
    let hive = Hive::new();
    write_backups(&hive);
    let tasks = [
        backlog_task("T-1", "DONE", None, &[]),
        backlog_task("T-2", "IN_PROGRESS", Some("BOT-3"), &["T-1"]),
        backlog_task("T-3", "QUEUED", None, &["T-2"]),
        backlog_task("T-4", "QUEUED", None, &["T-1"]),
        backlog_task("T-5", "TODO", Some("BOT-4"), &[]),
    ];
    hive.write("registry.json", registry().to_string())
        .write("bots.json", json!({"BOT-9": {"bot_id": "BOT-9", "role": "Queen", "status": "active"}}).to_string())
        .write("backlog.json", backlog(&tasks))
        .write("chat-history-2025-10-25.jsonl", CHAT)
        .write("CLAUDE-CODE-001-activity.jsonl", ACTIVITY)
        .write("logs/registry-changes.jsonl", CHANGES)
        .write("logs/disaster-recovery.jsonl", EVENTS)
        .write("state/shutdown.marker", "");
    hive
}

#[test]
fn all_that_a_service_left_is_taken_and_a_line_that_is_not_json_is_named_and_kept() {
    let hive = whole_hive();
    let report = hive.adopt();
    let counts: Vec<_> = report.taken().into_iter().collect();
    use AdoptThing::{AuditEntries, Backups, Bots, Events, Messages, RestorePoints, Tasks};
    let expected =
        [(Backups, 4), (RestorePoints, 1), (Bots, 3), (Tasks, 5), (Messages, 3), (AuditEntries, 3), (Events, 2)];
    assert_eq!(counts, expected);
    let [problem] = problems(&report).try_into().unwrap();
    assert!(problem.starts_with("line 2: it is not JSON: "), "{problem}");
    assert!(report.in_part());
    let line = ACTIVITY.lines().nth(1).unwrap();
    assert_eq!(hive.events("not_adopted")[0]["text"], line);
    assert_eq!(report.skipped.len(), 1);
    assert!(report.skipped[0].path.ends_with("state/shutdown.marker"));
    assert!(report.to_string().ends_with(
        "adopted in part: 4 backups, 1 restore point, 3 bots, 5 tasks, 3 messages, 3 audit entries, 2 events"
    ));
}

#[test]
fn adopting_twice_changes_nothing() {
    let hive = whole_hive();
    hive.adopt();
    let before = hive.content();
    let again = hive.adopt();
    assert_eq!(hive.content(), before);
    assert!(again.taken().values().all(|count| *count == 0), "{again}");
    assert_eq!(again.files.iter().map(|file| file.known).sum::<u64>(), 21);
    assert_eq!(problems(&again).len(), 1, "what is not JSON is still named");
}

#[test]
fn a_bot_keeps_every_field_and_the_text_of_its_times() {
    let hive = Hive::new();
    let mut odd = registry();
    odd["bots"]["BOT-446"]["port"] = json!(70000);
    odd["bots"]["BOT-446"]["pid"] = json!(-1);
    odd["bots"]["BOT-446"]["registered_at"] = json!("yesterday");
    hive.write("registry.json", odd.to_string());
    let options = AdoptOptions { time_zone: TimeZone::fixed(jiff::tz::offset(-5)), ..options() };
    let report = hive.adopt_with(&options);
    assert_eq!(report.time_zone, "-05");
    assert!(!report.in_part());
    let view = hive.store.view().unwrap();
    let bot = |id: &str| serde_json::to_value(view.registry().get(&id.parse().unwrap()).unwrap().unwrap()).unwrap();
    let metadata = json!({"bot_type": "claude-code", "adapter_type": "cli"});
    let times = json!({"registered_at": "2025-10-29T08:02:05.006801", "last_heartbeat": "2025-10-31T17:20:00.999125"});
    assert_eq!(
        bot("BOT-222"),
        json!({
            "id": "BOT-222", "kind": "claude-code", "status": "active", "endpoint": null, "port": 8251, "pid": 50080,
            "repo": "BOT", "specializations": [], "max_concurrent": null,
            "registered_at": "2025-10-29T13:02:05.006801+00:00", "last_heartbeat": "2025-10-31T22:20:00.999125+00:00",
            "attributes": {"metadata": metadata, "original_times": times},
        })
    );
    let attributes = &bot("BOT-446")["attributes"];
    assert_eq!((&attributes["port"], &attributes["pid"]), (&json!(70000), &json!(-1)));
    assert_eq!(attributes["registered_at"], "yesterday");
    assert_eq!(bot("BOT-446")["registered_at"], Value::Null, "nobody knows when");
    assert!(report.files[0].notes[0].contains("registered_at: a time cannot be read"), "{report}");
    assert_eq!(hive.events("adopted")[0]["members"], json!({"updated_at": "2025-10-31T17:20:00"}));
}

#[test]
fn a_bot_that_is_there_gets_what_it_lacks_and_keeps_what_it_has() {
    let hive = Hive::new();
    hive.write("registry.json", registry().to_string());
    hive.adopt_all();
    let known = json!({"BOT-222": {"bot_id": "BOT-222", "role": "Queen", "status": "assigned", "note": null}});
    hive.write("bots.json", known.to_string());
    let report = hive.adopt();
    let expected = "bot BOT-222: the store already has it with other values, which stay: fields=status";
    assert_eq!(problems(&report), [expected]);
    let bot = hive.store.view().unwrap().registry().get(&"BOT-222".parse().unwrap()).unwrap().unwrap();
    assert_eq!((bot.status.as_deref(), bot.port), (Some("active"), Some(8251)));
    assert_eq!(bot.attributes["role"], "Queen");
    hive.adopt_all();
}

#[test]
fn tasks_keep_whose_they_are_and_what_they_wait_for() {
    let hive = whole_hive();
    hive.adopt();
    let done = hive.task("T-1");
    assert_eq!((done.state, done.finished_by), (TaskState::Done, Some(BotId::new("BOT-3").unwrap())));
    assert_eq!(done.finished_at.unwrap().to_string(), "2025-10-11T15:55:00Z");
    assert_eq!((&done.result, &done.attributes["completed_at"]), (&json!("works"), &json!("2025-10-11T15:55:00")));
    let held = hive.task("T-2");
    assert_eq!((held.state, held.priority), (TaskState::Waiting, Priority::P1));
    assert_eq!(held.payload, json!({"title": "title of T-2", "description": "what is to be done"}));
    let attributes = json!({
        "title": "title of T-2", "description": "what is to be done", "status": "IN_PROGRESS", "type": "integration",
        "estimated_steps": 3,
    });
    assert_eq!(Value::Object(held.attributes), attributes);
    let view = hive.store.view().unwrap();
    let assigned: Vec<_> = view.assignments().list().map(Result::unwrap).collect();
    let assigned: Vec<_> = assigned.iter().map(|it| (it.bot.as_str(), it.task.as_str(), it.hold)).collect();
    assert_eq!(assigned, [("BOT-3", "T-2", AssignmentKind::Assigned), ("BOT-4", "T-5", AssignmentKind::Assigned)]);
    assert_eq!(hive.claim("BOT-222"), ["T-4"], "the only task free for that bot");
    assert_eq!(hive.claim("BOT-3"), ["T-2"]);
}

#[test]
fn a_task_that_is_not_understood_is_named_and_the_rest_is_taken() {
    let hive = Hive::new();
    let mut strange = backlog_task("T-7", "QUEUED", None, &[]);
    strange["priority"] = json!("urgent");
    strange["assigned_to"] = json!(["BOT-1"]);
    strange["dependencies"] = json!({"T-1": true});
    let tasks = [
        backlog_task("T-1", "BLOCKED", None, &[]),
        backlog_task("T-2", "queued", None, &["T-1"]),
        backlog_task("T-3", "QUEUED", None, &["T-0", "T-2"]),
        backlog_task("T-4", "TODO", None, &["T-5"]),
        backlog_task("T-5", "TODO", None, &["T-4"]),
        backlog_task("T-8", "DONE", None, &["T-0"]),
        backlog_task("T-6", "ASSIGNED", None, &[]),
        strange,
        backlog_task("T-2", "TODO", None, &[]),
        json!({"title": "without a name"}),
        json!(null),
    ];
    hive.write("backlog.json", backlog(&tasks));
    let report = hive.adopt();
    let expected = [
        r#"task T-1: its status is unknown; known are DONE, TODO, QUEUED, ASSIGNED and IN_PROGRESS: status="BLOCKED""#,
        "task T-3: it does not wait for a task that does not exist: dependency=T-0",
        "task T-5: it waits for no other task: the task would wait for itself: task=T-5 through=T-4",
        "task T-6: it was assigned to an unnamed bot: any bot may claim it",
        "task T-7: it was given priority P2: priority: a priority is one of P0, P1, P2, P3: text=urgent",
        "task T-7: any bot may claim it: assigned_to is not a text",
        "task T-7: its dependencies are not an array",
        "task T-2: the store already has another task with that id, which stays",
        "element 9: it has no id, or its id is not a string",
        "element 10: it has no id, or its id is not a string",
    ];
    assert_eq!(problems(&report), expected);
    assert_eq!(taken(&report, AdoptThing::Tasks), 7);
    let waits = |id: &str| hive.task(id).waiting_for.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(waits("T-2"), ["T-1"], "a task of the file that could not be taken is waited for");
    assert_eq!(waits("T-3"), ["T-2"]);
    assert_eq!(hive.task("T-3").attributes["dependencies"], json!(["T-0", "T-2"]));
    assert_eq!((waits("T-4"), waits("T-5")), (vec!["T-5".to_owned()], vec![]));
    assert_eq!(hive.task("T-7").attributes["priority"], "urgent");
    assert_eq!(hive.task("T-7").attributes["assigned_to"], json!(["BOT-1"]));
}

#[test]
fn a_removed_record_stays_removed_unless_it_is_adopted_again() {
    let hive = whole_hive();
    hive.adopt();
    hive.store.write(|tx| tx.registry().remove(&"BOT-446".parse()?)).unwrap();
    hive.store.write(|tx| tx.chat().remove(1)).unwrap();
    hive.store.forget(&[P1.parse().unwrap()]).unwrap();
    let before = hive.content();
    let report = hive.adopt();
    assert_eq!(hive.content(), before);
    assert_eq!(report.files.iter().map(|file| file.gone).sum::<u64>(), 5);
    let again = hive.adopt_with(&AdoptOptions { again: true, ..options() });
    use AdoptThing::{Backups, Bots, Messages, RestorePoints};
    let came_back = [Bots, Messages, Backups, RestorePoints].map(|thing| taken(&again, thing));
    assert_eq!(came_back, [1, 1, 2, 1]);
    assert!(hive.store.find_point(P1.parse::<Selector>().unwrap()).unwrap().is_some());
}

#[test]
fn messages_keep_bot_session_and_time_and_a_file_that_grows_brings_only_its_new_lines() {
    let hive = Hive::new();
    hive.write("chat-history-2025-10-25.jsonl", format!("{CHAT}{}\n", CHAT.lines().nth(1).unwrap()));
    assert_eq!(taken(&hive.adopt_all(), AdoptThing::Messages), 4, "two equal lines are two messages");
    hive.write("copy/chat-history-copy.jsonl", CHAT);
    assert_eq!(taken(&hive.adopt_all(), AdoptThing::Messages), 0, "a copy brings nothing new");
    let more = r#"{"timestamp": "2025-10-25T16:00:00", "bot_id": 4, "role": "user", "content": "new"}"#;
    hive.write("chat-history-2025-10-25.jsonl", format!("{CHAT}{}\r\n\n{more}", CHAT.lines().nth(1).unwrap()));
    assert_eq!(taken(&hive.adopt_all(), AdoptThing::Messages), 1);
    let messages = hive.store.view().unwrap().chat().list(&ChatFilter::default(), Page::oldest(9)).unwrap();
    let shown: Vec<_> = messages
        .iter()
        .map(|it| (it.bot.as_ref().map_or("", BotId::as_str), it.conversation.as_str(), it.content.as_str()))
        .collect();
    let day = "chat-history-2025-10-25";
    let expected = [
        ("", day, "✓ Bot 004 launched"),
        ("004", day, "hello"),
        ("004", "df4da1a0", "again"),
        ("004", day, "hello"),
        ("", day, "new"),
    ];
    assert_eq!(shown, expected);
    assert_eq!(messages[1].original_time.as_deref(), Some("2025-10-25T14:12:34.993947"));
    assert_eq!(Value::Object(messages[2].attributes.clone()).to_string(), r#"{"mood":1.0}"#);
    assert_eq!(Value::Object(messages[4].attributes.clone()), json!({"bot_id": 4}));
}

#[test]
fn logs_become_entries_and_events_with_their_own_times() {
    let hive = whole_hive();
    hive.adopt();
    let view = hive.store.view().unwrap();
    let [start, fix, change] = view.audit().list(Page::oldest(9)).unwrap().try_into().unwrap();
    assert_eq!((start.action.as_str(), start.actor.as_str()), ("session_start", "CLAUDE-CODE-001"));
    assert_eq!(start.at.to_string(), "2025-10-16T12:00:00Z");
    assert_eq!(start.original.as_deref(), ACTIVITY.lines().next());
    assert_eq!(start.details, json!({"role": "worker", "message": "started", "meta": {"user": "x"}}));
    assert_eq!((fix.action.as_str(), fix.actor.as_str()), ("task_start", "BOT-3"));
    assert_eq!((change.action.as_str(), change.target.as_deref()), ("registered", Some("BOT-001")));
    assert_eq!(change.details, json!({"port": 8025, "pid": -1}));
    assert!(view.audit().verify().unwrap().findings.is_empty());
    let events = view.events().list(Page::oldest(99)).unwrap();
    let saved = events.iter().find(|event| event.kind == EventKind::Other("index_saved".into())).unwrap();
    assert_eq!(saved.at.to_string(), "2026-11-21T21:16:03.628245Z");
    assert_eq!(saved.details, json!({"backups": 7, "original_time": "2026-11-21T21:16:03.628245"}));
}

#[test]
fn lines_that_are_no_records_are_named() {
    let hive = Hive::new();
    let deep =
        format!(r#"{{"timestamp":"2025-01-01","role":"a","content":"b","x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let lines = [
        "[1]",
        r#"{"role": "user", "content": "x"}"#,
        r#"{"timestamp": "soon", "role": "user", "content": "x"}"#,
        r#"{"timestamp": 1, "role": "user", "content": "x"}"#,
        r#"{"timestamp": "2025-01-01", "role": "user", "content": ["x"]}"#,
        &deep,
        r#"{"timestamp": "2025-01-01", "role": "user", "content": "good"}"#,
    ];
    let bytes = [lines.join("\n").as_bytes(), b"\n\xff\xfe\n", &vec![b'"'; (16 << 20) + 9]].concat();
    hive.write("chat-history-x.jsonl", bytes);
    hive.write("disaster-recovery.jsonl", r#"{"timestamp": "2025-01-01", "event": "Not A Name"}"#);
    let report = hive.adopt();
    let problems = problems(&report);
    let begins = [
        "line 1: it is JSON, but not an object",
        "line 2: it has no timestamp",
        "line 3: a time cannot be read: time=soon",
        "line 4: it has no timestamp",
        "line 5: it has no content, or its content is not a string",
        "line 6: it is not JSON: nested deeper than 128 levels",
        "line 8: it is not JSON: ",
        "line 9: it is too long: bytes=16777225 limit=16777216",
        "line 1: the name of an event has 1 to 64 lower-case letters",
    ];
    assert_eq!(problems.len(), begins.len(), "{problems:#?}");
    problems.iter().zip(begins).for_each(|(problem, begin)| assert!(problem.starts_with(begin), "{problem}"));
    assert_eq!(taken(&report, AdoptThing::Messages), 1);
    assert_eq!(hive.events("not_adopted").len(), 8);
    assert!(hive.events("not_adopted").iter().any(|details| details["hex"] == "fffe"));
}

fn of(backups: &[Backup], id: &str) -> Backup {
    backups.iter().find(|backup| backup.backup_id == id).unwrap().clone()
}

#[test]
fn backups_keep_what_they_are_and_each_is_read_at_its_own_point() {
    let hive = Hive::new();
    write_backups(&hive);
    let report = hive.adopt_all();
    assert_eq!(report.files[0].verified, 4);
    let backups = hive.store.backups(None).unwrap();
    for (id, text) in [("b-first", REGISTRY), ("b-reg", LATER), ("b-queue", QUEUE), ("b-last", REGISTRY)] {
        let backup = of(&backups, id);
        assert_eq!(hivekeep::json::python_text(&hive.store.backup_data(&backup).unwrap()), text, "{id}");
        assert_eq!((backup.of, &backup.file_checksum), (BackupOf::Documents, &None));
        assert_eq!(
            (backup.checksum.as_str(), backup.size_bytes),
            (sha256(text.as_bytes()).as_str(), text.len() as u64)
        );
    }
    let first = of(&backups, "b-first");
    assert_eq!((first.backup_type, first.source.as_str()), (Kind::Registry, "registry-backup"));
    assert_eq!(first.timestamp.to_string(), "2026-11-21T21:16:01.624407Z");
    assert_eq!(first.original_time.as_deref(), Some("2026-11-21T21:16:01.624407"));
    assert_eq!(first.tags["version"], "1.0");
    let points = hive.store.all_points().unwrap();
    let order: Vec<_> = points.iter().rev().map(|point| point.backups.join(" ")).collect();
    assert_eq!(order, ["b-first", "b-reg b-queue", "b-last"]);
    let point = hive.store.find_point(P1.parse::<Selector>().unwrap()).unwrap().unwrap();
    assert_eq!(
        (point.origin, point.manual, point.description.as_str()),
        (Some(Origin::Adopted), true, "before-config-change")
    );
    assert_eq!(point.timestamp.to_string(), "2026-11-21T21:16:03.626111Z");
    assert_eq!(point.sealed_at.to_string(), "2026-11-22T00:00:00Z");
    assert!(hive.store.find_point("latest".parse::<Selector>().unwrap()).is_err(), "latest means live state");
    assert!(hive.store.retain(&Policy::default()).unwrap().is_empty(), "retention counts from the adoption");
}

#[test]
fn damaged_and_missing_backups_are_named_and_the_rest_is_taken_and_later_those_too() {
    let hive = Hive::new();
    write_backups(&hive);
    hive.write("backups/b-queue.json", QUEUE.replace("T-1", "T-2")).write("backups/unlisted.json", "{}");
    fs::remove_file(hive.left().join("backups/b-last.json")).unwrap();
    let report = hive.adopt();
    let found = problems(&report);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("backup b-queue: it is damaged: its checksum differs: listed="), "{found:?}");
    assert!(found[1].starts_with("backup b-last: its file is missing: file="), "{found:?}");
    assert!(report.skipped[0].path.ends_with("unlisted.json"));
    assert_eq!((taken(&report, AdoptThing::Backups), taken(&report, AdoptThing::RestorePoints)), (2, 1));
    assert_eq!(hive.events("not_adopted")[0]["text"], QUEUE.replace("T-1", "T-2"));
    let point = hive.store.find_point(P1.parse::<Selector>().unwrap()).unwrap().unwrap();
    assert_eq!(point.backups, ["b-reg"]);
    write_backups(&hive);
    assert_eq!(taken(&hive.adopt_all(), AdoptThing::Backups), 2);
    let late = hive.store.find_backup("b-queue").unwrap();
    assert_eq!(hivekeep::json::python_text(&hive.store.backup_data(&late).unwrap()), QUEUE);
}

#[test]
fn a_backup_in_other_bytes_keeps_its_checksum_and_gets_ours() {
    let hive = Hive::new();
    let text = "{\"z\": 1e400,\n\"a\": \"é\"}\n";
    let (id, entry) = backup("b", "full", "pre-deployment", 1, text);
    hive.write("index.json", json!({"backups": {id: entry}}).to_string()).write("b.json", text);
    hive.adopt_all();
    let backup = hive.store.find_backup("b").unwrap();
    let ours = "{\n  \"z\": 1e400,\n  \"a\": \"\\u00e9\"\n}";
    assert_eq!(backup.file_checksum.as_deref(), Some(sha256(text.as_bytes()).as_str()));
    assert_eq!(backup.checksum, sha256(ours.as_bytes()));
    assert_eq!(hivekeep::json::python_text(&hive.store.backup_data(&backup).unwrap()), ours);
}

#[test]
fn a_document_of_the_store_is_as_it_was_after_old_ones_were_adopted_over_it() {
    let hive = Hive::new();
    let mine = json!({"BOT-1": {"port": 1}});
    let request = BackupRequest::new(Kind::Registry).source("registry-backup").data(mine.clone());
    let own = hive.store.backup(request).unwrap();
    write_backups(&hive);
    hive.adopt_all();
    let view = hive.store.view().unwrap();
    assert_eq!(view.documents().get("registry", "registry-backup").unwrap(), Some(mine.clone()));
    assert!(view.documents().get("queue", "queue-backup").unwrap().is_some());
    assert_eq!(hive.store.backup_data(&own).unwrap(), mine);
}

#[test]
fn an_index_that_is_not_as_it_should_be_is_taken_as_far_as_it_goes() {
    let hive = Hive::new();
    fs::write(hive.folder.path().join("outside.json"), REGISTRY).unwrap();
    let mut listed: BTreeMap<_, _> = [
        backup("../../outside", "registry", "s", 1, REGISTRY),
        backup("good", "registry", "s", 1, REGISTRY),
        backup("twin", "registry", "s", 1, LATER),
        backup("kind", "metrics", "s", 1, "{}"),
        backup("nan", "queue", "s", 1, "{\"a\": NaN}"),
        backup("unsure", "queue", "s", 1, QUEUE),
    ]
    .into();
    listed.get_mut("unsure").unwrap().as_object_mut().unwrap().shift_remove("checksum");
    listed.insert("null".into(), json!(null));
    let points: BTreeMap<_, _> =
        [point("p-1", 2, &["good", "twin", "none"]), point("p-2", 3, &["good"]), point("p-3", 4, &[])].into();
    hive.write("backups/index.json", json!({"backups": listed, "restore_points": points}).to_string());
    for (id, text) in [("good", REGISTRY), ("twin", LATER), ("nan", "{\"a\": NaN}"), ("unsure", QUEUE)] {
        hive.write(&format!("backups/{id}.json"), text);
    }
    let report = hive.adopt();
    let unlisted = "one of its parts is missing or unreadable in the index, or belongs to an earlier point";
    let expected = [
        "backup ../../outside: its id cannot be the name of a file beside the index".to_owned(),
        "backup kind: unknown kind of backup; use registry, queue, bot_assignments or full: kind=metrics".to_owned(),
        "backup null: it is no object".to_owned(),
        "restore point p-1: two of its parts have the same kind and source; this one gets a point of its own: backup=\"twin\"".to_owned(),
        format!("restore point p-1: {unlisted}: backup=\"none\""),
        format!("restore point p-2: {unlisted}: backup=\"good\""),
        "backup nan: its checksum matches, but it cannot be stored: NaN and Infinity are not JSON; use null or a string: pointer=\"/a\" offset=6".to_owned(),
        "backup unsure: it was adopted without verification: the index has no checksum for it".to_owned(),
        "restore point p-2: none of its parts could be adopted".to_owned(),
    ];
    assert_eq!(problems(&report), expected);
    assert_eq!((taken(&report, AdoptThing::Backups), taken(&report, AdoptThing::RestorePoints)), (3, 2));
    assert_eq!(report.files[0].notes[0], "restore point p-1: no point can be named by its id");
    for (id, text) in [("good", REGISTRY), ("twin", LATER), ("unsure", QUEUE)] {
        let backup = hive.store.find_backup(id).unwrap_or_else(|_| panic!("{id}"));
        assert_eq!(hivekeep::json::python_text(&hive.store.backup_data(&backup).unwrap()), text, "{id}");
    }
}

#[test]
fn files_that_only_have_the_names_are_left_alone_or_named() {
    let hive = Hive::new();
    hive.write("a/index.json", r#"{"pages": []}"#)
        .write("a/bots.json", r#"{"enabled": true}"#)
        .write("a/registry.json", "not JSON")
        .write("b/registry.json", r#"{"bots": []}"#)
        .write("b/backlog.json", "[]");
    let report = hive.adopt();
    let skipped: Vec<_> = report.skipped.iter().map(|skipped| skipped.why.as_str()).collect();
    let [bots, index] = [
        "it has the name of a list of bots, but not its content",
        "it has the name of an index of backups, but not its content",
    ];
    assert_eq!(skipped, [bots, index]);
    let [first, second, third] = problems(&report).try_into().unwrap();
    assert!(first.starts_with(": it is not JSON: "), "{first}");
    assert_eq!(second, ": it has no field bots with an object");
    assert_eq!(third, ": it is JSON, but not an object");
    assert_eq!(hive.events("not_adopted")[0]["text"], "not JSON");
}

#[test]
fn a_file_over_the_limit_is_refused_by_name_and_the_others_are_taken() {
    let hive = Hive::new();
    hive.write("registry.json", registry().to_string()).write("chat-history-1.jsonl", CHAT.repeat(9));
    let report = hive.adopt_with(&AdoptOptions { max_file_bytes: 2000, ..options() });
    let expected = format!(": the file is too large: bytes={} limit=2000", CHAT.len() * 9);
    assert_eq!(problems(&report), [expected]);
    assert_eq!(taken(&report, AdoptThing::Bots), 2);
}

#[test]
fn a_path_with_nothing_at_it_is_an_error_before_anything_is_taken() {
    let hive = Hive::new();
    hive.write("registry.json", registry().to_string());
    let none = hive.left().join("none");
    let error = hive.store.adopt(&[hive.left(), none.clone()], &options()).unwrap_err();
    let expected = format!("nothing was adopted: no such file or folder: path={}", none.display());
    assert_eq!(error.to_string(), expected);
    assert_eq!(hive.store.view().unwrap().registry().list().count(), 0);
}

/// JSON whose names are those that files have, so that every reader meets every type.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(vec![json!(-1), json!(0), json!(70000), json!(1e300), json!(8001)]),
        prop::sample::select(vec!["", "DONE", "TODO", "ASSIGNED", "P0", "T-1", "BOT-1", "b-1", "registry", "a\u{0}b"])
            .prop_map(Value::from),
        prop::sample::select(vec!["2025-10-29T08:02:05.006801", "2025-10-11T16:30:00Z", "9999-12-31T23:59:59"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let names = prop::sample::select(vec![
            "bots",
            "backlog",
            "backups",
            "restore_points",
            "id",
            "status",
            "priority",
            "assigned_to",
            "dependencies",
            "completed_by",
            "completed_at",
            "timestamp",
            "ts",
            "event",
            "details",
            "role",
            "content",
            "bot_id",
            "port",
            "pid",
            "registered_at",
            "last_heartbeat",
            "metadata",
            "original_times",
            "backup_type",
            "source",
            "tags",
            "checksum",
            "session_id",
            "BOT-1",
            "b-1",
            "p-1",
            "",
            "../x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(names.prop_map(str::to_owned), inner, 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_the_files_hold_nothing_panics_and_the_store_stays_sound(values in prop::collection::vec(any_json(), 12)) {
        let hive = Hive::new();
        let names = ["registry.json", "bots.json", "backlog.json", "backups/index.json", "backups/b-1.json"];
        for (name, value) in names.iter().zip(&values) {
            hive.write(name, value.to_string());
        }
        hive.write("more/registry.json", json!({"bots": values[5]}).to_string());
        hive.write("more/backlog.json", json!({"backlog": [values[6], values[7], values[8], values[5]]}).to_string());
        hive.write("more/index.json", json!({"backups": {"b-1": values[9]}, "restore_points": {"p-1": values[10]}}).to_string());
        let lines: Vec<_> = values.iter().map(Value::to_string).collect();
        for name in ["chat-history-1.jsonl", "A-activity.jsonl", "registry-changes.jsonl", "disaster-recovery.jsonl"] {
            hive.write(name, lines.join("\n"));
        }
        hive.adopt();
        let before = hive.content();
        hive.adopt();
        prop_assert_eq!(hive.content(), before);
    }
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_folder_of_backups_is_not_followed() {
    let hive = Hive::new();
    write_backups(&hive);
    let outside = hive.folder.path().join("outside.json");
    fs::rename(hive.left().join("backups/b-last.json"), &outside).unwrap();
    std::os::unix::fs::symlink(&outside, hive.left().join("backups/b-last.json")).unwrap();
    let found = problems(&hive.adopt());
    assert!(
        found[0].starts_with("backup b-last: its file is a symbolic link, which is not followed: file="),
        "{found:?}"
    );
}
