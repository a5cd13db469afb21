//! Every change over HTTP is in the audit trail, once, and so is every refusal.

use std::time::Instant;

use serde_json::{Value, json};

use crate::BASE;
use crate::described::operations_with_roles;
use crate::service::Service;
use crate::util::Hive;

/// Requests that change no state, each with the reason.
const CHANGE_NOTHING: [(&str, &str); 4] = [
    ("/api/crash/ack", "without a crash there is nothing to acknowledge"),
    ("/api/session", "a session is in memory only"),
    ("/api/registry/x/heartbeat", "it says that a bot lives, and is not durable by itself"),
    ("/api/check", "it verifies, and writes an event only if it finds damage"),
];

/// The entries of the trail, newest first.
fn entries(service: &Service, key: &str) -> Vec<Value> {
    let entries = service.ask("GET", "/api/audit?limit=1000", key, "").ok()["entries"].take();
    entries.as_array().unwrap().clone()
}

/// Brings about a state in which the request can be made, and gives its target and body.
fn prepared(path: &str, key: &str, ask: &dyn Fn(&str, &str, Value) -> Value) -> (String, Value) {
    let claim = |id: &str| {
        // It is claimed before the tasks that other requests left.
        ask("POST", "/api/queue", json!({"payload": 1, "id": id, "priority": "P0"}));
        ask("POST", &format!("/api/queue/{id}/assign"), json!({"bot": format!("of-{id}")}));
        let claims = ask("POST", "/api/queue/claim", json!({"bot": format!("of-{id}")}));
        claims["claims"][0]["token"].clone()
    };
    let point = || ask("POST", "/api/points", json!({}))["id"].as_str().unwrap().to_owned();
    let put = |value: u64| ask("PUT", "/api/config/x", json!(value));
    let verb = path.rsplit('/').next().unwrap();
    match path {
        "/api/registry/x" => (path.into(), json!({"port": 1})),
        "/api/bulk" => {
            ask("POST", "/api/queue", json!({"payload": 1, "id": "one"}));
            (path.into(), json!({"action": "cancel", "id": "one"}))
        }
        "/api/bulk/x/stop" => {
            // More than one part of a bulk change has, so that it can be stopped.
            let many: Vec<_> = (0..6000).map(|number| json!({"id": format!("bulk-{number}"), "payload": 1})).collect();
            ask("POST", "/api/queue/batch", json!({ "tasks": many }));
            let job = ask("POST", "/api/bulk", json!({"action": "cancel", "id": "bulk-"}));
            (format!("/api/bulk/{}/stop", job["id"].as_str().unwrap()), json!({}))
        }
        "/api/registry/x/heartbeat" => {
            ask("PUT", "/api/registry/x", json!({}));
            (path.into(), json!({}))
        }
        "/api/queue" => (path.into(), json!({"payload": 1})),
        "/api/queue/batch" => (path.into(), json!({"tasks": [{"payload": 1}, {"payload": 2}]})),
        "/api/queue/claim" => {
            ask("POST", "/api/queue", json!({"payload": 1, "assigned_to": "C"}));
            (path.into(), json!({"bot": "C"}))
        }
        "/api/queue/purge" => {
            ask("POST", "/api/queue", json!({"payload": 1, "id": "old"}));
            ask("POST", "/api/queue/old/cancel", json!({}));
            std::thread::sleep(std::time::Duration::from_millis(1100));
            (path.into(), json!({"older_than": "1s"}))
        }
        "/api/queue/x/cancel" | "/api/queue/x/assign" | "/api/queue/x/requeue" => {
            let id = format!("to-{verb}");
            ask("POST", "/api/queue", json!({"payload": 1, "id": id}));
            if verb == "requeue" {
                ask("POST", &format!("/api/queue/{id}/cancel"), json!({}));
            }
            (format!("/api/queue/{id}/{verb}"), if verb == "assign" { json!({"bot": "D"}) } else { json!({}) })
        }
        _ if path.starts_with("/api/queue/x/") => {
            let id = format!("to-{verb}");
            let token = claim(&id);
            (format!("/api/queue/{id}/{verb}"), json!({"token": token}))
        }
        "/api/session" => (path.into(), json!({"key": key})),
        "/api/chat" => (path.into(), json!({"conversation": "c", "role": "user", "content": "x"})),
        "/api/audit" => (path.into(), json!({"action": "a", "actor": "b"})),
        "/api/config/x" => {
            put(1);
            (path.into(), json!(2))
        }
        "/api/collections/x" => (path.into(), json!({"put": {"a": 1}})),
        "/api/collections/x/x" => {
            ask("PUT", path, json!(3));
            (path.into(), json!(4))
        }
        "/api/policy" => (path.into(), json!({"policy": null})),
        "/api/queue-memory" => (path.into(), json!({"most": 9})),
        "/api/forget" => (path.into(), json!({"points": [point()]})),
        "/api/keys/x/remove" => {
            ask("POST", "/api/keys", json!({"name": "to-remove", "role": "reader"}));
            ask("DELETE", "/api/keys/to-remove", json!({}));
            ("/api/keys/to-remove/remove".into(), json!({}))
        }
        "/api/points/x" => (format!("/api/points/{}", point()), json!({})),
        "/api/points/x/hold" | "/api/points/x/release" => {
            let point = point();
            if verb == "release" {
                ask("POST", &format!("/api/points/{point}/hold"), json!({}));
            }
            (format!("/api/points/{point}/{verb}"), json!({}))
        }
        "/api/points/x/restore" | "/api/undo" => {
            put(7);
            let restore = format!("/api/points/{}/restore", point());
            put(8);
            if verb == "undo" {
                ask("POST", &restore, json!({"only": ["config"]}));
                return (path.into(), json!({}));
            }
            (restore, json!({"only": ["config"]}))
        }
        "/api/schedules" => (path.into(), json!({"name": "new", "every_ms": 3_600_000, "task": {"payload": 1}})),
        _ if path.starts_with("/api/schedules/x") => {
            let new = json!({"name": "x", "every_ms": 3_600_000, "task": {"payload": 1}, "replace": true});
            ask("POST", "/api/schedules", new);
            if verb == "resume" {
                ask("POST", "/api/schedules/x/pause", json!({}));
            }
            (path.into(), json!({}))
        }
        "/api/keys" => (path.into(), json!({"name": "new", "role": "reader"})),
        "/api/keys/x" | "/api/keys/x/rotate" => {
            let name = format!("to-{}", if verb == "x" { "revoke" } else { verb });
            ask("POST", "/api/keys", json!({"name": name, "role": "reader"}));
            (path.replace("/x", &format!("/{name}")), json!({}))
        }
        _ if path == format!("{BASE}/restore/x") => {
            let backup = ask("POST", &format!("{BASE}/backup"), json!({"data": {"a": 1}}));
            (format!("{BASE}/restore/{}", backup["backup_id"].as_str().unwrap()), json!({}))
        }
        _ if path == format!("{BASE}/auto-backup") => {
            put(11);
            (path.into(), json!({}))
        }
        _ if path == format!("{BASE}/backup") => (path.into(), json!({"data": {"a": 2}})),
        _ => (path.into(), json!({})),
    }
}

