//! `docs/openapi.json` is what the service does: every answer of these tests is held against it, and every answer
//! that it declares is asked for.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::BASE;
use crate::schema::{faults, resolved};
use crate::service::{Answer, Service};
use crate::util::Hive;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// The name of nothing.
const NOBODY: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap());

/// An operation of the document.
#[derive(Clone, Copy)]
struct Operation {
    method: &'static str,
    path: &'static str,
    says: &'static Value,
}

fn operations() -> impl Iterator<Item = Operation> {
    let of_path = |(path, methods): (&'static String, &'static Value)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, says)| Operation { method, path, says })
    };
    DOCUMENT["paths"].as_object().unwrap().iter().flat_map(of_path)
}

/// The method and the path of every operation, with this in the place of every name.
pub fn targets(name: &str) -> impl Iterator<Item = (String, String)> {
    operations().map(move |own| (own.method.to_uppercase(), own.path_of(name)))
}

/// The same with the lowest role that may ask, if a key is needed.
pub fn operations_with_roles(name: &str) -> impl Iterator<Item = (String, String, Option<String>)> {
    let role = |own: Operation| own.says["x-hivekeep-role"].as_str().map(str::to_owned);
    operations().map(move |own| (own.method.to_uppercase(), own.path_of(name), role(own)))
}

/// The operation that a request is for; a path without names in braces goes before one with them.
fn operation(method: &str, path: &str) -> Option<Operation> {
    let fits = |template: &str| {
        template.split('/').count() == path.split('/').count()
            && template.split('/').zip(path.split('/')).all(|(own, other)| own.starts_with('{') || own == other)
    };
    let asked = operations().filter(|own| own.method.eq_ignore_ascii_case(method) && fits(own.path));
    asked.min_by_key(|own| own.path.matches('{').count())
}

/// Holds an answer against the document, and a request too when it was granted; gives which answer it is.
pub fn hold(method: &str, target: &str, body: &str, answer: &Answer) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    // The page is no part of the API; module `page` has its tests.
    if path == "/" && answer.status == 200 {
        return String::new();
    }
    let Some(operation) = operation(method, path) else {
        assert!((400..500).contains(&answer.status), "it is not declared:\n{answer}");
        hold_body(&json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}), answer);
        return String::new();
    };
    let responses = &operation.says["responses"];
    let status = answer.status.to_string();
    let status = if responses.get(&status).is_some() { status } else { "default".to_owned() };
    let response = &responses[&status];
    let response = response.get("$ref").map_or(response, |reference| resolved(&DOCUMENT, reference));
    hold_body(&response["content"], answer);
    // The end points of the replaced service take what is nearly right.
    if answer.status < 300 && !path.starts_with(BASE) {
        hold_request(operation, query, body, answer);
    }
    operation.answer(&status)
}

/// The type and the content of an answer are what is declared.
fn hold_body(content: &Value, answer: &Answer) {
    let kind = answer.head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    let Some(declared) = content.get(kind) else { panic!("the type {kind:?} is not declared:\n{answer}") };
    if kind == "text/plain" {
        return;
    }
    let body = hivekeep::json::parse(answer.body.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{answer}"));
    let faults = faults(&DOCUMENT, &declared["schema"], &body);
    assert!(faults.is_empty(), "it is not what docs/openapi.json says: {faults:#?}\n{answer}");
}

fn hold_request(operation: Operation, query: &str, body: &str, answer: &Answer) {
    let declared = operation.says["parameters"].as_array().into_iter().flatten();
    let declared: BTreeSet<_> = declared.map(|parameter| parameter["name"].as_str().unwrap()).collect();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap();
        assert!(declared.contains(name), "{name} is read, or passed over, and not declared:\n{answer}");
    }
    let Some(takes) = operation.says.get("requestBody") else { return };
    if body.trim().is_empty() {
        assert_eq!(takes["required"], false, "it is said to need a body:\n{answer}");
        return;
    }
    let body = hivekeep::json::parse(body.as_bytes()).unwrap();
    let faults = faults(&DOCUMENT, &takes["content"]["application/json"]["schema"], &body);
    assert!(faults.is_empty(), "it takes what docs/openapi.json does not say: {faults:#?}\n{answer}");
}

