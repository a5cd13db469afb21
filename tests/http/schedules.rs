//! Schedules over HTTP: their routes, and the service that fires them.

use serde_json::json;

use crate::service::Service;
use crate::util::Hive;

#[test]
fn the_service_fires_schedules_and_shows_them() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let task = json!({"payload": {"n": 1}, "priority": "P1"});
    let new = json!({"name": "often", "every_ms": 1000, "missed": "all", "task": task});
    let added = service.post("/api/schedules", &new).ok();
    assert_eq!((&added["every_ms"], &added["task"]["priority"]), (&json!(1000), &json!("P1")));
    service.post("/api/schedules", &new).refused(409);
    service.until("it fires twice", |service| {
        service.get("/api/queue?id=often@").ok()["tasks"].as_array().unwrap().len() >= 2
    });
    let shown = service.get("/api/schedules/often").ok();
    let last = shown["last_task"].as_str().unwrap().to_owned();
    assert!(last.starts_with("often@20"), "{last}");
    let task = service.get(&format!("/api/queue/{last}")).ok();
    assert_eq!(
        (&task["attributes"]["schedule"], &task["attributes"]["due_at"]),
        (&json!("often"), &shown["last_due_at"])
    );
    assert_eq!(service.post("/api/schedules/often/pause", "").ok()["next_at"], json!(null));
    assert_eq!(service.post("/api/schedules/often/run", "").ok()["attributes"]["schedule"], "often");
    assert_eq!(service.post("/api/schedules/often/resume", "").ok()["paused"], json!(false));
    let nightly = json!({
        "name": "nightly", "cron": "0 3 * * *", "time_zone": "Europe/Vienna", "replace": true, "task": {"payload": 1},
    });
    service.post("/api/schedules", nightly).ok();
    let page = service.get("/api/schedules?limit=1").ok();
    assert_eq!(page["schedules"][0]["name"], "nightly");
    let next = page["next"].as_str().unwrap();
    let rest = service.get(&format!("/api/schedules?limit=1&cursor={next}")).ok();
    assert_eq!((&rest["schedules"][0]["name"], &rest["next"]), (&json!("often"), &json!(null)));
    service.delete("/api/schedules/often").ok();
    service.delete("/api/schedules/often").refused(404);
    assert_eq!(service.get("/api/schedules").ok()["schedules"].as_array().unwrap().len(), 1);
    assert_eq!(service.get("/readyz").ok()["checks"]["schedules"]["ok"], true);
}

#[test]
fn a_wrong_schedule_is_refused_by_its_field() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    for (body, said) in [
        (json!({"name": "a", "task": {"payload": 1}}), "every_ms, cron"),
        (json!({"name": "a", "every_ms": 1, "task": {"payload": 1}}), "too short"),
        (json!({"name": "a b", "every_ms": 1000, "task": {"payload": 1}}), "the name of a schedule"),
        (json!({"name": "a", "cron": "x", "task": {"payload": 1}}), "five fields"),
        (json!({"name": "a", "every_ms": 1000, "task": {"payload": 1, "id": "t"}}), "field=id"),
        (json!({"name": "a", "every_ms": 1000, "task": 1}), "task"),
        (json!({"name": "a", "every_ms": 1000, "colour": 1, "task": {"payload": 1}}), "field=colour"),
    ] {
        let refused = service.post("/api/schedules", &body).refused(422);
        assert!(refused.contains(said), "{body}: {refused}");
    }
    service.get("/api/schedules/a%20b").refused(422);
}
