//! The life of the end points of the replaced service, with restarts in between.

use serde_json::{Value, json};

use crate::BASE;
use crate::service::Service;
use crate::util::Hive;

fn registry() -> Value {
    let bot = |port| json!({"port": port, "pid": 1, "repo": "r", "status": "active", "metadata": {"load": 0.5}});
    json!({"BOT-1": bot(1), "BOT-2": bot(2)})
}

fn backup(service: &Service, body: Value) -> String {
    let answer = service.post(&format!("{BASE}/backup"), body).ok();
    assert_eq!(answer["success"], true);
    assert_is_time(&answer["timestamp"]);
    answer["backup_id"].as_str().unwrap().to_owned()
}

fn point(service: &Service, body: Value) -> String {
    let answer = service.post(&format!("{BASE}/restore-point"), body).ok();
    assert_eq!(answer["success"], true);
    answer["restore_point_id"].as_str().unwrap().to_owned()
}

fn restored(service: &Service, id: &str) -> Value {
    let mut answer = service.ask("POST", &format!("{BASE}/restore/{id}"), "", "").ok();
    assert_eq!(answer["success"], true);
    answer["data"].take()
}

fn history(service: &Service, query: &str) -> Vec<Value> {
    let answer = service.get(&format!("{BASE}/backup-history{query}")).ok();
    let backups = answer["backups"].as_array().unwrap().clone();
    assert_eq!(answer["count"], backups.len());
    backups
}

fn assert_is_time(time: &Value) {
    let text = time.as_str().unwrap();
    assert!(text.len() == 32 && text.ends_with("+00:00") && text.as_bytes()[19] == b'.', "{text}");
}

#[test]
fn a_document_comes_back_as_it_was_sent_after_every_restart() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let document = hivekeep::json::parse(
        br#"{"tasks":[{"id":1,"cost":1.50,"huge":1e400,"minus":-0}],"z":{},"a":{"\u00e9":12345678901234567890123}}"#,
    )
    .unwrap();
    // Not with `json!`, which would write the numbers in another way.
    let body = format!(r#"{{"backup_type": "queue", "source": "nightly", "tags": {{"v": "1"}}, "data": {document}}}"#);
    let id = service.post(&format!("{BASE}/backup"), body).ok()["backup_id"].as_str().unwrap().to_owned();
    service.stop("-TERM");
    let service = Service::start(&hive, &[]);
    assert_eq!(restored(&service, &id).to_string(), document.to_string());
    service.stop("-KILL");
    let service = Service::start(&hive, &[]);
    assert_eq!(restored(&service, &id).to_string(), document.to_string());
    let [entry] = history(&service, "").try_into().unwrap();
    let text = hivekeep::json::python_text(&document);
    assert_eq!(entry["size_bytes"], text.len());
    let members: Vec<_> = entry.as_object().unwrap().keys().map(String::as_str).collect();
    let known =
        ["backup_id", "backup_type", "timestamp", "source", "size_bytes", "item_count", "checksum", "tags", "of"];
    assert_eq!(members, known);
    assert_eq!((&entry["backup_id"], &entry["item_count"]), (&json!(id), &json!(2)));
    assert_eq!((&entry["source"], &entry["tags"]), (&json!("nightly"), &json!({"v": "1"})));
}

#[test]
fn the_checksum_is_the_one_that_python_would_take() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    backup(&service, json!({"data": {"a": 1}}));
    let [entry] = history(&service, "").try_into().unwrap();
    // sha256 of json.dumps({"a": 1}, indent=2)
    assert_eq!(entry["checksum"], "8164669836e51c324aa26742645b519732d41a60b8047ebdea8e769ef8565d79");
    assert_eq!(entry["size_bytes"], 12);
}

