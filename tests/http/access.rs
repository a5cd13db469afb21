//! Where a request may come from: every rule over every route, by the bytes that a browser or an attacker would send.

use std::fs;

use serde_json::{Value, json};

use crate::described::targets;
use crate::service::{Answer, Service, secret};
use crate::util::Hive;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Each `PORT` is replaced by the port of the service.
const OWN_PAGE: &str = "Host: localhost:PORT\r\nOrigin: http://localhost:PORT\r\n";

/// Headers by which a request is let in when there is no token.
const ADMITTED: &[&str] = &[
    "Host: localhost\r\n",
    "Host: LOCALHOST:PORT\r\n",
    "Host: 127.0.0.1:PORT\r\n",
    "Host: 127.8.9.10\r\n",
    "Host: [::1]:PORT\r\n",
    "Host: [0:0:0:0:0:0:0:1]\r\n",
    "Host: localhost:1\r\n",
    "Host: fleet.example\r\n",
    "Host: Fleet.Example:8443\r\n",
    "Host: 10.0.0.7:9000\r\n",
    OWN_PAGE,
    "Host: 127.0.0.1:PORT\r\nOrigin: http://127.0.0.1:PORT\r\nSec-Fetch-Site: same-origin\r\n",
    "Host: localhost\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n",
    "Host: fleet.example\r\nOrigin: https://fleet.example\r\nSec-Fetch-Site: same-origin\r\n",
    "Host: localhost\r\nOrigin: https://fleet.example:443\r\nSec-Fetch-Site: cross-site\r\n",
];

/// Headers by which it is refused as one for another host.
const MISDIRECTED: &[&str] = &[
    "Host: evil.example\r\n",
    "Host: evil.example:PORT\r\n",
    "Host: localhost.evil.com:PORT\r\n",
    "Host: localhost.\r\n",
    "Host: fleet.example.\r\n",
    "Host: a.fleet.example\r\n",
    "Host: 10.0.0.7:9001\r\n",
    "Host: 127.0.0.1.evil.com\r\n",
    "Host: 127.1\r\n",
    "Host: 0.0.0.0:PORT\r\n",
    "Host: 2130706433\r\n",
    "Host: [::]\r\n",
    "Host: [::ffff:127.0.0.1]\r\n",
    "Host: ::1\r\n",
    "Host: localhost evil.com\r\n",
    "Host: localhost\tevil.com\r\n",
    "Host: localhost, evil.com\r\n",
    "Host: a@localhost\r\n",
    "Host: localhost@evil.com\r\n",
    "Host: localhost:99999\r\n",
    "Host: localhost:\r\n",
    "Host:\r\n",
    "Host: l\u{f6}calhost\r\n",
    "Host: evil.example\r\nOrigin: http://evil.example\r\nSec-Fetch-Site: same-origin\r\n",
    "Host: evil.example\r\nX-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\n",
];

/// Headers by which it is refused as one that does not name one host.
const UNNAMED: &[&str] = &[
    "",
    "Host: localhost\r\nHost: localhost\r\n",
    "Host: localhost\r\nHost: evil.example\r\n",
    "X-Host: localhost\r\n",
];

/// Headers, after the host, by which it is refused as one of another page.
const OTHER_PAGES: &[&str] = &[
    "Origin: null\r\n",
    "Origin:\r\n",
    "Origin: http://localhost:1\r\n",
    "Origin: http://localhost\r\n",
    "Origin: https://localhost:PORT\r\n",
    "Origin: http://127.0.0.1:PORT\r\n",
    "Origin: http://localhost.evil.com:PORT\r\n",
    "Origin: http://localhost:PORT@evil.com\r\n",
    "Origin: http://localhost:PORT, http://evil.com\r\n",
    "Origin: http://localhost:PORT\r\nOrigin: http://localhost:PORT\r\n",
    "Origin: http://fleet.example\r\n",
    "Origin: https://a.fleet.example\r\n",
    "Origin: file://\r\n",
    "Sec-Fetch-Site: cross-site\r\n",
    "Sec-Fetch-Site: same-site\r\n",
    "Sec-Fetch-Site: Same-Origin\r\n",
    "Sec-Fetch-Site: anything\r\n",
    "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n",
    "Origin: http://localhost:PORT\r\nSec-Fetch-Site: cross-site\r\n",
    "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n",
];

/// A service, and what it is asked.
struct Asked {
    service: Service,
    port: String,
}

impl Asked {
    fn start(hive: &Hive, arguments: &[&str]) -> Self {
        let named = ["--allow-host", "fleet.example", "--allow-host", "10.0.0.7:9000"];
        let service =
            Service::start(hive, &[&named[..], &["--allow-origin", "https://fleet.example"], arguments].concat());
        let port = service.url().rsplit_once(':').unwrap().1.to_owned();
        Self { service, port }
    }

