//! Changes of all tasks of a filter: a job that outlives the request, and the service.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::service::Service;
use crate::util::Hive;

/// So many tasks take many transactions.
const MANY: usize = 6_000;

fn push(service: &Service, count: usize) {
    let tasks: Vec<_> = (0..count).map(|number| json!({"id": format!("build-{number:05}"), "payload": 1})).collect();
    service.post("/api/queue/batch", json!({ "tasks": tasks })).ok();
}

/// The job, once it is as it should be.
fn until(service: &Service, id: &str, what: &str, so: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let job = service.get(&format!("/api/bulk/{id}")).ok();
        if so(&job) {
            return job;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came that {what}: {job}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Begins a job, and gives its id.
fn begin(service: &Service, job: Value) -> String {
    service.post("/api/bulk", job).with(202)["id"].as_str().unwrap().to_owned()
}

fn is_done(job: &Value) -> bool {
    job["state"] == "done"
}

#[test]
fn all_tasks_of_a_filter_are_changed_behind_a_point_that_takes_it_back() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    push(&service, 3);
    service.post("/api/queue", json!({"id": "other", "payload": 1})).ok();
    let ask = |body: Value| service.post("/api/bulk", body);
    assert_eq!(ask(json!({"action": "cancel", "id": "build-", "dry_run": true})).ok(), json!({"fits": 3}));
    assert_eq!(service.get("/api/bulk").ok(), json!({"jobs": []}), "a dry run changes nothing");
    let id = begin(&service, json!({"action": "cancel", "id": "build-", "priority": "P2"}));
    let done = until(&service, &id, "it is done", is_done);
    assert_eq!((&done["fits"], &done["changed"], &done["passed"]), (&json!(3), &json!(3), &json!(0)));
    assert_eq!(done["filter"]["id"], "build-");
    assert_eq!(service.get("/api/queue/other").ok()["state"], "ready");
    assert_eq!(service.get("/api/queue?state=cancelled").ok()["tasks"].as_array().unwrap().len(), 3);
    let trail = service.get("/api/audit?action=queue_bulk").ok();
    assert_eq!(trail["entries"][0]["target"], "cancel of 3 tasks: priority=P2 id=build-");
    assert_eq!(service.get("/api/audit?action=queue_cancel").ok()["entries"], json!([]), "one entry for all");
    let point = done["point"].as_str().unwrap();
    let back = service.post(&format!("/api/points/{point}/restore"), json!({"only": ["queue"]})).ok();
    assert_eq!(back["collections"]["queue"]["changed"], 3);
    assert_eq!(service.get("/api/queue/build-00000").ok()["state"], "ready");
    assert_eq!(
        ask(json!({"action": "cancel", "state": "done"})).refused(422).split(':').next(),
        Some("a cancel is for tasks that are scheduled, waiting, ready, claimed")
    );
    let said = ask(json!({"action": "cancel", "id": "build-", "at_most": 2})).refused(409);
    assert!(said.ends_with("fits=3 at_most=2"), "{said}");
    ask(json!({"action": "burn", "all": true})).refused(422);
    ask(json!({"action": "cancel", "states": "ready"})).refused(422);
    service.get("/api/bulk/nothing").refused(404);
}

#[test]
fn a_bulk_change_without_a_filter_needs_the_word_that_all_are_meant() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    push(&service, 3);
    for body in [json!({}), json!({"id": ""}), json!({"all": false}), json!({"dry_run": true}), json!({"at_most": 9})] {
        let mut body = body;
        body["action"] = "cancel".into();
        let answer = service.post("/api/bulk", &body);
        answer.refused(422);
        assert!(answer.body.contains("to change all of them: all"), "{answer}");
    }
    service.post("/api/bulk", json!({"action": "cancel", "all": true, "id": "build-"})).refused(422);
    assert_eq!(service.get("/api/bulk").ok(), json!({"jobs": []}));
    assert_eq!(service.post("/api/bulk", json!({"action": "cancel", "all": true, "dry_run": true})).ok()["fits"], 3);
    let url = service.url();
    hive.refused(&["--store", &url, "queue", "cancel"], 2);
    hive.refused(&["--store", &url, "queue", "cancel", "--all", "--id", "build-"], 2);
    hive.ok(&["--store", &url, "queue", "cancel", "--all"]);
    assert_eq!(service.get("/api/queue?state=cancelled").ok()["tasks"].as_array().unwrap().len(), 3);
    let id = begin(&service, json!({"action": "requeue", "all": true}));
    assert_eq!(until(&service, &id, "it is done", is_done)["changed"], 3);
}

#[test]
fn a_job_outlives_a_kill_of_the_service_and_a_second_one_waits_for_its_end() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    push(&service, MANY);
    let id = begin(&service, json!({"action": "cancel", "state": "ready"}));
    let said = service.post("/api/bulk", json!({"action": "purge", "all": true})).refused(409);
    assert!(said.contains(&id), "{said}");
    let seen = until(&service, &id, "a part is done", |job| job["changed"].as_u64().unwrap() > 0);
    assert_eq!(seen["state"], "running", "it must be killed in the middle: {seen}");
    service.send_at_once(rustix::process::Signal::KILL);
    service.ended();
    let killed = hive.json(&["queue", "bulk"])[0].take();
    let changed = killed["changed"].as_u64().unwrap();
    assert_eq!((&killed["id"], &killed["state"]), (&json!(id), &json!("running")), "{killed}");
    let cancelled = hive.json(&["queue", "list", "--state", "cancelled"]).as_array().unwrap().len();
    assert_eq!(cancelled as u64, changed, "it is plain how far it came");
    assert!(cancelled < MANY, "it was not killed in the middle");
    let service = Service::start(&hive, &[]);
    let done = until(&service, &id, "it goes on", is_done);
    assert_eq!(done["changed"], MANY);
    assert_eq!(service.get("/api/pulse").ok()["tasks"]["cancelled"], MANY);
}

#[test]
fn a_job_that_is_stopped_changes_nothing_more() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    push(&service, MANY);
    let id = begin(&service, json!({"action": "cancel", "all": true}));
    until(&service, &id, "a part is done", |job| job["changed"].as_u64().unwrap() > 0);
    let stopped = service.post(&format!("/api/bulk/{id}/stop"), "").ok();
    assert_eq!(stopped["state"], "stopped");
    let changed = stopped["changed"].as_u64().unwrap();
    assert!(changed < MANY as u64, "{stopped}");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(service.get("/api/pulse").ok()["tasks"]["cancelled"], changed);
    service.post(&format!("/api/bulk/{id}/stop"), "").refused(409);
}
