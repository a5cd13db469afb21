//! `guard`: commands and checks that succeed, fail, die, are interrupted, or cannot be started.

use serde_json::{Value, json};

use crate::util::{Hive, Running};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hivekeep");

/// A store with a limit of 5, and a shell command that sets it to 6 and continues with the given line.
fn hive(then: &str) -> (Hive, String) {
    let hive = Hive::new();
    hive.ok(&["put", "config", "limit", "5"]);
    (hive, format!("{PROGRAM} put config limit 6 && {then}"))
}

fn limit(hive: &Hive) -> String {
    hive.ok(&["get", "config", "limit"])
}

/// The events of the guard, in order.
fn events(hive: &Hive) -> Vec<String> {
    let log = hive.json(&["log"]);
    let names = log.as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap().to_owned());
    names.filter(|name| name.starts_with("guard_")).collect()
}

#[test]
fn a_command_that_succeeds_keeps_its_changes_and_its_output() {
    let (hive, line) = hive("cat && test -n \"$HIVEKEEP_GUARD_POINT\"");
    let mut command = hive.command(&["guard", "--check", "echo well", "--", "sh", "-c", &line]);
    let input = hive.path().with_extension("input");
    std::fs::write(&input, "from its input\n").unwrap();
    let output = command.stdin(std::fs::File::open(input).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "from its input\n");
    assert!(String::from_utf8(output.stderr).unwrap().contains("well\npassed; to go back anyway:"));
    assert_eq!(limit(&hive), "6\n");
    assert_eq!(events(&hive), ["guard_started", "guard_passed"]);
    assert_eq!(hive.json(&["point", "list"])[0]["held"], false);
}

#[test]
fn a_command_that_fails_is_rolled_back_with_its_exit_code() {
    let (hive, line) = hive("exit 7");
    let ran = hive.run(&["guard", "--", "sh", "-c", &line]).with(7);
    let said = ran.err.split_once('\n').unwrap().1;
    assert_eq!(
        said.split_once("error: ").unwrap().1,
        "the command failed: code=7\nconfig: 0 added, 1 changed, 0 removed\nrolled back 1 record; undo with: hivekeep undo\n"
    );
    assert_eq!(limit(&hive), "5\n");
    assert_eq!(events(&hive), ["guard_started", "guard_rolled_back"]);
    hive.ok(&["undo"]);
    assert_eq!(limit(&hive), "6\n");
}

#[test]
fn a_command_that_is_killed_is_rolled_back() {
    let (hive, line) = hive("kill -9 $$");
    hive.run(&["guard", "--", "sh", "-c", &line]).with(128 + 9);
    assert_eq!(limit(&hive), "5\n");
}

#[test]
fn a_check_that_fails_rolls_back_and_says_so_in_json() {
    let (hive, line) = hive("true");
    let ran = hive.run(&["--json", "guard", "--check", "exit 3", "--", "sh", "-c", &line]).with(1);
    let said: Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
    assert_eq!((&said["outcome"], &said["reason"]), (&json!("rolled_back"), &json!("the check failed: code=3")));
    assert_eq!((&said["code"], &said["collections"]["config"]["changed"]), (&json!(1), &json!(1)));
    assert!(said["undo"].is_string());
    assert_eq!(limit(&hive), "5\n");
}

#[test]
fn a_check_is_retried_until_its_timeout() {
    let (hive, line) = hive("true");
    let second = "test -e tried || { touch tried; exit 1; }";
    hive.run(&["guard", "--check", second, "--check-timeout", "20s", "--", "sh", "-c", &line]).with(0);
    assert_eq!(limit(&hive), "6\n");
    let ran = hive.run(&["guard", "--check", "exec sleep 60", "--check-timeout", "1s", "--", "true"]).with(1);
    assert!(ran.err.contains("error: the check did not end in time\n"), "{}", ran.err);
}

#[test]
fn a_signal_is_passed_to_the_command_and_rolls_back() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let (hive, line) = hive("trap 'echo told; exit 0' TERM INT; echo ready; while :; do sleep 0.05; done");
        let mut running = Running::start(&hive, &["guard", "--", "sh", "-c", &line]);
        assert_eq!(running.line(), "ready\n");
        assert_eq!(limit(&hive), "6\n");
        assert_eq!(running.stop(signal), Some(code));
        assert_eq!(running.line(), "told\n");
        assert_eq!(limit(&hive), "5\n");
    }
}

#[test]
fn a_command_that_cannot_be_started_rolls_nothing_back() {
    let (hive, _) = hive("");
    let ran = hive.run(&["guard", "--", "./no-such-program"]).with(127);
    assert!(ran.err.contains("error: the command could not be started: "), "{}", ran.err);
    assert_eq!(hive.run(&["guard", "--", "/"]).with(126).out, "");
    assert_eq!(events(&hive)[..2], ["guard_started", "guard_called_off"]);
    assert!(hive.json(&["log"]).as_array().unwrap().iter().all(|event| event["event"] != "restore_successful"));
    assert_eq!(hive.json(&["point", "list"])[0]["held"], false);
}

#[test]
fn a_failure_that_changed_nothing_needs_no_restore() {
    let (hive, _) = hive("");
    let ran = hive.run(&["guard", "--", "false"]).with(1);
    assert!(ran.err.ends_with("nothing has changed, so nothing was rolled back\n"), "{}", ran.err);
    assert_eq!(hive.refused(&["undo"], 13), "there is no restore to undo");
}

#[test]
fn a_guard_of_some_collections_keeps_writes_to_the_others() {
    let (hive, line) = hive(&format!("{PROGRAM} put registry BOT-1 '{{}}' && false"));
    hive.run(&["guard", "--only", "config", "--", "sh", "-c", &line]).with(1);
    assert_eq!(limit(&hive), "5\n");
    assert!(hive.json(&["get", "registry"])["BOT-1"].is_object());
    assert!(hive.refused(&["guard", "--only", "nothing", "--", "true"], 2).contains("nothing"));
}

#[test]
fn a_guard_works_beside_processes_that_have_the_store_open() {
    let (hive, line) = hive("false");
    let other = hive.open();
    hive.run(&["guard", "--", "sh", "-c", &line]).with(1);
    assert_eq!(other.view().unwrap().config().get("limit").unwrap(), Some(json!(5)));
    other.close().unwrap();
}