    /// Asks with these headers and no others.
    fn ask(&self, method: &str, target: &str, headers: &str) -> Answer {
        let headers = headers.replace("PORT", &self.port);
        let request = format!("{method} {target} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n");
        let is_declared = target.starts_with('/');
        let answer =
            if is_declared { self.service.raw(request.as_bytes()) } else { self.service.bare(request.as_bytes()) };
        is_for_browsers(&answer);
        answer
    }
}

/// An answer has the headers that tell browsers how to treat it.
fn is_for_browsers(answer: &Answer) {
    let head = answer.head.to_lowercase();
    // The browser asks whether the page has changed, and keeps nothing else.
    let is_page = answer.status == 200 && answer.asked.starts_with("GET / ");
    let kept = if is_page { "cache-control: no-cache" } else { "cache-control: no-store" };
    for header in [
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cross-origin-resource-policy: same-origin",
        "cross-origin-opener-policy: same-origin",
        "x-frame-options: deny",
        kept,
    ] {
        assert_eq!(head.lines().filter(|line| *line == header).count(), 1, "{header} in\n{answer}");
    }
}

/// Every route, and what is none.
fn everything() -> Vec<(String, String)> {
    let others =
        [("GET", "/"), ("GET", "/nowhere"), ("PUT", "/livez"), ("BREW", "/metrics"), ("OPTIONS", "/api/config")];
    let others = others.map(|(method, target)| (method.to_owned(), target.to_owned()));
    targets("x").chain(others).collect()
}

#[test]
fn on_every_route_a_request_that_names_another_host_is_misdirected() {
    let hive = Hive::new();
    let asked = Asked::start(&hive, &[]);
    for (method, target) in everything() {
        for headers in ADMITTED {
            let answer = asked.ask(&method, &target, headers);
            assert!(
                ![401, 403, 421].contains(&answer.status) && !answer.body.contains("send one header Host"),
                "{answer}"
            );
        }
        for headers in MISDIRECTED {
            let said = asked.ask(&method, &target, headers).refused(421);
            assert!(said.contains("--allow-host"), "{said}");
        }
        for headers in UNNAMED {
            asked.ask(&method, &target, headers).refused(400);
        }
    }
    assert_eq!(hive.ok(&["get", "config"]), "", "nothing was done");
}

#[test]
fn on_every_route_a_request_for_a_page_of_another_site_is_refused_with_a_token_and_without() {
    let hive = Hive::new();
    let file = secret(&hive, "token", TOKEN);
    for arguments in [&[][..], &["--token-file", file.to_str().unwrap()]] {
        let asked = Asked::start(&hive, arguments);
        for (method, target) in everything() {
            for headers in OTHER_PAGES {
                let headers = format!("Host: localhost:PORT\r\nAuthorization: Bearer {TOKEN}\r\n{headers}");
                let said = asked.ask(&method, &target, &headers).refused(403);
                assert!(said.contains("--allow-origin"), "{said}");
            }
        }
    }
}

#[test]
fn with_a_token_any_host_may_be_named_but_never_two() {
    let hive = Hive::new();
    let file = secret(&hive, "token", TOKEN);
    let asked = Asked::start(&hive, &["--token-file", file.to_str().unwrap()]);
    for host in ["Host: evil.example\r\n", "Host: 10.1.2.3:8001\r\n", "Host: localhost.\r\n"] {
        asked.ask("GET", "/livez", host);
        let own = format!("{host}Authorization: Bearer {TOKEN}\r\n");
        assert_eq!(asked.ask("GET", "/api/config", &own).status, 200, "{host}");
        asked.ask("GET", "/api/config", host).refused(401);
    }
    for headers in UNNAMED {
        asked.ask("GET", "/livez", headers).refused(400);
    }
    let old = |asked: &Asked| asked.service.raw(b"GET /livez HTTP/1.0\r\n\r\n");
    assert_eq!(old(&asked).status, 200, "a health check that speaks HTTP/1.0 names no host");
    old(&Asked::start(&Hive::new(), &[])).refused(400);
}

#[test]
fn a_target_that_names_a_host_of_its_own_must_name_ours() {
    let hive = Hive::new();
    let asked = Asked::start(&hive, &[]);
    let own = format!("http://localhost:{}/livez", asked.port);
    assert_eq!(asked.ask("GET", &own, "Host: localhost:PORT\r\n").status, 200);
    assert_eq!(asked.ask("GET", &own, OWN_PAGE).status, 200);
    for (target, host) in [
        ("http://evil.example/livez", "localhost"),
        ("http://evil.example/livez", "evil.example"),
        ("http://localhost@evil.example/livez", "localhost"),
        ("http://a@localhost/livez", "localhost"),
        (&own, "evil.example"),
    ] {
        asked.ask("GET", target, &format!("Host: {host}\r\n")).refused(421);
    }
    asked.ask("GET", "http://127.0.0.1/livez", OWN_PAGE).refused(403);
}

