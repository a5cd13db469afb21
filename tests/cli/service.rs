//! The service, verbs that run until they are stopped, and output generated from the definition of the command line.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::util::{Hive, Running, keys};

#[cfg(unix)]
#[test]
fn log_follow_prints_events_as_they_happen_until_interrupted() {
    let hive = Hive::new();
    hive.ok(&["point", "create"]);
    let mut running = Running::start(&hive, &["log", "--follow", "--limit", "1", "--json"]);
    // It follows the log from here on.
    let _point = running.line();
    hive.ok(&["restore", "latest"]);
    let event: Value = serde_json::from_str(&running.line()).unwrap();
    assert_eq!(event["event"], "restore_successful");
    assert_eq!(running.stop("-INT"), Some(130));
}

#[cfg(unix)]
#[test]
fn the_service_creates_the_store_answers_and_closes_cleanly() {
    let hive = Hive::empty();
    for (holds, signal) in [("new", "-TERM"), ("1 bot, 0 tasks", "-INT")] {
        let mut running = Running::start(&hive, &["serve", "--listen", "127.0.0.1:0", "--json"]);
        let started: Value = serde_json::from_str(&running.line()).unwrap();
        assert_eq!((&started["holds"], &started["store"]), (&json!(holds), &json!(hive.path())));
        let address = started["listening"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        assert!(ask(&address, "/livez").contains("200 OK"));
        hive.ok(&["put", "registry", "BOT-1", "{}"]);
        let answer = ask(&address, "/api/disaster-recovery/status");
        assert!(answer.contains("\"total_bots\":1"), "{answer}");
        let said = hive.refused(&["serve", "--listen", &address], 1);
        assert!(said.starts_with("address in use; choose another one, such as --listen 127.0.0.1:"), "{said}");
        assert_eq!(running.stop(signal), Some(0));
    }
    assert_eq!(keys(&hive.json(&["get", "registry"])), ["BOT-1"]);
}

#[cfg(unix)]
#[test]
fn a_service_that_has_its_store_for_itself_writes_a_log_and_other_programs_are_told_to_ask_it() {
    const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];
    let hive = Hive::new();
    let config = hive.path().with_file_name("hivekeep.toml");
    std::fs::write(&config, "exclusive = true\n").unwrap();
    let beside = |section: u32| hive.path().with_file_name(format!("h.redb.wal.{section}"));
    let (by_option, by_file): (&[&str], &[&str]) = (&["--exclusive"], &["--config", config.to_str().unwrap()]);
    for (number, (given, end)) in [(by_option, "-KILL"), (by_file, "-TERM"), (&[], "-TERM")].into_iter().enumerate() {
        let mut command = hive.command(&["serve", "--listen", "127.0.0.1:0", "--json"]);
        command.args(given).env("HIVEKEEP_EXCLUSIVE", if given.is_empty() { "yes" } else { "" });
        if given.first() == Some(&"--config") {
            command.env_remove("HIVEKEEP_EXCLUSIVE");
        }
        let mut running = Running::spawn(&mut command);
        let started: Value = serde_json::from_str(&running.line()).unwrap();
        let address = started["listening"].as_str().unwrap();
        for key in ["a", "b", "c", "d"] {
            hive.ok(&["--store", address, "put", "config", &format!("{key}-{number}"), "1"]);
        }
        assert!(beside(1).exists() || beside(2).exists(), "no commit went into a log");
        for verb in [&["put", "config", "e", "1"][..], &["status"], &["doctor"], &["compact", "--yes"], &SERVE] {
            let said = hive.refused(verb, 11);
            assert!(
                said.contains("locked by") && said.contains("ask that: --store http://HOST:PORT"),
                "{verb:?}: {said}"
            );
        }
        let refused: Value = serde_json::from_str(&hive.run(&["get", "config", "--json"]).with(11).err).unwrap();
        assert!(refused["hint"].as_str().unwrap().contains("--store unix:PATH"), "{refused}");
        running.stop(end);
        // The next writer takes up the log that a killed service left.
        hive.ok(&["put", "config", "next", "1"]);
        let found = hive.json(&["get", "config"]);
        let written: Vec<_> = ["a", "b", "c", "d"].iter().map(|key| format!("{key}-{number}")).collect();
        assert!(written.iter().all(|key| found.get(key) == Some(&json!(1))), "{found}");
        assert!(!beside(1).exists() && !beside(2).exists(), "the log is there after {end}");
    }
}

fn ask(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[cfg(unix)]
#[test]
fn the_log_has_no_colors_and_every_time_has_its_zone() {
    let hive = Hive::new();
    let say = |signal| {
        let mut command = hive.command(&["serve", "--listen", "127.0.0.1:0", "--json"]);
        let command = command.env("HIVEKEEP_LOG", "debug").env("TZ", "Asia/Kathmandu");
        let mut running = Running::spawn(command);
        let started: Value = serde_json::from_str(&running.line()).unwrap();
        let address = started["listening"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        assert!(ask(&address, "/livez").contains("200 OK"));
        running.stop(signal);
        running.hang_up().1
    };
    say("-KILL");
    let said = say("-TERM");
    let crashed = said.lines().find_map(|line| line.strip_prefix("last run: CRASHED ")).unwrap();
    let now = jiff::Timestamp::now();
    let minutes = [now, now - std::time::Duration::from_secs(60)].map(|time| time.strftime("%H:%M UTC").to_string());
    assert!(minutes.iter().any(|minute| crashed.starts_with(minute)), "{minutes:?}: {crashed}");
    assert!(!said.contains('\u{1b}'), "{said}");
    let logged: Vec<_> = said.lines().filter(|line| line.contains(" hivekeep::")).collect();
    assert!(!logged.is_empty(), "nothing was logged: {said}");
    for line in logged {
        let time = line.split(' ').next().unwrap();
        assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{line}");
    }
}

#[test]
fn the_service_refuses_a_public_address_without_a_token() {
    let hive = Hive::empty();
    let said = hive.refused(&["serve", "--listen", "0.0.0.0:0"], 2);
    assert!(said.starts_with("without a key or a token anyone who reaches this address"), "{said}");
    assert!(!hive.path().exists());
}

#[test]
fn completions_and_manual_pages_are_printed() {
    let hive = Hive::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(hive.ok(&["completions", shell]).contains("hivekeep"), "{shell}");
    }
    assert!(hive.ok(&["man"]).starts_with(".ie"));
    hive.ok(&["man", "--to", hive.path().parent().unwrap().join("man").to_str().unwrap()]);
    assert!(hive.path().parent().unwrap().join("man/hivekeep-queue-claim.1").exists());
}

#[test]
fn options_come_from_the_environment_too() {
    let hive = Hive::new();
    hive.fill();
    let output = hive.command(&["get", "config"]).env("HIVEKEEP_JSON", "1").output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), json!({"limit": 5}));
    let output = hive.command(&["put", "config", "a", "1"]).env("HIVEKEEP_QUIET", "yes").output().unwrap();
    assert_eq!(output.stderr, b"");
    let output = hive.command(&["get", "config"]).env("HIVEKEEP_JSON", "0").output().unwrap();
    assert!(output.stdout.starts_with(b"KEY"));
}
