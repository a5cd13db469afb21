//! The command line over a service that is not there, is another one, refuses, or answers wrongly.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::service::{Service, secret};
use crate::util::{Hive, Ran};

/// A server that reads each request, hands it to a function, and counts the requests.
struct Odd {
    address: String,
    asked: Arc<AtomicUsize>,
}

impl Odd {
    fn start(answer: impl Fn(&mut TcpStream, &str) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                count.fetch_add(1, Ordering::SeqCst);
                answer(&mut stream, &String::from_utf8_lossy(&head));
            }
        });
        Self { address, asked }
    }

    fn run(&self, typed: &[&str]) -> Ran {
        let within = ["--store", &self.address, "--answer-within", "2s", "--json"];
        Hive::empty().run(&[&within[..], typed].concat())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The error that a run ended with.
fn error(ran: Ran, code: i32, kind: &str) -> String {
    let ran = ran.with(code);
    let error: Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
    assert_eq!(error["kind"], kind, "{error}");
    format!("{} | {}", error["message"].as_str().unwrap(), error["hint"].as_str().unwrap_or_default())
}

fn send(stream: &mut TcpStream, text: &str) {
    // A client that has seen enough may be gone.
    let _ = stream.write_all(text.as_bytes());
}

const READ: &[&str] = &["get", "config"];
const CHANGE: &[&str] = &["point", "create"];

#[test]
fn a_service_that_is_not_there_is_named_with_the_way_out() {
    let hive = Hive::empty();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let socket = format!("unix:{}", hive.path().display());
    for store in [&format!("http://127.0.0.1:{port}"), &socket] {
        for typed in [READ, CHANGE] {
            let said = error(hive.run(&[&["--store", store, "--json"], typed].concat()), 1, "io");
            assert!(said.contains(&format!("address={store}")) && said.contains("hivekeep serve"), "{said}");
        }
    }
    assert_eq!(std::fs::read_dir(hive.path().parent().unwrap()).unwrap().count(), 0, "no file was made");
    for wrong in ["ftp://x", "http://", "http://a:b@c"] {
        let said = hive.run(&["--store", wrong, "status"]).with(2).err;
        assert!(said.contains("address"), "{said}");
    }
}

#[test]
fn an_answer_of_something_else_than_a_service_is_not_taken_for_data() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        "HTTP/1.1 301 Moved\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{\"a\":",
        "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let odd = Odd::start(move |stream, _| send(stream, answer));
        let said = error(odd.run(READ), 1, "io");
        assert!(said.contains("not that of a Hivekeep service") && said.contains("proxy"), "{said}");
        assert_eq!(odd.asked(), 1, "it is not asked again: {answer}");
    }
}

#[test]
fn an_answer_that_is_garbage_is_an_error() {
    let odd = Odd::start(|stream, _| send(stream, "SSH-2.0-OpenSSH_9.6\r\n\u{0}\u{1}\r\n\r\n"));
    let said = error(odd.run(READ), 1, "io");
    assert!(said.contains("no HTTP") && said.contains(&odd.address), "{said}");
    assert_eq!(odd.asked(), 1);
}

