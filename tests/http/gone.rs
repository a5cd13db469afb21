//! Clients that end their half of the connection, and clients that are gone.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::BASE;
use crate::service::Service;
use crate::util::Hive;

/// Much less than a lease, and than the wait of a claim.
const SOON: Duration = Duration::from_secs(10);

/// Sends a request and leaves the connection open.
fn ask(service: &Service, method: &str, path: &str, body: &str) -> TcpStream {
    let length = body.len();
    let mut stream = service.connect();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// A bot that waits for a task.
fn waits(service: &Service, bot: &str) -> TcpStream {
    ask(service, "POST", "/api/queue/claim", &json!({"bot": bot, "wait_ms": 30_000}).to_string())
}

/// All that comes, after the client's half was ended.
fn answer_to_one_that_ended(mut stream: TcpStream) -> (String, Value) {
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.lines().next().unwrap_or_default().to_owned(), serde_json::from_str(body).unwrap_or_default())
}

/// Resets a connection, as the system does for a process that is killed with something unread.
fn reset(stream: TcpStream) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let _inside = runtime.enter();
    stream.set_nonblocking(true).unwrap();
    tokio::net::TcpStream::from_std(stream).unwrap().set_zero_linger().unwrap();
}

fn task(service: &Service, id: &str) -> Value {
    service.get(&format!("/api/queue/{id}")).ok()
}

#[test]
fn a_client_that_ends_its_half_is_answered_and_its_write_is_done() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    for (method, path, body, status) in [
        ("GET", "/livez", String::new(), "HTTP/1.1 200 OK"),
        ("PUT", "/api/config/a", "5".to_owned(), "HTTP/1.1 200 OK"),
        (
            "POST",
            &format!("{BASE}/backup"),
            json!({"data": {"a": "x".repeat(3_000_000)}}).to_string(),
            "HTTP/1.1 200 OK",
        ),
        ("POST", "/api/queue/claim", json!({"bot": "B"}).to_string(), "HTTP/1.1 200 OK"),
        ("POST", "/api/queue/claim", json!({"bot": "B", "wait_ms": 300}).to_string(), "HTTP/1.1 200 OK"),
        ("GET", "/nowhere", String::new(), "HTTP/1.1 404 Not Found"),
    ] {
        let (said, _) = answer_to_one_that_ended(ask(&service, method, path, &body));
        assert_eq!(said, status, "{method} {path}");
    }
    assert_eq!(service.get("/api/config/a").ok(), 5);
    assert_eq!(service.get(&format!("{BASE}/status")).ok()["total_backups"], 1);
}

#[test]
fn a_client_that_ends_its_half_while_it_waits_gets_the_task_and_keeps_it() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let stream = waits(&service, "B");
    let waiting = std::thread::spawn(move || answer_to_one_that_ended(stream));
    std::thread::sleep(Duration::from_millis(300));
    service.post("/api/queue", json!({"payload": 1, "id": "t"})).ok();
    let (said, body) = waiting.join().unwrap();
    assert_eq!((said.as_str(), &body["claims"][0]["id"]), ("HTTP/1.1 200 OK", &json!("t")), "{body}");
    // Longer than it is looked whether the client is gone.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(task(&service, "t")["state"], "claimed");
    service.post("/api/queue/t/complete", json!({"token": body["claims"][0]["token"]})).ok();
}

