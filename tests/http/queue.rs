//! Requests that the queue accepts over HTTP, and requests that it refuses.

use serde_json::json;

use crate::service::Service;
use crate::util::Hive;

#[test]
fn more_attempts_than_a_task_can_have_are_refused_with_the_bound() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let push = |attempts: u64| service.post("/api/queue", json!({"payload": 1, "max_attempts": attempts}));
    let said = push(4_294_967_296).refused(422);
    assert_eq!(said, "max_attempts is too large: max_attempts=4294967296 limit=4294967295");
    assert_eq!(push(4_294_967_295).ok()["max_attempts"], 4_294_967_295_u32);
    push(0).refused(422);
}

#[test]
fn an_attempt_fails_with_a_reason_and_is_retried_after_a_delay_or_never() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    service.post("/api/queue", json!({"payload": 1, "id": "a"})).ok();
    let claims = service.post("/api/queue/claim", json!({"bot": "B"})).ok()["claims"].take();
    let token = claims[0]["token"].clone();
    let fail = |how: serde_json::Value| service.post("/api/queue/a/fail", how);
    let said = fail(json!({"token": token, "retry": false, "delay_ms": 5})).refused(422);
    assert!(said.ends_with("retry=false delay_ms=5"), "{said}");
    let failed = fail(json!({"token": token, "retry": true, "delay_ms": 0})).ok();
    assert_eq!((&failed["state"], &failed["last_error"]), (&json!("ready"), &json!("no reason was given")));
    let token = hive.json(&["queue", "claim", "B"])["token"].to_string();
    let failed = hive.json(&["queue", "fail", "a", "--token", &token, "--no-retry"]);
    assert_eq!((&failed["state"], &failed["last_error"]), (&json!("failed"), &json!("no reason was given")));
}

#[test]
fn an_assigned_task_is_unassigned_only_by_an_explicit_null() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    service.post("/api/queue", json!({"payload": 1, "id": "a", "assigned_to": "B"})).ok();
    for body in ["", "{}", "null"] {
        let said = service.post("/api/queue/a/assign", body).refused(422);
        assert_eq!(said, "missing field: field=bot");
    }
    assert_eq!(service.get("/api/queue/a").ok()["assigned_to"], "B");
    let assign = |bot: serde_json::Value| service.post("/api/queue/a/assign", json!({ "bot": bot }));
    assign(json!("")).refused(422);
    assert_eq!(assign(json!("C")).ok()["assigned_to"], "C");
    assert_eq!(assign(json!(null)).ok()["assigned_to"], json!(null));
}
