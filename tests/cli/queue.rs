//! Batches of tasks from files, and bots that go from one task to the next.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::util::Hive;

/// Every field that a line may have.
const FULL: &str = r#"{"payload": {"n": 1e400}, "id": "full", "priority": "P1", "assigned_to": "BOT-1", "capabilities": ["rust"], "depends_on": ["later"], "idempotency_key": "k", "max_attempts": 2, "attributes": {"a": 1}, "delay_ms": 0, "not_before": null}"#;

fn write(hive: &Hive, lines: &str) -> String {
    let path = hive.path().with_file_name("tasks.jsonl");
    fs::write(&path, lines).unwrap();
    path.to_str().unwrap().to_owned()
}

fn count(hive: &Hive) -> usize {
    hive.json(&["queue", "list"]).as_array().unwrap().len()
}

#[test]
fn the_tasks_of_a_file_are_pushed_together_and_may_wait_for_later_lines() {
    let hive = Hive::new();
    let file =
        write(&hive, &format!("{FULL}\r\n{{\"payload\": null, \"id\": \"later\", \"idempotency_key\": \"l\"}}\n"));
    assert_eq!(hive.ok(&["queue", "push", "--from", &file]), "full\nlater\n");
    let task = hive.json(&["get", "queue", "full"]);
    assert_eq!((&task["state"], &task["assigned_to"]), (&json!("waiting"), &json!("BOT-1")));
    assert!(hive.ok(&["get", "queue", "full", "--json"]).contains(r#""n": 1e400"#));
    let again = hive.json(&["queue", "push", "--from", &file]);
    assert_eq!(again[0], json!({"id": "full", "state": "waiting", "existing": true}));
}

#[test]
fn a_file_with_a_bad_line_pushes_nothing_and_the_message_names_the_line() {
    let hive = Hive::new();
    hive.ok(&["queue", "push", "1", "--id", "taken"]);
    let good = r#"{"payload": 1}"#;
    for (bad, code, message) in [
        ("{\"payload\": ", 2, "line 2: invalid JSON: "),
        ("", 2, "line 2 is empty; leave it out"),
        ("[1]", 2, "line 2: a task must be a JSON object"),
        (r#"{"payload": 1, "prioritty": "P0"}"#, 2, "line 2: invalid task: unknown field `prioritty`"),
        (r#"{"id": "a"}"#, 2, "line 2: invalid task: missing field `payload`"),
        (r#"{"payload": 1, "id": "taken"}"#, 1, "task 2 of the batch: there is a task with that id"),
        (r#"{"payload": 1, "depends_on": ["nobody"]}"#, 2, "task 2 of the batch: there is no task of that name"),
    ] {
        let file = write(&hive, &format!("{good}\n{bad}\n{good}\n"));
        let said = hive.refused(&["queue", "push", "--from", &file], code);
        assert!(said.starts_with(message), "{bad}: {said}");
        assert_eq!(count(&hive), 1, "{bad}");
    }
    let many = format!("{good}\n").repeat(10_001);
    let said = hive.refused(&["queue", "push", "--from", &write(&hive, &many)], 2);
    assert_eq!(said, "the tasks of a batch are too many; leave some out: count=10001 max=10000");
    hive.refused(&["queue", "push", "--from", "no-such-file"], 1);
    hive.refused(&["queue", "push", "1", "--from", &write(&hive, good)], 2);
    hive.refused(&["queue", "push"], 2);
}

#[test]
fn tasks_are_read_from_standard_input_and_an_empty_one_has_none() {
    let hive = Hive::new();
    for (lines, expected) in [("{\"payload\": 1, \"id\": \"a\"}\n{\"payload\": 2, \"id\": \"b\"}", "a\nb\n"), ("", "")]
    {
        let mut command = hive.command(&["queue", "push", "--from", "-"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}

#[test]
fn a_bot_completes_its_task_and_claims_the_next_one_in_one_command() {
    let hive = Hive::new();
    for id in ["a", "b", "c"] {
        hive.ok(&["queue", "push", "1", "--id", id]);
    }
    let next = |id: &str, claim: &Value| {
        let token = claim["token"].to_string();
        hive.json(&["queue", "complete", id, "--token", &token, "--claim-next", "--lease", "5m"])
    };
    let ended = next("a", &hive.json(&["queue", "claim", "BOT-1"]));
    assert_eq!((&ended["completed"]["state"], &ended["claims"][0]["id"]), (&json!("done"), &json!("b")));
    assert_eq!(hive.json(&["get", "queue", "b"])["holder"]["lease_ms"], 300_000);
    let token = ended["claims"][0]["token"].to_string();
    let text = hive.ok(&["queue", "complete", "b", "--token", &token, "--claim-next"]);
    assert!(text.starts_with("b is done\nc  token "), "{text}");
    let last = next("c", &json!({"token": hive.json(&["get", "queue", "c"])["holder"]["token"]}));
    assert_eq!(last["claims"], json!([]));
    hive.refused(&["queue", "complete", "c", "--token", "1", "--lease", "5m"], 2);
}

#[test]
fn all_tasks_of_a_filter_are_cancelled_and_requeued_behind_a_point() {
    let hive = Hive::new();
    for number in 0..3 {
        hive.ok(&["queue", "push", "1", "--id", &format!("build-{number}")]);
    }
    hive.ok(&["queue", "push", "1", "--id", "other"]);
    assert_eq!(hive.ok(&["queue", "cancel", "--id", "build-", "--dry-run"]), "3 tasks would be changed by cancel\n");
    assert_eq!(hive.json(&["queue", "bulk"]), json!([]));
    let said = hive.ok(&["queue", "cancel", "--id", "build-"]);
    assert_eq!(said, "cancel done: 3 tasks changed\n");
    assert_eq!(hive.json(&["queue", "list", "--state", "cancelled"]).as_array().unwrap().len(), 3);
    let job = hive.json(&["queue", "requeue", "--state", "cancelled", "--id", "build-1"]);
    assert_eq!((&job["changed"], &job["state"]), (&json!(1), &json!("done")));
    let jobs = hive.json(&["queue", "bulk"]);
    assert_eq!((jobs.as_array().unwrap().len(), &jobs[0]), (2, &job));
    let back = hive.json(&["restore", jobs[1]["point"].as_str().unwrap(), "--only", "queue"]);
    assert_eq!(back["collections"]["queue"]["changed"], 3, "{back}");
    for (typed, said) in [
        (&["queue", "cancel"][..], "name a task, or the tasks by a filter"),
        (&["queue", "cancel", "other", "--state", "ready"], "name one task, a filter, or --all, not several of them"),
        (&["queue", "cancel", "other", "--dry-run"], "--dry-run works with a filter or --all only"),
        (&["queue", "requeue", "--state", "done"], "a requeue is for tasks that are failed, dead, cancelled"),
    ] {
        assert!(hive.refused(typed, 2).starts_with(said), "{typed:?}");
    }
    hive.refused(&["queue", "bulk", "--continue"], 13);
    hive.refused(&["queue", "bulk", "--stop", job["id"].as_str().unwrap()], 1);
}
