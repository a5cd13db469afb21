//! Every change on the command line is in the audit trail, once. The verbs are those that have a manual page, so that
//! a new one cannot be forgotten.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::util::Hive;

/// The work of a verb, by example.
enum Does {
    /// It reads, or writes elsewhere; with the reason where that is not plain.
    Nothing(&'static str),
    /// These runs make ready for the last one, which leaves one entry of this action.
    One(&'static str, &'static [&'static [&'static str]]),
    /// The same, but the entry is in the store that the verb makes in that file.
    Elsewhere(&'static str, &'static str, &'static [&'static [&'static str]]),
}

use Does::{Elsewhere, Nothing, One};

const PUSH: &[&str] = &["queue", "push", "1", "--id", "t"];
const CLAIM: &[&str] = &["queue", "claim", "B"];
const POINT: &[&str] = &["point", "create"];
const PUT: &[&str] = &["put", "config", "a", "1"];
const SCHEDULE: &[&str] = &["schedule", "add", "tidy", "--every", "1h", "--", "1"];
const KEY: &[&str] = &["key", "add", "k", "--role", "reader"];

/// Each verb. `1` is the token of a first claim.
const VERBS: &[(&str, Does)] = &[
    ("adopt", One("adopt", &[&["adopt", "registry.json"]])),
    ("backup", One("backup_create", &[&["backup", "--kind", "registry"]])),
    ("check", Nothing("it opens the store to read only")),
    ("compact", One("compact", &[PUT, &["compact"]])),
    ("completions", Nothing("")),
    ("crash-ack", Nothing("without a crash there is nothing to acknowledge")),
    ("doctor", Nothing("")),
    ("drill", One("drill", &[&["drill", "--only", "queue_halved"]])),
    ("drill-bot", Nothing("a drill starts it, on the copy")),
    ("export", One("export", &[PUT, &["export", "e.tar.gz"]])),
    ("get", Nothing("")),
    ("guard", Nothing("it has two entries, see below")),
    ("history", Nothing("")),
    ("import", One("import", &[PUT, &["export", "e.tar.gz"], &["put", "config", "a", "2"], &["import", "e.tar.gz"]])),
    ("key-add", One("key_add", &[KEY])),
    ("key-list", Nothing("")),
    ("key-remove", One("key_remove", &[KEY, &["key", "revoke", "k"], &["key", "remove", "k"]])),
    ("key-revoke", One("key_revoke", &[KEY, &["key", "revoke", "k"]])),
    ("key-rotate", One("key_rotate", &[KEY, &["key", "rotate", "k"]])),
    ("log", Nothing("")),
    ("man", Nothing("")),
    ("mcp", Nothing("its tools have entries as the requests of the service have")),
    ("point-create", One("point_create", &[POINT])),
    ("point-diff", Nothing("")),
    ("point-forget", One("point_forget", &[POINT, &["point", "forget", "latest"]])),
    ("point-hold", One("point_hold", &[POINT, &["point", "hold", "latest"]])),
    ("point-list", Nothing("")),
    ("point-policy", One("retention_set", &[&["point", "policy", "--keep-daily", "9"]])),
    ("point-release", One("point_release", &[POINT, &["point", "hold", "latest"], &["point", "release", "latest"]])),
    ("point-show", Nothing("")),
    ("put", One("config_put", &[PUT])),
    ("queue-assign", One("queue_assign", &[PUSH, &["queue", "assign", "t", "B"]])),
    ("queue-bulk", Nothing("it shows and continues what another verb began; tests/audit has the entry of a stop")),
    ("queue-cancel", One("queue_cancel", &[PUSH, &["queue", "cancel", "t"]])),
    ("queue-claim", One("queue_claim", &[PUSH, CLAIM])),
    ("queue-complete", One("queue_complete", &[PUSH, CLAIM, &["queue", "complete", "t", "--token", "1"]])),
    ("queue-extend", One("queue_extend", &[PUSH, CLAIM, &["queue", "extend", "t", "--token", "1"]])),
    ("queue-fail", One("queue_fail", &[PUSH, CLAIM, &["queue", "fail", "t", "--token", "1"]])),
    ("queue-list", Nothing("")),
    ("queue-memory", One("queue_memory_set", &[&["queue", "memory", "--keep", "9d"]])),
    ("queue-purge", One("queue_purge", &[PUSH, &["queue", "cancel", "t"], &["queue", "purge", "0s"]])),
    ("queue-push", One("queue_push", &[PUSH])),
    ("queue-release", One("queue_release", &[PUSH, CLAIM, &["queue", "release", "t", "--token", "1"]])),
    ("queue-requeue", One("queue_requeue", &[PUSH, &["queue", "cancel", "t"], &["queue", "requeue", "t"]])),
    ("queue-unassign", One("queue_assign", &[PUSH, &["queue", "assign", "t", "B"], &["queue", "unassign", "t"]])),
    ("queue-why", Nothing("")),
    ("remove", One("config_remove", &[PUT, &["remove", "config", "a"]])),
    ("replica-orphans", Nothing("tests/cli/replica.rs has the entry of taking them")),
    ("replica-promote", Nothing("tests/standby.rs has the entry of a promotion")),
    ("replica-standby", Nothing("")),
    ("replica-restore", Nothing("tests/cli/replica.rs has the entry of a take-over")),
    ("replica-status", Nothing("")),
    ("replica-take-over", Nothing("tests/cli/replica.rs has its entry")),
    ("replica-verify", Nothing("")),
    ("replica-drill", Nothing("it makes a copy, and removes it")),
    ("replica-init", One("replica_init", &[PUT, &["replica", "init", "there"]])),
    ("repair", Elsewhere("repair", "h.repaired.redb", &[PUT, &["repair"]])),
    ("restore", One("restore", &[POINT, PUT, &["restore", "latest"]])),
    ("schedule-add", One("schedule_add", &[SCHEDULE])),
    ("schedule-list", Nothing("")),
    ("schedule-pause", One("schedule_pause", &[SCHEDULE, &["schedule", "pause", "tidy"]])),
    ("schedule-remove", One("schedule_remove", &[SCHEDULE, &["schedule", "remove", "tidy"]])),
    (
        "schedule-resume",
        One("schedule_resume", &[SCHEDULE, &["schedule", "pause", "tidy"], &["schedule", "resume", "tidy"]]),
    ),
    ("schedule-run", One("schedule_run", &[SCHEDULE, &["schedule", "run", "tidy"]])),
    ("schedule-show", Nothing("")),
    ("serve", Nothing("the requests have entries; see tests/http/audit.rs")),
    ("status", Nothing("")),
    ("undo", One("undo", &[POINT, PUT, &["restore", "latest"], &["undo"]])),
];

fn trail(hive: &Hive) -> Vec<Value> {
    trail_of(hive, "h.redb")
}

/// The trail of the store in that file.
fn trail_of(hive: &Hive, file: &str) -> Vec<Value> {
    hive.json(&["--store", file, "get", "audit"]).as_array().unwrap().clone()
}

#[test]
fn every_verb_that_changes_something_leaves_exactly_one_entry_with_the_user() {
    let pages = Hive::new();
    let folder = pages.path().with_file_name("pages");
    pages.ok(&["man", "--to", folder.to_str().unwrap()]);
    let names = std::fs::read_dir(folder).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap());
    let verbs: BTreeSet<_> =
        names.filter_map(|name| Some(name.strip_prefix("hivekeep-")?.strip_suffix(".1")?.to_owned())).collect();
    // A verb that only groups others has no work of its own.
    let groups: BTreeSet<_> = verbs.iter().filter_map(|verb| Some(verb.split_once('-')?.0.to_owned())).collect();
    let verbs: Vec<_> = verbs.difference(&groups).filter(|verb| !verb.ends_with("help")).collect();
    for verb in &verbs {
        let (_, does) = VERBS.iter().find(|(name, _)| name == verb).unwrap_or_else(|| panic!("say what {verb} does"));
        let (action, runs, file) = match does {
            One(action, runs) => (action, runs, "h.redb"),
            Elsewhere(action, file, runs) => (action, runs, *file),
            Nothing(why) => {
                println!("{verb}: {why}");
                continue;
            }
        };
        let hive = Hive::new();
        std::fs::write(hive.path().with_file_name("registry.json"), r#"{"bots": {"BOT-1": {"port": 1}}}"#).unwrap();
        let (last, before) = runs.split_last().unwrap();
        before.iter().for_each(|run| drop(hive.ok(run)));
        let earlier = trail(&hive).len();
        hive.ok(last);
        let trail = trail_of(&hive, file);
        assert_eq!(trail.len(), earlier + 1, "{verb}: {trail:#?}");
        let entry = trail.last().unwrap();
        assert_eq!(entry["action"], *action, "{verb}");
        assert!(entry["actor"].as_str().unwrap().starts_with("cli:") && entry["asked_by"]["told"] == false, "{entry}");
        assert!(hive.ok(&["check"]).starts_with("sound"), "{verb}");
    }
    for (verb, does) in VERBS {
        let is_there = verbs.iter().any(|name| name == verb) || matches!(does, Nothing(_));
        assert!(is_there, "{verb} is no verb any more");
    }
}

#[test]
fn guarded_work_has_an_entry_at_its_beginning_and_one_at_its_end() {
    let hive = Hive::new();
    hive.ok(&["guard", "--", "true"]);
    let actions: Vec<_> = trail(&hive).iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["guard_begin", "guard_pass"]);
}

#[test]
fn entries_are_filtered_by_actor_action_target_and_time() {
    let hive = Hive::new();
    for key in ["a", "b"] {
        hive.ok(&["put", "config", key, "1"]);
    }
    hive.ok(&["remove", "config", "a"]);
    let count = |filter: &[&str]| {
        let found = hive.json(&[&["get", "audit"], filter].concat());
        found.as_array().unwrap().len()
    };
    let me = trail(&hive)[0]["actor"].as_str().unwrap().to_owned();
    assert_eq!((count(&[]), count(&["--actor", &me]), count(&["--actor", "x"])), (3, 3, 0));
    assert_eq!((count(&["--action", "config_put"]), count(&["--target", "a"])), (2, 2));
    assert_eq!(count(&["--action", "config_put", "--target", "a", "--newest", "1"]), 1);
    assert_eq!((count(&["--since", "10m ago"]), count(&["--since", "2999-01-01T00:00:00Z"])), (3, 0));
    assert!(hive.refused(&["get", "audit", "--since", "latest"], 2).contains("must be a time such as"));
    assert!(hive.refused(&["get", "chat", "--actor", "x"], 2).contains("--actor works with audit only"));
    let events = hive.json(&["log"]);
    assert!(events.to_string().contains(&me) || events.as_array().is_some_and(Vec::is_empty));
}

#[test]
fn the_entries_of_a_bot_are_those_of_which_it_is_the_actor_or_the_target() {
    let hive = Hive::new();
    hive.ok(&["put", "registry", "BOT-1", "{}"]);
    hive.ok(&["put", "registry", "BOT-2", "{}"]);
    let store = hive.open();
    store.acting_as("BOT-1").write(|tx| tx.config().put("a", &1.into())).unwrap();
    store.close().unwrap();
    let of = |more: &[&str]| {
        let found = hive.json(&[&["get", "audit", "--bot", "BOT-1"], more].concat());
        let actions: Vec<_> = found.as_array().unwrap().iter().map(|entry| entry["action"].clone()).collect();
        actions
    };
    assert_eq!(of(&[]), ["registry_put", "config_put"]);
    assert_eq!(of(&["--newest", "1"]), ["config_put"]);
    assert_eq!(of(&["--actor", "BOT-1"]), ["config_put"]);
}

#[test]
fn a_change_of_all_tasks_of_a_filter_has_one_entry() {
    let hive = Hive::new();
    ["a", "b"].iter().for_each(|id| drop(hive.ok(&["queue", "push", "1", "--id", id])));
    for (verb, state) in [("cancel", "ready"), ("requeue", "cancelled")] {
        let earlier = trail(&hive).len();
        hive.ok(&["queue", verb, "--state", state]);
        let trail = trail(&hive);
        assert_eq!((trail.len(), &trail[earlier]["action"]), (earlier + 1, &Value::from("queue_bulk")), "{verb}");
    }
}

#[test]
fn a_store_that_is_made_from_an_archive_has_the_entries_of_the_archive_and_one_of_the_import() {
    let hive = Hive::new();
    hive.ok(PUT);
    hive.ok(&["export", "e.tar.gz"]);
    hive.ok(&["--store", "new.redb", "import", "e.tar.gz"]);
    let actions: Vec<_> = trail_of(&hive, "new.redb").iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["config_put", "import"]);
    assert!(hive.ok(&["--store", "new.redb", "check"]).starts_with("sound"));
}

