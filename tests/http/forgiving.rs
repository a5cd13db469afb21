//! Requests that the replaced service accepted, and requests that must not break any service.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::BASE;
use crate::service::Service;
use crate::util::Hive;

#[test]
fn the_endpoints_of_the_replaced_service_are_as_lenient_as_it_was() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let path = format!("{BASE}/backup");
    for (body, kind, of, source) in [
        (r#"{"data": {"a": {}}}"#, "registry", "documents", "backup-registry"),
        (r#"{"backup_type": "QUEUE", "data": {"a": {}}}"#, "queue", "documents", "backup-queue"),
        (r#"{"backup_type": null, "data": null, "source": null, "tags": null}"#, "registry", "live", "backup-registry"),
        (r#"{"backup_type": "Bot_Assignments", "unknown": [1]}"#, "bot_assignments", "live", "backup-bot_assignments"),
        (r#"{"backup_type": "full", "data": {}}"#, "full", "documents", "backup-full"),
        (r#"{"data": [1, 2], "source": 5}"#, "registry", "documents", "5"),
        ("{}", "registry", "live", "backup-registry"),
        ("", "registry", "live", "backup-registry"),
        ("null", "registry", "live", "backup-registry"),
        ("\u{feff} {\"source\": \"bom\"} \n", "registry", "live", "bom"),
    ] {
        for headers in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
            let made = service.ask("POST", &path, headers, body).ok();
            let listed = service.get(&format!("{BASE}/backup-history?limit=1")).ok()["backups"][0].take();
            assert_eq!(listed["backup_id"], made["backup_id"], "{body}");
            let told = (&listed["backup_type"], &listed["of"], &listed["source"]);
            assert_eq!(told, (&json!(kind), &json!(of), &json!(source)), "{body}");
        }
    }
    let id = service.get(&format!("{BASE}/backup-history?limit=1")).ok()["backups"][0]["backup_id"].clone();
    for body in ["", "{}", "null", r#"{"reason": "a test"}"#, r#"{"apply": null, "only": null, "dry_run": false}"#] {
        service.ask("POST", &format!("{BASE}/restore/{}", id.as_str().unwrap()), "", body).ok();
    }
    for body in ["", "{}", "not json at all", "[1"] {
        assert_eq!(
            service.ask("POST", &format!("{BASE}/mark-shutdown"), "", body).ok()["message"],
            "Clean shutdown marked"
        );
    }
    for (body, manual) in [(r#"{"manual": 0}"#, false), (r#"{"manual": "yes"}"#, true), ("", true)] {
        let made = service.post(&format!("{BASE}/restore-point"), body).ok();
        let id = made["restore_point_id"].as_str().unwrap();
        assert_eq!(service.get(&format!("{BASE}/restore-point/{id}")).ok()["details"]["manual"], manual, "{body}");
    }
}

#[test]
fn the_new_fields_of_a_restore_are_read_strictly_so_that_none_restores_by_mistake() {
    let hive = Hive::new();
    hive.fill();
    let service = Service::start(&hive, &[]);
    let id = service.post(&format!("{BASE}/backup"), json!({"backup_type": "registry"})).ok()["backup_id"].take();
    service.put("/api/registry/BOT-1", json!({"port": 9})).ok();
    let ask = |body: serde_json::Value| service.post(&format!("{BASE}/restore/{}", id.as_str().unwrap()), body);
    for value in [json!("no"), json!("false"), json!("0"), json!(1), json!([0])] {
        assert_eq!(ask(json!({"apply": value})).refused(422), "field must be a boolean: field=apply");
    }
    for name in ["dry_run", "data", "keep_finished"] {
        let said = ask(json!({"apply": true, name: "false"})).refused(422);
        assert_eq!(said, format!("field must be a boolean: field={name}"));
    }
    assert_eq!(ask(json!({"apply": true, "dryrun": true})).refused(422), "unknown field: field=dryrun");
    let only = ask(json!({"aply": true})).ok();
    assert!(only.get("restored").is_none() && only["data"].is_object(), "{only}");
    assert_eq!(service.get("/api/registry/BOT-1").ok()["port"], 9, "nothing was restored");
}

#[test]
fn an_unknown_type_is_refused_and_named() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let said = service.post(&format!("{BASE}/backup"), json!({"backup_type": "everything"})).refused(422);
    assert_eq!(said, "unknown kind of backup; use registry, queue, bot_assignments or full: kind=everything");
    service.post(&format!("{BASE}/backup"), json!({"backup_type": 7})).refused(422);
    assert_eq!(service.get(&format!("{BASE}/status")).ok()["total_backups"], 0);
}

#[test]
fn invalid_json_is_refused_with_its_position() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let deep = format!(r#"{{"data": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for (body, said) in [
        ("{", "pointer="),
        (r#"{"data": NaN}"#, "NaN"),
        (r#"{"data": {"a": 1, "a": 2}}"#, "pointer=\"/data"),
        (r#"{"data": "\ud800"}"#, "pointer=\"/data\""),
        (r#"{"data": 01}"#, "pointer="),
        (r#"{"a": 1} {"b": 2}"#, "offset="),
        (deep.as_str(), "nested deeper than 128"),
    ] {
        let refused = service.post(&format!("{BASE}/backup"), body).refused(400);
        assert!(refused.contains(said), "{refused}");
    }
    let latin = b"POST /api/disaster-recovery/backup HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 10\r\n\r\n{\"a\":\"\xe9\"}\n";
    service.raw(&latin[..]).refused(400);
    for body in ["[]", "1", "\"text\"", r#"{"tags": [1]}"#, r#"{"tags": "x"}"#] {
        service.post(&format!("{BASE}/backup"), body).refused(422);
    }
    let long = "x".repeat(600);
    let said = service.post(&format!("{BASE}/backup"), json!({"data": {}, "source": long})).refused(422);
    assert!(said.contains("too long"), "{said}");
    assert_eq!(service.get("/livez").status, 200);
}

#[test]
fn a_body_that_is_too_large_is_refused_with_the_limit_and_the_flag() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--max-body", "64KiB"]);
    let body = json!({"data": "x".repeat(200_000)});
    let said = service.post(&format!("{BASE}/backup"), &body).refused(413);
    assert_eq!(said, "the body is too large; raise the limit with hivekeep serve --max-body: limit_bytes=65536");
    // The same without its length said beforehand.
    let chunk = "y".repeat(50_000);
    let chunks = format!("{:x}\r\n{chunk}\r\n", chunk.len()).repeat(3);
    let head = format!(
        "POST {BASE}/backup HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    service.raw(format!("{head}{chunks}0\r\n\r\n").as_bytes()).refused(413);
    let fits = json!({"data": "x".repeat(60_000)});
    service.post(&format!("{BASE}/backup"), &fits).ok();
}

#[test]
fn bytes_that_are_not_http_end_only_their_own_connection() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let long = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET /livez HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
    for bytes in ["\0\0\0\0", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", &long, &many] {
        let mut stream = service.connect();
        // The other side may have closed already.
        let _ = stream.write_all(bytes.as_bytes());
        drop(stream);
        assert_eq!(service.get("/livez").body, "ok\n");
    }
    let mut cut_off = service.connect();
    let head = format!("POST {BASE}/backup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{{\"data\":");
    cut_off.write_all(head.as_bytes()).unwrap();
    drop(cut_off);
    assert_eq!(service.get(&format!("{BASE}/status")).ok()["total_backups"], 0);
    service.get("/nowhere").refused(404);
    service.delete(&format!("{BASE}/status")).refused(405);
}

#[test]
fn a_corpus_of_malformed_requests_causes_no_internal_error() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let request = |line: &str, headers: &str, body: &str| {
        format!("{line}\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n{body}")
    };
    let post = format!("POST {BASE}/backup HTTP/1.1");
    let of = |length: usize| format!("Content-Length: {length}\r\n");
    let corpus = [
        request("GET /livez", "", ""),
        request("GET  /livez HTTP/1.1", "", ""),
        request("GET /livez HTTP/2.0", "", ""),
        request("GET /a b HTTP/1.1", "", ""),
        request("GET http://:99999/ HTTP/1.1", "", ""),
        request("GET /%zz?%zz=%zz HTTP/1.1", "", ""),
        request("GET /api/config/%ff%fe HTTP/1.1", "", ""),
        request("GET /api/config/%00 HTTP/1.1", "", ""),
        request("GET /api/queue?limit=x HTTP/1.1", "", ""),
        request("GET /api/queue?at=%00 HTTP/1.1", "", ""),
        request("GET /api/queue?at=a&at=b HTTP/1.1", "", ""),
        request("BREW /livez HTTP/1.1", "", ""),
        request("OPTIONS * HTTP/1.1", "", ""),
        request("CONNECT other:1 HTTP/1.1", "", ""),
        request("GET /livez HTTP/1.1", "no colon\r\n", ""),
        request("GET /livez HTTP/1.1", "Na me: x\r\n", ""),
        request("GET /livez HTTP/1.1", ": x\r\n", ""),
        request("GET /livez HTTP/1.1", "X: a\0b\r\n", ""),
        request("GET /livez HTTP/1.1", "X: a\r\n folded\r\n", ""),
        request(&post, "Content-Length: -1\r\n", "{}"),
        request(&post, "Content-Length: 2\r\nContent-Length: 3\r\n", "{}"),
        request(&post, "Content-Length: 99999999999999999999\r\n", "{}"),
        request(&post, "Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
        request(&post, "Transfer-Encoding: chunked\r\n", "ffffffffffffffff1\r\n{}"),
        request(&post, "Transfer-Encoding: gzip\r\n", "{}"),
        request(&post, "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", "zz"),
        request(&post, &of(2), "{]"),
        request(&post, &of(1), "\0"),
        request(&post, &of(11), "{\"data\":tru"),
        request(&post, &of(13), "{\"data\":1e9e}"),
    ];
    for bytes in corpus {
        let mut stream = service.connect();
        // The other side may have closed already.
        let _ = stream.write_all(bytes.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap_or("");
        assert!(status.is_empty() || status.starts_with(['2', '4']), "{bytes:?}\nwas answered:\n{answer}");
        assert_eq!(service.get("/livez").body, "ok\n", "{bytes:?}");
    }
    assert_eq!(service.get(&format!("{BASE}/status")).ok()["total_backups"], 0);
}

#[test]
fn a_client_that_sends_nothing_or_reads_nothing_times_out() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--client-timeout", "1s", "--max-body", "64MiB"]);
    let data = json!({"long": "x".repeat(24_000_000)}).to_string();
    let made = service.post(&format!("{BASE}/backup"), format!("{{\"data\":{data}}}")).ok();
    let id = made["backup_id"].as_str().unwrap();
    let begun = Instant::now();
    let (mut silent, mut deaf) = (service.connect(), service.connect());
    silent.write_all(b"GET /livez HTTP/1.1\r\nHost").unwrap();
    let head = format!("POST {BASE}/restore/{id} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    deaf.write_all(head.as_bytes()).unwrap();
    let mut said = Vec::new();
    // Cut off without a word, or with one that says why.
    let _ = silent.read_to_end(&mut said);
    assert!(begun.elapsed() < Duration::from_secs(20), "a silent client held its connection");
    assert!(!said.starts_with(b"HTTP/1.1 200"));
    // The answer has begun to come; what the system holds of it on its way is read below, the rest must be gone by
    // then.
    assert_eq!(deaf.peek(&mut [0]).unwrap(), 1);
    std::thread::sleep(Duration::from_secs(5));
    let mut taken = Vec::new();
    let _ = deaf.read_to_end(&mut taken);
    assert!(taken.len() < data.len(), "it waited for a client that took nothing");
    assert!(taken.starts_with(b"HTTP/1.1 200"), "it was answered before it was cut off");
    service.get("/livez");
}
