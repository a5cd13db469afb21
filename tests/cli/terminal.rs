//! At a terminal of 80 columns, which `script` of util-linux makes: every row fits, and what is shown short can be typed.
#![cfg(target_os = "linux")]

use std::process::Command;

use crate::hostile::{filled, is_hidden};
use crate::util::Hive;

/// The output of the program at a terminal of 80 columns.
fn at_terminal(hive: &Hive, typed: &str) -> String {
    let program = format!("{} {typed}", env!("CARGO_BIN_EXE_hivekeep"));
    let mut command = Command::new("script");
    command.args(["-qec", &program, "/dev/null"]);
    let own = std::env::vars_os().map(|(name, _)| name);
    own.filter(|name| name.to_string_lossy().starts_with("HIVEKEEP_")).for_each(|name| {
        command.env_remove(name);
    });
    let output = command.env("COLUMNS", "80").env("HIVEKEEP_STORE", hive.path()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

#[test]
fn every_row_fits_a_terminal_and_a_short_id_can_be_typed() {
    let hive = filled();
    for number in 0..3 {
        hive.ok(&[
            "point",
            "create",
            &format!("number {number}, with a description that alone is longer than a row has room for"),
        ]);
    }
    for typed in [
        "status --sizes",
        "point list",
        "point list --all --sizes",
        "history",
        "log",
        "queue list",
        "queue list --state done",
        "doctor",
        "get registry",
        "get queue",
        "get assignments",
        "get chat",
        "get audit",
        "get config",
        "get documents",
        "get rooms",
        "point forget --policy --dry-run",
    ] {
        let out = at_terminal(&hive, typed);
        assert!(out.lines().count() > 1, "{typed}: {out}");
        assert!(!out.contains(is_hidden), "{typed}: {out:?}");
        let accent = '\u{301}';
        let too_long: Vec<_> = out.lines().filter(|line| line.replace(accent, "").chars().count() > 80).collect();
        assert!(too_long.is_empty(), "{typed}: {too_long:#?}");
    }
    let out = at_terminal(&hive, "point list");
    let ids: Vec<_> = out.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(ids.len(), 6, "{out}");
    for id in &ids {
        assert!((8..36).contains(&id.len()), "{out}");
        hive.ok(&["point", "show", id]);
        hive.ok(&["restore", id, "--dry-run"]);
    }
    assert!(out.contains("s ago "), "{out}");
    let whole = hive.ok(&["point", "list"]);
    let is_whole = |out: &str| out.lines().skip(1).all(|line| line.split(' ').next().unwrap().len() == 36);
    assert!(is_whole(&whole) && whole.contains("+00:00"), "{whole}");
    assert!(is_whole(&at_terminal(&hive, "point list --wide")));
}