#[test]
fn live_state_is_backed_up_as_get_prints_it_and_restored_in_place() {
    let hive = Hive::new();
    hive.fill();
    let service = Service::start(&hive, &[]);
    service.post("/api/queue/claim", json!({"bot": "BOT-1"})).ok();
    for (kind, collection) in [("registry", "registry"), ("queue", "queue"), ("bot_assignments", "assignments")] {
        let id = backup(&service, json!({"backup_type": kind}));
        assert_eq!(restored(&service, &id), hive.json(&["get", collection]), "{kind}");
    }
    let full = backup(&service, json!({"backup_type": "full"}));
    let whole = restored(&service, &full);
    assert_eq!(whole["registry"], hive.json(&["get", "registry"]));
    assert_eq!(whole.as_object().unwrap().keys().collect::<Vec<_>>(), ["registry", "queue", "bot_assignments"]);
    let registry = backup(&service, json!({"backup_type": "registry"}));
    service.put("/api/registry/BOT-1", json!({"port": 9})).ok();
    service.put("/api/config/limit", 6).ok();
    let path = format!("{BASE}/restore/{registry}");
    let plan = service.post(&path, json!({"apply": true, "dry_run": true})).ok();
    assert_eq!(plan["restored"]["registry"], json!({"added": 0, "changed": 1, "removed": 0}));
    assert_eq!(service.get("/api/registry/BOT-1").ok()["port"], 9);
    let applied = service.post(&path, json!({"apply": true})).ok();
    assert_eq!(applied["restored"], json!({"registry": {"added": 0, "changed": 1, "removed": 0}}));
    assert!(applied.get("data").is_none() && applied["undo"].is_string() && applied["verified"] == "changed");
    assert_eq!(service.get("/api/registry/BOT-1").ok()["port"], 8001);
    assert_eq!(service.get("/api/config/limit").ok(), 6, "only the registry went back");
    service.post("/api/undo", json!({})).ok();
    assert_eq!(service.get("/api/registry/BOT-1").ok()["port"], 9);
}

#[test]
fn applying_a_document_rewrites_that_document_and_no_live_record() {
    let hive = Hive::new();
    hive.fill();
    let service = Service::start(&hive, &[]);
    let first = backup(&service, json!({"data": registry()}));
    let second = backup(&service, json!({"data": {"BOT-9": {}}}));
    let live = hive.json(&["get", "registry"]);
    let applied = service.post(&format!("{BASE}/restore/{first}"), json!({"apply": true, "data": true})).ok();
    assert_eq!(applied["data"], registry());
    assert_eq!(applied["restored"].as_object().unwrap().keys().collect::<Vec<_>>(), ["documents"]);
    assert_eq!(hive.json(&["get", "registry"]), live);
    assert_eq!(restored(&service, &second), json!({"BOT-9": {}}), "what came later is still there");
}

