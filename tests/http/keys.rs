//! Keys over real sockets: who may do what, and who is let in at all.

use serde_json::{Value, json};

use crate::described::operations_with_roles;
use crate::service::{Answer, Service, secret};
use crate::util::Hive;

const ROLES: [&str; 4] = ["reader", "bot", "operator", "admin"];

fn add(hive: &Hive, name: &str, role: &str) -> String {
    hive.ok(&["key", "add", name, "--role", role]).trim().to_owned()
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}\r\n")
}

/// Asks with that header.
fn ask(service: &Service, method: &str, path: &str, header: &str) -> Answer {
    service.ask(method, path, header, "")
}

#[test]
fn on_every_route_exactly_the_roles_that_may_are_let_in() {
    let hive = Hive::new();
    let keys = ROLES.map(|role| {
        // The bot asks for what is its own.
        let bot = if role == "bot" { &["--bot", "x"][..] } else { &[] };
        let key = hive.ok(&[&["key", "add", &format!("the-{role}"), "--role", role], bot].concat());
        (role, bearer(key.trim()))
    });
    let service = Service::start(&hive, &[]);
    let mut asked = 0;
    for (method, path, needs) in operations_with_roles("x") {
        let without = ask(&service, &method, &path, "");
        match &needs {
            Some(_) => without.refused(401),
            None => panic_unless(![401, 403].contains(&without.status), &without),
        };
        for (at, (role, header)) in keys.iter().enumerate() {
            let answer = ask(&service, &method, &path, header);
            let needed = needs.as_ref().map_or(0, |needed| ROLES.iter().position(|role| role == needed).unwrap());
            if at < needed {
                let said = answer.refused(403);
                assert!(said.contains(&format!("role={role} needs={}", ROLES[needed])), "{said}");
            } else {
                panic_unless(![401, 403].contains(&answer.status), &answer);
            }
            asked += 1;
        }
    }
    assert!(asked > 200, "{asked}");
    for (_, header) in &keys {
        assert_eq!(ask(&service, "GET", "/nowhere", header).status, 404);
        assert_eq!(head(&service, "/api/config", header), 200);
    }
    assert_eq!(head(&service, "/api/keys", &keys[2].1), 403, "HEAD is no way around the role of GET");
    ask(&service, "GET", "/nowhere", "").refused(401);
}

/// The status of an answer without its body.
fn head(service: &Service, path: &str, header: &str) -> u16 {
    let request = format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n");
    service.bare(request.as_bytes()).status
}

fn panic_unless(holds: bool, answer: &Answer) -> String {
    assert!(holds, "{answer}");
    String::new()
}

#[test]
fn only_one_whole_valid_key_in_one_header_is_let_in() {
    let hive = Hive::new();
    let key = add(&hive, "a", "reader");
    let other = add(&hive, "b", "reader");
    let service = Service::start(&hive, &[]);
    let status = |header: &str| ask(&service, "GET", "/api/config", header).status;
    for right in
        [bearer(&key), format!("authorization: bearer   {key}  \r\n"), format!("AUTHORIZATION:\tBEARER {key}\r\n")]
    {
        assert_eq!(status(&right), 200, "{right}");
    }
    let mixed = format!("hk_a_{}", other.rsplit('_').next().unwrap());
    for wrong in [
        String::new(),
        "Authorization:\r\n".into(),
        "Authorization: Bearer\r\n".into(),
        "Authorization: Bearer \r\n".into(),
        format!("Authorization: {key}\r\n"),
        format!("Authorization: Basic {key}\r\n"),
        format!("Authorization: Bearer{key}\r\n"),
        format!("X-Authorization: Bearer {key}\r\n"),
        format!("X-Api-Key: {key}\r\n"),
        format!("Cookie: key={key}\r\n"),
        bearer(&key[..key.len() - 1]),
        bearer(&format!("{key}0")),
        bearer(&format!("{key} {key}")),
        bearer(&format!("{key},{key}")),
        bearer(&format!("{key}\u{e9}")),
        bearer(&key.to_uppercase()),
        bearer(&mixed),
        bearer(&"hk_a_".repeat(2_000)),
        bearer(&key) + &bearer(&key),
        bearer(&key) + &bearer(&other),
        bearer("x") + &bearer(&key),
    ] {
        let answer = ask(&service, "GET", "/api/config", &wrong);
        answer.refused(401);
        assert!(answer.head.contains("www-authenticate: Bearer"), "{answer}");
    }
    assert_eq!(ask(&service, "GET", "/livez", &bearer("x")).status, 200, "a probe with an old key is answered");
    let in_query = ask(&service, "GET", &format!("/api/config?key={key}&access_token={key}"), "");
    assert_eq!(in_query.status, 401);
}

