//! SIGKILL at any moment while clients write: what was answered with 200 is there after the next start.
//! `HIVEKEEP_TEST_SCALE=N` kills N times as often.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::BASE;
use crate::service::Service;
use crate::util::Hive;

const ROUNDS: usize = 5;
const WRITERS: usize = 3;
/// The kill comes within this many milliseconds.
const WITHIN: u64 = 600;

/// The acknowledged writes of all clients in all rounds.
#[derive(Default)]
struct Acknowledged {
    config: Mutex<BTreeMap<String, u64>>,
    /// Claimed tasks with their tokens.
    claimed: Mutex<Vec<(String, Value)>>,
    completed: Mutex<Vec<String>>,
    backups: Mutex<Vec<(String, Value)>>,
}

#[test]
fn acknowledged_changes_survive_a_kill_at_any_moment() {
    let hive = Hive::empty();
    let acknowledged = Acknowledged::default();
    let scale: usize = std::env::var("HIVEKEEP_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1);
    for round in 0..ROUNDS * scale {
        // With retention, the first of more than a hundred backups would be forgotten.
        let service = Service::start(&hive, &["--backup-interval", "1s", "--no-retention"]);
        let crashed = service.get(&format!("{BASE}/status")).ok()["crash_detected"].take();
        assert_eq!(crashed, round > 0, "round {round}");
        holds(&service, &acknowledged);
        let delay = Duration::from_millis(RandomState::new().hash_one(round) % WITHIN);
        eprintln!("round {round}: killed after {delay:?}");
        let (address, over) = (service.url().trim_start_matches("http://").to_owned(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (address, over, acknowledged) = (&address, &over, &acknowledged);
            for writer in 0..WRITERS {
                scope.spawn(move || write(address, &format!("{round}-{writer}"), acknowledged, over));
            }
            scope.spawn(move || work(address, round, acknowledged, over));
            std::thread::sleep(delay);
            assert_eq!(service.stop("-KILL").0, None);
            over.store(true, Ordering::Relaxed);
        });
    }
    let service = Service::start(&hive, &["--no-retention"]);
    holds(&service, &acknowledged);
    // Claims of bots that came over HTTP stay theirs.
    for (task, token) in acknowledged.claimed.lock().unwrap().iter() {
        service.post(&format!("/api/queue/{task}/complete"), json!({"token": token})).ok();
    }
    assert_eq!(service.stop("-TERM").0, Some(0));
    let report = hive.open().check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert!(!acknowledged.config.lock().unwrap().is_empty(), "nothing was ever acknowledged");
}

/// Puts one value after the other, and a document now and then.
fn write(address: &str, name: &str, acknowledged: &Acknowledged, over: &AtomicBool) {
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let key = format!("{name}-{number}");
        if try_ask(address, "PUT", &format!("/api/config/{key}"), &number.to_string()).is_some() {
            acknowledged.config.lock().unwrap().insert(key.clone(), number);
        }
        if number % 8 == 0 {
            let data = json!({"tasks": vec![json!({"id": key}); 20]});
            let body = json!({"backup_type": "queue", "source": name, "data": data}).to_string();
            if let Some(made) = try_ask(address, "POST", &format!("{BASE}/backup"), &body) {
                acknowledged.backups.lock().unwrap().push((made["backup_id"].as_str().unwrap().to_owned(), data));
            }
        }
    }
}

/// Pushes a task, claims one, and completes every second.
fn work(address: &str, round: usize, acknowledged: &Acknowledged, over: &AtomicBool) {
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("task-{round}-{number}");
        let push = json!({"id": id, "payload": number}).to_string();
        if try_ask(address, "POST", "/api/queue", &push).is_none() {
            continue;
        }
        let claim = json!({"bot": format!("BOT-{round}-{number}"), "lease_ms": 3_600_000}).to_string();
        let Some(claimed) = try_ask(address, "POST", "/api/queue/claim", &claim) else { continue };
        let claim = &claimed["claims"][0];
        let (task, token) = (claim["id"].as_str().unwrap().to_owned(), claim["token"].clone());
        if number % 2 == 0 {
            acknowledged.claimed.lock().unwrap().push((task, token));
            continue;
        }
        let body = json!({"token": token}).to_string();
        if try_ask(address, "POST", &format!("/api/queue/{task}/complete"), &body).is_some() {
            acknowledged.completed.lock().unwrap().push(task);
        }
    }
}

/// Everything that was acknowledged is there.
fn holds(service: &Service, acknowledged: &Acknowledged) {
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = service.get(&format!("/api/config?limit=1000{cursor}")).ok();
        for (key, value) in page["config"].as_object().unwrap() {
            found.insert(key.clone(), value.as_u64().unwrap());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    for (key, value) in acknowledged.config.lock().unwrap().iter() {
        assert_eq!(found.get(key), Some(value), "{key} is lost");
    }
    let state = |task: &str| service.get(&format!("/api/queue/{task}")).ok();
    for (task, token) in acknowledged.claimed.lock().unwrap().iter() {
        let task = state(task);
        assert_eq!((&task["state"], task["attempts"].as_u64()), (&json!("claimed"), Some(1)), "{task} {token}");
    }
    for task in acknowledged.completed.lock().unwrap().iter() {
        assert_eq!(state(task)["state"], "done");
    }
    for (id, data) in acknowledged.backups.lock().unwrap().iter() {
        assert_eq!(&service.post(&format!("{BASE}/restore/{id}"), "").ok()["data"], data, "backup {id}");
    }
}

/// The JSON of an answer with the status 200 or 201; none when the answer did not come.
fn try_ask(address: &str, method: &str, path: &str, body: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(address).ok()?;
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length: usize = head.to_lowercase().split_once("content-length: ")?.1.split("\r\n").next()?.parse().ok()?;
    assert!(head.contains(" 200 ") || head.contains(" 201 "), "{method} {path}: {text}");
    (body.len() == length).then(|| serde_json::from_str(body).unwrap())
}
