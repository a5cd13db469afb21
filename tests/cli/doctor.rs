//! `doctor`: its output for stores that are fine, at risk, in use, and damaged.

use std::fs;

use hivekeep::{EventKind, LastDrill, Rehearsed, Store};
use serde_json::{Value, json};

use crate::util::Hive;

/// The verdict and the finding of a topic.
fn said(page: &Value, topic: &str) -> (String, String) {
    let line = page["lines"].as_array().unwrap().iter().find(|line| line["topic"] == topic);
    let text = |name| line.unwrap_or_else(|| panic!("no {topic}: {page}"))[name].as_str().unwrap().to_owned();
    (text("verdict"), text("what"))
}

fn page(hive: &Hive, more: &[&str], code: i32) -> Value {
    let ran = hive.run(&[&["doctor", "--json"], more].concat()).with(code);
    serde_json::from_str(&ran.out).unwrap()
}

fn verdict(hive: &Hive, more: &[&str], topic: &str) -> String {
    let ran = hive.run(&[&["doctor", "--json"], more].concat());
    said(&serde_json::from_str(&ran.out).unwrap(), topic).0
}

fn drill(met: bool) -> LastDrill {
    let name = "bot_killed".to_owned();
    let scenarios = vec![Rehearsed { name, recovery_ms: 1, lost_records: 0, lost_ms: 0, met }];
    LastDrill { at: jiff::Timestamp::now(), took_ms: 1, records: 1, scenarios }
}

#[test]
fn a_neglected_store_is_at_risk_and_each_line_has_advice() {
    let hive = Hive::new();
    hive.fill();
    fs::remove_file(hive.path().with_file_name("h.redb.sessions")).unwrap();
    let page = page(&hive, &[], 3);
    assert_eq!(page["verdict"], "warn");
    assert_eq!(said(&page, "verified").0, "ok");
    for topic in ["checked", "backup", "archives", "drill"] {
        assert_eq!(said(&page, topic).0, "warn", "{topic}");
    }
    for line in page["lines"].as_array().unwrap() {
        assert_eq!(line["verdict"] == "ok", line["advice"].is_null(), "{line}");
    }
    let text = hive.run(&["doctor"]).with(3).out;
    assert!(text.contains("warn  backup      there is no restore point\n                  -> make one: "), "{text}");
    assert!(text.ends_with("\nyou would get back the content of the file; at risk: 4\n"), "{text}");
    assert!(!hive.path().with_file_name("h.redb.sessions").exists(), "looking leaves no trace");
}

#[test]
fn a_maintained_store_has_no_warning() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    hive.ok(&["check"]);
    let store = Store::options().session(false).open(hive.path()).unwrap();
    store.note_drill(&drill(true)).unwrap();
    store.close().unwrap();
    let archives = hive.path().with_file_name("hivekeep-archives");
    fs::create_dir(&archives).unwrap();
    fs::write(archives.join("state-2026-01-02-03-04-05.tar.gz"), b"").unwrap();
    let page = page(&hive, &[], 3);
    for line in page["lines"].as_array().unwrap().iter().filter(|line| line["topic"] != "archives") {
        assert_eq!(line["verdict"], "ok", "{line}");
    }
    let (verdict, what) = said(&page, "archives");
    assert!(verdict == "warn" && what.starts_with("on the same file system as the store: state-2026"), "{what}");
}

#[test]
fn changes_since_the_last_point_are_a_risk_only_once_it_is_old() {
    let hive = Hive::new();
    hive.ok(&["point", "create"]);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let old = ["--backup-interval", "1s"];
    assert_eq!(verdict(&hive, &old, "backup"), "ok", "nothing has changed");
    hive.ok(&["put", "config", "limit", "5"]);
    assert_eq!(verdict(&hive, &old, "backup"), "warn");
    assert_eq!(verdict(&hive, &[], "backup"), "ok");
}

#[test]
fn a_missed_target_an_unfinished_guard_and_a_crash_are_reported() {
    let hive = Hive::new();
    let store = hive.open();
    store.note_drill(&drill(false)).unwrap();
    drop(store.begin_guard(hivekeep::GuardOptions::new("the release")).unwrap());
    let page = page(&hive, &[], 3);
    assert!(said(&page, "drill").1.contains("missed the target of bot_killed"));
    assert!(said(&page, "guards").1.ends_with("before the release"));
    assert!(said(&page, "sharing").1.starts_with("open in process "));
    std::mem::forget(store);
}

#[test]
fn an_archive_made_by_hand_counts_while_it_exists() {
    let hive = Hive::new();
    hive.fill();
    let archive = hive.path().with_file_name("by-hand.tar.gz");
    hive.ok(&["export", archive.to_str().unwrap()]);
    let (_, what) = said(&page(&hive, &[], 3), "archives");
    assert!(what.starts_with("on the same file system as the store: by-hand.tar.gz, "), "{what}");
    fs::remove_file(archive).unwrap();
    assert!(said(&page(&hive, &[], 3), "archives").1.starts_with("no copy outside of this file"));
}

