//! Output that cannot be written: the disk is full, or the reader is gone.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::process::Stdio;

use serde_json::json;

use crate::util::Hive;

/// Each verb once, on a store with bots, tasks, a point and a restore. `ID` stands for a point.
const VERBS: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["help", "queue"],
    &["queue", "claim", "--help"],
    &["status"],
    &["status", "--sizes"],
    &["backup", "--kind", "queue"],
    &["history"],
    &["point", "create", "p"],
    &["point", "list"],
    &["point", "show", "ID"],
    &["point", "diff", "ID", "now"],
    &["point", "hold", "ID"],
    &["point", "release", "ID"],
    &["point", "forget", "--policy", "--dry-run"],
    &["restore", "ID", "--dry-run"],
    &["restore", "ID"],
    &["undo", "--dry-run"],
    &["undo"],
    &["get", "config"],
    &["get", "queue", "build"],
    &["put", "config", "a", "1"],
    &["remove", "config", "limit"],
    &["queue", "push", "1"],
    &["queue", "list"],
    &["queue", "assign", "test", "BOT-1"],
    &["queue", "claim", "BOT-2"],
    &["queue", "claim", "BOT-2", "--max", "3"],
    &["queue", "cancel", "test"],
    &["queue", "purge", "1d"],
    &["get", "chat"],
    &["get", "audit"],
    &["check"],
    &["doctor"],
    &["log"],
    &["compact"],
    &["crash", "ack"],
    &["export", "a.tar.gz"],
    &["serve", "--print-config"],
    &["completions", "bash"],
    &["man"],
];

fn prepared() -> (Hive, String) {
    let hive = Hive::new();
    hive.fill();
    let point = hive.ok(&["point", "create", "before"]).trim().to_owned();
    hive.ok(&["put", "config", "limit", "6"]);
    hive.ok(&["restore", &point]);
    (hive, point)
}

/// The content of every file in the folder.
fn files(hive: &Hive) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let folder = hive.path().parent().unwrap().to_owned();
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn put_back(hive: &Hive, before: &[(std::path::PathBuf, Vec<u8>)]) {
    for (path, _) in files(hive) {
        fs::remove_file(path).unwrap();
    }
    before.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
}

#[test]
fn a_verb_whose_output_cannot_be_written_fails_and_says_so() {
    let (hive, point) = prepared();
    let before = files(&hive);
    for verb in VERBS {
        for json in [false, true] {
            let verb: Vec<_> = verb.iter().map(|word| if *word == "ID" { point.as_str() } else { *word }).collect();
            let verb = if json { [&["--json"], &verb[..]].concat() } else { verb };
            put_back(&hive, &before);
            let printed = hive.run(&verb);
            assert!(matches!(printed.code, Some(0 | 3 | 13)), "{printed:?}");
            put_back(&hive, &before);
            let full = File::options().write(true).open("/dev/full").unwrap();
            let failed = hive.command(&verb).stdout(full).output().unwrap();
            let said = String::from_utf8(failed.stderr).unwrap();
            let expected = if printed.out.is_empty() { printed.code } else { Some(1) };
            assert_eq!(failed.status.code(), expected, "{verb:?} printed {:?} and said {said}", printed.out);
            let names_it = said.contains("standard output cannot be written");
            assert_eq!(names_it, expected == Some(1), "{verb:?} said {said}");
            assert!(!said.contains("panicked"), "{verb:?} said {said}");
        }
    }
}

#[test]
fn a_verb_whose_reader_is_gone_ends_silently() {
    let (hive, point) = prepared();
    let before = files(&hive);
    for verb in VERBS.iter().filter(|verb| !verb.starts_with(&["queue", "claim"]) || verb.contains(&"--help")) {
        let verb: Vec<_> = verb.iter().map(|word| if *word == "ID" { point.as_str() } else { *word }).collect();
        put_back(&hive, &before);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = hive.command(&verb).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(matches!(ended.status.code(), Some(0 | 3 | 13)), "{verb:?} {:?} {said}", ended.status);
        assert!(!said.contains("panicked") && !said.contains("Broken pipe"), "{verb:?} said {said}");
    }
}

#[test]
fn a_claim_that_cannot_be_printed_is_released_at_once_without_counting_an_attempt() {
    let (hive, _) = prepared();
    let before = hive.json(&["queue", "list"]);
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let gone = || Stdio::from(std::io::pipe().unwrap().1);
    for arguments in
        [&["queue", "claim", "B"][..], &["queue", "claim", "B", "--json"], &["queue", "claim", "B", "--max", "9"]]
    {
        for out in [full(), gone()] {
            let failed = hive.command(arguments).stdout(out).stderr(Stdio::piped()).output().unwrap();
            let said = String::from_utf8(failed.stderr).unwrap();
            assert_eq!(failed.status.code(), Some(1), "{arguments:?} said {said}");
            assert!(said.contains("is given back"), "{said}");
            assert_eq!(hive.json(&["queue", "list"]), before, "{arguments:?}");
        }
    }
    let claim = hive.json(&["queue", "claim", "B"]);
    assert_eq!((&claim["id"], &claim["attempt"]), (&json!("build"), &json!(1)));
}
