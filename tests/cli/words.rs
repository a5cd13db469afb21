//! Messages and numbers: each says what is so, and a hint works when it is followed.

use std::fs;

use serde_json::json;

use crate::util::{Hive, Ran};

/// Standard error of a verb that ends with this code.
fn told(hive: &Hive, arguments: &[&str], code: i32) -> String {
    hive.run(arguments).with(code).err
}

#[test]
fn a_bot_that_was_allowed_more_is_told_how_many_tasks_it_holds() {
    let hive = Hive::new();
    for task in ["1", "2", "3", "4", "5"] {
        hive.ok(&["queue", "push", task]);
    }
    hive.ok(&["queue", "claim", "X", "--max", "4", "--max-concurrent", "10"]);
    assert_eq!(
        hive.refused(&["queue", "claim", "X"], 13),
        "X holds 4 of at most 3 tasks; finish one, or raise max_concurrent"
    );
}

#[test]
fn a_task_that_an_operator_cancels_is_no_task_of_its_holder() {
    let hive = Hive::new();
    hive.ok(&["queue", "push", "1", "--id", "u1"]);
    hive.ok(&["queue", "claim", "X"]);
    hive.ok(&["queue", "cancel", "u1"]);
    assert_eq!(hive.json(&["get", "queue", "u1"])["finished_by"], json!(null));
    let listed = hive.run(&["queue", "list", "--bot", "X"]).with(0);
    assert_eq!((listed.out.as_str(), listed.err.as_str()), ("", "there is nothing to list\n"));
}

#[test]
fn a_filter_that_fits_no_task_changes_nothing_and_makes_no_point() {
    let hive = Hive::new();
    hive.ok(&["queue", "push", "1", "--id", "u1"]);
    let said = hive.refused(&["queue", "cancel", "--id", "zzz"], 13);
    assert_eq!(said, "no task fits that could be changed by cancel: id=zzz");
    assert_eq!(hive.json(&["point", "list", "--all"]), json!([]));
    assert_eq!(hive.json(&["queue", "bulk"]), json!([]));
}

#[test]
fn every_count_of_restore_points_is_that_of_the_list() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    hive.ok(&["backup", "--kind", "queue"]);
    let file = hive.path().with_file_name("registry.json");
    fs::write(&file, r#"{"BOT-9": {"port": 9}, "BOT-8": {}}"#).unwrap();
    hive.ok(&["backup", "--kind", "registry", "--source", "mine", file.to_str().unwrap()]);
    let listed = hive.json(&["point", "list"]).as_array().unwrap().len();
    assert_eq!(listed, 2);
    let points = &hive.json(&["status"])["points"];
    assert_eq!((&points["total"], &points["others"]), (&json!(2), &json!(1)));
    assert!(hive.ok(&["status"]).contains("points   2, and 1 of documents"));
    assert!(hive.ok(&["status"]).contains("documents 1 of 3 elements"));
    assert!(hive.run(&["doctor"]).out.contains("2 restore points, from "));
}

