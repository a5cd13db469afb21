//! No client takes more of the service than there is for it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::service::{Answer, Service};
use crate::util::Hive;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A body that is announced and sent in part.
fn begins(service: &Service, path: &str, announced: usize, sent: usize) -> TcpStream {
    let mut stream = service.connect();
    let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {announced}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all("x".repeat(sent).as_bytes()).unwrap();
    stream
}

fn text(bytes: usize) -> String {
    json!("x".repeat(bytes)).to_string()
}

/// `[1,1,..]`
fn numbers(bytes: usize) -> String {
    format!("[{}1]", "1,".repeat(bytes / 2 - 1))
}

#[test]
fn a_request_that_needs_more_memory_than_all_may_take_is_refused_and_small_ones_never_are() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--request-memory", "1MiB", "--max-body", "4MiB"]);
    for body in [text(1 << 20), numbers(40 << 10), "[".to_owned() + &"[1],".repeat(2_000) + "1]"] {
        let said = service.put("/api/config/a", &body).refused(413);
        assert!(said.contains("--request-memory") && said.contains("limit_bytes=1048576"), "{said}");
    }
    service.put("/api/config/a", text(300 << 10)).ok();
    let document = json!({"backup_type": "registry", "data": vec![1; 20_000]});
    let said = service.post(&format!("{}/backup", crate::BASE), document).refused(413);
    assert!(said.contains("--request-memory"), "{said}");

    let slow =
        [begins(&service, "/api/config/s", 600_000, 500_000), begins(&service, "/api/config/t", 600_000, 500_000)];
    let refuses = |answer: Answer| answer.status == 503 && answer.head.contains("retry-after: 1");
    service.until("the memory is taken, for a long answer too", |service| {
        refuses(service.put("/api/config/b", text(200 << 10))) && refuses(service.get("/api/config/a"))
    });
    service.put("/api/config/small", text(20 << 10)).ok();
    service.post("/api/queue", json!({"payload": {"a": [1, 2, 3]}})).ok();
    drop(slow);
    service.until("the memory is given back", |service| service.put("/api/config/b", text(200 << 10)).status == 200);
}

#[test]
fn pages_end_after_four_mebibytes_and_go_on_behind_that() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let long = "x".repeat(900 << 10);
    for n in 0..6 {
        service.put(&format!("/api/config/k{n}"), json!(long)).ok();
        service.post("/api/queue", json!({"id": format!("t{n}"), "payload": long})).ok();
        service.post("/api/chat", json!({"conversation": "c", "role": "user", "content": long})).ok();
        service.put(&format!("/api/registry/b{n}"), json!({"attributes": {"a": long}})).ok();
    }
    for (path, name) in [
        ("/api/config?", "config"),
        ("/api/queue?", "tasks"),
        ("/api/queue?state=ready&", "tasks"),
        ("/api/chat?", "messages"),
        ("/api/chat?oldest=1&", "messages"),
        ("/api/registry?", "bots"),
    ] {
        let (mut cursor, mut met, mut pages) = (String::new(), BTreeSet::new(), 0);
        loop {
            let answer = service.get(&format!("{path}limit=1000&cursor={cursor}"));
            assert!(answer.body.len() < 6 << 20, "{path}: {} bytes", answer.body.len());
            let page = answer.ok();
            pages += 1;
            match &page[name] {
                Value::Object(values) => met.extend(values.keys().cloned()),
                items => met.extend(items.as_array().unwrap().iter().map(|item| {
                    let key = ["id", "sequence"].into_iter().find_map(|key| item.get(key));
                    key.unwrap().to_string()
                })),
            }
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(met.len(), 6, "{path}");
        assert!((2..=4).contains(&pages), "{path}: {pages} pages");
    }
    let point = service.post("/api/points", json!({})).ok()["id"].as_str().unwrap().to_owned();
    (0..6).for_each(|n| drop(service.put(&format!("/api/config/k{n}"), json!("short")).ok()));
    let diff = service.get(&format!("/api/points/{point}/diff")).ok();
    assert_eq!((diff["total"].as_u64(), diff["counts"]["config"]["changed"].as_u64()), (Some(6), Some(6)));
}