#[test]
fn a_restore_point_of_documents_lists_a_backup_of_each_that_holds_something() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let body = json!({
        "registry_data": registry(), "queue_data": {"tasks": [1, 2]}, "assignments_data": {}, "description": "before",
    });
    let id = point(&service, body);
    let answer = service.get(&format!("{BASE}/restore-point/{id}")).ok();
    let details = &answer["details"];
    assert_eq!((&details["restore_id"], &details["manual"]), (&json!(id), &json!(true)));
    assert_eq!(details["description"], "before");
    assert_is_time(&details["timestamp"]);
    let listed = details["backup_details"].as_array().unwrap();
    let sources: Vec<_> = listed.iter().map(|backup| backup["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["registry-backup", "queue-backup"]);
    let ids: Vec<_> = listed.iter().map(|backup| backup["backup_id"].clone()).collect();
    assert_eq!(details["backups"], json!(ids));
    assert_eq!(restored(&service, ids[1].as_str().unwrap()), json!({"tasks": [1, 2]}));
    let empty = point(&service, json!({"registry_data": {}, "queue_data": {}, "assignments_data": {}}));
    let details = service.get(&format!("{BASE}/restore-point/{empty}")).ok();
    assert_eq!(details["details"]["backups"], json!([]));
}

#[test]
fn a_live_restore_point_lists_three_backups_that_give_everything_back() {
    let hive = Hive::new();
    hive.fill();
    let service = Service::start(&hive, &[]);
    let id = point(&service, json!({"description": null}));
    let details = service.get(&format!("{BASE}/restore-point/{id}")).ok()["details"].take();
    let kinds = ["registry", "queue", "assignments"];
    let backups = details["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 3);
    for (backup, kind) in backups.iter().zip(kinds) {
        assert_eq!(restored(&service, backup.as_str().unwrap()), hive.json(&["get", kind]));
    }
}

#[test]
fn the_status_counts_backups_and_the_points_that_were_asked_for() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--backup-interval", "off"]);
    let status = |service: &Service| service.get(&format!("{BASE}/status")).ok();
    let none = status(&service);
    assert_eq!((&none["total_backups"], &none["total_restore_points"]), (&json!(0), &json!(0)));
    assert!(none["latest_backup"].is_null() && none["latest_restore_point"].is_null());
    assert_eq!((&none["crash_detected"], &none["disk_usage_mb"]), (&json!(false), &json!(0.0)));
    let lone = backup(&service, json!({"backup_type": "queue", "data": {"tasks": [1]}}));
    assert_eq!(status(&service)["total_restore_points"], 0, "a backup is no restore point");
    service.get(&format!("{BASE}/restore-point/{lone}")).refused(404);
    point(&service, json!({"registry_data": registry()}));
    service.put("/api/config/a", 1).ok();
    let live = service.post("/api/points", json!({})).ok();
    service.put("/api/config/a", 2).ok();
    service.post("/api/points/latest/restore", json!({})).ok();
    let after = status(&service);
    assert_eq!(after["total_restore_points"], 2, "the safety point is not counted");
    assert_eq!(after["total_backups"], 5);
    assert_eq!(after["backups_by_type"], json!({"registry": 2, "queue": 2, "bot_assignments": 1}));
    assert_eq!(after["latest_restore_point"]["restore_id"], live["id"]);
    assert!(history(&service, "").iter().any(|backup| *backup == after["latest_backup"]));
    let bytes: f64 = history(&service, "").iter().map(|backup| backup["size_bytes"].as_f64().unwrap()).sum();
    assert_eq!(after["disk_usage_mb"], json!(bytes / 1_048_576.0));
    assert_eq!(after["backup_dir"], hive.path().parent().unwrap().to_str().unwrap());
}

#[test]
fn the_history_is_newest_first_filtered_and_limited() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let first = backup(&service, json!({"data": {"a": 1}}));
    let queue = backup(&service, json!({"backup_type": "Queue", "data": {"a": 1}}));
    let last = backup(&service, json!({"data": {"a": 2}}));
    let ids = |query: &str| -> Vec<String> {
        history(&service, query).iter().map(|backup| backup["backup_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("?backup_type=queue"), [queue.as_str()]);
    assert_eq!(ids("?backup_type=REGISTRY&limit=1"), [last.as_str()]);
    assert_eq!(ids(""), [last, queue, first]);
    for all in ["?backup_type=", "?backup_type=nonsense", "?limit=", "?other=1"] {
        assert_eq!(ids(all).len(), 3, "{all}");
    }
    assert_eq!(ids("?limit=0").len(), 0);
    service.get(&format!("{BASE}/backup-history?limit=many")).refused(422);
}

#[test]
fn an_automatic_backup_waits_for_its_interval() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let ask = |n: u32| service.post(&format!("{BASE}/auto-backup"), json!({"registry_data": {"BOT-1": {"n": n}}})).ok();
    let made = ask(1);
    assert_eq!(made["success"], true);
    let id = made["restore_point_id"].as_str().unwrap();
    let details = service.get(&format!("{BASE}/restore-point/{id}")).ok();
    let details = &details["details"];
    assert_eq!((&details["manual"], &details["description"]), (&json!(false), &json!("automatic-backup")));
    let again = ask(2);
    assert_eq!(again["success"], false);
    assert!(again.get("restore_point_id").is_none());
}

#[test]
fn the_scheduler_backs_up_what_has_changed() {
    let hive = Hive::new();
    hive.fill();
    let service = Service::start(&hive, &["--backup-interval", "1s"]);
    service.until("the scheduler made a backup", |service| {
        service.get(&format!("{BASE}/status")).ok()["total_restore_points"] == 1
    });
    let status = service.get(&format!("{BASE}/status")).ok();
    assert_eq!(status["latest_restore_point"]["description"], "automatic-backup");
    assert_eq!(status["latest_restore_point"]["manual"], false);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(service.get(&format!("{BASE}/status")).ok()["total_restore_points"], 1, "nothing has changed since");
}

#[test]
fn missing_backups_and_points_are_reported_in_the_words_that_clients_know() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    let restore = service.post(&format!("{BASE}/restore/{id}"), "").refused(404);
    assert_eq!(restore, format!("Backup {id} not found"));
    let details = service.get(&format!("{BASE}/restore-point/{id}")).refused(404);
    assert_eq!(details, format!("Restore point {id} not found"));
    for odd in ["x", "0", "latest", "%00", "..%2f"] {
        service.post(&format!("{BASE}/restore/{odd}"), "").refused(404);
        service.get(&format!("{BASE}/restore-point/{odd}")).refused(404);
    }
}
