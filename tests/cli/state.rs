//! Records and tasks: programs rely on the shapes of the JSON, people read columns.

use std::fs;

use hivekeep::{BotId, ClaimOptions, ManualClock, NewTask, Store, TaskId};
use serde_json::json;

use crate::util::{Hive, Running, keys};

#[test]
fn get_returns_what_was_put_in_the_shape_of_its_collection() {
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
    assert_eq!(hive.json(&["get", "audit", "--bot", "ops"]), json!([]));
    assert_eq!(hive.json(&["get", "queue", "test"])["waiting_for"], json!(["build"]));
}

#[test]
fn a_replaced_bot_keeps_its_registration_time() {
    let hive = Hive::new();
    let registered = |record: &str| {
        hive.ok(&["put", "registry", "BOT-1", record]);
        hive.json(&["get", "registry", "BOT-1"])["registered_at"].take()
    };
    let first = registered("{}");
    assert!(first.is_string(), "{first}");
    assert_eq!(registered(r#"{"port": 1}"#), first);
    assert_eq!(registered(r#"{"registered_at": null}"#), first);
    let other = "2026-01-02T03:04:05.000000+00:00";
    assert_eq!(registered(&json!({ "registered_at": other }).to_string()), other);
}

#[test]
fn text_output_has_aligned_columns() {
    let hive = Hive::new();
    hive.fill();
    let out = hive.ok(&["get", "queue"]);
    assert_eq!(
        out,
        "TASK   PRIORITY  STATE    BOT  ATTEMPTS  PAYLOAD\n\
         build  P1        ready    -    0/5       {\"build\":1}\n\
         test   P2        waiting  -    0/5       {\"test\":1}\n"
    );
    assert!(hive.ok(&["get", "registry"]).starts_with("BOT    KIND  STATUS"));
}

#[test]
fn chat_and_audit_are_arrays_in_order() {
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
fn chat_and_audit_are_paged_from_their_end_and_filtered() {
    let hive = Hive::new();
    let store = hive.open();
    let said = |n: u32| hivekeep::NewMessage {
        bot: Some(BotId::new(if n.is_multiple_of(2) { "even" } else { "odd" }).unwrap()),
        ..hivekeep::NewMessage::new(if n.is_multiple_of(3) { "third" } else { "other" }, "user", "x")
    };
    store
        .write(|tx| {
            for n in 1..=600_u32 {
                tx.chat().append(said(n))?;
                tx.audit()
                    .append(hivekeep::NewEntry::new("deploy", if n.is_multiple_of(300) { "ops" } else { "BOT-1" }))?;
            }
            Ok(())
        })
        .unwrap();
    store.close().unwrap();
    let numbers = |arguments: &str| -> Vec<u64> {
        let shown = hive.json(&arguments.split(' ').collect::<Vec<_>>());
        shown.as_array().unwrap().iter().map(|record| record["sequence"].as_u64().unwrap()).collect()
    };
    for what in ["chat", "audit"] {
        assert_eq!(numbers(&format!("get {what}")), Vec::from_iter(1..=600));
        assert_eq!(numbers(&format!("get {what} --newest 3")), [598, 599, 600]);
        assert_eq!(numbers(&format!("get {what} --newest 3 --before 598")), [595, 596, 597]);
        assert_eq!(numbers(&format!("get {what} --newest 9999 --before 4")), [1, 2, 3]);
        assert_eq!(numbers(&format!("get {what} --before 3")), [1, 2]);
        hive.refused(&["get", what, "--newest", "0"], 2);
        hive.refused(&["get", what, "1", "--newest", "1"], 2);
    }
    assert_eq!(numbers("get chat --bot odd --before 6"), [1, 3, 5]);
    assert_eq!(numbers("get chat --conversation third --newest 2"), [597, 600]);
    assert_eq!(numbers("get chat --conversation third --bot even --newest 2"), [594, 600]);
    assert_eq!(numbers("get audit --bot ops"), [300, 600]);
    assert_eq!(numbers("get audit --bot ops --newest 2"), [300, 600]);
    let said = hive.refused(&["get", "audit", "--conversation", "third"], 2);
    assert!(said.ends_with("leave --conversation out"), "{said}");
    let said = hive.refused(&["get", "queue", "--newest", "5"], 2);
    assert_eq!(said, "--newest works with chat and audit only: collection=queue");
}

#[test]
fn a_removed_record_is_gone_and_removing_it_again_is_no_match() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["remove", "config", "limit"]);
    assert_eq!(hive.refused(&["remove", "config", "limit"], 13), "no such record: collection=config key=limit");
    assert_eq!(hive.refused(&["get", "config", "limit"], 13), "no such record: collection=config key=limit");
    hive.ok(&["remove", "registry", "BOT-3"]);
    assert_eq!(keys(&hive.json(&["get", "registry"])), ["BOT-1", "BOT-2"]);
    assert_eq!(
        hive.refused(&["get", "registy"], 13),
        "no such collection; the collections are audit, registry, queue, assignments, chat, config, documents: \
         collection=registy"
    );
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
fn a_claimed_task_is_changed_by_its_token() {
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
fn a_task_is_unassigned_waited_for_and_retried_after_the_given_delay() {
    let hive = Hive::new();
    hive.ok(&["put", "registry", "BOT-1", "{}"]);
    hive.ok(&["queue", "push", "1", "--id", "a", "--assign", "BOT-2"]);
    hive.refused(&["queue", "claim", "BOT-1", "--wait", "1s"], 13);
    assert_eq!(hive.ok(&["queue", "unassign", "a"]), "a is ready\n");
    let token = hive.json(&["queue", "claim", "BOT-1", "--wait", "1m"])["token"].to_string();
    let fail = ["queue", "fail", "a", "--token", &token, "--delay"];
    let failed = hive.json(&[&fail[..], &["1s"]].concat());
    assert!(failed["not_before"].is_string(), "{failed}");
    assert_eq!(hive.json(&["queue", "claim", "BOT-1", "--wait", "1m"])["attempt"], 2);
    hive.run(&[&fail[..], &["1s", "--no-retry"]].concat()).with(2);
    hive.ok(&["queue", "push", "2", "--id", "b"]);
    hive.ok(&["queue", "claim", "BOT-3", "--lease", "500ms"]);
    assert_eq!(hive.json(&["queue", "claim", "BOT-4", "--wait", "1m 500 ms"])["attempt"], 2);
    let said = hive.refused(&["queue", "push", "1", "--attributes", "[]"], 2);
    assert!(said.starts_with("must be a JSON object"), "{said}");
}

/// Tasks that are forty days old: done, assigned, and cancelled, with one that waits for it.
fn fill_long_ago(hive: &Hive) {
    let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(40 * 24);
    let store = Store::options().clock(ManualClock::new(then)).open(hive.path()).unwrap();
    let work = |tx: &mut hivekeep::WriteTx<'_>| {
        let new = |name: &str| Ok::<_, hivekeep::Error>(NewTask::new(1).id(TaskId::new(name)?));
        let bot = BotId::new("BOT-1")?;
        tx.queue().enqueue(new("done")?)?;
        for claim in tx.queue().claim(&bot, &ClaimOptions::default())? {
            tx.queue().complete(&claim.id, claim.token, 1)?;
        }
        tx.queue().enqueue(new("assigned")?.assign_to(bot))?;
        tx.queue().enqueue(new("cancelled")?)?;
        tx.queue().enqueue(new("waiting")?.after(TaskId::new("cancelled")?))?;
        tx.queue().cancel(&TaskId::new("cancelled")?).map(drop)
    };
    store.write(work).unwrap();
    store.close().unwrap();
}

#[test]
fn a_claim_whose_token_cannot_be_printed_is_released_without_counting_an_attempt() {
    let hive = Hive::new();
    hive.ok(&["queue", "push", "1", "--id", "t"]);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let ran = hive.command(&["queue", "claim", "BOT-1"]).stdout(full).status().unwrap();
    assert_eq!(ran.code(), Some(1));
    let task = hive.json(&["get", "queue", "t"]);
    assert_eq!((&task["state"], &task["attempts"]), (&json!("ready"), &json!(0)));
}

#[test]
fn a_done_and_purged_task_counts_as_done_and_an_unknown_id_is_refused() {
    let hive = Hive::new();
    hive.ok(&["queue", "push", "1", "--id", "build"]);
    hive.ok(&["queue", "claim", "BOT-1"]);
    hive.ok(&["queue", "complete", "build", "--token", "1"]);
    assert_eq!(hive.ok(&["queue", "purge", "0s"]), "purged 1 task\n");
    assert_eq!(hive.ok(&["queue", "memory"]), "1 purged task remembered, for 90d, at most 1000000\n");
    hive.ok(&["queue", "push", "2", "--id", "review", "--after", "build"]);
    assert!(hive.ok(&["queue", "claim", "BOT-1"]).starts_with("review"));
    let refused = hive.refused(&["queue", "push", "3", "--after", "biuld"], 2);
    assert!(
        refused.contains("there is no task of that name to wait for") && refused.contains("depends_on=biuld"),
        "{refused}"
    );
    let waits = hive.json(&["queue", "push", "3", "--after", "biuld", "--allow-missing", "--delay", "10m"]);
    assert_eq!(waits["waiting_for"], json!(["biuld"]));
    assert!(waits["not_before"].is_string());
    let memory = hive.json(&["queue", "memory", "--keep", "30d", "--most", "5"]);
    assert_eq!(memory, json!({"count": 1, "keep_ms": 2_592_000_000u64, "most": 5}));
}

#[test]
fn purging_removes_old_finished_tasks_and_leaves_a_sound_store() {
    let hive = Hive::new();
    fill_long_ago(&hive);
    hive.ok(&["queue", "push", "1", "--id", "young"]);
    hive.ok(&["queue", "cancel", "young"]);
    let (assignments, point) = (hive.json(&["get", "assignments"]), hive.ok(&["point", "create"]));
    assert_eq!(hive.json(&["queue", "purge", "41 days"]), json!({"purged": 0}));
    assert_eq!(hive.ok(&["queue", "purge", "30d"]), "purged 1 task\n");
    assert_eq!(keys(&hive.json(&["get", "queue"])), ["assigned", "cancelled", "waiting", "young"]);
    assert_eq!(hive.json(&["get", "assignments"]), assignments);
    assert_eq!(hive.json(&["check"])["sound"], true);
    assert_eq!(hive.json(&["get", "queue", "done", "--at", point.trim_end()])["state"], "done");
    hive.ok(&["queue", "requeue", "cancelled"]);
    let token = hive.json(&["queue", "claim", "BOT-3"])["token"].to_string();
    hive.ok(&["queue", "complete", "cancelled", "--token", &token]);
    assert_eq!(hive.json(&["queue", "purge", "0s"]), json!({"purged": 2}));
    assert_eq!(hive.json(&["queue", "claim", "BOT-3"])["id"], "waiting");
    assert_eq!(hive.json(&["check"])["sound"], true);
    let said = hive.run(&["queue", "purge", "30"]).with(2).err;
    assert!(said.contains("a length of time is written like 30s, 10m"), "{said}");
}

#[test]
fn every_option_of_push_is_stored() {
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
        "--allow-missing",
        "--idempotency-key",
        "k",
        "--capability",
        "rust",
        "--not-before",
        "2999-01-01T00:00:00Z",
        "--max-attempts",
        "2",
        "--attributes",
        "{\"cost\": 1.50}",
    ];
    let task = hive.json(&push);
    assert_eq!(
        (&task["priority"], &task["assigned_to"], &task["max_attempts"]),
        (&json!("P0"), &json!("B"), &json!(2))
    );
    assert_eq!((&task["depends_on"], &task["capabilities"]), (&json!(["a", "b"]), &json!(["rust"])));
    assert_eq!(task["not_before"], "2999-01-01T00:00:00.000000+00:00");
    hive.ok(&["queue", "push", "1", "--id", "never", "--not-before", "9999-12-31T23:59:59Z"]);
    assert_eq!(hive.json(&["get", "queue", "never"])["not_before"], "9999-12-30T22:00:00.000000+00:00");
    assert_eq!(task["attributes"].to_string(), "{\"cost\":1.50}");
    assert_eq!(hive.ok(&["queue", "push", "2", "--idempotency-key", "k", "--allow-different"]), "t\n");
    assert!(hive.refused(&["queue", "push", "2", "--idempotency-key", "k"], 1).contains("task=t state=waiting"));
}

#[test]
fn a_key_that_is_used_again_prints_the_earlier_task_and_says_how_it_is() {
    let hive = Hive::new();
    let push = ["queue", "push", "1", "--idempotency-key", "k"];
    assert_eq!(hive.json(&push)["existing"], false);
    let refused = hive.refused(&[&push[..], &["--delay", "10m"]].concat(), 1);
    assert!(refused.contains("task=task-1 state=ready differs=delay_ms"), "{refused}");
    assert!(refused.ends_with("\nhint: to take the earlier task: --allow-different"), "{refused}");
    hive.ok(&["queue", "cancel", "task-1"]);
    assert_eq!(hive.json(&push)["existing"], true);
    let again = hive.run(&push).with(0);
    assert_eq!(again.out, "task-1\n");
    assert!(again.err.starts_with("task task-1 is already there: cancelled since "), "{again:?}");
    assert!(again.err.ends_with("; to have it done: hivekeep queue requeue task-1\n"), "{again:?}");
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
fn status_counts_the_content_of_the_store() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create", "first"]);
    let status = hive.json(&["status", "--sizes"]);
    assert_eq!(status["collections"]["registry"]["count"], 3);
    assert_eq!((&status["tasks"]["waiting"], &status["points"]["total"]), (&json!(1), &json!(1)));
    assert_eq!(status["points"]["latest"]["description"], "first");
    assert_eq!(status["sizes"]["live"]["rows"], 6);
    let out = hive.ok(&["status"]);
    assert!(out.contains("records  config 1, queue 2, registry 3\ntasks    1 waiting, 1 ready\npoints   1\n"), "{out}");
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
