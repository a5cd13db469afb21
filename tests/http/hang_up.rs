//! SIGHUP reloads the settings, and nothing ends.
#![cfg(unix)]

use std::fs;
use std::time::Duration;

use crate::BASE;
use crate::service::{Service, secret};
use crate::util::Hive;

#[test]
fn a_hang_up_reloads_token_and_settings_and_ends_nothing() {
    let hive = Hive::new();
    let beside = |name: &str| hive.path().with_file_name(name);
    let (config, token) = (beside("hivekeep.toml"), secret(&hive, "token", "the-first-token-of-all"));
    fs::write(&config, "archive-every = \"off\"\n").unwrap();
    let arguments = ["--config", config.to_str().unwrap(), "--token-file", token.to_str().unwrap()];
    let service = Service::start(&hive, &arguments).showing("the-first-token-of-all");
    service.put("/api/config/limit", "5").with(200);
    assert_eq!(service.get("/readyz").status, 200);

    fs::write(&token, "the-second-token-of-all").unwrap();
    let log = beside("events.jsonl");
    fs::write(
        &config,
        format!("min-free = \"9999999GiB\"\nhistory = \"1h\"\nevent-log = {:?}\n", log.to_str().unwrap()),
    )
    .unwrap();
    service.send("-HUP");
    service.until("the first token is refused", |service| service.get("/api/config/limit").status == 401);
    let service = service.showing("the-second-token-of-all");
    service.get("/api/config/limit").ok();
    let settings = service.get("/api/service").ok()["settings"].take();
    assert_eq!((&settings["min-free"], &settings["history"]), (&"9999999GiB".into(), &"off".into()), "{settings}");
    let checks = service.get("/readyz").with(503)["checks"].take();
    assert_eq!(checks["disk"]["ok"], false, "less is free than is asked for now");
    service.post(&format!("{BASE}/mark-shutdown"), "").ok();
    assert!(fs::read_to_string(&log).unwrap().contains("clean_shutdown_marked"));

    fs::write(&config, "min-fre = 1\n").unwrap();
    service.send("-HUP");
    fs::write(&token, "short").unwrap();
    service.send("-HUP");
    std::thread::sleep(Duration::from_secs(2));
    service.get("/api/config/limit").ok();
    let (code, said) = service.stop("-TERM");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("cannot reload the settings"), "{said}");
    let service = Service::start(&hive, &[]);
    assert_eq!(service.get(&format!("{BASE}/status")).ok()["crash_detected"], false);
}

#[test]
fn a_hang_up_that_fails_leaves_the_event_log_as_it_was() {
    let hive = Hive::new();
    let beside = |name: &str| hive.path().with_file_name(name);
    let (config, first, other) = (beside("hivekeep.toml"), beside("first.jsonl"), beside("other.jsonl"));
    let logs_to = |log: &std::path::Path| format!("event-log = {:?}\n", log.to_str().unwrap());
    fs::write(&config, logs_to(&first)).unwrap();
    let service = Service::start(&hive, &["--config", config.to_str().unwrap()]);
    let missing = beside("missing");
    let wrong = format!(
        "{}archive-every = \"1h\"\narchive-must-exist = true\narchive-dir = {:?}\n",
        logs_to(&other),
        missing.to_str().unwrap()
    );
    for settings in [wrong, logs_to(&first)] {
        fs::write(&config, settings).unwrap();
        service.send("-HUP");
        std::thread::sleep(Duration::from_secs(2));
        service.post(&format!("{BASE}/mark-shutdown"), "").ok();
        service.put("/api/config/limit", "5").with(200);
    }
    let marks = fs::read_to_string(&first).unwrap().matches("clean_shutdown_marked").count();
    let (code, said) = service.stop("-TERM");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("cannot reload the settings"), "{said}");
    assert_eq!(marks, 2, "{said}");
}

#[test]
fn a_service_that_is_told_to_stop_while_it_reloads_the_settings_ends_cleanly() {
    let hive = Hive::new();
    let config = hive.path().with_file_name("hivekeep.toml");
    fs::write(&config, "keep-count = 50\n").unwrap();
    let service = Service::start(&hive, &["--config", config.to_str().unwrap()]);
    let other = hive.open();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let writes = std::thread::spawn(move || {
        let write = |tx: &mut hivekeep::WriteTx<'_>| {
            begun.send(()).unwrap();
            std::thread::sleep(Duration::from_secs(4));
            tx.config().put("loaded", &serde_json::json!(true))
        };
        other.load(write).unwrap();
        other.close().unwrap();
    });
    has_begun.recv().unwrap();
    fs::write(&config, "keep-count = 60\n").unwrap();
    service.send("-HUP");
    std::thread::sleep(Duration::from_millis(500));
    let (code, said) = service.stop("-TERM");
    writes.join().unwrap();
    assert_eq!(code, Some(0), "{said}");
    let service = Service::start(&hive, &[]);
    assert_eq!(service.get(&format!("{BASE}/status")).ok()["crash_detected"], false);
}

#[test]
fn a_hang_up_that_comes_while_the_store_is_being_opened_ends_nothing() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    for _ in 0..20 {
        service.send("-HUP");
    }
    assert_eq!(service.get("/livez").body, "ok\n");
    assert_eq!(service.stop("-TERM").0, Some(0));
}

#[test]
fn a_signal_is_obeyed_from_the_first_line_on() {
    let hive = Hive::new();
    let config = hive.path().with_file_name("hivekeep.toml");
    fs::write(&config, "min-free = 1\n").unwrap();
    let service = Service::start(&hive, &["--config", config.to_str().unwrap()]);
    fs::write(&config, "min-free = \"9999999GiB\"\n").unwrap();
    service.send_at_once(rustix::process::Signal::HUP);
    service.until("less is free than is asked for now", |service| service.unheld("/readyz").status == 503);
    assert_eq!(service.stop("-TERM").0, Some(0));
    let service = Service::start(&hive, &[]);
    service.send_at_once(rustix::process::Signal::TERM);
    assert_eq!(service.ended().0, Some(0));
}

#[test]
fn a_changed_setting_that_waits_for_the_next_start_is_named_in_the_log() {
    let hive = Hive::new();
    let config = hive.path().with_file_name("hivekeep.toml");
    fs::write(&config, "history = \"1h\"\nstale-after = \"30s\"\n").unwrap();
    let service = Service::start(&hive, &["--config", config.to_str().unwrap()]);
    fs::write(
        &config,
        "history = \"2h\"\nstale-after = \"30s\"\nreopen-timeout = \"1m\"\nlisten = \"127.0.0.1:9\"\nexclusive = true\nmin-free = \"9999999GiB\"\n",
    )
    .unwrap();
    service.send("-HUP");
    service.until("less is free than is asked for now", |service| service.unheld("/readyz").status == 503);
    let (code, said) = service.stop("-TERM");
    assert_eq!(code, Some(0), "{said}");
    let named =
        |setting: &str| said.lines().any(|line| line.contains("WARN") && line.contains(&format!("\"{setting}\"")));
    assert_eq!(["history", "reopen-timeout", "exclusive"].map(named), [true, true, true], "{said}");
    assert_eq!(["stale-after", "listen", "min-free"].map(named), [false, false, false], "{said}");
}
