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

#[test]
fn a_batch_is_pushed_as_a_whole_or_refused_and_the_refusal_names_the_task() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let batch = |tasks: serde_json::Value| service.post("/api/queue/batch", json!({ "tasks": tasks }));
    let pushed = batch(json!([
        {"payload": 1, "id": "test", "depends_on": ["build"]},
        {"payload": 2, "id": "build", "idempotency_key": "k", "priority": "p0"},
    ]));
    let expected = json!([
        {"id": "test", "state": "waiting", "existing": false},
        {"id": "build", "state": "ready", "existing": false},
    ]);
    assert_eq!(pushed.ok()["tasks"], expected);
    let again = batch(json!([{"payload": 2, "id": "build", "idempotency_key": "k", "priority": "P0"}])).ok();
    assert_eq!(again["tasks"][0]["existing"], true);
    for (bad, message) in [
        (json!({"payload": 1, "prioritty": "P0"}), "task 2 of the batch: unknown field: field=prioritty"),
        (json!({"id": "x"}), "task 2 of the batch: missing field: field=payload"),
        (
            json!({"payload": 1, "max_attempts": 0}),
            "task 2 of the batch: a task needs at least one attempt: max_attempts=0",
        ),
    ] {
        assert_eq!(batch(json!([{"payload": 1, "id": "new"}, bad])).refused(422), message);
    }
    assert_eq!(batch(json!([1])).refused(422), "field must be an array of objects: field=tasks");
    service.get("/api/queue/new").refused(404);
    let many = vec![json!({"payload": 1}); 10_001];
    let said = batch(json!(many)).refused(422);
    assert_eq!(said, "the tasks of a batch are too many; leave some out: count=10001 max=10000");
    assert_eq!(batch(json!([])).ok()["tasks"], json!([]));
}

#[test]
fn a_bot_that_completes_its_task_waits_for_the_next_one_and_is_told_when_there_is_none() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    service.post("/api/queue", json!({"payload": 1, "id": "a"})).ok();
    let claims = service.post("/api/queue/claim", json!({"bot": "B"})).ok()["claims"].take();
    let mut ended = json!(null);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let body = json!({"token": claims[0]["token"], "result": "built", "wait_ms": 30_000, "lease_ms": 60_000});
            service.post("/api/queue/a/complete-and-claim", body).ok()
        });
        service.until("it is completed before the wait", |service| service.get("/api/queue/a").ok()["state"] == "done");
        service.post("/api/queue", json!({"payload": 2, "id": "b"})).ok();
        ended = waits.join().unwrap();
    });
    assert_eq!((&ended["completed"]["result"], &ended["claims"][0]["id"]), (&json!("built"), &json!("b")));
    let task = service.get("/api/queue/b").ok();
    assert_eq!((&task["holder"]["bot"], &task["holder"]["lease_ms"]), (&json!("B"), &json!(60_000)));
    let last = service.post("/api/queue/b/complete-and-claim", json!({"token": ended["claims"][0]["token"]})).ok();
    assert_eq!((&last["claims"], &last["completed"]["state"]), (&json!([]), &json!("done")));
    assert_eq!(last["reason"], "there is nothing to claim now: bot=B");
}
