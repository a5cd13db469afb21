//! `drill`: every disaster on a copy, while the store itself is in use, without leaving files behind.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::util::{Hive, Running};

/// The names of files that a drill could leave behind.
fn left_behind(hive: &Hive) -> Vec<String> {
    let names = fs::read_dir(hive.path().parent().unwrap()).unwrap();
    let names = names.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("drill")).collect()
}

#[test]
fn every_disaster_is_rehearsed_on_a_copy_of_a_store_in_use_and_meets_its_target() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    let other = hive.open();
    let before = hive.ok(&["get", "queue", "--json"]);
    let report = hive.json(&["drill"]);
    let scenarios = report["scenarios"].as_array().unwrap();
    let names: Vec<_> = scenarios.iter().map(|scenario| scenario["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["file_lost", "queue_halved", "deployment_undone", "bot_killed", "process_killed", "bytes_damaged"]
    );
    for scenario in scenarios {
        assert_eq!((&scenario["error"], &scenario["met"]), (&Value::Null, &json!(true)), "{scenario}");
    }
    for name in ["queue_halved", "deployment_undone", "bot_killed", "process_killed"] {
        let scenario = scenarios.iter().find(|scenario| scenario["name"] == name).unwrap();
        assert_eq!(scenario["lost_records"], 0, "an acknowledged write was lost: {scenario}");
    }
    let rebuilt = &scenarios[0];
    assert!(rebuilt["lost_records"].as_u64().unwrap() > 0, "bots went on behind the archive: {rebuilt}");
    assert_eq!(hive.ok(&["get", "queue", "--json"]), before, "the store itself was touched");
    assert_eq!(left_behind(&hive), [""; 0]);
    let status = hive.json(&["status"]);
    assert_eq!(status["last_drill"]["scenarios"][0]["name"], "file_lost");
    assert!(hive.json(&["log"]).as_array().unwrap().iter().any(|event| event["event"] == "drill_finished"));
    other.close().unwrap();
}

#[test]
fn a_missed_target_is_named_and_exits_with_its_own_code() {
    let hive = Hive::new();
    hive.fill();
    let ran = hive.run(&["drill", "--only", "bot_killed", "--target", "bot_killed=0s/0s"]).with(3);
    assert!(ran.out.contains("bot_killed") && ran.out.contains("missed"), "{}", ran.out);
    assert!(hive.ok(&["status"]).contains("ago, missed bot_killed\n"));
    assert!(hive.refused(&["drill", "--only", "flood"], 2).contains("flood"));
    assert_eq!(Hive::empty().refused(&["drill"], 10).split(' ').next(), Some("no"));
}

#[test]
fn a_drill_that_is_interrupted_leaves_nothing_behind() {
    let hive = Hive::new();
    hive.fill();
    let mut running = Running::start(&hive, &["drill", "--only", "bot_killed,process_killed"]);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(running.stop("-INT"), Some(130));
    assert_eq!(left_behind(&hive), [""; 0]);
    assert_eq!(hive.json(&["status"])["last_drill"], Value::Null);
}
