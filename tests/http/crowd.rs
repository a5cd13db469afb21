//! More bots than may wait: requests that do not wait are served nevertheless.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::service::{Answer, Service};
use crate::util::Hive;

/// With these there are 128 connections.
const DESCRIPTORS: u32 = 256;
/// So many of them may wait.
const MAY_WAIT: usize = 64;
/// A client that had to wait for another's connection would wait for longer.
const SOON: Duration = Duration::from_secs(15);

/// A bot that asks for a task, waits as long as it may, and keeps its connection.
fn waits(service: &Service, bot: usize) -> TcpStream {
    let body = json!({"bot": format!("B{bot}"), "wait_ms": 60_000}).to_string();
    let head = format!("POST /api/queue/claim HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut stream = service.connect();
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    stream
}

/// Whether a bot has been told to come back; the one that got a task has not.
fn is_refused(stream: &TcpStream) -> bool {
    let mut status = [0; 12];
    stream.set_nonblocking(true).unwrap();
    stream.peek(&mut status).is_ok_and(|_| &status == b"HTTP/1.1 503")
}

fn soon(ask: impl FnOnce() -> Answer) -> Answer {
    let asked = Instant::now();
    let answer = ask();
    assert!(asked.elapsed() < SOON, "it took {:?}\n{answer}", asked.elapsed());
    answer
}

#[test]
fn when_too_many_bots_wait_the_next_one_must_retry_and_all_other_requests_are_served() {
    let hive = Hive::new();
    let service = Service::with_descriptors(&hive, DESCRIPTORS);
    let bots: Vec<_> = (0..3 * MAY_WAIT).map(|bot| waits(&service, bot)).collect();
    let refused = || bots.iter().filter(|stream| is_refused(stream)).count();
    service.until("all but those that may wait are refused", |_| refused() == 2 * MAY_WAIT);

    let asks = |wait_ms| service.post("/api/queue/claim", json!({"bot": "A", "wait_ms": wait_ms}));
    let answer = soon(|| asks(60_000));
    let said = answer.refused(503);
    assert!(said.contains("too many claims are waiting already") && said.contains("wait_ms"), "{said}");
    assert!(answer.head.contains("retry-after: 5"), "{answer}");
    assert_eq!(soon(|| service.get("/livez")).body, "ok\n");
    soon(|| service.post("/api/queue/claim", json!({"bot": "A"}))).ok();
    soon(|| service.post("/api/queue", json!({"payload": null, "id": "t"}))).ok();
    service.until("one that waits has it", |service| service.get("/api/queue/t").ok()["state"] == "claimed");
    service.until("its place is another's", |_| asks(1).status == 200);
    assert_eq!(refused(), 2 * MAY_WAIT);
}