#[test]
fn a_store_whose_keys_are_lost_stays_closed_and_says_which_to_add_again() {
    let hive = Hive::new();
    for name in ["ops", "gone", "removed"] {
        hive.ok(&["key", "add", name, "--role", "admin"]);
    }
    for verb in ["revoke", "remove"] {
        hive.ok(&["key", verb, "removed"]);
    }
    hive.ok(&["export", "e.tar.gz"]);
    let imported = hive.run(&["--store", "new.redb", "import", "e.tar.gz"]).with(0).err;
    assert!(imported.contains("must be added again: gone, ops\n"), "{imported}");
    let mut bytes = std::fs::read(hive.path()).unwrap();
    let key = b"key/ops";
    let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(key)).collect();
    // No page with the key is left.
    places.iter().for_each(|at| bytes[at & !4095..at | 4095].fill(0x55));
    std::fs::write(hive.path(), bytes).unwrap();
    let repaired = hive.run(&["repair", "--to", "repaired.redb"]).with(3).out;
    for name in ["ops", "gone"] {
        let lost = format!("a key is lost, and is revoked now; add it again: key={name}\n");
        assert!(repaired.contains(&lost), "{repaired}");
    }
    assert!(!repaired.contains("key=removed"), "{repaired}");
    for file in ["new.redb", "repaired.redb"] {
        let keys = hive.json(&["--store", file, "key", "list"]);
        let keys: Vec<_> = keys.as_array().unwrap().iter().map(|key| (&key["name"], &key["state"])).collect();
        assert_eq!(format!("{keys:?}"), r#"[(String("gone"), String("revoked")), (String("ops"), String("revoked"))]"#);
        assert!(hive.ok(&["--store", file, "check"]).starts_with("sound"));
        hive.ok(&["--store", file, "key", "add", "ops", "--role", "admin"]);
    }
}