#[test]
fn points_of_documents_are_named_where_there_is_no_other() {
    let hive = Hive::new();
    let file = hive.path().with_file_name("registry.json");
    fs::write(&file, r#"{"BOT-9": {"port": 9}}"#).unwrap();
    hive.ok(&["backup", "--kind", "registry", "--source", "mine", file.to_str().unwrap()]);
    assert!(told(&hive, &["point", "list"], 0).contains("1 point of documents, restores and commits: --all"));
    let said = hive.refused(&["restore", "latest"], 13);
    assert!(said.ends_with("are named by their id: points=1\nhint: hivekeep point list --all"), "{said}");
    assert!(hive.run(&["doctor"]).out.contains("none yet of the live state; 1 point of documents and restores"));
    let point = hive.json(&["point", "list", "--all"])[0]["id"].as_str().unwrap().to_owned();
    fs::write(&file, r#"{"BOT-9": {"port": 10}}"#).unwrap();
    hive.ok(&["backup", "--kind", "registry", "--source", "mine", file.to_str().unwrap()]);
    let plan = hive.ok(&["restore", &point, "--dry-run"]);
    assert!(plan.contains("documents: 0 added, 1 changed, 0 removed (elements of documents)"), "{plan}");
    assert!(plan.contains("only documents are restored"), "{plan}");
}

#[test]
fn the_id_of_a_backup_names_its_point() {
    let hive = Hive::new();
    hive.fill();
    let point = hive.ok(&["point", "create"]).trim_end().to_owned();
    hive.ok(&["put", "config", "limit", "6"]);
    for backup in hive.json(&["history"]).as_array().unwrap() {
        let id = backup["backup_id"].as_str().unwrap();
        assert_eq!(hive.json(&["point", "show", id])["id"], json!(point));
        assert_eq!(hive.json(&["get", "config", "limit", "--at", id]), json!(5));
        hive.ok(&["restore", id, "--dry-run"]);
        hive.refused(&["point", "forget", id], 13);
    }
}

#[test]
fn the_point_of_a_commit_shows_no_number_of_records() {
    let hive = Hive::new();
    let store = hivekeep::Store::options().history(std::time::Duration::from_secs(3600)).open(hive.path()).unwrap();
    for limit in 0..3 {
        store.write(|tx| tx.config().put("limit", &json!(limit))).unwrap();
    }
    store.close().unwrap();
    let listed = hive.ok(&["point", "list", "--all"]);
    let commit = listed.lines().find(|line| line.contains("commit")).unwrap_or_else(|| panic!("{listed}"));
    assert_eq!(commit.split_whitespace().nth(4), Some("-"), "{listed}");
}

#[test]
fn a_tip_about_a_value_with_a_hyphen_works() {
    let hive = Hive::new();
    for (typed, tip) in [
        (&["get", "audit", "--newest", "-1"][..], "--newest='-1'"),
        (&["queue", "push", "1", "--delay", "-10m"], "--delay='-10m'"),
        (&["get", "config", "--at", "-5m ago"], "--at='-5m ago'"),
    ] {
        let said = told(&hive, typed, 2);
        assert!(said.contains(tip) && !said.contains("-- -"), "{said}");
    }
    assert!(told(&hive, &["get", "audit", "--newest=-1"], 2).contains("must be a whole number of at least 1"));
    assert!(told(&hive, &["get", "audit", "--newest", "0"], 2).contains("must be at least 1"));
    assert!(told(&hive, &["queue", "push", "1", "--max-attempts", "99999999999"], 2).contains("is not in 1..="));
    let said = told(&hive, &["schedule", "add", "m", "--", "1"], 2);
    assert!(said.contains("--every") && said.contains("--cron"), "{said}");
    let said = told(&hive, &["point", "show", "nope"], 2);
    assert!(said.contains("use latest, latest~3") && !said.contains("use now"), "{said}");
}

#[test]
fn a_value_beyond_a_limit_is_refused() {
    let hive = Hive::new();
    let said = hive.refused(&["queue", "push", "1", "--delay", "1000000000d"], 2);
    assert!(said.starts_with("the delay of a task is too long; shorten it: length_ms="), "{said}");
    let said = hive.refused(&["point", "create", "--tag", "a=1", "--tag", "a=2"], 2);
    assert_eq!(said, "a tag has one value; leave one out: tag=a");
    hive.refused(&["backup", "--tag", "a=1", "--tag", "a=2"], 2);
    assert!(hive.refused(&["serve", "--max-body", "0"], 2).ends_with("max-body=0"));
}

#[test]
fn input_without_anything_is_named() {
    let hive = Hive::new();
    assert_eq!(hive.refused(&["backup", "-"], 2), "standard input is empty; write JSON to it");
    let file = hive.path().with_file_name("empty.json");
    fs::write(&file, "\n").unwrap();
    assert!(hive.refused(&["backup", file.to_str().unwrap()], 2).ends_with("the file is empty; write JSON to it"));
    fs::write(&file, "{\"payload\": 1}\n\n{\"payload\": 2}\n").unwrap();
    let said = hive.refused(&["queue", "push", "--from", file.to_str().unwrap()], 2);
    assert!(said.contains("line 2 is empty; leave it out"), "{said}");
}

#[test]
fn an_empty_list_says_so_and_an_extension_says_until_when() {
    let hive = Hive::new();
    for typed in [
        &["queue", "list"][..],
        &["get", "audit", "--actor", "nobody"],
        &["get", "chat", "--conversation", "nope"],
        &["get", "registry"],
        &["schedule", "list"],
    ] {
        assert_eq!(told(&hive, typed, 0), "there is nothing to list\n", "{typed:?}");
        assert_eq!(told(&hive, &[typed, &["--json"]].concat(), 0), "", "{typed:?}");
    }
    hive.ok(&["queue", "push", "1", "--id", "u1"]);
    hive.ok(&["queue", "claim", "X"]);
    let token = hive.json(&["get", "queue", "u1"])["holder"]["token"].to_string();
    let Ran { out, .. } = hive.run(&["queue", "extend", "u1", "--token", &token]).with(0);
    let deadline = hive.json(&["get", "queue", "u1"])["holder"]["deadline"].as_str().unwrap().to_owned();
    assert_eq!(out, format!("u1 is claimed, for X, until {deadline}\n"));
}

#[test]
fn a_limit_shortens_each_list_and_its_json() {
    let hive = Hive::new();
    for number in 0..4 {
        hive.ok(&["put", "config", &format!("key-{number}"), "1"]);
        hive.ok(&["queue", "push", "1", "--id", &format!("task-{number}")]);
        hive.ok(&["point", "create"]);
    }
    for typed in [&["get", "config"][..], &["get", "queue"], &["queue", "list"], &["point", "list"]] {
        assert_eq!(hive.ok(typed).lines().count(), 5, "{typed:?}");
        let limited = [typed, &["--limit", "2"]].concat();
        assert_eq!(hive.ok(&limited).lines().count(), 3, "{typed:?}");
        let json = hive.json(&limited);
        let count = json.as_array().map_or_else(|| json.as_object().map(serde_json::Map::len), |list| Some(list.len()));
        assert_eq!(count, Some(2), "{typed:?}");
    }
    assert_eq!(hive.ok(&["point", "diff", "latest~3", "--limit", "1"]).lines().count(), 1);
    assert!(hive.refused(&["get", "audit", "--limit", "2"], 2).ends_with("--newest 2"));
    hive.refused(&["get", "config", "key-1", "--limit", "2"], 2);
}

#[test]
fn retention_says_from_when_the_age_of_an_adopted_point_counts() {
    let hive = Hive::new();
    let folder = hive.path().with_file_name("backups");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("b1.json"), "{}").unwrap();
    let index = json!({
        "backups": {"b1": {"timestamp": "2020-01-02T03:04:05Z", "backup_type": "registry"}}, "restore_points": {},
    });
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    hive.run(&["adopt", folder.to_str().unwrap()]);
    let judged = hive.ok(&["point", "forget", "--policy", "--dry-run"]);
    assert!(judged.contains("within 7d; its age counts since its adoption at 2"), "{judged}");
}

#[test]
fn compact_beside_a_process_that_has_the_store_for_itself_names_no_option_that_fails() {
    let hive = Hive::new();
    let _open = hivekeep::Store::options().sharing(hivekeep::Sharing::Exclusive).open(hive.path()).unwrap();
    let said = hive.refused(&["compact"], 11);
    assert!(!said.contains("--yes"), "{said}");
    assert_eq!(said, hive.refused(&["compact", "--yes"], 11));
}

#[test]
fn a_variable_that_no_setting_reads_is_named() {
    let hive = Hive::new();
    let mut serve = hive.command(&["serve", "--listen", "nonsense"]);
    let told =
        Ran::new(&["serve"], serve.env("HIVEKEEP_MAX_BODIE", "3").env("HIVEKEEP_PORT", "tcp://1").output().unwrap());
    assert!(
        told.err.starts_with("warning: no setting reads this variable of the environment: HIVEKEEP_MAX_BODIE\n"),
        "{told:?}"
    );
    assert!(!told.err.contains("HIVEKEEP_PORT"), "{told:?}");
}