impl Operation {
    fn answer(&self, status: &str) -> String {
        format!("{} {} {status}", self.method.to_uppercase(), self.path)
    }

    fn declares(&self, status: u16) -> bool {
        self.says["responses"].get(status.to_string()).is_some()
    }

    fn takes(&self, parameter: &str) -> bool {
        let own = self.says["parameters"].as_array().into_iter().flatten();
        own.into_iter().any(|own| own["name"] == parameter)
    }

    /// The path with this in the place of every name.
    fn path_of(&self, name: &str) -> String {
        let parts = self.path.split('/').map(|part| if part.starts_with('{') { name } else { part });
        parts.collect::<Vec<_>>().join("/")
    }

    fn ask(&self, service: &Service, target: &str, body: &str) -> Answer {
        service.ask(&self.method.to_uppercase(), target, "", body)
    }

    /// A body that is as it should be, for something that is not there.
    fn body(&self) -> String {
        let schema = &self.says["requestBody"]["content"]["application/json"]["schema"];
        let needed = schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
        let fields = needed.map(|name| (name.to_owned(), sample(&schema["properties"][name])));
        Value::Object(fields.collect()).to_string()
    }
}

/// Asks for each refusal that follows from what an operation takes.
fn ask_for_refusals(service: &Service) {
    let long = format!(r#"{{"x": "{}"}}"#, "x".repeat(100_000));
    for own in operations() {
        if own.declares(413) {
            own.ask(service, &own.path_of("x"), "{").refused(400);
            own.ask(service, &own.path_of("x"), &long).refused(413);
        }
        if own.declares(422) {
            let (target, body) = match () {
                () if own.path.contains('{') => (own.path_of("%ff"), "{}"),
                () if own.takes("limit") => (format!("{}?limit=x", own.path), ""),
                () if own.takes("at") => (format!("{}?at=yesterday", own.path), ""),
                () if own.path.starts_with(BASE) => (own.path.to_owned(), "[]"),
                () => (format!("{}?another=1", own.path), ""),
            };
            own.ask(service, &target, body).refused(422);
        }
        // A bulk change that fits nothing is asked for with the others.
        if own.declares(404) && own.path != "/api/bulk" {
            let target = own.path_of(NOBODY) + if own.takes("at") { "?at=latest~7" } else { "" };
            own.ask(service, &target, &own.body()).refused(404);
        }
    }
}

/// Something of the sort that a schema asks for.
fn sample(schema: &Value) -> Value {
    let name = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match (name, schema.get("format")) {
        (Some("string"), Some(_)) => json!("2026-01-02T03:04:05Z"),
        (Some("string"), None) => json!("x"),
        (Some("array"), _) if schema["items"].get("$ref").is_some() => json!([{}]),
        (Some("array"), _) => json!(["x"]),
        (Some("object"), _) => json!({}),
        (Some("boolean"), _) => json!(false),
        _ => json!(1),
    }
}

/// Asks without the token, and where the disk is nearly full.
fn ask_for_refusals_of_the_service() -> BTreeSet<String> {
    let hive = Hive::new();
    let guarded = Service::with(&hive, &[], &[("HIVEKEEP_TOKEN", TOKEN)]);
    operations().filter(|own| own.declares(401) && (own.path != "/api/session" || own.method == "delete")).for_each(
        |own| {
            own.ask(&guarded, &own.path_of("x"), "").refused(401);
        },
    );
    let full = Service::start(&hive, &["--min-free", "9999999GiB", "--backup-interval", "off"]);
    operations().filter(|own| own.declares(507)).for_each(|own| {
        own.ask(&full, own.path, "").refused(507);
    });
    full.get("/readyz").with(503);
    for own in operations() {
        let (method, path) = (own.method.to_uppercase(), own.path_of("x"));
        full.raw(format!("{method} {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").as_bytes())
            .refused(421);
        full.ask(&method, &path, "Origin: https://a.example\r\n", "").refused(403);
    }
    let slow = Service::start(&hive, &["--rate-limit", "1"]);
    for own in operations().filter(|own| own.declares(429)) {
        slow.until("the rate is used up", |slow| own.ask(slow, &own.path_of("x"), "").status == 429);
    }
    [guarded.seen(), full.seen(), slow.seen()].concat().into_iter().collect()
}

/// Every operation does its work once.
fn ask_for_work(service: &Service) {
    for id in ["batch", "claim", "purge"] {
        service.post("/api/queue", json!({"payload": null, "id": id})).ok();
        service.post(&format!("/api/queue/{id}/cancel"), "").ok();
    }
    for own in operations().filter(|own| own.method == "get" && !own.path.contains('{')) {
        assert_eq!(own.ask(service, own.path, "").status, 200, "{}", own.path);
    }
    ask_for_recovery(service);
    service.put("/api/registry/BOT-1", json!({"port": 1})).ok();
    service.get("/api/registry/BOT-1").ok();
    service.post("/api/registry/BOT-1/heartbeat", "").ok();
    service.post("/api/chat", json!({"conversation": "c", "role": "user", "content": "x"})).ok();
    service.post("/api/audit", json!({"action": "a", "actor": "b", "details": {"c": 1}})).ok();
    service.put("/api/config/a", "[1]").ok();
    service.get("/api/config/a").ok();
    for path in ["/api/config/a", "/api/collections/config/a"] {
        for (method, body) in [("PUT", "2"), ("DELETE", "")] {
            service.ask(method, path, "If-Match: \"other\"\r\n", body).refused(412);
        }
    }
    service.get("/api/collections/config").ok();
    service.get("/api/collections/config/a").ok();
    service.ask("PATCH", "/api/collections/config", "", r#"{"put_new": {"a": 5}}"#).ok();
    service.put("/api/collections/config/c", "1").ok();
    service.delete("/api/collections/config/c").ok();
    service.put("/api/queue-memory", json!({"most": 9})).ok();
    service.put("/api/policy", json!({"policy": null, "by": "a test"})).ok();
    service.post("/api/crash/ack", "").ok();
    ask_for_schedules(service);
    ask_for_tasks(service);
    // Now with something in them.
    for own in operations().filter(|own| own.method == "get" && !own.path.contains('{')) {
        assert_eq!(own.ask(service, own.path, "").status, 200, "{}", own.path);
    }
    service.delete("/api/config/a").ok();
    service.delete("/api/registry/BOT-1").ok();
    // More tasks than one part of a bulk change has, so that it can be stopped.
    let many: Vec<_> = (0..600).map(|number| json!({"id": format!("bulk-{number}"), "payload": 1})).collect();
    service.post("/api/queue/batch", json!({"tasks": many})).ok();
    service.post("/api/bulk", json!({"action": "cancel", "id": "bulk-", "dry_run": true})).ok();
    service.post("/api/bulk", json!({"action": "cancel", "id": "bulk-", "at_most": 5})).refused(409);
    service.post("/api/bulk", json!({"action": "cancel", "id": "nothing-"})).refused(404);
    let bulk = service.post("/api/bulk", json!({"action": "cancel", "id": "bulk-"})).with(202)["id"].take();
    let bulk = format!("/api/bulk/{}", bulk.as_str().unwrap());
    service.post(&format!("{bulk}/stop"), "").ok();
    service.post(&format!("{bulk}/stop"), "").refused(409);
    service.get(&bulk).ok();
    service.get("/api/bulk").ok();
    let job = service.post("/api/check", "").with(202)["id"].take();
    let path = format!("/api/check/{}", job.as_str().unwrap());
    service.until("the check is done", |service| service.get(&path).ok()["state"] == "done");
    ask_for_keys(service);
}

fn ask_for_schedules(service: &Service) {
    let new = json!({"name": "a", "every_ms": 3_600_000, "task": {"payload": 1}});
    service.post("/api/schedules", &new).ok();
    service.post("/api/schedules", &new).refused(409);
    for verb in ["pause", "resume"] {
        service.post(&format!("/api/schedules/a/{verb}"), "").ok();
    }
    let task = service.post("/api/schedules/a/run", "").ok()["id"].take();
    service.post(&format!("/api/queue/{}/cancel", task.as_str().unwrap()), "").ok();
    service.get("/api/schedules").ok();
    service.get("/api/schedules/a").ok();
    service.delete("/api/schedules/a").ok();
}

/// Last, as the service asks for keys from then on.
fn ask_for_keys(service: &Service) {
    let new = json!({"name": "ops", "role": "admin"});
    let key = service.post("/api/keys", &new).ok()["key"].take();
    let header = format!("Authorization: Bearer {}\r\n", key.as_str().unwrap());
    let ask = |method: &str, path: &str, body: &str| service.ask(method, path, &header, body);
    ask("POST", "/api/keys", &new.to_string()).refused(409);
    ask("GET", "/api/keys", "").ok();
    service.post("/api/session", json!({"key": key})).ok();
    service.post("/api/session", json!({"key": "hk_ops_x"})).refused(401);
    ask("DELETE", "/api/session", "").ok();
    ask("POST", "/api/keys/ops/rotate", "").ok();
    ask("POST", "/api/keys", &json!({"name": "old", "role": "reader"}).to_string()).ok();
    ask("POST", "/api/keys/old/remove", "").refused(409);
    ask("DELETE", "/api/keys/old", "").ok();
    ask("POST", "/api/keys/old/remove", "").ok();
    ask("DELETE", "/api/keys/ops", "").ok();
}

fn ask_for_recovery(service: &Service) {
    service.post(&format!("{BASE}/auto-backup"), "").ok();
    let point = service.post(&format!("{BASE}/restore-point"), "").ok()["restore_point_id"].take();
    service.get(&format!("{BASE}/restore-point/{}", point.as_str().unwrap())).ok();
    let backup = service.post(&format!("{BASE}/backup"), json!({"data": {"a": 1}})).ok()["backup_id"].take();
    let restore = format!("{BASE}/restore/{}", backup.as_str().unwrap());
    for body in [json!({}), json!({"dry_run": true}), json!({"apply": true}), json!({"apply": true, "data": true})] {
        service.post(&restore, body).ok();
    }
    service.post(&format!("{BASE}/mark-shutdown"), "").ok();
    let point = service.post("/api/points", json!({"description": "d", "tags": {"a": "b"}, "held": true})).ok();
    let path = format!("/api/points/{}", point["id"].as_str().unwrap());
    service.put("/api/config/b", "2").ok();
    service.get("/api/versions/config/b").ok();
    service.get(&path).ok();
    service.get(&format!("{path}/diff")).ok();
    service.post(&format!("{path}/hold"), "").ok();
    service.post(&format!("{path}/release"), "").ok();
    service.post(&format!("{path}/restore"), json!({"dry_run": true})).ok();
    service.post(&format!("{path}/restore"), "").ok();
    service.post("/api/undo", json!({"dry_run": true})).ok();
    service.put("/api/config/b", "3").ok();
    service.post("/api/undo", "").refused(409);
    service.post("/api/undo", json!({"discard": true})).ok();
    service.post(&format!("{path}/restore"), json!({"expect": "another state"})).refused(409);
    service.post(&format!("{path}/hold"), "").ok();
    service.delete(&path).refused(409);
    service.post("/api/forget", json!({"points": [point["id"]]})).refused(409);
    service.post("/api/forget", json!({"points": [point["id"]], "dry_run": true})).ok();
    let other = service.post("/api/points", "").ok()["id"].take();
    service.post("/api/forget", json!({"points": [other]})).ok();
    service.post(&format!("{path}/release"), "").ok();
    service.delete(&path).ok();
}

fn ask_for_tasks(service: &Service) {
    let push = |id: &str| service.post("/api/queue", json!({"payload": {"n": 1}, "id": id})).ok();
    let act = |id: &str, verb: &str, body: Value| service.post(&format!("/api/queue/{id}/{verb}"), body);
    let claim = |id: &str| {
        push(id);
        service.post(&format!("/api/queue/{id}/assign"), json!({"bot": format!("of-{id}")})).ok();
        let claims =
            service.post("/api/queue/claim", json!({"bot": format!("of-{id}"), "max": 1})).ok()["claims"].take();
        assert_eq!(claims[0]["id"], id);
        claims[0]["token"].clone()
    };
    let shown = [("complete", "complete"), ("fail", "fail"), ("release", "release"), ("extend", "extend")];
    for (id, verb) in shown {
        let token = claim(id);
        service.get(&format!("/api/queue/{id}")).ok();
        service.get(&format!("/api/queue/{id}/why")).ok();
        service.get(&format!("/api/queue/{id}/dependents")).ok();
        service.get("/api/assignments").ok();
        act(id, verb, json!({"token": 999_999})).refused(409);
        act(id, verb, json!({"token": token})).ok();
    }
    service.post("/api/queue", json!({"payload": 2, "id": "complete"})).refused(409);
    for verb in ["cancel", "requeue", "assign"] {
        let body = if verb == "assign" { json!({"bot": "B"}) } else { json!({}) };
        act("complete", verb, body).refused(409);
    }
    act("release", "cancel", json!({})).ok();
    act("release", "requeue", json!({})).ok();
    service.post("/api/queue/purge", json!({"older_than": "30d"})).ok();
    ask_for_several_tasks(service);
}

fn ask_for_several_tasks(service: &Service) {
    let first = json!({"id": "first", "payload": 1, "assigned_to": "of-batch"});
    let second = json!({"id": "second", "payload": 2, "assigned_to": "of-batch", "depends_on": ["first"]});
    service.post("/api/queue/batch", json!({"tasks": [second, first]})).ok();
    service.post("/api/queue/batch", json!({"tasks": [{"payload": 1, "assigned_to": "nobody"}], "full": true})).ok();
    service.post("/api/queue/batch", json!({"tasks": [{"id": "first", "payload": 1}]})).refused(409);
    let claims = service.post("/api/queue/claim", json!({"bot": "of-batch"})).ok()["claims"].take();
    service.post("/api/queue/nothing/complete-and-claim", json!({"token": 1})).refused(404);
    service.post("/api/queue/first/complete-and-claim", json!({"token": 999_999})).refused(409);
    let ended = service.post("/api/queue/first/complete-and-claim", json!({"token": claims[0]["token"]})).ok();
    let token = &ended["claims"][0]["token"];
    assert_eq!((&ended["completed"]["state"], &ended["claims"][0]["id"]), (&json!("done"), &json!("second")));
    let ended = service.post("/api/queue/second/complete-and-claim", json!({"token": token})).ok();
    assert_eq!(ended["claims"], json!([]));
}

#[test]
fn every_declared_response_is_returned() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--max-body", "64KiB"]);
    ask_for_refusals(&service);
    ask_for_work(&service);
    let mut seen = ask_for_refusals_of_the_service();
    seen.extend(service.seen());
    let declared = operations().flat_map(|own| {
        let statuses = own.says["responses"].as_object().unwrap().keys();
        // The default is what any request may meet; the tests of each of these hold theirs against it.
        statuses.filter(|status| *status != "default").map(move |status| own.answer(status))
    });
    let missing: Vec<_> = declared.filter(|answer| !seen.contains(answer)).collect();
    assert!(missing.is_empty(), "declared, and never given: {missing:#?}");
}

#[test]
fn every_declared_field_is_accepted_and_an_unknown_field_is_refused() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    for own in operations().filter(|own| !own.path.starts_with(BASE)) {
        let schema = &own.says["requestBody"]["content"]["application/json"]["schema"];
        let Some(fields) = schema["properties"].as_object() else { continue };
        let is_needed = |name: &str| schema["required"].as_array().is_some_and(|names| names.contains(&name.into()));
        let needed = fields.iter().filter(|(name, _)| is_needed(name));
        let needed: serde_json::Map<_, _> = needed.map(|(name, schema)| (name.clone(), sample(schema))).collect();
        let ask = |name: &str, value: Value| {
            let mut body = Value::Object(needed.clone());
            body[name] = value;
            own.ask(&service, &own.path_of(NOBODY), &body.to_string())
        };
        for (name, schema) in fields {
            let answer = ask(name, sample(schema));
            assert!(!answer.body.contains("unknown field"), "{answer}");
        }
        let said = ask("another", json!(1)).refused(422);
        assert!(said.ends_with("field=another"), "{said}");
    }
}
