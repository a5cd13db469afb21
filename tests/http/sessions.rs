//! Sessions of the page: the key is shown once, and a cookie is worth it from then on, for the service's own page
//! alone.

use serde_json::{Value, json};

use crate::service::{Answer, Service};
use crate::util::Hive;

/// A service that asks for keys, the key of an operator and that of an admin.
fn start(hive: &Hive) -> (Service, String, String) {
    let add = |name: &str, role: &str| hive.ok(&["key", "add", name, "--role", role]).trim().to_owned();
    let keys = (add("ops", "operator"), add("root", "admin"));
    (Service::start(hive, &[]), keys.0, keys.1)
}

/// Asks with the headers of a browser on a page of that origin; without one if it is empty.
fn ask(service: &Service, method: &str, path: &str, origin: &str, cookie: &str, body: &str) -> Answer {
    let port = service.url().rsplit_once(':').unwrap().1.to_owned();
    let origin =
        if origin.is_empty() { String::new() } else { format!("Origin: {}\r\n", origin.replace("PORT", &port)) };
    let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    let length = format!("Content-Length: {}\r\n", body.len());
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n{origin}{cookie}{length}\r\n"
    );
    service.bare((head + body).as_bytes())
}

const OWN: &str = "http://localhost:PORT";

/// Signs in, and gives the cookie as a browser sends it back.
fn sign_in(service: &Service, key: &str) -> String {
    let answer = ask(service, "POST", "/api/session", OWN, "", &json!({"key": key}).to_string());
    assert_eq!(answer.status, 200, "{answer}");
    let cookie = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap().to_owned();
    let port = service.url().rsplit_once(':').unwrap().1.to_owned();
    assert!(cookie.starts_with(&format!("hivekeep_{port}=")), "{cookie}");
    for attribute in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains(key) && !answer.body.contains(key));
    cookie.split(';').next().unwrap().to_owned()
}

#[test]
fn a_cookie_is_worth_the_key_with_its_role_until_the_sign_out() {
    let hive = Hive::new();
    let (service, ops, root) = start(&hive);
    let cookie = sign_in(&service, &ops);
    let other = sign_in(&service, &ops);
    assert_ne!(cookie, other);
    let me = ask(&service, "GET", "/api/me", "", &cookie, "").with(200);
    assert_eq!((&me["key"], &me["role"]), (&json!("ops"), &json!("operator")));
    assert_eq!(ask(&service, "PUT", "/api/config/a", OWN, &cookie, "1").status, 200);
    ask(&service, "GET", "/api/keys", "", &cookie, "").refused(403);
    assert_eq!(ask(&service, "GET", "/api/keys", "", &sign_in(&service, &root), "").status, 200);
    let entry = ask(&service, "GET", "/api/audit?action=config_put", "", &cookie, "").with(200)["entries"][0].take();
    assert_eq!(entry["actor"], "ops", "the trail names the key, not the cookie");

    let out = ask(&service, "DELETE", "/api/session", OWN, &cookie, "");
    assert!(out.status == 200 && out.head.contains("Max-Age=0"), "{out}");
    ask(&service, "GET", "/api/me", "", &cookie, "").refused(401);
    assert_eq!(ask(&service, "GET", "/api/me", "", &other, "").status, 200, "the other session goes on");
}

#[test]
fn a_cookie_is_worth_nothing_on_another_page_or_beside_another_one_or_made_up() {
    let hive = Hive::new();
    let (service, ops, _) = start(&hive);
    let cookie = sign_in(&service, &ops);
    let pages =
        ["http://localhost:1", "https://localhost:PORT", "http://127.0.0.1:PORT", "null", "http://evil.example"];
    for origin in pages {
        ask(&service, "PUT", "/api/config/a", origin, &cookie, "1").refused(403);
        ask(&service, "GET", "/api/config", origin, &cookie, "").refused(403);
        ask(&service, "POST", "/api/session", origin, "", &json!({"key": ops}).to_string()).refused(403);
    }
    let said = ask(&service, "PUT", "/api/config/a", "", &cookie, "1").refused(403);
    assert!(said.contains("own page"), "a program shows its key: {said}");
    let (name, value) = cookie.split_once('=').unwrap();
    for wrong in [
        format!("{cookie}; {cookie}"),
        format!("{name}={}", value.replace(|c: char| c.is_ascii_digit(), "0")),
        format!("{name}={}", &value[1..]),
        format!("{name}x={value}"),
        format!("hivekeep_1={value}"),
        format!("{name}=\"{value}\""),
        value.to_owned(),
    ] {
        ask(&service, "GET", "/api/config", "", &wrong, "").refused(401);
    }
    for key in ["", "x", "hk_ops_", &ops[1..]] {
        ask(&service, "POST", "/api/session", OWN, "", &json!({"key": key}).to_string()).refused(401);
    }
    let get = |path: &str| service.ask("GET", path, &format!("Cookie: {cookie}\r\n"), "");
    assert_eq!(get("/api/me").status, 401, "the cookie of another port of this host");
    assert_eq!(hive.ok(&["get", "config"]), "", "nothing was done");
}

