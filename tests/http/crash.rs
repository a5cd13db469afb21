//! Ends: clean, marked, and by SIGKILL.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::BASE;
use crate::service::Service;
use crate::util::Hive;

fn status(service: &Service) -> Value {
    service.get(&format!("{BASE}/status")).ok()
}

fn mark(service: &Service) {
    service.post(&format!("{BASE}/mark-shutdown"), "").ok();
}

#[test]
fn a_first_start_and_a_clean_end_are_no_crash() {
    for signal in ["-TERM", "-INT"] {
        let hive = Hive::empty();
        let service = Service::start(&hive, &[]);
        assert_eq!(status(&service)["crash_detected"], false);
        service.put("/api/config/a", 1).ok();
        let (code, said) = service.stop(signal);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("h.redb (new)") && said.ends_with("closed\n"), "{said}");
        let service = Service::start(&hive, &[]);
        assert_eq!(status(&service)["crash_detected"], false);
        let (_, said) = service.stop(signal);
        assert!(said.contains("h.redb (0 bots, 0 tasks)\nlast run: closed cleanly "), "{said}");
        assert!(said.contains("next backup: ") && said.contains("try: curl http://127.0.0.1:"), "{said}");
    }
}

#[test]
fn a_kill_is_noticed_by_the_next_start_with_the_session_and_the_point_to_use() {
    let hive = Hive::empty();
    let service = Service::start(&hive, &[]);
    let point = service.post(&format!("{BASE}/restore-point"), json!({})).ok()["restore_point_id"].take();
    service.stop("-KILL");
    let service = Service::start(&hive, &[]);
    let seen = status(&service);
    assert_eq!((&seen["crash_detected"], &seen["crash_reason"]), (&json!(true), &json!("process_died")));
    assert_eq!((&seen["crash"]["restore_point"], &seen["crash"]["tasks_returned"]), (&point, &json!(0)));
    assert!(seen["crash"]["session"].is_u64() && seen["crash"]["last_alive"].is_string());
    let events = service.get("/api/events?limit=5").ok()["events"].take();
    assert_eq!(events[0]["event"], "crash_detected");
    assert!(service.get("/metrics").body.contains("\nhivekeep_crash_detected 1\n"));
    mark(&service);
    assert_eq!(status(&service)["crash_detected"], false, "the mark acknowledges it");
    let (_, said) = service.stop("-KILL");
    let line = said.lines().find(|line| line.contains("last run: CRASHED ")).unwrap();
    assert!(
        line.contains(", nothing acknowledged is lost; ") && line.ends_with("once seen: hivekeep crash ack"),
        "{line}"
    );
    assert!(!said.contains("hivekeep restore"), "a crash is no reason to restore: {said}");
}

#[test]
fn a_marked_end_is_no_crash_unless_something_was_written_since_or_the_mark_is_old() {
    let hive = Hive::empty();
    let service = Service::start(&hive, &[]);
    mark(&service);
    service.get("/api/config").ok();
    service.stop("-KILL");
    let service = Service::start(&hive, &[]);
    assert_eq!(status(&service)["crash_detected"], false);
    mark(&service);
    service.put("/api/config/a", 1).ok();
    service.stop("-KILL");
    let service = Service::start(&hive, &[]);
    assert_eq!(status(&service)["crash_reason"], "process_died", "the write took the mark back");
    mark(&service);
    service.stop("-KILL");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let service = Service::start(&hive, &["--stale-after", "1s"]);
    assert_eq!(status(&service)["crash_reason"], "stale_marker");
    service.stop("-TERM");
    let service = Service::start(&hive, &[]);
    assert_eq!(status(&service)["crash_detected"], false, "a clean end acknowledges");
}

#[test]
fn claims_of_http_bots_stay_with_their_leases_when_the_service_is_killed() {
    let hive = Hive::new();
    hive.fill();
    let service = Service::start(&hive, &[]);
    let claim = service.post("/api/queue/claim", json!({"bot": "BOT-1", "lease_ms": 60_000})).ok()["claims"][0].take();
    service.stop("-KILL");
    let service = Service::start(&hive, &[]);
    let path = format!("/api/queue/{}", claim["id"].as_str().unwrap());
    assert_eq!(service.get(&path).ok()["state"], "claimed");
    let done = service.post(&format!("{path}/complete"), json!({"token": claim["token"], "result": {"ok": 1}})).ok();
    assert_eq!((&done["state"], &done["result"]), (&json!("done"), &json!({"ok": 1})));
}

/// Set, the test below is the bot that is killed.
const VICTIM: &str = "HIVEKEEP_TEST_VICTIM";

/// A process that claims a task for itself and then waits for its end.
#[test]
fn a_bot_process_that_is_killed_gives_its_tasks_back_to_those_who_go_on() {
    if let Some(path) = std::env::var_os(VICTIM) {
        let store = hivekeep::Store::open(path).unwrap();
        let options = hivekeep::ClaimOptions { lease: std::time::Duration::from_secs(600), ..Default::default() };
        let bot = "BOT-9".parse().unwrap();
        store.write(|tx| tx.queue().claim(&bot, &options)).unwrap();
        loop {
            std::thread::park();
        }
    }
    let hive = Hive::new();
    hive.fill();
    let service = Service::start(&hive, &[]);
    let own = std::env::current_exe().unwrap();
    let name = "crash::a_bot_process_that_is_killed_gives_its_tasks_back_to_those_who_go_on";
    let mut command = Command::new(own);
    command.args(["--exact", name]).env(VICTIM, hive.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut victim = command.spawn().unwrap();
    service.until("the bot has claimed", |service| service.get("/api/queue/build").ok()["state"] == "claimed");
    victim.kill().unwrap();
    victim.wait().unwrap();
    service.until("its task is back", |service| service.get("/api/queue/build").ok()["state"] == "ready");
    assert_eq!(service.get("/api/queue/build").ok()["attempts"], 1, "the attempt counts");
    assert_eq!(status(&service)["crash_detected"], true);
}

#[test]
fn requests_in_progress_end_before_the_service_does() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let url = service.url();
    let waiting = std::thread::spawn(move || {
        let address = url.trim_start_matches("http://").to_owned();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let body = r#"{"bot": "BOT-1", "wait_ms": 60000}"#;
        let head = format!(
            "POST /api/queue/claim HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
        text
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    let begun = std::time::Instant::now();
    assert_eq!(service.stop("-TERM").0, Some(0));
    assert!(begun.elapsed().as_secs() < 10, "a bot that waits holds up nobody");
    assert!(waiting.join().unwrap().starts_with("HTTP/1.1 503 "));
}
