//! The command line, as it is typed: what each verb prints, how it ends, and what it says when it refuses.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod util;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use hivekeep::{NewTask, Sharing, Store};
use serde_json::{Value, json};

use util::{Hive, Running};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_verb_without_a_store_says_how_to_start_one() {
    let hive = Hive::empty();
    let path = hive.path();
    let said = hive.refused(&["status"], 10);
    assert_eq!(said, format!("no store at {}; start one with hivekeep serve, or pass --store", path.display()));
    for verb in [
        &["get", "registry"][..],
        &["put", "config", "a", "1"],
        &["point", "create"],
        &["restore", "latest"],
        &["undo"],
        &["queue", "push", "1"],
        &["check"],
        &["log"],
        &["compact"],
        &["backup"],
    ] {
        assert_eq!(hive.refused(verb, 10), said, "{verb:?}");
    }
    assert!(!path.exists(), "a verb that needs a store has made one");
}

#[test]
fn with_json_an_error_is_one_object_and_nothing_is_printed_as_data() {
    let hive = Hive::empty();
    let ran = hive.run(&["--json", "status"]).with(10);
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(keys(&error), ["kind", "message", "code"]);
    assert_eq!((&error["kind"], &error["code"]), (&json!("no_store"), &json!(10)));
    assert_eq!(ran.out, "");
    let ran = hive.run(&["--json", "get"]).with(2);
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["message"], "the following required arguments were not provided: <COLLECTION>");
    assert_eq!((&error["kind"], &error["code"]), (&json!("usage"), &json!(2)));
}

#[test]
fn what_is_no_store_is_refused_by_name_and_stays_as_it_is() {
    let hive = Hive::empty();
    let path = hive.path();
    let shown = path.display();
    for (content, why) in [(&b""[..], "it is too short"), (b"{\"bots\": {}} and more", "it does not begin like one")] {
        fs::write(&path, content).unwrap();
        for verb in [&["status"][..], &["put", "config", "a", "1"], &["serve", "--listen", "127.0.0.1:0"]] {
            assert_eq!(hive.refused(verb, 1), format!("{shown} is not a store: {why}"));
        }
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(hive.refused(&["status"], 1), format!("{shown} is not a store: it is a directory"));
}

#[test]
fn a_store_that_another_process_has_for_itself_is_locked() {
    let hive = Hive::new();
    let store = Store::options().sharing(Sharing::Exclusive).open(hive.path()).unwrap();
    let said = hive.refused(&["put", "config", "a", "1"], 11);
    assert_eq!(
        said,
        format!(
            "{} is locked: another process has the store open for itself; close that process, or open both in shared \
             mode",
            hive.path().display()
        )
    );
    assert_eq!(hive.refused(&["get", "config"], 11), said);
    store.close().unwrap();
    hive.ok(&["put", "config", "a", "1"]);
}

#[test]
fn several_processes_work_on_one_store_at_the_same_time() {
    let hive = Hive::new();
    let _open = hive.open();
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let hive = &hive;
            scope.spawn(move || {
                for n in 0..6 {
                    hive.ok(&["queue", "push", &n.to_string(), "--id", &format!("t-{worker}-{n}")]);
                    hive.ok(&["get", "queue"]);
                    hive.ok(&["queue", "claim", &format!("bot-{worker}-{n}")]);
                }
            });
        }
    });
    let tasks = hive.json(&["get", "queue"]);
    let mut tokens: Vec<_> = tasks.as_object().unwrap().values().map(|task| task["holder"]["token"].as_u64()).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, (1..=18).map(Some).collect::<Vec<_>>());
    assert!(hive.run(&["check"]).with(0).out.starts_with("sound: "));
}