#[test]
fn a_service_that_answers_too_slowly_is_left_in_time() {
    let silent = Odd::start(|stream, _| drop(stream.read_to_end(&mut Vec::new())));
    let dripping = Odd::start(|stream, _| {
        send(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n");
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    for odd in [silent, dripping] {
        let begun = Instant::now();
        let said = error(odd.run(READ), 1, "io");
        assert!(said.contains("no answer within 2000 ms"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    }
}

#[test]
fn an_answer_without_an_end_is_not_kept_in_memory() {
    let odd = Odd::start(|stream, _| {
        send(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n");
        let part = vec![b' '; 1 << 20];
        while stream.write_all(&part).is_ok() {}
    });
    let within = ["--store", &odd.address, "--answer-within", "60s", "--json"];
    let said = error(Hive::empty().run(&[&within[..], READ].concat()), 1, "io");
    assert!(said.contains("longer than 201326592 bytes"), "{said}");
    assert_eq!(odd.asked(), 1);
}

#[test]
fn a_service_that_goes_on_without_an_end_is_left_with_an_error() {
    let count = Arc::new(AtomicUsize::new(0));
    for (typed, body) in [
        (&["queue", "purge", "1s"][..], r#"{"purged":0,"more":true}"#),
        (READ, r#"{"records":[],"next":"NUMBER"}"#),
        (&["get", "audit", "--newest", "1"], r#"{"entries":[],"next":"NUMBER"}"#),
        (&["check"], r#"{"id":"c","state":"running","done":1,"of":2,"checks":2,"epoch":1}"#),
    ] {
        let count = count.clone();
        let odd = Odd::start(move |stream, _| {
            let body = body.replace("NUMBER", &count.fetch_add(1, Ordering::SeqCst).to_string());
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
            send(stream, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
        });
        let begun = Instant::now();
        let ran = odd.run(typed).with(1);
        assert!(
            ["not understood", "different versions", "no progress"].iter().any(|why| ran.err.contains(why)),
            "{}",
            ran.err
        );
        assert!(begun.elapsed() < Duration::from_secs(60), "{typed:?} took {:?}", begun.elapsed());
    }
}

#[test]
fn an_answer_of_very_many_values_is_not_kept_in_memory() {
    let body = format!("{{\"records\":[{}1],\"next\":null}}", "1,".repeat(9 << 20));
    let odd = Odd::start(move |stream, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
        send(stream, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    });
    let within = ["--store", &odd.address, "--answer-within", "60s", "--json"];
    let said = error(Hive::empty().run(&[&within[..], READ].concat()), 1, "io");
    assert!(said.contains("more values than this program reads"), "{said}");
    assert_eq!(odd.asked(), 1);
}

#[test]
fn a_change_without_an_answer_is_uncertain_and_not_sent_twice() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"id\":"] {
        let odd = Odd::start(move |stream, _| send(stream, answer));
        let said = error(odd.run(CHANGE), 1, "uncertain");
        assert!(said.contains("may have been made") && said.contains("look before you repeat it"), "{said}");
        assert_eq!(odd.asked(), 1);
    }
    let odd = Odd::start(|stream, _| send(stream, "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n"));
    error(odd.run(CHANGE), 1, "uncertain");
    let odd = Odd::start(|_, _| {});
    for body in ["text/html\r\nContent-Length: 6\r\n\r\n<html>", "application/json\r\nContent-Length: 2\r\n\r\n{}"] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: {body}");
        let odd = Odd::start(move |stream, _| send(stream, &answer));
        error(odd.run(CHANGE), 1, "uncertain");
    }
    error(odd.run(&["queue", "push", "1", "--idempotency-key", "k"]), 1, "uncertain");
    assert_eq!(odd.asked(), 3, "an idempotency key makes it safe to repeat");
}

#[test]
fn a_read_that_was_cut_off_is_repeated_and_so_is_a_change_that_the_service_was_too_busy_for() {
    let count = AtomicUsize::new(0);
    let odd = Odd::start(move |stream, head| {
        let body = match count.fetch_add(1, Ordering::SeqCst) {
            0 => return,
            1 => {
                let busy = r#"{"kind":"busy","detail":"too many","status":503}"#;
                let head = "HTTP/1.1 503 Busy\r\nContent-Type: application/problem+json\r\nRetry-After: 0\r\n";
                return send(
                    stream,
                    &format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n{busy}", busy.len()),
                );
            }
            _ if head.contains("?") => r#"{"records":[{"key":"a","value":1.50}],"next":null}"#,
            _ => "{}",
        };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
        send(stream, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    });
    let ran = odd.run(READ).with(0);
    assert!(ran.out.contains("1.50"), "{}", ran.out);
    assert_eq!(odd.asked(), 3);
    let busy = Odd::start(|stream, _| {
        let busy = r#"{"kind":"busy","detail":"too many requests","status":429}"#;
        let head =
            "HTTP/1.1 429 Slow\r\nContent-Type: application/problem+json\r\nRetry-After: 0\r\nConnection: close\r\n";
        send(stream, &format!("{head}Content-Length: {}\r\n\r\n{busy}", busy.len()));
    });
    let said = error(busy.run(CHANGE), 1, "not_committed");
    assert!(said.starts_with("too many requests"), "{said}");
    assert_eq!(busy.asked(), 3);
}

#[test]
fn an_error_about_a_service_of_another_version_names_both_versions() {
    let problem = r#"{"kind":"not_found","detail":"unknown path; see /openapi.json: path=/x","status":404}"#;
    for (status, kind, body) in [
        ("404 Not Found", "application/problem+json", problem),
        ("200 OK", "application/json", r#"{"other":[]}"#),
        ("200 OK", "application/json", r#"{"records":[{"value":1}],"next":null}"#),
    ] {
        let odd = Odd::start(move |stream, head| {
            let (status, kind, body) = match head.starts_with("GET /openapi.json ") {
                true => ("200 OK", "application/json", r#"{"info":{"version":"9.8.7"}}"#),
                false => (status, kind, body),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n");
            send(stream, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
        });
        let said = error(odd.run(READ), 1, "io");
        let own = env!("CARGO_PKG_VERSION");
        assert!(said.contains(&format!("service=9.8.7 program={own}")) && said.contains("versions"), "{said}");
    }
}

#[test]
fn a_key_that_is_missing_wrong_or_too_weak_is_refused_as_forbidden() {
    let hive = Hive::new();
    let reader = secret(&hive, "reader", &hive.ok(&["key", "add", "r", "--role", "reader"]));
    let service = Service::start(&hive, &[]);
    let run = |more: &[&str]| hive.run(&[&["--store", &service.url(), "--json"], more].concat());
    let said = error(run(READ), 1, "forbidden");
    assert!(said.contains("show a key") && said.contains("--key-file"), "{said}");
    let reader = ["--key-file", reader.to_str().unwrap()];
    run(&[&reader[..], READ].concat()).with(0);
    let said = error(run(&[&reader[..], CHANGE].concat()), 1, "forbidden");
    assert!(said.contains("role=reader needs=operator"), "{said}");
    let wrong = secret(&hive, "wrong", "hk_r_0000");
    let said = error(run(&[&["--key-file", wrong.to_str().unwrap()], READ].concat()), 1, "forbidden");
    assert!(said.contains("--key-file") && !said.contains("hk_r_0000"), "{said}");
    let said = error(run(&[&["--key-file", "none"], READ].concat()), 1, "io");
    assert!(said.contains("key file"), "{said}");
    let empty = secret(&hive, "empty", "\n");
    let said = error(run(&[&["--key-file", empty.to_str().unwrap()], READ].concat()), 2, "invalid");
    assert!(said.contains("holds no key"), "{said}");
    #[cfg(unix)]
    {
        let open = hive.path().with_file_name("open");
        std::fs::write(&open, "hk_r_0000").unwrap();
        std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let said = error(run(&[&["--key-file", open.to_str().unwrap()], READ].concat()), 2, "invalid");
        assert!(said.contains("others can read this secret"), "{said}");
    }
}

#[test]
fn a_key_does_not_leave_the_machine_in_clear() {
    let hive = Hive::empty();
    let key = secret(&hive, "key", "hk_a_secret");
    let typed = ["--store", "http://192.0.2.1:9", "--key-file", key.to_str().unwrap(), "--json", "get", "config"];
    let said = error(hive.run(&typed), 2, "invalid");
    assert!(said.contains("others could read the key") && said.contains("--key-in-clear"), "{said}");
}

#[test]
fn a_certificate_is_trusted_only_if_it_is_named() {
    let hive = Hive::new();
    let fixture = |name: &str| format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let (cert, other) = (fixture("one.cert.pem"), fixture("other.cert.pem"));
    let key = secret(&hive, "tls.key.pem", &std::fs::read_to_string(fixture("one.key.pem")).unwrap());
    let service = Service::start(&hive, &["--tls-cert", &cert, "--tls-key", key.to_str().unwrap()]);
    let store = service.url().replace("http://127.0.0.1", "https://localhost");
    let run = |more: &[&str]| hive.run(&[&["--store", &store, "--json"], more].concat());
    run(&[&["--ca", &cert], READ].concat()).with(0);
    for distrusted in [&["--ca", &other][..], &[]] {
        let said = error(run(&[distrusted, CHANGE].concat()), 1, "io");
        assert!(said.contains("not trusted") && said.contains("--ca FILE"), "{said}");
    }
    let said = error(run(&[&["--ca", key.to_str().unwrap()], READ].concat()), 2, "invalid");
    assert!(said.contains("no certificate in PEM"), "{said}");
    let clear = store.replace("https", "http");
    error(hive.run(&[&["--store", &clear, "--json"], READ].concat()), 1, "io");
}

#[test]
fn a_wait_for_a_claim_may_take_longer_than_an_answer() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let over = ["--store", &service.url(), "--answer-within", "2s"];
    let begun = Instant::now();
    let waited = [&over[..], &["queue", "claim", "B", "--wait", "3s"]].concat();
    let said = hive.refused(&waited, 13);
    assert!(said.contains("no task") || said.contains("nothing"), "{said}");
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
}