#[test]
fn lists_are_answered_while_many_measure_the_store_and_have_gone() {
    let hive = Hive::new();
    let store = hive.open();
    let text = json!("x".repeat(200));
    store.write(|tx| (0..20_000).try_for_each(|n| tx.config().put(&format!("k{n}"), &text))).unwrap();
    let point = store.restore_point("before").unwrap();
    store.write(|tx| (0..20_000).try_for_each(|n| tx.config().put(&format!("k{n}"), &json!(n)))).unwrap();
    store.close().unwrap();
    let service = Service::start(&hive, &["--backup-interval", "off", "--archive-every", "off"]);
    let begun = Instant::now();
    service.get("/api/sizes").ok();
    let one = begun.elapsed();
    let ask = |path: &str| {
        let mut stream = service.connect();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
        stream
    };
    let paths = ["/api/sizes".to_owned(), "/api/points?sizes=1".into(), format!("/api/points/{point}?sizes=1")];
    let mut all: Vec<_> = (0..12).map(|n| ask(&paths[n % 3])).collect();
    let asked = Instant::now();
    service.get("/api/config?limit=1").ok();
    let listed = asked.elapsed();
    let mut answered = 0;
    for stream in &all {
        stream.set_nonblocking(true).unwrap();
        answered += usize::from(stream.peek(&mut [0]).is_ok());
    }
    assert!(answered < 4, "the list waited for {answered} of 12 that measure: {listed:?}, one takes {one:?}");
    all.clear();
}

#[test]
fn slow_heads_keep_no_probe_out_and_are_cut_off() {
    let hive = Hive::new();
    let service = Service::with_descriptors(&hive, 256);
    let mut slow = Vec::new();
    for number in 0..300 {
        let mut stream = service.connect();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: loc").unwrap();
        slow.push(stream);
        if number % 30 == 0 {
            for path in ["/livez", "/readyz", "/metrics", "/api/config"] {
                let asked = Instant::now();
                assert_eq!(service.get(path).status, 200, "{path}");
                assert!(asked.elapsed() < Duration::from_secs(10), "{path} took {:?}", asked.elapsed());
            }
        }
    }
    let (mut last, begun) = (slow.pop().unwrap(), Instant::now());
    // Cut off without a word.
    let _ = last.read(&mut [0]);
    assert!(begun.elapsed() < Duration::from_secs(25), "a head was waited for for {:?}", begun.elapsed());
}

#[test]
fn requests_beyond_the_rate_must_retry_and_probes_need_not() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--rate-limit", "2"]);
    let begun = Instant::now();
    let mut answers = (1..=1_000).map(|number| (number, service.get("/api/config")));
    let (number, refused) = answers.find(|(_, answer)| answer.status != 200).unwrap();
    let most = 11 + 2 * (1 + begun.elapsed().as_secs());
    assert!((11..=most).contains(&number), "refused the {number}. after {:?}", begun.elapsed());
    assert!(refused.refused(429).contains("--rate-limit"), "{refused}");
    assert!(refused.head.contains("retry-after: 1"), "{refused}");
    assert_eq!(service.get("/livez").status, 200);
    thread::sleep(Duration::from_secs(1));
    service.get("/api/config").ok();

    let service = Service::start(&hive, &["--point-limit", "3"]);
    let backup = || service.post(&format!("{}/backup", crate::BASE), "{}");
    service.post("/api/points", "{}").ok();
    service.post(&format!("{}/restore-point", crate::BASE), "{}").ok();
    backup().ok();
    assert!(backup().refused(429).contains("--point-limit"));
    service.post("/api/points", "{}").refused(429);
}