#[test]
fn a_link_from_any_site_may_lead_to_the_page_and_to_nothing_else() {
    let hive = Hive::new();
    let asked = Asked::start(&hive, &[]);
    let comes = |site: &str, dest: &str| {
        format!("Host: localhost\r\nSec-Fetch-Site: {site}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: {dest}\r\n")
    };
    for site in ["cross-site", "same-site", "none"] {
        assert_ne!(asked.ask("GET", "/", &comes(site, "document")).status, 403, "{site}");
    }
    asked.ask("GET", "/", &comes("cross-site", "iframe")).refused(403);
    asked.ask("POST", "/", &comes("cross-site", "document")).refused(403);
    asked.ask("GET", "/metrics", &comes("cross-site", "document")).refused(403);
    asked.ask("GET", "/", &format!("{}Origin: https://evil.example\r\n", comes("cross-site", "document"))).refused(403);
}

#[test]
fn hosts_and_origins_come_from_options_the_environment_or_the_file() {
    let hive = Hive::empty();
    let file = hive.path().with_file_name("hivekeep.toml");
    fs::write(&file, "allow-host = [\"a.example\", \"b.example:8443\"]\nallow-origin = [\"https://a.example\"]\n")
        .unwrap();
    let print = ["serve", "--config", file.to_str().unwrap(), "--print-config"];
    let printed = hive.ok(&print);
    assert!(printed.contains("allow-host = [\"a.example\", \"b.example:8443\"]\n"), "{printed}");
    assert!(printed.contains("allow-origin = [\"https://a.example\"]\n"), "{printed}");
    let mut command = hive.command(&[&print[..], &["--allow-origin", "https://c.example"]].concat());
    let printed = command.env("HIVEKEEP_ALLOW_HOST", "d.example,[fd00::7]:1").output().unwrap().stdout;
    let printed = String::from_utf8(printed).unwrap();
    assert!(printed.contains("allow-host = [\"d.example\", \"[fd00::7]:1\"]\n"), "{printed}");
    assert!(printed.contains("allow-origin = [\"https://c.example\"]\n"), "{printed}");
    let said = hive.refused(&["serve", "--allow-host", "http://a.example"], 2);
    assert!(said.contains("fleet.example"), "{said}");
    let said = hive.refused(&["serve", "--allow-origin", "*"], 2);
    assert!(said.contains("https://fleet.example"), "{said}");
}

#[test]
fn errors_before_any_route_have_the_same_headers_for_browsers() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--max-body", "1KiB"]);
    let body = json!({"x": "x".repeat(2_000)});
    is_for_browsers(&service.post("/api/points", &body));
    is_for_browsers(&service.post("/api/points", "{"));
    is_for_browsers(&service.ask(&"A".repeat(33), "/livez", "", ""));
    // These are refused by the reader of HTTP, and carry nothing that a browser could take for anything.
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(70_000));
    let headers = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(101));
    for request in [&long, &headers, "GET / HTTP/9.9\r\n\r\n"] {
        let answer = service.bare(request.as_bytes());
        assert!((400..=505).contains(&answer.status) && answer.body.is_empty(), "{answer}");
    }
}

#[test]
fn made_up_methods_are_one_series() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let paths = ["/livez", "/api/queue/x", "/nowhere"];
    let ask = |number: usize| {
        let path = paths[number % 3];
        service.ask(&format!("BREW{number}"), path, "", "").refused(if path == "/nowhere" { 404 } else { 405 });
        service.ask(&"L".repeat(33 + number), path, "", "").refused(400);
    };
    let series = || service.get("/metrics").body.lines().filter(|line| line.contains("hivekeep_http_")).count();
    series();
    (0..3).for_each(ask);
    let before = series();
    (3..1_000).for_each(ask);
    assert_eq!(series(), before);
    let counted = r#"hivekeep_http_requests_total{method="other",path="/livez",status="405"} 334"#;
    let metrics = service.get("/metrics").body;
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
}

#[test]
fn a_made_up_method_stands_in_no_log() {
    let hive = Hive::new();
    let service = Service::with(&hive, &[], &[("HIVEKEEP_LOG", "info")]);
    service.ask("BREW", "/livez", "", "").refused(405);
    service.ask(&"LONG".repeat(10_000), "/livez", "", "").refused(400);
    let (_, said) = service.stop("-TERM");
    assert_eq!(said.matches("other").count(), 2, "{said}");
    assert!(!said.contains("BREW") && !said.contains("LONG"), "{said}");
}

#[test]
fn the_description_says_when_a_host_or_a_page_is_refused() {
    let document: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for says in methods.as_object().unwrap().values() {
            for status in ["403", "421"] {
                assert!(says["responses"].get(status).is_some(), "{path} {status}");
            }
        }
    }
}
