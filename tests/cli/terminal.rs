//! A terminal of 80 columns, made by `script` of util-linux: every row fits, and shortened ids can be typed.
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
fn every_row_fits_the_terminal_and_a_shortened_id_can_be_typed() {
    let hive = filled();
    let after: Vec<_> = (0..9).map(|number| format!("a-task-that-comes-first-{number}")).collect();
    for id in &after {
        hive.ok(&["queue", "push", "1", "--id", id]);
    }
    let first = after.iter().flat_map(|id| ["--after", id]);
    hive.ok(&["queue", "push", "1", "--id", "waits"].into_iter().chain(first).collect::<Vec<_>>());
    let capability = "a-capability-that-no-bot-of-this-fleet-has-which-takes-a-while-to-say";
    hive.ok(&[
        "queue",
        "push",
        "1",
        "--id",
        "late",
        "--capability",
        capability,
        "--not-before",
        "2099-01-02T03:04:05Z",
    ]);
    for number in 0..3 {
        hive.ok(&[
            "point",
            "create",
            &format!("number {number}, with a description that alone is longer than a row has room for"),
        ]);
        hive.ok(&["put", "config", "changed", &format!("\"{}\"", format!("word {number} ").repeat(20))]);
    }
    hive.ok(&["restore", "latest"]);
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
        "point show latest",
        "point diff latest~1 latest",
        "restore latest~2 --dry-run",
        "undo --dry-run",
        "queue why waits",
        "queue why late",
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
    let judged = at_terminal(&hive, "point forget --policy --dry-run");
    assert!(judged.lines().skip(1).any(|line| line.starts_with(&format!("{} ", ids[0]))), "{judged}");
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

#[test]
fn ids_of_tasks_and_bots_and_keys_are_never_cut() {
    let hive = Hive::new();
    let task = "019a1b2c-3d4e-7000-8000-000000000001";
    let bot = "the-bot-that-builds-everything-on-the-big-machine";
    hive.ok(&["put", "registry", bot, "{}"]);
    let payload = format!("\"{}\"", "payload ".repeat(20));
    hive.ok(&["queue", "push", &payload, "--id", task, "--assign", bot]);
    hive.ok(&["put", "config", "a.key.that.somebody.may.want.to.type.after.he.has.seen.it", &payload]);
    for (typed, shown) in [
        ("queue list", task),
        ("queue list", bot),
        ("get queue", task),
        ("get registry", bot),
        ("get assignments", task),
        ("get assignments", bot),
        ("get config", "a.key.that.somebody.may.want.to.type.after.he.has.seen.it"),
    ] {
        let out = at_terminal(&hive, typed);
        assert!(out.contains(shown), "{typed}: {out}");
    }
    hive.ok(&["queue", "cancel", task]);
}

#[test]
fn a_row_of_the_log_shows_details_before_lists() {
    let hive = Hive::new();
    let point = hive.ok(&["point", "create", "before the upgrade"]);
    let out = at_terminal(&hive, "log");
    let row = out.lines().find(|line| line.contains("restore_point_created")).unwrap();
    assert!(row.contains(&format!("restore_id={}", &point[..8])) && row.contains("before"), "{out}");
}

/// A folder with a program `xdg-open` that notes its argument and then stops the service that started it.
fn with_opener(hive: &Hive) -> (std::path::PathBuf, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let folder = hive.path().with_file_name("bin");
    std::fs::create_dir(&folder).unwrap();
    let (opener, noted) = (folder.join("xdg-open"), folder.join("noted"));
    let script = format!("#!/bin/sh\necho \"$@\" >'{}'\nsleep 0.3\nkill -TERM $PPID\n", noted.display());
    std::fs::write(&opener, script).unwrap();
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
    (folder, noted)
}

#[test]
fn the_page_is_opened_in_a_browser_at_a_terminal_with_a_display() {
    let hive = Hive::new();
    let (folder, noted) = with_opener(&hive);
    let program = format!("{} serve --open --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_hivekeep"));
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("script");
    command.args(["-qec", &program, "/dev/null"]).env("HIVEKEEP_STORE", hive.path()).env("PATH", path);
    let output = command.env("DISPLAY", ":99").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap().replace('\r', "");
    let page = said.lines().find_map(|line| line.strip_prefix("page ")).unwrap_or_else(|| panic!("{said}"));
    assert_eq!(std::fs::read_to_string(noted).unwrap().trim(), page);
    assert!(said.ends_with("closed\n") && !said.contains("open this address"), "{said}");
}

#[test]
fn without_a_terminal_or_a_display_no_browser_is_opened_and_the_address_is_printed() {
    let hive = Hive::new();
    let (folder, noted) = with_opener(&hive);
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    // At a terminal without a display. With a display, but no terminal.
    let program = format!("{} serve --open --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_hivekeep"));
    let mut at_terminal = Command::new("script");
    at_terminal.args(["-qec", &format!("timeout 10 {program}"), "/dev/null"]);
    at_terminal.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    let mut piped = Command::new("timeout");
    piped.args(["10", "sh", "-c", &format!("exec {program} 2>&1")]).env("DISPLAY", ":99");
    for mut command in [at_terminal, piped] {
        command.env("HIVEKEEP_STORE", hive.path()).env("PATH", &path);
        let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let right = "no browser can be seen from here; open this address in one: http://127.0.0.1:";
        assert!(said.contains(right), "{said}");
    }
    assert!(!noted.exists());
}

#[test]
fn a_terminal_gets_a_hundred_rows_and_the_number_of_the_others() {
    let hive = Hive::new();
    let store = hive.open();
    store
        .write(|tx| {
            (0..130).try_for_each(|number| tx.config().put(&format!("key-{number:03}"), &serde_json::json!(number)))
        })
        .unwrap();
    for number in 0..105 {
        store.write(|tx| tx.config().put("last", &serde_json::json!(number))).unwrap();
    }
    store.close().unwrap();
    let shown = at_terminal(&hive, "get config");
    assert_eq!(shown.lines().count(), 102, "{shown}");
    assert!(shown.ends_with("and 31 more; to see them: --limit N, or a pipe\n"), "{shown}");
    assert_eq!(at_terminal(&hive, "get config --limit 120").lines().count(), 121);
    assert_eq!(hive.ok(&["get", "config"]).lines().count(), 132);
}