#[test]
fn a_task_that_comes_to_clients_that_are_gone_is_claimable_at_once_and_counts_no_attempt() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    for closes in [drop, reset as fn(TcpStream)] {
        let gone: Vec<_> = (0..5).map(|bot| waits(&service, &format!("GONE-{bot}"))).collect();
        std::thread::sleep(Duration::from_millis(300));
        gone.into_iter().for_each(closes);
        service.post("/api/queue", json!({"payload": 1, "id": "t"})).ok();
        let begun = Instant::now();
        let claim = loop {
            let mut claims =
                service.post("/api/queue/claim", json!({"bot": "THERE", "wait_ms": 1_000})).ok()["claims"].take();
            assert!(begun.elapsed() < SOON, "nobody who is there gets it: {}", task(&service, "t"));
            if claims[0].is_object() {
                break claims[0].take();
            }
        };
        assert_eq!(claim["attempt"], 1, "{claim}");
        let task = task(&service, "t");
        assert_eq!((&task["attempts"], &task["holder"]["bot"]), (&json!(1), &json!("THERE")), "{task}");
        std::thread::sleep(Duration::from_millis(200));
        service.post("/api/queue/t/complete", json!({"token": claim["token"]})).ok();
        service.post("/api/queue/purge", json!({"older_than": "0s"})).ok();
    }
}

#[test]
fn a_client_that_is_gone_after_it_completed_its_task_holds_no_next_one_and_the_completion_stays() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    for closes in [drop, reset as fn(TcpStream)] {
        service.post("/api/queue", json!({"payload": 1, "id": "first"})).ok();
        let claims = service.post("/api/queue/claim", json!({"bot": "GONE"})).ok()["claims"].take();
        service.post("/api/queue", json!({"payload": 2, "id": "next"})).ok();
        let body = json!({"token": claims[0]["token"]}).to_string();
        closes(ask(&service, "POST", "/api/queue/first/complete-and-claim", &body));
        service.until("it is completed", |service| task(service, "first")["state"] == "done");
        service.until("the next one is given back", |service| task(service, "next")["state"] == "ready");
        assert_eq!(task(&service, "next")["attempts"], 0);
        service.post("/api/queue/next/cancel", "").ok();
        service.post("/api/queue/purge", json!({"older_than": "0s"})).ok();
    }
}

#[test]
fn a_client_that_closes_before_its_claim_is_answered_leaves_nothing_claimed() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    for number in 0..40 {
        service.post("/api/queue", json!({"payload": number, "id": format!("t{number}")})).ok();
    }
    for _ in 0..40 {
        drop(ask(&service, "POST", "/api/queue/claim", &json!({"bot": "GONE", "max": 9}).to_string()));
    }
    // Every claim has a higher token than the one before it, so a high one tells that those who are gone had claimed.
    service.until("they have claimed", |service| {
        let claim = service.post("/api/queue/claim", json!({"bot": "THERE"})).ok()["claims"][0].take();
        // All may be in answers to those who are gone.
        let Some(id) = claim["id"].as_str() else { return false };
        let token = claim["token"].as_u64().unwrap();
        service.post(&format!("/api/queue/{id}/release"), json!({"token": token})).ok();
        token > 40
    });
    service.until("all are ready", |service| {
        let tasks = service.get("/api/queue?limit=100").ok()["tasks"].take();
        tasks.as_array().unwrap().iter().all(|task| task["state"] == "ready" && task["attempts"] == 0)
    });
}

#[test]
fn claims_in_a_response_that_nobody_reads_are_given_back() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--client-timeout", "3s"]);
    let long = "x".repeat(12_000_000);
    service.post("/api/queue", json!({"payload": long, "id": "long"})).ok();
    let deaf = ask(&service, "POST", "/api/queue/claim", &json!({"bot": "DEAF", "lease_ms": 600_000}).to_string());
    // Until the client's time is over the claim is its own, so the task does not merely look ready.
    service.until("it is claimed", |service| {
        service.get("/api/queue?state=claimed&preview=9").ok()["tasks"][0]["id"] == "long"
    });
    service.until("it is ready again", |service| {
        let task = task(service, "long");
        task["state"] == "ready" && task["attempts"] == 0
    });
    drop(deaf);
}

#[test]
fn a_client_that_has_read_its_claim_keeps_it_however_its_connection_ends() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    service.post("/api/queue", json!({"payload": 1, "id": "t"})).ok();
    let mut stream = ask(&service, "POST", "/api/queue/claim", &json!({"bot": "B"}).to_string());
    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
    reset(stream);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(task(&service, "t")["state"], "claimed", "it had read the answer");
}