#[test]
fn an_archive_of_some_collections_is_no_copy_and_doctor_status_and_drill_agree() {
    let hive = Hive::new();
    hive.fill();
    let folder = hive.path().with_file_name("hivekeep-archives");
    fs::create_dir(&folder).unwrap();
    let part = |file: std::path::PathBuf| hive.ok(&["export", file.to_str().unwrap(), "--only", "config"]);
    part(hive.path().with_file_name("part.tar.gz"));
    part(folder.join("state-2026-01-02-03-04-05.tar.gz"));
    let drilled = || {
        let report = hive.json(&["drill", "--only", "file_lost"]);
        report["scenarios"][0]["notes"].to_string()
    };
    assert!(said(&page(&hive, &[], 3), "archives").1.starts_with("no copy outside of this file"));
    let archive = hive.json(&["status"])["archive"].take();
    assert_eq!(archive["warning"], "there is no copy outside of this file");
    assert_eq!(archive["exported"], Value::Null);
    assert!(drilled().contains("there was no archive"), "{}", drilled());

    let whole = hive.path().with_file_name("whole.tar.gz");
    hive.ok(&["export", whole.to_str().unwrap()]);
    assert!(said(&page(&hive, &[], 3), "archives").1.contains("whole.tar.gz"));
    let archive = hive.json(&["status"])["archive"].take();
    assert_eq!(archive["exported"], whole.to_str().unwrap());
    assert_eq!(archive["warning"], "the newest archive is on the same file system as the store");
    assert!(hive.ok(&["status"]).contains("whole.tar.gz, made by hand; the newest archive is on the same file system"));
    assert!(drilled().contains("the archive: whole.tar.gz"), "{}", drilled());
}

#[test]
fn a_failure_is_a_risk_until_the_next_success() {
    use EventKind::{
        ArchiveFailed, ArchiveVerified, BackupDeletedOld, BackupFailed, RestoreFailed, RestorePointCreated,
        RestoreSuccessful, RetentionFailed,
    };
    let hive = Hive::new();
    let store = hive.open();
    for (what, failed, worked) in [
        ("a backup", BackupFailed, RestorePointCreated),
        ("retention", RetentionFailed, BackupDeletedOld),
        ("an archive", ArchiveFailed, ArchiveVerified),
        ("a restore", RestoreFailed, RestoreSuccessful),
    ] {
        store.write(|tx| tx.events().append(failed.clone(), json!({"error": "no room"}))).unwrap();
        let (verdict, shown) = said(&page(&hive, &[], 3), "work");
        assert!(shown.starts_with(&format!("{what} failed at ")) && shown.ends_with(": no room"), "{verdict}: {shown}");
        store.write(|tx| tx.events().append(worked.clone(), json!({}))).unwrap();
        assert_eq!(said(&page(&hive, &[], 3), "work").0, "ok");
    }
}

#[test]
fn doctor_reads_a_store_in_use_and_changes_nothing() {
    let hive = Hive::new();
    hive.fill();
    let before = fs::read(hive.path()).unwrap();
    page(&hive, &["--full"], 3);
    page(&hive, &[], 3);
    assert_eq!(fs::read(hive.path()).unwrap(), before);
    let store = hive.open();
    page(&hive, &["--full"], 3);
    store.write(|tx| tx.config().put("limit", &json!(7))).unwrap();
    store.close().unwrap();
}

#[test]
fn damage_is_bad_and_has_advice() {
    let hive = Hive::new();
    hive.fill();
    let mut bytes = fs::read(hive.path()).unwrap();
    let at = bytes.windows(5).position(|window| window == b"BOT-2").unwrap();
    bytes[at] ^= 1;
    fs::write(hive.path(), bytes).unwrap();
    let page = page(&hive, &["--full"], 4);
    assert_eq!(page["verdict"], "bad");
    let text = hive.run(&["doctor", "--full"]).with(4).out;
    assert!(text.contains("hivekeep repair --dry-run"), "{text}");
    assert_eq!(Hive::empty().refused(&["doctor"], 10).split(' ').next(), Some("no"));
}

#[test]
fn doctor_verifies_a_part_of_a_large_store() {
    let hive = Hive::new();
    let store = hive.open();
    let rows = |tx: &mut hivekeep::WriteTx<'_>| {
        (0..60_000u32).try_for_each(|i| tx.collection("rows")?.put(&i.to_string(), &i))
    };
    store.load(rows).unwrap();
    store.close().unwrap();
    let (_, what) = said(&page(&hive, &[], 3), "verified");
    assert!(what.starts_with("20000 of 60"), "{what}");
}