#[test]
fn what_is_put_is_got_in_the_shape_of_its_collection() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["put", "sensors", "roof", "21.5"]);
    hive.ok(&["put", "documents", "registry/my-bot", r#"{"z": 1e400, "a": -0}"#]);
    hive.ok(&["queue", "claim", "BOT-1"]);
    let registry = hive.json(&["get", "registry"]);
    assert_eq!(keys(&registry), ["BOT-1", "BOT-2", "BOT-3"]);
    assert_eq!(registry["BOT-2"]["port"], 8001);
    assert_eq!(keys(&hive.json(&["get", "queue"])), ["build", "test"]);
    assert_eq!(hive.json(&["get", "assignments"]), json!({"BOT-1": ["build"]}));
    assert_eq!(hive.json(&["get", "assignments", "BOT-1"]), json!(["build"]));
    assert_eq!(hive.json(&["get", "config"]), json!({"limit": 5}));
    assert_eq!(hive.ok(&["get", "config", "limit"]), "5\n");
    assert_eq!(hive.json(&["get", "sensors"]), json!({"roof": 21.5}));
    assert_eq!(hive.ok(&["get", "documents", "registry/my-bot"]), "{\n  \"z\": 1e400,\n  \"a\": -0\n}\n");
    assert_eq!(keys(&hive.json(&["get", "documents"])), ["registry/my-bot"]);
    assert_eq!(hive.json(&["get", "chat"]), json!([]));
    assert_eq!(hive.json(&["get", "audit"]), json!([]));
    assert_eq!(hive.json(&["get", "queue", "test"])["waiting_for"], json!(["build"]));
}

#[test]
fn people_get_aligned_columns() {
    let hive = Hive::new();
    hive.fill();
    let out = hive.ok(&["get", "queue"]);
    assert_eq!(
        out,
        "TASK   PRIORITY  STATE  BOT  ATTEMPTS  PAYLOAD\n\
         build  P1        ready  -    0/5       {\"build\":1}\n\
         test   P2        ready  -    0/5       {\"test\":1}\n"
    );
    assert!(hive.ok(&["get", "registry"]).starts_with("BOT    KIND  STATUS"));
}

#[test]
fn chat_and_audit_are_arrays_of_what_was_appended() {
    let hive = Hive::new();
    let store = hive.open();
    store
        .write(|tx| {
            tx.chat().append(hivekeep::NewMessage::new("standup", "user", "hello"))?;
            for n in 0..300 {
                tx.audit().append(hivekeep::NewEntry::new(format!("deploy {n}"), "BOT-1"))?;
            }
            Ok(())
        })
        .unwrap();
    store.close().unwrap();
    assert_eq!(hive.json(&["get", "chat"])[0]["content"], "hello");
    assert_eq!(hive.json(&["get", "chat", "1"])["role"], "user");
    assert_eq!(hive.json(&["get", "audit"]).as_array().unwrap().len(), 300);
    assert_eq!(hive.json(&["get", "audit", "300"])["action"], "deploy 299");
}

#[test]
fn removed_is_gone_and_removing_nothing_is_no_match() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["remove", "config", "limit"]);
    assert_eq!(
        hive.refused(&["remove", "config", "limit"], 13),
        "there is no such record: collection=config key=limit"
    );
    assert_eq!(hive.refused(&["get", "config", "limit"], 13), "there is no such record: collection=config key=limit");
    hive.ok(&["remove", "registry", "BOT-3"]);
    assert_eq!(keys(&hive.json(&["get", "registry"])), ["BOT-1", "BOT-2"]);
    assert_eq!(
        hive.refused(&["get", "registy"], 13),
        "there is no such collection; there are audit, registry, queue, assignments, chat, config, documents: \
         collection=registy"
    );
}