#[test]
fn a_key_that_is_revoked_or_expires_while_the_service_runs_is_let_in_no_more() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    service.get("/api/config").ok();
    let admin = bearer(&add(&hive, "ops", "admin"));
    service.until("the first key closes the service", |service| service.get("/api/config").status == 401);
    let made = service.ask("POST", "/api/keys", &admin, r#"{"name": "short", "role": "reader", "expires": "1s"}"#);
    let short = bearer(made.ok()["key"].as_str().unwrap());
    assert_eq!(ask(&service, "GET", "/api/config", &short).status, 200, "it is known at once");
    service.until("it expires", |service| ask(service, "GET", "/api/config", &short).status == 401);
    let said = ask(&service, "GET", "/api/config", &short).refused(401);
    assert!(said.contains("expired"), "{said}");

    let reader = bearer(&add(&hive, "r", "reader"));
    service.until("it is known", |service| ask(service, "GET", "/api/config", &reader).status == 200);
    hive.ok(&["key", "revoke", "r"]);
    service.until("it is revoked", |service| ask(service, "GET", "/api/config", &reader).status == 401);
    ask(&service, "DELETE", "/api/keys/ops", &admin).ok();
    ask(&service, "GET", "/api/config", &admin).refused(401);
    service.get("/api/config").refused(401);
    for name in ["ops", "short", "r"] {
        hive.run(&["key", "revoke", name]).with(0);
        hive.ok(&["key", "remove", name]);
    }
    service.until("a store without keys is open", |service| service.get("/api/config").status == 200);
}

#[test]
fn the_command_line_and_http_show_the_same_keys_and_never_a_secret() {
    let hive = Hive::new();
    let admin = add(&hive, "ops", "admin");
    let service = Service::start(&hive, &[]);
    let post = |path: &str, body: Value| service.ask("POST", path, &bearer(&admin), &body.to_string());
    let bot = post("/api/keys", json!({"name": "night", "role": "bot", "bot": "BOT-7"})).ok()["key"].take();
    let bot = bot.as_str().unwrap();
    let rotated = post("/api/keys/night/rotate", json!({"keep_old": "1h"})).ok()["key"].take();
    for key in [bot, rotated.as_str().unwrap()] {
        let me = ask(&service, "GET", "/api/me", &bearer(key)).ok();
        let may = json!({"reader": true, "bot": true, "operator": false, "admin": false});
        assert_eq!(me, json!({"key": "night", "role": "bot", "bot": "BOT-7", "may": may}));
    }
    let over_http = ask(&service, "GET", "/api/keys", &bearer(&admin));
    assert_eq!(over_http.ok()["keys"].as_array().unwrap().len(), 2);
    let text = over_http.body + &hive.ok(&["key", "list"]) + &hive.ok(&["key", "list", "--json"]);
    for key in [bot, &admin, rotated.as_str().unwrap()] {
        assert!(!text.contains(key.rsplit('_').next().unwrap()));
    }
    let listed = hive.json(&["key", "list"]);
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|key| key["name"].clone()).collect();
    assert_eq!(names, ["night", "ops"]);
    service.until("the use is written", |_| hive.json(&["key", "list"])[1]["last_used_at"] != Value::Null);
    let refused = [
        (json!({"name": "a b", "role": "reader"}), 422),
        (json!({"name": "a", "role": "root"}), 422),
        (json!({"name": "a", "role": "reader", "bot": "B"}), 422),
        (json!({"name": "a", "role": "reader", "expires": "0s"}), 422),
        (json!({"name": "ops", "role": "reader"}), 409),
    ];
    for (body, status) in refused {
        post("/api/keys", body).refused(status);
    }
    let (_, log) = service.stop("-TERM");
    assert!(!log.contains("hk_"), "{log}");
}

#[test]
fn with_keys_other_machines_may_be_let_in_without_a_token() {
    let hive = Hive::new();
    let key = add(&hive, "a", "admin");
    let service = Service::start(&hive, &["--listen", "0.0.0.0:0", "--insecure-no-tls"]);
    service.get("/api/config").refused(401);
    assert_eq!(ask(&service, "GET", "/api/config", &bearer(&key)).status, 200);
    for verb in ["revoke", "remove"] {
        hive.ok(&["key", verb, "a"]);
    }
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(service.get("/api/config").status, 401, "without any key it stays closed to other machines");
    let (_, said) = service.stop("-TERM");
    assert!(!said.contains("everybody"), "{said}");
}

