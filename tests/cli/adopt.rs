//! `adopt`: the output, the messages and the exit codes.

use std::fs;

use serde_json::{Value, json};

use crate::util::Hive;

#[test]
fn adopting_makes_the_store_says_what_it_took_and_ends_with_3_when_it_could_not_take_all() {
    let hive = Hive::empty();
    let said = hive.refused(&["adopt", "left"], 13);
    assert_eq!(said, "nothing was adopted: no such file or folder: path=left");
    assert!(!hive.path().exists(), "a path that was mistyped has made a store");
    let left = hive.path().with_file_name("left");
    fs::create_dir(&left).unwrap();
    let bots = json!({"bots": {"BOT-222": {"port": 8251, "registered_at": "2025-07-01T12:00:00"}}});
    fs::write(left.join("registry.json"), bots.to_string()).unwrap();
    let tasks = json!({"backlog": [
        {"id": "T-1", "status": "ASSIGNED", "assigned_to": "BOT-1"}, {"id": "T-2", "status": "QUEUED"},
    ]});
    fs::write(left.join("backlog.json"), format!("\u{feff}{tasks}")).unwrap();
    let would = hive.ok(&["adopt", "left", "--time-zone", "UTC", "--dry-run"]);
    assert!(would.ends_with("left/backlog.json: 2 tasks\nwould adopt 1 bot, 2 tasks\n"), "{would}");
    let names: Vec<_> = fs::read_dir(left.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["left"], "a rehearsal has left something");
    let said = hive.ok(&["adopt", "left", "--time-zone", "UTC"]);
    let expected = "times without a zone were read in: UTC
left/registry.json: 1 bot
left/backlog.json: 2 tasks
adopted 1 bot, 2 tasks
";
    assert_eq!(said, expected);
    let bot = &hive.json(&["get", "registry"])["BOT-222"];
    assert_eq!(bot["registered_at"], "2025-07-01T12:00:00.000000+00:00");
    assert_eq!(bot["attributes"]["original_times"]["registered_at"], "2025-07-01T12:00:00");
    assert_eq!(hive.json(&["queue", "claim", "BOT-222"])["id"], "T-2");
    fs::write(left.join("A-activity.jsonl"), "{\"ts\": \"2025-07-01\", \"event\": \"start\"}\nnot JSON\n").unwrap();
    let audited = hive.json(&["get", "audit"]);
    let would = hive.run(&["adopt", "left", "--json", "--dry-run"]).with(3);
    let would: Value = serde_json::from_str(&would.out).unwrap();
    assert_eq!((&would["rehearsed"], &would["taken"]), (&json!(true), &json!({"audit_entries": 1})));
    assert_eq!(hive.json(&["get", "audit"]), audited, "a rehearsal has changed the store");
    let ran = hive.run(&["adopt", "left", "--json"]).with(3);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&report["in_part"], &report["taken"]["audit_entries"]), (&json!(true), &json!(1)));
    assert_eq!(report["files"][2]["problems"][0]["place"], "line 2");
    let said = hive.run(&["adopt", "left", "--time-zone", "Mars"]).with(2).err;
    assert!(said.contains("unknown time zone; give one such as Europe/Berlin or UTC: time_zone=Mars"), "{said}");
}

#[test]
fn other_files_in_a_folder_are_listed_and_change_no_exit_code_and_one_that_is_named_does() {
    let hive = Hive::empty();
    let left = hive.path().with_file_name("left");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("notes.md"), "").unwrap();
    fs::write(left.join("shutdown.marker"), "").unwrap();
    let said = hive.ok(&["adopt", "left", "--dry-run"]);
    assert!(said.contains("skipped left/notes.md: unknown file\n"), "{said}");
    assert!(said.contains("skipped left/shutdown.marker: not needed: the replaced service "), "{said}");
    hive.run(&["adopt", "left/notes.md", "--dry-run"]).with(3);
    hive.ok(&["adopt", "left/shutdown.marker", "--dry-run"]);
}