#[test]
fn every_request_that_changes_something_leaves_exactly_one_entry_with_who_asked() {
    let hive = Hive::new();
    let key = format!("Authorization: Bearer {}\r\n", hive.ok(&["key", "add", "ops", "--role", "admin"]).trim());
    let service = Service::start(&hive, &["--backup-interval", "off", "--archive-every", "off"]);
    let ask = |method: &str, path: &str, body: Value| {
        let answer = service.ask(method, path, &key, &body.to_string());
        assert!(answer.status < 300, "{answer}");
        serde_json::from_str::<Value>(&answer.body).unwrap()
    };
    service.ask("PUT", "/api/registry/x", &key, "{}").ok();
    let mut asked = 0;
    for (method, path, _) in operations_with_roles("x").filter(|(method, ..)| method != "GET") {
        let (target, body) = prepared(&path, key.rsplit(' ').next().unwrap().trim(), &ask);
        let before = entries(&service, &key).len();
        ask(&method, &target, body);
        let after = entries(&service, &key);
        let changes = !CHANGE_NOTHING.iter().any(|(other, _)| *other == path);
        // Two changes in one commit are an entry each.
        let wanted = if path.ends_with("/complete-and-claim") { 2 } else { usize::from(changes) };
        assert_eq!(after.len() - before, wanted, "{method} {target}: {:#?}", &after[..after.len() - before]);
        if changes {
            let asked_by = &after[0]["asked_by"];
            assert_eq!((&asked_by["actor"], &asked_by["address"]), (&json!("ops"), &json!("127.0.0.1")), "{target}");
            assert!(asked_by["request_id"].is_string() && asked_by["told"] == json!(path == "/api/audit"), "{target}");
            asked += 1;
        }
    }
    assert!(asked > 30, "{asked}");
    for (method, path, _) in operations_with_roles("x").filter(|(method, ..)| method == "GET") {
        let before = entries(&service, &key).len();
        service.ask(&method, &path, &key, "");
        assert_eq!(entries(&service, &key).len(), before, "{path} is a read");
    }
    let events = service.ask("GET", "/api/events?limit=1000", &key, "").ok()["events"].take();
    let restored = events.as_array().unwrap().iter().find(|event| event["event"] == "restore_successful").unwrap();
    assert_eq!(restored["actor"], "ops");
    assert!(hive.ok(&["check"]).starts_with("sound"));
}

#[test]
fn refusals_are_in_the_trail_gathered_by_the_second() {
    let hive = Hive::new();
    let reader = format!("Authorization: Bearer {}\r\n", hive.ok(&["key", "add", "r", "--role", "reader"]).trim());
    let service = Service::start(&hive, &[]);
    let begun = Instant::now();
    for _ in 0..50 {
        service.get("/api/config").refused(401);
        service.ask("POST", "/api/undo", &reader, "").refused(403);
    }
    let refused = |service: &Service| {
        let entries = service.ask("GET", "/api/audit?action=refused", &reader, "").ok()["entries"].take();
        entries.as_array().unwrap().clone()
    };
    let count =
        |service: &Service| refused(service).iter().filter_map(|entry| entry["details"]["count"].as_u64()).sum::<u64>();
    service.until("all are written", |service| count(service) == 100u64);
    let entries = refused(&service);
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(entries.len() <= 2 * (seconds + 2), "{} in {seconds} s", entries.len());
    for (actor, target, result) in [("unknown", "GET /api/config", "401"), ("r", "POST /api/undo", "403")] {
        let is_one = |entry: &&Value| entry["actor"] == actor && entry["target"] == target && entry["result"] == result;
        let entry = entries.iter().find(is_one).unwrap_or_else(|| panic!("{actor}: {entries:#?}"));
        assert_eq!((&entry["level"], &entry["asked_by"]["address"]), (&json!("warning"), &json!("127.0.0.1")));
    }
}