#[test]
fn the_token_is_worth_the_key_of_an_admin_beside_the_keys() {
    let hive = Hive::new();
    let key = add(&hive, "a", "reader");
    let token = "0123456789abcdef0123456789abcdef";
    let service = Service::with(&hive, &[], &[("HIVEKEEP_TOKEN", token)]);
    assert_eq!(ask(&service, "GET", "/api/me", &bearer(&key)).ok()["role"], "reader");
    let me = ask(&service, "GET", "/api/me", &bearer(token)).ok();
    assert_eq!((&me["role"], &me["key"]), (&json!("admin"), &json!("token")));
    ask(&service, "GET", "/api/keys", &bearer(token)).ok();
}

#[test]
fn a_bot_registers_itself_on_the_command_line_and_nobody_else() {
    let hive = Hive::new();
    let key = secret(&hive, "bot.key", &add(&hive, "A", "bot"));
    let service = Service::start(&hive, &[]);
    let url = service.url();
    let by_bot = |rest: &[&str]| hive.run(&[&["--store", &url, "--key-file", key.to_str().unwrap()], rest].concat());
    by_bot(&["put", "registry", "A", r#"{"port": 8001}"#]).with(0);
    assert_eq!(hive.json(&["get", "registry", "A"])["port"], 8001);
    for verb in [&["put", "registry", "B", "{}"][..], &["remove", "registry", "B"], &["put", "config", "limit", "1"]] {
        by_bot(verb).with(1);
    }
    by_bot(&["remove", "registry", "A"]).with(0);
    by_bot(&["remove", "registry", "A"]).with(13);
}

#[test]
fn a_bot_does_on_every_route_what_is_its_own_and_nothing_for_another_bot() {
    let hive = Hive::new();
    let [a, b] = ["A", "B"].map(|name| bearer(&add(&hive, name, "bot")));
    let service = Service::start(&hive, &[]);
    let ask = |key: &str, method: &str, path: &str, body: Value| service.ask(method, path, key, &body.to_string());
    let claim = |key: &str, body: Value| ask(key, "POST", "/api/queue/claim", body);
    for key in [&a, &b] {
        let name = if key == &a { "A" } else { "B" };
        ask(key, "PUT", &format!("/api/registry/{name}"), json!({"port": 1})).ok();
        ask(key, "POST", &format!("/api/registry/{name}/heartbeat"), json!({})).ok();
    }
    let forbidden = |answer: Answer| {
        let said = answer.refused(403);
        assert!(said.contains("acts as another bot") || said.contains("a task that it holds"), "{said}");
    };
    forbidden(ask(&b, "PUT", "/api/registry/A", json!({"port": 2})));
    forbidden(ask(&b, "POST", "/api/registry/A/heartbeat", json!({})));
    forbidden(ask(&b, "DELETE", "/api/registry/A", json!({})));
    forbidden(claim(&b, json!({"bot": "A"})));
    let message = |bot: Option<&str>| json!({"conversation": "c", "role": "user", "content": "x", "bot_id": bot});
    forbidden(ask(&b, "POST", "/api/chat", message(Some("A"))));
    ask(&b, "POST", "/api/chat", message(None)).ok();
    ask(&b, "POST", "/api/chat", message(Some("B"))).ok();
    let said = ask(&a, "GET", "/api/chat?bot=B", Value::Null).ok()["messages"].take();
    assert_eq!(said.as_array().unwrap().len(), 2, "a message without a bot is of the bot of the key");
    forbidden(ask(&b, "POST", "/api/audit", json!({"action": "x", "actor": "A"})));
    ask(&b, "POST", "/api/audit", json!({"action": "x"})).ok();
    let entry = ask(&a, "GET", "/api/audit?actor=B&action=x", Value::Null).ok()["entries"][0].take();
    assert_eq!((&entry["actor"], &entry["asked_by"]["told"]), (&json!("B"), &json!(true)));

    for id in ["one", "two", "free"] {
        ask(&b, "POST", "/api/queue", json!({"payload": 1, "id": id})).ok();
    }
    let held = claim(&a, json!({"max": 1})).ok()["claims"][0].take();
    let (id, token) = (held["id"].as_str().unwrap(), held["token"].clone());
    for verb in ["complete", "fail", "extend", "release", "complete-and-claim"] {
        for token in [&token, &json!(1)] {
            forbidden(ask(&b, "POST", &format!("/api/queue/{id}/{verb}"), json!({"token": token})));
        }
    }
    for body in [json!({}), json!({"token": token})] {
        forbidden(ask(&b, "POST", &format!("/api/queue/{id}/cancel"), body));
    }
    forbidden(ask(&b, "POST", "/api/queue/free/cancel", json!({})));
    ask(&a, "POST", &format!("/api/queue/{id}/extend"), json!({"token": token})).ok();
    ask(&a, "POST", &format!("/api/queue/{id}/complete"), json!({"token": token})).ok();
    let own = claim(&b, json!({"bot": "B"})).ok()["claims"][0].take();
    let path = format!("/api/queue/{}/cancel", own["id"].as_str().unwrap());
    ask(&b, "POST", &path, json!({"token": own["token"]})).ok();
    ask(&b, "DELETE", "/api/registry/B", json!({})).ok();
}

/// The target and body by which a bot does something for bot A; none where a request is of no bot.
fn for_a(method: &str, path: &str, held: &Value) -> Option<(String, Value)> {
    let of_task =
        path.strip_prefix("/api/queue/x/").map(|verb| format!("/api/queue/{}/{verb}", held["id"].as_str().unwrap()));
    match (method, path) {
        ("POST", "/api/queue" | "/api/queue/batch") => None,
        (_, "/api/registry/x" | "/api/registry/x/heartbeat") => Some((path.replace("/x", "/A"), json!({}))),
        ("POST", "/api/queue/claim") => Some((path.into(), json!({"bot": "A"}))),
        ("POST", "/api/chat") => {
            Some((path.into(), json!({"conversation": "c", "role": "user", "content": "x", "bot_id": "A"})))
        }
        ("POST", "/api/audit") => Some((path.into(), json!({"action": "x", "actor": "A"}))),
        _ => Some((
            of_task.unwrap_or_else(|| panic!("say how {method} {path} names a bot")),
            json!({"token": held["token"]}),
        )),
    }
}

#[test]
fn on_every_route_of_bots_only_the_bot_itself_and_higher_roles_act_for_it() {
    let hive = Hive::new();
    let [a, b] = ["A", "B"].map(|name| bearer(&add(&hive, name, "bot")));
    let [reader, ops] = ["reader", "operator"].map(|role| bearer(&add(&hive, &format!("the-{role}"), role)));
    let service = Service::start(&hive, &[]);
    let ask = |key: &str, method: &str, path: &str, body: &Value| service.ask(method, path, key, &body.to_string());
    let mut held_to = 0;
    for (method, path, _) in operations_with_roles("x").filter(|(.., needs)| needs.as_deref() == Some("bot")) {
        ask(&ops, "POST", "/api/queue", &json!({"payload": 1, "assigned_to": "A"})).ok();
        let held = ask(&a, "POST", "/api/queue/claim", &json!({"max": 1})).ok()["claims"][0].take();
        let Some((target, body)) = for_a(&method, &path, &held) else { continue };
        for (who, key) in [("another bot", &b), ("a reader", &reader)] {
            assert_eq!(ask(key, &method, &target, &body).status, 403, "{method} {target} by {who}");
        }
        for (who, key) in [("the bot", &a), ("an operator", &ops)] {
            let status = ask(key, &method, &target, &body).status;
            assert!(![401, 403].contains(&status), "{method} {target} by {who}: {status}");
        }
        // A bot holds a few tasks at once only.
        ask(&ops, "POST", &format!("/api/queue/{}/cancel", held["id"].as_str().unwrap()), &json!({}));
        held_to += 1;
    }
    assert!(held_to > 10, "{held_to}");
}

#[test]
fn the_token_of_a_claim_is_shown_to_its_holder_and_to_nobody_else() {
    let hive = Hive::new();
    let [a, b, ops, admin] = [("A", "bot"), ("B", "bot"), ("ops", "operator"), ("root", "admin")]
        .map(|(name, role)| bearer(&add(&hive, name, role)));
    let service = Service::start(&hive, &[]);
    let push = r#"{"payload": 1, "id": "t", "idempotency_key": "k"}"#;
    service.ask("POST", "/api/points", &ops, "").ok();
    service.ask("POST", "/api/queue", &a, push).ok();
    let claimed = service.ask("POST", "/api/queue/claim", &a, "{}").ok();
    let token = claimed["claims"][0]["token"].to_string();
    assert!(token.len() >= 16, "{token}");
    service.ask("POST", "/api/points", &ops, "").ok();
    for path in [
        "/api/queue",
        "/api/queue?state=claimed",
        "/api/queue/t",
        "/api/queue/t?at=latest",
        "/api/queue/t/why",
        "/api/versions/queue/t",
        "/api/points/latest~1/diff",
        "/api/assignments",
        "/api/events",
        "/api/audit",
    ] {
        for key in [&b, &ops, &admin] {
            let answer = service.ask("GET", path, key, "");
            assert!(answer.status == 200 && !answer.body.contains(&token), "{answer}");
        }
    }
    let again = service.ask("POST", "/api/queue", &b, push);
    assert!(again.ok()["existing"] == true && !again.body.contains(&token), "{again}");
    for path in ["/api/queue", "/api/queue/t", "/api/versions/queue/t", "/api/points/latest~1/diff"] {
        let answer = service.ask("GET", path, &a, "");
        assert!(answer.body.contains(&token), "its holder sees it: {answer}");
    }
    let cancelled = service.ask("POST", "/api/queue/t/cancel", &ops, "");
    assert!(cancelled.ok()["state"] == "cancelled" && !cancelled.body.contains(&token));
}

#[test]
fn a_token_in_a_document_is_shown_to_operators_and_to_no_reader_and_no_bot() {
    let hive = Hive::new();
    let [reader, bot, operator, _] = ROLES.map(|role| bearer(&add(&hive, role, role)));
    let service = Service::start(&hive, &[]);
    let point = service.ask("POST", "/api/points", &operator, "{}").ok()["id"].as_str().unwrap().to_owned();
    let task = json!({"id": "t", "holder": {"bot": "A", "token": 424_242}, "note": "x".repeat(5_000)});
    let document = json!({"tasks": [task], "claims": {"token": 424_242}, "tokens": 7}).to_string();
    let path = "/api/collections/documents/queue%2Ftoken";
    service.ask("PUT", path, &operator, &document).ok();
    let diff = format!("/api/points/{point}/diff");
    for asked in [path, "/api/collections/documents", &diff] {
        let shown = |header: &str| {
            let answer = ask(&service, "GET", asked, header);
            answer.ok();
            (
                answer.body.contains("424242"),
                answer.body.contains("\"token\":null"),
                answer.body.contains("\"tokens\":7"),
            )
        };
        assert_eq!(shown(&operator), (true, false, asked != diff), "{asked}");
        for key in [&reader, &bot] {
            assert!(!shown(key).0, "{asked}");
            assert_eq!(shown(key).2, asked != diff, "{asked}: all else is shown");
        }
    }
    assert_eq!(ask(&service, "GET", path, &reader).ok()["value"]["tasks"][0]["holder"]["token"], Value::Null);
}

#[test]
fn a_key_that_is_revoked_while_its_request_waits_gets_nothing() {
    let hive = Hive::new();
    let [a, ops] = [("A", "bot"), ("ops", "admin")].map(|(name, role)| bearer(&add(&hive, name, role)));
    let service = Service::start(&hive, &[]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| service.ask("POST", "/api/queue/claim", &a, r#"{"wait_ms": 20000}"#));
        std::thread::sleep(std::time::Duration::from_millis(500));
        service.ask("DELETE", "/api/keys/A", &ops, "").ok();
        service.ask("POST", "/api/queue", &ops, r#"{"payload": 1, "id": "t"}"#).ok();
        let said = waiting.join().unwrap().refused(403);
        assert!(said.contains("no longer valid"), "{said}");
    });
    assert_eq!(service.ask("GET", "/api/queue/t", &ops, "").ok()["state"], "ready");
}

#[test]
fn a_service_over_a_store_whose_keys_are_lost_lets_nobody_in_and_says_how_to_go_on() {
    let hive = Hive::new();
    add(&hive, "ops", "admin");
    hive.ok(&["export", "e.tar.gz"]);
    let new = Hive::empty();
    let archive = hive.path().with_file_name("e.tar.gz");
    new.ok(&["import", archive.to_str().unwrap()]);
    let service = Service::start(&new, &[]);
    service.get("/api/config").refused(401);
    let key = add(&new, "ops", "admin");
    service.until("the new key is known", |service| ask(service, "GET", "/api/config", &bearer(&key)).status == 200);
    let (_, said) = service.stop("-TERM");
    assert!(said.contains("no key of the store is valid, so nobody is let in; add one: hivekeep key add"), "{said}");
}
