//! The command line beside a service whose log is shared, behind it, and behind a service that was killed.
#![cfg(unix)]

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::util::{Hive, Running};

/// A service that shares its log, whose log is in use, and its address.
fn serve(hive: &Hive) -> (Running, String) {
    let mut running = Running::start(hive, &["serve", "--listen", "127.0.0.1:0", "--shared-log", "--json"]);
    let started: Value = serde_json::from_str(&running.line()).unwrap();
    let address = started["listening"].as_str().unwrap().to_owned();
    put_some(hive, &address, 0);
    (running, address)
}

/// Writes through the service until its commits go into the log.
fn put_some(hive: &Hive, address: &str, number: u32) {
    for _ in 0..4 {
        hive.ok(&["--store", address, "put", "config", "number", &number.to_string()]);
    }
    assert_ne!(beside(hive), [""; 0], "no commit went into a log");
}

/// The files of the log, and the shared page.
fn beside(hive: &Hive) -> Vec<String> {
    let names = std::fs::read_dir(hive.path().parent().unwrap()).unwrap();
    let names = names.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(".wal.") || name.contains(".turns")).collect()
}

fn in_folder(hive: &Hive, name: &str) -> PathBuf {
    hive.path().with_file_name(name)
}

#[test]
fn verbs_beside_a_service_that_shares_its_log_join_it() {
    let hive = Hive::new();
    let (mut running, address) = serve(&hive);
    hive.fill();
    assert_eq!(hive.ok(&["get", "config", "number"]), "0\n");
    put_some(&hive, &address, 1);
    assert_eq!(hive.ok(&["get", "config", "number"]), "1\n", "a reader sees the commits in the log");
    assert_eq!(
        hive.json(&["--store", &address, "get", "config", "limit"]),
        json!(5),
        "the service sees those of a verb"
    );

    let claim = hive.json(&["queue", "claim", "BOT-1", "--lease", "10m"]);
    put_some(&hive, &address, 2);
    hive.ok(&["queue", "complete", claim["id"].as_str().unwrap(), "--token", &claim["token"].to_string()]);
    hive.ok(&["point", "create", "beside"]);
    put_some(&hive, &address, 3);
    assert!(hive.ok(&["point", "diff", "latest", "now"]).contains("config/number 2 -> 3"));
    hive.ok(&["restore", "latest", "--only", "config"]);
    assert_eq!(hive.ok(&["--store", &address, "get", "config", "number"]), "2\n");
    hive.ok(&["undo"]);
    assert_eq!(hive.ok(&["--store", &address, "get", "config", "number"]), "3\n");
    let shown = hive.ok(&["status"]);
    assert!(
        shown.contains("\nlog      in use, 1 file of ") && shown.contains("the file has everything until"),
        "{shown}"
    );
    let log = hive.json(&["status"])["log"].clone();
    assert_eq!((&log["in_use"], &log["sections"], &log["durability"]), (&json!(true), &json!(1), &json!("disk")));
    let told = hive.run(&["doctor"]).out;
    assert!(told.contains("log         shared, in use, 1 file of "), "{told}");
    running.stop("-TERM");
    assert_eq!(beside(&hive), [""; 0], "the last one leaves the file alone");
    assert_eq!(hive.json(&["status"])["log"], Value::Null);
    assert_eq!(hive.ok(&["get", "config", "number"]), "3\n");
    hive.ok(&["check"]);
}