#[test]
fn a_client_that_shows_wrong_keys_waits_longer_each_time_and_the_tenth_is_an_event() {
    let hive = Hive::new();
    let service = Service::with(&hive, &[], &[("HIVEKEEP_TOKEN", TOKEN)]);
    let guess = || service.ask("GET", "/api/config", "Authorization: Bearer 0123456789abcdefX\r\n", "").status;
    assert!((0..10).all(|_| guess() == 401), "a mistake is no attack");
    let (begun, mut wrong, mut waits) = (Instant::now(), 0, 0);
    while wrong < 2 {
        match guess() {
            401 => wrong += 1,
            status => {
                assert_eq!(status, 429);
                waits += 1;
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
    assert!(begun.elapsed() > Duration::from_secs(3) && waits > 0, "{:?} {waits}", begun.elapsed());
    assert_eq!(service.get("/livez").status, 200);
    let right = service.showing(TOKEN);
    let answer = right.get("/api/events");
    assert!(answer.head.contains("retry-after: ") && answer.status == 429, "{answer}");
    right.until("the right one passes", |service| service.get("/api/config").status == 200);
    let events = right.get("/api/events").ok();
    let refused = events["events"].as_array().unwrap().iter().find(|event| event["event"] == "keys_refused").unwrap();
    assert_eq!((&refused["details"]["count"], &refused["details"]["address"]), (&json!(10), &json!("127.0.0.1")));
    let (_, log) = right.stop("-TERM");
    assert!(!log.contains("0123456789"), "{log}");
}

#[test]
fn a_right_key_never_waits_for_the_wrong_ones_of_others() {
    let hive = Hive::new();
    let key = hive.ok(&["key", "add", "ops", "--role", "admin"]);
    let service = Service::start(&hive, &[]);
    let ask =
        |key: &str| service.ask("GET", "/api/config", &format!("Authorization: Bearer {}\r\n", key.trim()), "").status;
    let wrong = format!("hk_ops_{}", "0".repeat(48));
    let statuses: Vec<_> = (0..20).map(|_| ask(&wrong)).collect();
    assert_eq!(statuses[..10], [401; 10]);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(ask(&key), 200);
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_takes_memory_until_its_client_has_read_it() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--request-memory", "48MiB"]);
    let long = json!("x".repeat(12 << 20)).to_string();
    service.put("/api/config/long", &long).ok();
    let deaf: Vec<_> = (0..5)
        .map(|_| {
            let mut stream = service.connect();
            stream.write_all(b"GET /api/config/long HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            stream
        })
        .collect();
    service.until("further ones are refused", |service| service.get("/api/config/long").status == 503);
    let metrics = service.get("/metrics").body;
    let line = metrics.lines().find(|line| line.starts_with("hivekeep_request_memory_bytes ")).unwrap();
    assert!(line.split(' ').nth(1).unwrap().parse::<usize>().unwrap() > 30 << 20, "{line}");
    drop(deaf);
    service.until("it is given back", |service| service.get("/api/config/long").status == 200);
}

#[cfg(target_os = "linux")]
#[test]
fn bodies_of_small_values_and_long_values_read_at_once_take_little_memory() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--request-memory", "32MiB"]);
    let body = numbers(1 << 20);
    let ask = |work: &(dyn Fn(usize) -> u16 + Sync)| -> Vec<u16> {
        thread::scope(|scope| {
            let all: Vec<_> = (0..6).map(|n| scope.spawn(move || work(n))).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    };
    let statuses = ask(&|_| service.put("/api/config/n", &body).status);
    assert!(statuses.iter().all(|status| [413, 503].contains(status)), "{statuses:?}");
    let long = text(4 << 20);
    for n in 0..4 {
        service.put(&format!("/api/config/k{n}"), &long).ok();
    }
    let statuses = ask(&|n| service.get(&format!("/api/config/k{}", n % 4)).status);
    assert!(statuses.contains(&200) && statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    service.get("/api/config?limit=1000").ok();
    let peak = service.peak_memory();
    assert!(peak < 250 << 20, "it took {} MiB", peak >> 20);
}