#[test]
fn what_only_its_own_verbs_keep_right_is_not_put() {
    let hive = Hive::new();
    assert_eq!(
        hive.refused(&["put", "queue", "t", "1"], 2),
        "tasks are changed by their own verbs; see hivekeep queue --help: collection=queue"
    );
    for collection in ["assignments", "chat", "audit"] {
        hive.refused(&["remove", collection, "1"], 2);
    }
    let said = hive.refused(&["put", "config", "greeting", "hello"], 2);
    assert!(said.starts_with("this is not JSON; text goes in quotes, such as '\"hello\"'"), "{said}");
    assert!(hive.refused(&["put", "config", "a", r#"{"b": 1, "b": 2}"#], 2).contains("pointer=\"/b\""));
    assert!(hive.refused(&["put", "registry", "B", r#"{"prot": 1}"#], 2).ends_with("member=prot"));
}

#[test]
fn a_record_is_read_from_standard_input() {
    let hive = Hive::new();
    let file = hive.path().with_extension("json");
    fs::write(&file, "{\"a\": [1, 2]}").unwrap();
    let mut command = hive.command(&["put", "config", "limits", "-"]);
    assert!(command.stdin(fs::File::open(&file).unwrap()).status().unwrap().success());
    assert_eq!(hive.json(&["get", "config", "limits"]), json!({"a": [1, 2]}));
}

#[test]
fn a_point_is_made_listed_shown_held_and_forgotten() {
    let hive = Hive::new();
    hive.fill();
    let id = hive.ok(&["point", "create", "before the upgrade", "--tag", "release=1.2"]);
    let id = id.trim_end();
    let points = hive.json(&["point", "list"]);
    assert_eq!((&points[0]["id"], &points[0]["description"]), (&json!(id), &json!("before the upgrade")));
    assert_eq!(points[0]["tags"], json!({"release": "1.2"}));
    assert!(hive.ok(&["point", "list", "--sizes"]).contains("manual"));
    let point = hive.json(&["point", "show", id.get(..30).unwrap()]);
    assert_eq!(point["collections"]["registry"]["count"], 3);
    assert!(point["frees"]["bytes"].as_u64().unwrap() > 0);
    assert_eq!(hive.json(&["point", "hold", "latest"])["held"], true);
    assert_eq!(
        hive.refused(&["point", "forget", id], 1),
        format!("that point is held; release it first: hivekeep point release {id}")
    );
    hive.ok(&["point", "release", id]);
    assert_eq!(hive.run(&["point", "forget", id, "--dry-run"]).with(0).err, "would forget 1 restore point\n");
    assert_eq!(hive.run(&["point", "forget", id]).with(0).err, "forgot 1 restore point\n");
    assert_eq!(hive.json(&["point", "list"]), json!([]));
    assert_eq!(
        hive.refused(&["point", "show", "latest"], 13),
        "there is no restore point yet; make one with hivekeep point create"
    );
}

#[test]
fn the_rules_of_retention_give_their_reasons() {
    let hive = Hive::new();
    hive.ok(&["point", "create", "first"]);
    let judged = hive.json(&["point", "forget", "--policy", "--dry-run"]);
    assert_eq!(judged[0]["keep"], true);
    assert_eq!(judged[0]["reasons"], json!(["latest good point", "within 7d"]));
    assert_eq!(hive.run(&["point", "forget", "--policy"]).with(0).err, "forgot 0 restore points\n");
}

#[test]
fn a_selector_that_means_nothing_or_several_says_so() {
    let hive = Hive::new();
    assert_eq!(
        hive.refused(&["restore", "latest"], 13),
        "there is no restore point yet; make one with hivekeep point create"
    );
    let ids = [0, 1].map(|_| hive.ok(&["point", "create"]).trim_end().to_owned());
    let common = ids[0].chars().zip(ids[1].chars()).take_while(|(a, b)| a == b).count();
    let prefix = ids[0].get(..common).unwrap();
    let said = hive.refused(&["point", "show", prefix], 2);
    assert!(said.starts_with("several ids begin so ("), "{said}");
    assert!(said.ends_with(&format!("; type more of the one that is meant: id={prefix} matches=2")), "{said}");
    assert_eq!(
        hive.refused(&["point", "show", "ffffffff"], 13),
        "no restore point or backup has that id; see them with hivekeep point list --all: id=ffffffff"
    );
    let said = hive.run(&["get", "config", "--at", "yesterday"]).with(2).err;
    assert!(said.contains("a restore point is named by now, latest, latest~3, an id"), "{said}");
}

#[test]
fn a_diff_names_what_changed() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    assert_eq!(hive.run(&["point", "diff", "latest", "now"]).with(0).err, "nothing differs\n");
    hive.ok(&["put", "config", "limit", "6"]);
    hive.ok(&["queue", "claim", "BOT-1"]);
    let out = hive.ok(&["point", "diff", "latest"]);
    assert!(out.starts_with("+ assignments/BOT-1/build "), "{out}");
    assert!(out.contains("\n~ config/limit 5 -> 6\n~ queue/build attempts: 0 -> 1"), "{out}");
    let diff = hive.json(&["point", "diff", "latest", "now"]);
    assert_eq!(diff["to"], "now");
    assert_eq!(diff["counts"]["config"], json!({"added": 0, "changed": 1, "removed": 0}));
    assert_eq!(diff["changes"][1]["after"], 6);
}

#[test]
fn a_restore_says_what_it_did_and_how_to_undo_it() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    hive.ok(&["put", "config", "limit", "6"]);
    hive.ok(&["remove", "registry", "BOT-3"]);
    hive.ok(&["queue", "claim", "BOT-1"]);
    let plan = hive.ok(&["restore", "latest", "--dry-run"]);
    assert!(
        plan.contains("\n  config: 0 added, 1 changed, 0 removed\n  queue: 0 added, 1 changed, 0 removed\n"),
        "{plan}"
    );
    assert_eq!(hive.ok(&["get", "config", "limit"]), "6\n", "a dry run has changed something");
    let before = hive.ok(&["get", "queue", "--json"]);
    let ran = hive.run(&["restore", "latest"]).with(0);
    assert_eq!(ran.err, "restored 4 records; undo with: hivekeep undo\n");
    assert_eq!(
        ran.out,
        "assignments: 0 added, 0 changed, 1 removed\nconfig: 0 added, 1 changed, 0 removed\n\
         queue: 0 added, 1 changed, 0 removed\nregistry: 1 added, 0 changed, 0 removed\n"
    );
    assert_eq!(hive.ok(&["get", "config", "limit"]), "5\n");
    hive.ok(&["undo", "--dry-run"]);
    assert_eq!(hive.run(&["undo"]).with(0).err, "undone, 4 records changed; redo with: hivekeep undo\n");
    assert_eq!(hive.ok(&["get", "queue", "--json"]), before, "an undo gives back exactly what was");
    let redone = hive.json(&["undo"]);
    assert_eq!(redone["collections"]["config"], json!({"added": 0, "changed": 1, "removed": 0}));
    let events = hive.json(&["log"]);
    let kinds: Vec<_> = events.as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(
        kinds.iter().filter(|kind| kind.starts_with("restore_") && **kind != "restore_point_created").count(),
        3
    );
}

#[test]
fn a_part_is_restored_by_kind_or_by_key() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    hive.ok(&["put", "config", "limit", "6"]);
    hive.ok(&["put", "registry", "BOT-1", r#"{"port": 1}"#]);
    hive.ok(&["put", "registry", "BOT-2", r#"{"port": 2}"#]);
    let ran = hive.run(&["restore", "latest", "--only", "registry", "--key", "BOT-1"]).with(0);
    assert_eq!(ran.err, "restored 1 record; undo with: hivekeep undo\n");
    let registry = hive.json(&["get", "registry"]);
    assert_eq!((&registry["BOT-1"]["port"], &registry["BOT-2"]["port"]), (&json!(8001), &json!(2)));
    hive.ok(&["restore", "latest", "--only", "registry,queue", "--verify"]);
    assert_eq!(hive.json(&["get", "registry"])["BOT-2"]["port"], 8001);
    assert_eq!(hive.ok(&["get", "config", "limit"]), "6\n");
}

#[test]
fn an_undo_refuses_to_overwrite_later_work_unless_told_so() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    hive.ok(&["put", "config", "limit", "6"]);
    hive.ok(&["restore", "latest"]);
    hive.ok(&["put", "config", "limit", "7"]);
    let said = hive.refused(&["undo"], 1);
    assert!(said.contains("config/limit"), "{said}");
    assert!(said.ends_with("to do it all the same: hivekeep undo --discard"), "{said}");
    hive.ok(&["undo", "--discard"]);
    assert_eq!(hive.ok(&["get", "config", "limit"]), "6\n");
    assert_eq!(Hive::new().refused(&["undo"], 13), "there is no restore to undo");
}

#[test]
fn the_past_is_read_by_time_and_the_answer_says_which_point_that_is() {
    let hive = Hive::new();
    hive.fill();
    let id = hive.ok(&["point", "create"]);
    hive.ok(&["put", "config", "limit", "6"]);
    assert_eq!(hive.ok(&["get", "config", "limit", "--at", "latest"]), "5\n");
    let ran = hive.run(&["get", "config", "limit", "--at", "0s ago"]).with(0);
    assert_eq!(ran.out, "5\n");
    assert!(ran.err.starts_with(&format!("0s ago means {} of ", id.trim_end())), "{}", ran.err);
    assert_eq!(hive.run(&["-q", "get", "config", "limit", "--at", "0s ago"]).with(0).err, "");
}

#[test]
fn a_task_goes_its_way_by_token() {
    let hive = Hive::new();
    hive.fill();
    let claim = hive.json(&["queue", "claim", "BOT-1", "--lease", "5m"]);
    assert_eq!((&claim["id"], &claim["payload"]), (&json!("build"), &json!({"build": 1})));
    let token = claim["token"].to_string();
    assert_eq!(hive.refused(&["queue", "claim", "BOT-2"], 13), "there is nothing to claim now: bot=BOT-2");
    assert_eq!(hive.json(&["queue", "extend", "build", "--token", &token])["holder"]["lease_ms"], 30_000);
    let said = hive.refused(&["queue", "complete", "build", "--token", "999"], 1);
    assert!(said.starts_with("the token is void, another claim holds the task now"), "{said}");
    let done = hive.json(&["queue", "complete", "build", "--token", &token, "--result", "\"built\""]);
    assert_eq!((&done["state"], &done["result"]), (&json!("done"), &json!("built")));
    let claims = hive.json(&["queue", "claim", "BOT-2", "--max", "3"]);
    assert_eq!(claims[0]["id"], "test");
    let token = claims[0]["token"].to_string();
    assert_eq!(hive.ok(&["queue", "release", "test", "--token", &token]), "test is ready\n");
    let token = hive.json(&["queue", "claim", "BOT-2"])["token"].to_string();
    let failed = hive.json(&["queue", "fail", "test", "--token", &token, "--error", "no", "--no-retry"]);
    assert_eq!((&failed["state"], &failed["last_error"]), (&json!("failed"), &json!("no")));
    assert_eq!(hive.ok(&["queue", "requeue", "test"]), "test is ready\n");
    assert_eq!(hive.ok(&["queue", "assign", "test", "BOT-3"]), "test is ready, for BOT-3\n");
    assert_eq!(hive.json(&["get", "assignments"]), json!({"BOT-3": ["test"]}));
    assert_eq!(hive.ok(&["queue", "cancel", "test"]), "test is cancelled\n");
    assert_eq!(hive.refused(&["queue", "cancel", "none"], 13), "there is no such task: task=none");
    let done = hive.json(&["queue", "list", "--state", "done"]);
    assert_eq!(done.as_array().unwrap().len(), 1);
    assert_eq!(hive.json(&["queue", "list", "--limit", "1"]).as_array().unwrap().len(), 1);
}

#[test]
fn everything_that_can_be_said_of_a_task_is_kept() {
    let hive = Hive::new();
    let push = [
        "queue",
        "push",
        "1",
        "--id",
        "t",
        "--priority",
        "p0",
        "--assign",
        "B",
        "--after",
        "a",
        "--after",
        "b",
        "--idempotency-key",
        "k",
        "--capability",
        "rust",
        "--not-before",
        "2999-01-01T00:00:00Z",
        "--max-attempts",
        "2",
    ];
    let task = hive.json(&push);
    assert_eq!(
        (&task["priority"], &task["assigned_to"], &task["max_attempts"]),
        (&json!("P0"), &json!("B"), &json!(2))
    );
    assert_eq!((&task["depends_on"], &task["capabilities"]), (&json!(["a", "b"]), &json!(["rust"])));
    assert_eq!(task["not_before"], "2999-01-01T00:00:00.000000+00:00");
    assert_eq!(hive.ok(&["queue", "push", "2", "--idempotency-key", "k"]), "t\n");
}

#[test]
fn a_backup_is_made_of_live_state_or_of_a_file_and_listed() {
    let hive = Hive::new();
    hive.fill();
    let live = hive.json(&["backup", "--kind", "queue", "--tag", "a=b"]);
    assert_eq!((&live["backup_type"], &live["of"], &live["item_count"]), (&json!("queue"), &json!("live"), &json!(2)));
    let file = hive.path().with_extension("json");
    fs::write(&file, r#"{"BOT-9": {"port": 9}}"#).unwrap();
    let id = hive.ok(&["backup", "--kind", "registry", "--source", "mine", file.to_str().unwrap()]);
    let history = hive.json(&["history"]);
    assert_eq!(history[0]["backup_id"], json!(id.trim_end()));
    assert_eq!((&history[0]["of"], &history[0]["source"]), (&json!("documents"), &json!("mine")));
    assert_eq!(hive.json(&["history", "--kind", "queue", "--limit", "1"])[0]["backup_id"], live["backup_id"]);
    assert!(hive.ok(&["history"]).starts_with("BACKUP"));
    assert_eq!(hive.json(&["get", "documents", "registry/mine"]), json!({"BOT-9": {"port": 9}}));
    fs::write(&file, "{").unwrap();
    assert!(hive.refused(&["backup", file.to_str().unwrap()], 2).starts_with(file.to_str().unwrap()));
}

#[test]
fn a_check_of_a_sound_store_says_so_and_changes_nothing() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    let before = fs::read(hive.path()).unwrap();
    let out = hive.ok(&["check"]);
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.starts_with("sound: 6 records ("), "{out}");
    assert!(out.ends_with("0 pre-images and 1 point verified\n"), "{out}");
    assert_eq!(hive.json(&["check"])["findings"], json!([]));
    assert_eq!(fs::read(hive.path()).unwrap(), before);
    assert_eq!(hive.json(&["check", "--pages"])["pages"], true);
}

#[test]
fn damage_is_told_with_its_own_exit_code() {
    let hive = Hive::new();
    let store = hive.open();
    store.write(|tx| tx.config().put("secret", &json!("x".repeat(3000)))).unwrap();
    store.close().unwrap();
    let mut bytes = fs::read(hive.path()).unwrap();
    let at = bytes.windows(100).position(|window| window == [b'x'; 100]).unwrap();
    bytes[at + 50] ^= 1;
    fs::write(hive.path(), bytes).unwrap();
    let ran = hive.run(&["check"]).with(4);
    assert!(!ran.out.contains("sound"), "{ran:?}");
    hive.run(&["get", "config", "secret"]).with(4);
}

#[test]
fn verbs_that_only_read_leave_no_trace() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    let before = fs::read(hive.path()).unwrap();
    for verb in [
        &["status", "--sizes"][..],
        &["get", "queue", "--at", "latest"],
        &["point", "list", "--all", "--sizes"],
        &["point", "diff", "latest"],
        &["restore", "latest", "--dry-run"],
        &["point", "forget", "--policy", "--dry-run"],
        &["log"],
        &["history"],
        &["queue", "list"],
    ] {
        hive.ok(verb);
    }
    assert_eq!(fs::read(hive.path()).unwrap(), before);
    let names: Vec<_> =
        fs::read_dir(hive.path().parent().unwrap()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("new")), "{names:?}");
}

#[test]
fn the_same_state_prints_the_same_bytes() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    for verb in [&["status"][..], &["get", "queue"], &["get", "registry"], &["point", "list"], &["log"], &["check"]] {
        let arguments = [verb, &["--json"]].concat();
        assert_eq!(hive.ok(&arguments), hive.ok(&arguments));
    }
}

#[test]
fn status_counts_what_the_store_holds() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create", "first"]);
    let status = hive.json(&["status", "--sizes"]);
    assert_eq!(status["collections"]["registry"]["count"], 3);
    assert_eq!((&status["tasks"]["ready"], &status["points"]["total"]), (&json!(2), &json!(1)));
    assert_eq!(status["points"]["latest"]["description"], "first");
    assert_eq!(status["sizes"]["live"]["rows"], 6);
    let out = hive.ok(&["status"]);
    assert!(out.contains("records  config 1, queue 2, registry 3\ntasks    2 ready\npoints   1\n"), "{out}");
}

#[test]
fn compact_asks_before_others_have_to_wait() {
    let hive = Hive::new();
    let open = hive.open();
    assert_eq!(
        hive.refused(&["compact"], 11),
        "other processes have the store open and would wait while it is compacted; to do it all the same: hivekeep \
         compact --yes"
    );
    open.close().unwrap();
    let sizes = hive.json(&["compact"]);
    assert_eq!(keys(&sizes), ["changed", "bytes_before", "bytes_after"]);
}

#[test]
fn a_closed_pipe_ends_a_long_listing_quietly() {
    let hive = Hive::new();
    let store = hive.open();
    store.load(|tx| (0..4000).try_for_each(|n| tx.queue().enqueue(NewTask::new(n)).map(drop))).unwrap();
    store.close().unwrap();
    for form in [&["get", "queue"][..], &["get", "queue", "--json"]] {
        let mut running = Running::start(&hive, form);
        assert!(!running.line().is_empty());
        assert_eq!(running.hang_up(), (Some(0), String::new()));
    }
    assert_eq!(hive.json(&["get", "queue"]).as_object().unwrap().len(), 4000);
    assert_eq!(hive.ok(&["get", "queue"]).lines().count(), 4001);
}

#[cfg(unix)]
#[test]
fn a_follower_sees_events_as_they_happen_until_it_is_interrupted() {
    let hive = Hive::new();
    hive.ok(&["point", "create"]);
    let mut running = Running::start(&hive, &["log", "--follow", "--limit", "0", "--json"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    hive.ok(&["restore", "latest"]);
    let event: Value = serde_json::from_str(&running.line()).unwrap();
    assert_eq!(event["event"], "restore_successful");
    assert_eq!(running.stop("-INT"), Some(130));
}

#[cfg(unix)]
#[test]
fn the_service_creates_the_store_answers_and_closes_cleanly() {
    let hive = Hive::empty();
    for (holds, signal) in [("new", "-TERM"), ("1 bot, 0 tasks", "-INT")] {
        let mut running = Running::start(&hive, &["serve", "--listen", "127.0.0.1:0", "--json"]);
        let started: Value = serde_json::from_str(&running.line()).unwrap();
        assert_eq!((&started["holds"], &started["store"]), (&json!(holds), &json!(hive.path())));
        let address = started["listening"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        assert!(ask(&address, "/livez").contains("200 OK"));
        hive.ok(&["put", "registry", "BOT-1", "{}"]);
        let answer = ask(&address, "/api/disaster-recovery/status");
        assert!(answer.contains("\"total_bots\":1"), "{answer}");
        let said = hive.refused(&["serve", "--listen", &address], 1);
        assert!(said.starts_with("address in use; name another one, such as --listen 127.0.0.1:"), "{said}");
        assert_eq!(running.stop(signal), Some(0));
    }
    assert_eq!(keys(&hive.json(&["get", "registry"])), ["BOT-1"]);
}

fn ask(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_service_refuses_to_be_reached_by_others() {
    let hive = Hive::empty();
    let said = hive.refused(&["serve", "--listen", "0.0.0.0:0"], 2);
    assert!(said.starts_with("without a token the service listens on this machine only"), "{said}");
    assert!(!hive.path().exists());
}

#[test]
fn completions_and_manual_pages_are_printed() {
    let hive = Hive::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(hive.ok(&["completions", shell]).contains("hivekeep"), "{shell}");
    }
    assert!(hive.ok(&["man"]).starts_with(".ie"));
    hive.ok(&["man", "--to", hive.path().parent().unwrap().join("man").to_str().unwrap()]);
    assert!(hive.path().parent().unwrap().join("man/hivekeep-queue-claim.1").exists());
}

#[test]
fn options_come_from_the_environment_too() {
    let hive = Hive::new();
    hive.fill();
    let output = hive.command(&["get", "config"]).env("HIVEKEEP_JSON", "1").output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), json!({"limit": 5}));
    let output = hive.command(&["put", "config", "a", "1"]).env("HIVEKEEP_QUIET", "yes").output().unwrap();
    assert_eq!(output.stderr, b"");
    let output = hive.command(&["get", "config"]).env("HIVEKEEP_JSON", "0").output().unwrap();
    assert!(output.stdout.starts_with(b"KEY"));
}

#[test]
fn crashes_are_acknowledged() {
    let hive = Hive::new();
    assert_eq!(hive.json(&["crash", "ack"]), json!({"acknowledged": 0}));
}