#[test]
fn verbs_that_verify_copy_and_take_over_work_beside_a_service_that_shares_its_log() {
    let hive = Hive::new();
    let (mut running, address) = serve(&hive);
    hive.fill();
    put_some(&hive, &address, 1);
    for verb in [&["check"][..], &["check", "--pages"], &["check", "--sample", "10%"], &["status", "--sizes"]] {
        hive.ok(verb);
        put_some(&hive, &address, 1);
    }
    hive.ok(&["export", "all.tar.gz"]);
    hive.ok(&["--store", "other.redb", "import", "all.tar.gz"]);
    put_some(&hive, &address, 2);
    hive.ok(&["point", "create"]);
    hive.ok(&["restore", "latest", "--to", "copy.redb"]);
    for (copy, number) in [("other.redb", "1\n"), ("copy.redb", "2\n")] {
        let copy = in_folder(&hive, copy);
        assert_eq!(hive.ok(&["--store", copy.to_str().unwrap(), "get", "config", "number"]), number);
    }
    put_some(&hive, &address, 3);
    hive.ok(&["guard", "--", env!("CARGO_BIN_EXE_hivekeep"), "put", "config", "number", "4"]);
    hive.run(&["guard", "--", "sh", "-c", &format!("{} put config number 5; exit 7", env!("CARGO_BIN_EXE_hivekeep"))])
        .with(7);
    assert_eq!(hive.ok(&["--store", &address, "get", "config", "number"]), "4\n");
    let bots = json!({"bots": {"BOT-222": {"port": 8251}}});
    std::fs::write(in_folder(&hive, "registry.json"), bots.to_string()).unwrap();
    put_some(&hive, &address, 5);
    hive.ok(&["adopt", "registry.json", "--dry-run"]);
    hive.ok(&["adopt", "registry.json"]);
    assert_eq!(hive.json(&["--store", &address, "get", "registry", "BOT-222"])["port"], 8251);
    put_some(&hive, &address, 6);
    let report = hive.json(&["drill", "--only", "queue_halved,process_killed"]);
    assert!(report["scenarios"].as_array().unwrap().iter().all(|scenario| scenario["met"] == true), "{report}");
    put_some(&hive, &address, 7);
    let said = hive.refused(&["compact"], 11);
    assert!(said.contains("hivekeep compact --yes"), "{said}");
    hive.ok(&["compact", "--yes"]);
    put_some(&hive, &address, 8);
    assert_eq!(hive.run(&["repair"]).code, Some(11));
    assert_eq!(running.stop("-TERM"), Some(0));
    assert_eq!(beside(&hive), [""; 0]);
    assert_eq!(hive.ok(&["get", "config", "number"]), "8\n");
    hive.ok(&["check"]);
    hive.ok(&["compact"]);
}

#[test]
fn the_shared_log_of_a_killed_service_is_taken_up_and_a_program_that_lives_goes_on() {
    let hive = Hive::new();
    let (mut running, address) = serve(&hive);
    hive.ok(&["point", "create"]);
    put_some(&hive, &address, 1);
    running.stop("-KILL");
    assert_eq!(hive.ok(&["get", "config", "number"]), "1\n", "a reader looks through memory");
    assert_ne!(beside(&hive), [""; 0]);
    hive.ok(&["restore", "latest", "--to", "copy.redb"]);
    assert_eq!(beside(&hive).iter().filter(|name| name.contains(".wal.")).count(), 0);
    let events = hive.json(&["log"]);
    assert!(events.as_array().unwrap().iter().any(|event| event["event"] == "log_taken_up"), "{events}");

    let (mut one, address) = serve(&hive);
    let (mut two, other) = serve(&hive);
    put_some(&hive, &address, 2);
    one.stop("-KILL");
    put_some(&hive, &other, 3);
    assert_eq!(hive.ok(&["get", "config", "number"]), "3\n");
    assert_eq!(two.stop("-TERM"), Some(0));
    assert_eq!(beside(&hive), [""; 0]);
    hive.ok(&["check"]);
}

#[test]
fn a_service_shares_its_log_or_has_the_store_for_itself_and_not_both() {
    let hive = Hive::new();
    let said = hive.refused(&["serve", "--exclusive", "--shared-log"], 2);
    assert!(said.contains("exclusive") && said.contains("shared-log"), "{said}");
    let said = hive.refused(&["serve", "--shared-log", "--durability", "system"], 2);
    assert!(said.contains("durability system"), "{said}");
    let printed = hive.ok(&["serve", "--shared-log", "--print-config"]);
    assert!(printed.contains("exclusive = false\nshared-log = true\n"), "{printed}");
    let (mut running, _) = serve(&hive);
    let said = hive.refused(&["serve", "--listen", "127.0.0.1:0", "--exclusive"], 11);
    assert!(said.contains("locked by"), "{said}");
    running.stop("-TERM");

    // One that shares the file only must end first: it would not see the log.
    let mut plain = Running::start(&hive, &["serve", "--listen", "127.0.0.1:0", "--json"]);
    plain.line();
    let said = hive.refused(&["serve", "--listen", "127.0.0.1:0", "--shared-log"], 11);
    assert!(said.contains("locked by"), "{said}");
    plain.stop("-TERM");
}
