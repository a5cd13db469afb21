//! Schedules on the command line.

use std::time::Duration;

use hivekeep::{Scheduler, SchedulerOptions};
use serde_json::{Value, json};

use crate::util::{Hive, keys};

const NIGHTLY: [&str; 9] =
    ["schedule", "add", "nightly", "--cron", "30 2 * * *", "--time-zone", "Europe/Vienna", "--missed", "all"];

#[test]
fn a_schedule_is_added_listed_paused_resumed_run_and_removed() {
    let hive = Hive::new();
    let said = hive.ok(&[&NIGHTLY[..], &["--priority", "P1", "--", r#"{"report": "sales"}"#]].concat());
    assert!(said.starts_with("nightly is due next at 20"), "{said}");
    hive.ok(&[
        "schedule",
        "add",
        "tidy",
        "--every",
        "10m",
        "--overlap",
        "skip",
        "--capability",
        "rust",
        "--",
        "\"tidy\"",
    ]);
    let list = hive.ok(&["schedule", "list"]);
    assert!(list.contains("30 2 * * * Europe/Vienna") && list.contains("every 10m"), "{list}");
    let shown = hive.json(&["schedule", "show", "nightly"]);
    assert_eq!(
        keys(&shown),
        [
            "name",
            "every_ms",
            "from",
            "cron",
            "time_zone",
            "missed",
            "overlap",
            "paused",
            "created_at",
            "task",
            "next_at",
            "last_due_at",
            "last_task"
        ]
    );
    assert_eq!((&shown["missed"], &shown["task"]["priority"]), (&json!("all"), &json!("P1")));
    assert_eq!(hive.json(&["schedule", "list"])[1]["task"]["capabilities"], json!(["rust"]));
    let page = hive.ok(&["schedule", "show", "nightly"]);
    assert_eq!(page.lines().filter(|line| line.contains("T00:30:00") || line.contains("T01:")).count(), 5, "{page}");

    assert_eq!(hive.ok(&["schedule", "pause", "nightly"]), "nightly is paused\n");
    assert!(hive.ok(&["schedule", "list"]).contains("paused"));
    assert!(hive.ok(&["schedule", "resume", "nightly"]).starts_with("nightly is due next at "));
    let task = hive.ok(&["schedule", "run", "nightly"]);
    assert!(task.starts_with("nightly@20"), "{task}");
    let why = hive.ok(&["queue", "why", task.trim()]);
    assert!(why.contains("schedule nightly enqueued it, due at 20"), "{why}");
    assert!(hive.ok(&["queue", "list"]).contains("nightly@"));
    assert!(hive.ok(&["status"]).contains("schedules 2"));
    hive.ok(&["schedule", "remove", "nightly"]);
    assert!(hive.ok(&["check"]).starts_with("sound"));
    assert_eq!(hive.json(&["schedule", "list"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_wrong_schedule_is_refused_and_the_message_says_what_to_do() {
    let hive = Hive::new();
    let add = |more: &[&str]| hive.refused(&[&["schedule", "add", "a"], more].concat(), 2);
    for (more, message) in [
        (&["--cron", "0 0 30 2 *", "--", "1"][..], "the day never comes"),
        (&["--cron", "* * *", "--", "1"], "a cron expression has five fields"),
        (&["--cron", "0 3 * * *", "--time-zone", "Europe/Wien", "--", "1"], "there is no such time zone"),
        (&["--every", "500ms", "--", "1"], "the interval of a schedule is too short"),
        (&["--every", "1m", "--", "not json"], "invalid JSON"),
        (
            &["--every", "1m", "--attributes", r#"{"schedule": 1}"#, "--", "1"],
            "the schedule sets that attribute itself",
        ),
    ] {
        let said = add(more);
        assert!(said.contains(message), "{more:?}: {said}");
    }
    for usage in [
        &["--", "1"][..],
        &["--every", "1m", "--cron", "@daily", "--", "1"],
        &["--every", "1m", "--time-zone", "UTC", "--", "1"],
    ] {
        add(usage);
    }
    hive.ok(&["schedule", "add", "a", "--every", "1m", "--", "1"]);
    let said = hive.refused(&["schedule", "add", "a", "--every", "2m", "--", "1"], 1);
    assert!(said.contains("there is a schedule of that name"), "{said}");
    hive.ok(&["schedule", "add", "a", "--every", "2m", "--replace", "--", "1"]);
    assert_eq!(hive.json(&["schedule", "show", "a"])["every_ms"], 120_000);
    for verb in ["show", "pause", "resume", "remove", "run"] {
        hive.refused(&["schedule", verb, "b"], 13);
    }
    let said = hive.refused(&["put", "schedules", "a", "1"], 2);
    assert!(said.contains("the collection holds the schedules"), "{said}");
}

#[test]
fn restores_differences_and_points_show_schedules() {
    let hive = Hive::new();
    hive.ok(&["schedule", "add", "a", "--every", "1h", "--", "1"]);
    hive.ok(&["point", "create", "before"]);
    hive.ok(&["schedule", "remove", "a"]);
    let diff = hive.ok(&["point", "diff", "latest", "now"]);
    assert!(diff.contains("schedules"), "{diff}");
    assert_eq!(hive.json(&["schedule", "list", "--at", "latest"])[0]["next_at"], json!(null));
    hive.ok(&["restore", "latest", "--only", "schedules"]);
    assert_eq!(hive.json(&["schedule", "list"])[0]["name"], "a");
    hive.ok(&["undo"]);
    assert_eq!(hive.json(&["schedule", "list"]), json!([]));
}

#[test]
fn doctor_says_that_no_process_fires_schedules_until_one_does() {
    let hive = Hive::new();
    let line = |hive: &Hive| {
        let said: Value = serde_json::from_str(&hive.run(&["doctor", "--json"]).out).unwrap();
        let lines = &said["lines"];
        let line = lines.as_array().unwrap().iter().find(|line| line["topic"] == "schedules").unwrap().clone();
        (line["verdict"].as_str().unwrap().to_owned(), line["what"].as_str().unwrap().to_owned())
    };
    assert_eq!(line(&hive).0, "ok");
    hive.ok(&["schedule", "add", "a", "--every", "1s", "--", "1"]);
    assert_eq!(line(&hive), ("warn".to_owned(), "no process has the store open to fire 1 schedule".to_owned()));
    let store = hive.open();
    let options = SchedulerOptions { backup_interval: None, ..SchedulerOptions::default() };
    let scheduler = Scheduler::start(store.clone(), options).unwrap();
    let began = std::time::Instant::now();
    while store.view().unwrap().queue().counts().unwrap().total() < 2 {
        assert!(began.elapsed() < Duration::from_secs(30), "it fires");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(line(&hive), ("ok".to_owned(), "1 schedule, none overdue".to_owned()));
    drop(scheduler);
}