#[test]
fn revoking_the_key_ends_its_sessions_and_another_token_ends_those_of_the_token() {
    let hive = Hive::new();
    let (service, ops, root) = start(&hive);
    let cookie = sign_in(&service, &ops);
    service.ask("DELETE", "/api/keys/ops", &format!("Authorization: Bearer {root}\r\n"), "").ok();
    let said = ask(&service, "GET", "/api/me", "", &cookie, "").refused(401);
    assert!(said.contains("the session has ended"), "{said}");
    hive.ok(&["key", "add", "ops", "--role", "admin"]);
    service.until("the new key is known", |_| hive.json(&["key", "list"]).as_array().is_some_and(|all| all.len() == 2));
    std::thread::sleep(std::time::Duration::from_millis(400));
    ask(&service, "GET", "/api/me", "", &cookie, "").refused(401);

    let token = "0123456789abcdef0123456789abcdef";
    let service = Service::with(&hive, &[], &[("HIVEKEEP_TOKEN", token)]);
    let cookie = sign_in(&service, token);
    let me: Value = ask(&service, "GET", "/api/me", "", &cookie, "").with(200);
    assert_eq!((&me["key"], &me["role"]), (&json!("token"), &json!("admin")));
}

#[test]
fn no_line_of_the_log_has_a_key_a_cookie_or_the_token_of_a_claim_at_any_level() {
    let hive = Hive::new();
    let add = |name: &str, role: &str| hive.ok(&["key", "add", name, "--role", role]).trim().to_owned();
    let (admin, bot) = (add("root", "admin"), add("BOT-1", "bot"));
    let service = Service::with(&hive, &["--event-log", "events.jsonl"], &[("HIVEKEEP_LOG", "trace")]);
    let bearer = |key: &str| format!("Authorization: Bearer {key}\r\n");
    let wrong = format!("hk_root_{}", "5eed".repeat(12));
    service.ask("GET", "/api/config", &bearer(&wrong), "").refused(401);
    let cookie = sign_in(&service, &admin);
    ask(&service, "PUT", "/api/config/a", OWN, &cookie, "1").ok();
    let made = service.ask("POST", "/api/keys", &bearer(&admin), r#"{"name": "late", "role": "reader"}"#);
    let late = made.ok()["key"].as_str().unwrap().to_owned();
    service.ask("POST", "/api/queue", &bearer(&bot), r#"{"id": "t", "payload": 1}"#).ok();
    let claimed = service.ask("POST", "/api/queue/claim", &bearer(&bot), "{}").ok();
    let token = claimed["claims"][0]["token"].to_string();
    service.ask("POST", "/api/queue/t/complete", &bearer(&bot), &format!("{{\"token\": {token}}}")).ok();
    let metrics = service.ask("GET", "/metrics", &bearer(&admin), "").body;
    let (_, log) = service.stop("-TERM");
    assert!(log.contains("/api/queue/{task}/complete") || log.contains("/api/queue/t/complete"), "{log}");
    let events = std::fs::read_to_string(hive.path().with_file_name("events.jsonl")).unwrap();
    let trail = hive.ok(&["get", "audit", "--json"]);
    let secret = |key: &str| key.rsplit('_').next().unwrap().to_owned();
    let cookie = cookie.split_once('=').unwrap().1.to_owned();
    for hidden in [secret(&admin), secret(&bot), secret(&late), secret(&wrong), cookie, token] {
        for text in [&log, &events, &metrics, &trail] {
            assert!(!text.contains(&hidden), "{hidden}: {text}");
        }
    }
}
