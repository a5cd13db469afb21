//! The live state over HTTP.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::service::Service;
use crate::util::Hive;

/// Every item of a list, page by page.
fn pages(service: &Service, path: &str, name: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = service.get(&format!("{path}{separator}limit=2{cursor}")).ok();
        let found = page[name].as_array().unwrap();
        assert!(found.len() <= 2, "{page}");
        items.extend(found.iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

#[test]
fn bots_are_registered_send_heartbeats_are_listed_and_removed() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    for n in 1..=5 {
        let bot = service.put(&format!("/api/registry/BOT-{n}"), json!({"port": 8000 + n, "repo": null})).ok();
        assert_eq!(bot["port"], 8000 + n);
        assert!(bot["registered_at"].is_string());
    }
    let ids: Vec<_> = pages(&service, "/api/registry", "bots").iter().map(|bot| bot["id"].clone()).collect();
    assert_eq!(ids, ["BOT-1", "BOT-2", "BOT-3", "BOT-4", "BOT-5"]);
    let heard = service.post("/api/registry/BOT-1/heartbeat", "").ok()["timestamp"].take();
    assert_eq!(service.get("/api/registry/BOT-1").ok()["last_heartbeat"], heard, "seen before it is written");
    service.until("it is written", |_| hive.json(&["get", "registry", "BOT-1"])["last_heartbeat"] == heard);
    service.post("/api/registry/STRANGER/heartbeat", "").refused(404);
    assert_eq!(service.delete("/api/registry/BOT-1").ok(), json!({"removed": true}));
    service.delete("/api/registry/BOT-1").refused(404);
    service.get("/api/registry/BOT-1").refused(404);
    let said = service.put("/api/registry/B", json!({"prot": 1})).refused(422);
    assert!(said.ends_with("field=prot"), "{said}");
    service.put("/api/registry/%ff", json!({})).refused(422);
}

#[test]
fn a_task_goes_through_its_whole_life() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let act = |id: &str, verb: &str, body: Value| service.post(&format!("/api/queue/{id}/{verb}"), body);
    let pushed = service.post(
        "/api/queue",
        r#"{"payload": {"n": 1.50, "m": -0, "h": 1e400}, "id": "a", "priority": "p0", "capabilities": []}"#,
    );
    assert_eq!(pushed.ok()["payload"].to_string(), r#"{"n":1.50,"m":-0,"h":1e400}"#);
    for id in ["b", "c"] {
        service.post("/api/queue", json!({"payload": null, "id": id, "idempotency_key": id})).ok();
        service.post("/api/queue", json!({"payload": null, "idempotency_key": id})).ok();
    }
    assert_eq!(pages(&service, "/api/queue", "tasks").len(), 3);
    let claims =
        service.post("/api/queue/claim", json!({"bot": "B", "max": 2, "lease_ms": 60_000})).ok()["claims"].take();
    let (first, second) = (&claims[0], &claims[1]);
    assert_eq!((&first["id"], &second["id"]), (&json!("a"), &json!("b")));
    assert_eq!(pages(&service, "/api/assignments?bot=B", "assignments").len(), 2);
    act("a", "extend", json!({"token": first["token"], "lease_ms": 90_000})).ok();
    act("a", "complete", json!({"token": 999})).refused(409);
    act("a", "complete", json!({})).refused(422);
    act("a", "complete", json!({"token": first["token"], "reslut": 1})).refused(422);
    assert_eq!(act("a", "complete", json!({"token": first["token"], "result": [1]})).ok()["state"], "done");
    act("b", "fail", json!({"token": second["token"], "retry": "no"})).refused(422);
    assert_eq!(
        act("b", "fail", json!({"token": second["token"], "error": "no", "retry": false})).ok()["state"],
        "failed"
    );
    assert_eq!(act("b", "requeue", json!({})).ok()["state"], "ready");
    assert_eq!(act("b", "assign", json!({"bot": "C"})).ok()["assigned_to"], "C");
    assert_eq!(act("b", "assign", json!({"bot": null})).ok()["assigned_to"], Value::Null);
    assert_eq!(act("b", "cancel", json!({})).ok()["state"], "cancelled");
    let third = service.post("/api/queue/claim", json!({"bot": "B"})).ok()["claims"][0].take();
    assert_eq!(act("c", "release", json!({"token": third["token"]})).ok()["attempts"], 0);
    assert_eq!(pages(&service, "/api/queue?state=done", "tasks").len(), 1);
    assert_eq!(
        service.get("/api/disaster-recovery/status").ok()["tasks_by_state"],
        json!({
            "scheduled": 0, "waiting": 0, "ready": 1, "claimed": 0, "done": 1, "failed": 0, "dead": 0, "cancelled": 1
        })
    );
    act("nobody", "cancel", json!({})).refused(404);
    service.post("/api/queue", json!({"id": "d"})).refused(422);
    service.post("/api/queue", json!({"payload": 1, "prioritty": "P0"})).refused(422);
    service.post("/api/queue/claim", json!({"bot": ""})).refused(422);
    service.get("/api/queue?state=asleep").refused(422);
    // A cursor is of one list alone.
    for list in ["queue?cursor=zz", "queue?state=ready&cursor=61", "assignments?bot=B&cursor=00"] {
        service.get(&format!("/api/{list}")).refused(422);
    }
}

#[test]
fn a_token_to_cancel_or_requeue_must_be_the_holders_and_without_one_an_operator_may() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let act = |verb: &str, body: &str| service.post(&format!("/api/queue/a/{verb}"), body);
    service.post("/api/queue", json!({"payload": null, "id": "a"})).ok();
    let claim = || service.post("/api/queue/claim", json!({"bot": "B"})).ok()["claims"][0]["token"].take();
    let token = claim();
    for verb in ["cancel", "requeue"] {
        let said = act(verb, r#"{"token": 999999}"#).refused(409);
        assert!(said.starts_with("the token is void") && said.ends_with("held_by=B"), "{said}");
        let said = act(verb, r#"{"bogus": 1}"#).refused(422);
        assert!(said.ends_with("field=bogus"), "{said}");
        act(verb, r#"{"token": "x"}"#).refused(422);
        act(verb, "[]").refused(422);
        act(verb, "{").refused(400);
    }
    assert_eq!(service.get("/api/queue/a").ok()["state"], "claimed");
    let held = json!({ "token": token }).to_string();
    act("requeue", &held).refused(409);
    assert_eq!(act("cancel", &held).ok()["state"], "cancelled");
    act("requeue", &held).refused(409);
    assert_eq!(act("requeue", "").ok()["state"], "ready");
    claim();
    assert_eq!(act("cancel", "").ok()["state"], "cancelled");
}

#[test]
fn finished_tasks_are_purged_when_they_are_old_enough_and_by_the_service_itself_when_it_is_told_to() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let finish = |service: &Service, id: &str| {
        service.post("/api/queue", json!({"payload": null, "id": id})).ok();
        service.post(&format!("/api/queue/{id}/cancel"), "").ok();
    };
    let purge = |older_than: Value| service.post("/api/queue/purge", json!({"older_than": older_than}));
    finish(&service, "a");
    service.post("/api/queue", json!({"payload": null, "id": "b"})).ok();
    assert_eq!(purge(json!("30d")).ok(), json!({"purged": 0, "more": false}));
    assert_eq!(purge(json!("0s")).ok(), json!({"purged": 1, "more": false}));
    assert_eq!(pages(&service, "/api/queue", "tasks").len(), 1);
    let said = purge(json!("30")).refused(422);
    assert!(said.starts_with("a length of time is written like 30s, 10m"), "{said}");
    purge(json!(30)).refused(422);
    purge(Value::Null).refused(422);
    finish(&service, "c");
    service.stop("-TERM");

    let service = Service::start(&hive, &["--purge-finished", "0s"]);
    service.until("it is gone", |service| service.get("/api/queue/c").status == 404);
    service.get("/api/queue/b").ok();
}

#[test]
fn one_request_purges_no_more_than_its_limit_and_says_when_to_repeat_it() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    for n in 0..5 {
        service.post("/api/queue", json!({"payload": n, "id": format!("t-{n}")})).ok();
        service.post(&format!("/api/queue/t-{n}/cancel"), "").ok();
    }
    let purge = |limit: Value| service.post("/api/queue/purge", json!({"older_than": "0s", "limit": limit}));
    assert_eq!(purge(json!(2)).ok(), json!({"purged": 2, "more": true}));
    assert_eq!(pages(&service, "/api/queue", "tasks").len(), 3);
    purge(json!(0)).refused(422);
    assert_eq!(purge(json!(u64::MAX)).ok(), json!({"purged": 3, "more": false}));
    assert_eq!(purge(Value::Null).ok(), json!({"purged": 0, "more": false}));
    purge(json!("2")).refused(422);
    purge(json!(-1)).refused(422);
}

#[test]
fn why_names_the_obstacles_of_a_ready_a_scheduled_and_a_waiting_task() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let push = |task: Value| drop(service.post("/api/queue", task).ok());
    push(json!({"payload": 1, "id": "now"}));
    push(json!({"payload": 1, "id": "later", "not_before": "2999-01-02T03:04:05Z"}));
    push(json!({"payload": 1, "id": "after", "depends_on": ["now"]}));
    push(json!({"payload": 1, "id": "gpu", "capabilities": ["gpu"]}));
    let why = |of: &str| {
        let mut why = service.get(&format!("/api/queue/{of}")).ok();
        (why["state"].take(), why["text"].take(), why["reasons"].take())
    };
    let depends = |state: &str, by: Value| json!([{"reason": "depends_on", "task": "now", "state": state, "purged": false, "held_by": by}]);
    assert_eq!(why("now/why"), (json!("ready"), json!("ready: any bot may claim it"), json!([])));
    assert_eq!(why("now/why?bot=B"), (json!("ready"), json!("ready: B may claim it"), json!([])));
    let (state, _, reasons) = why("later/why");
    assert_eq!((state, &reasons[0]["reason"]), (json!("scheduled"), &json!("scheduled")));
    assert_eq!(reasons[0]["until"], "2999-01-02T03:04:05.000000+00:00");
    let waits = json!("waiting: waits for now (ready)");
    assert_eq!(why("after/why"), (json!("waiting"), waits, depends("ready", Value::Null)));
    let nobody = json!([{"reason": "nobody_can", "capabilities": ["gpu"]}]);
    assert_eq!(why("gpu/why"), (json!("waiting"), json!("waiting: needs gpu; no registered bot has it"), nobody));
    service.post("/api/queue/claim", json!({"bot": "B"})).ok();
    assert_eq!(why("now/why").0, "claimed");
    assert_eq!(why("after/why").2, depends("claimed", json!("B")));
    service.get("/api/queue/nobody/why").refused(404);
}

#[test]
fn a_service_with_aging_lists_and_explains_the_order_of_its_own_claims() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--priority-aging", "1ms"]);
    let push = |id: &str, priority: &str| {
        service.post("/api/queue", json!({"payload": 1, "id": id, "priority": priority})).ok();
        std::thread::sleep(Duration::from_millis(20));
    };
    push("old", "P3");
    push("new", "P0");
    let listed = service.get("/api/queue?state=ready").ok();
    let ids: Vec<_> = listed["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect();
    let text = |of: &str| service.get(&format!("/api/queue/{of}")).ok()["text"].take();
    let told = [text("old/why"), text("new/why"), text("new/why?bot=B")];
    let claims = service.post("/api/queue/claim", json!({"bot": "B"})).ok();
    assert_eq!(claims["claims"][0]["id"], "old");
    assert_eq!(ids, ["old", "new"]);
    assert_eq!(told[0], "ready: any bot may claim it");
    assert_eq!(told[1], "ready: any bot may claim it; behind 1 task that goes first");
    assert_eq!(told[2], "ready: B may claim it; behind 1 task that goes first");
    let refused = service.post("/api/queue/claim", json!({"bot": "B", "max": 0})).refused(422);
    assert!(refused.contains("max=0"), "{refused}");
}

#[test]
fn a_key_that_is_used_again_is_answered_with_the_earlier_task_or_with_the_field_that_takes_it() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let push = |payload: u64, more: Value| {
        let mut task = json!({"payload": payload, "idempotency_key": "k"});
        task.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        service.post("/api/queue", task)
    };
    let first = push(1, json!({})).ok();
    assert_eq!(first["existing"], false);
    for (payload, more, differs) in [(2, json!({}), "payload"), (1, json!({"delay_ms": 60_000}), "delay_ms")] {
        let refused = push(payload, more.clone());
        let problem = refused.with(409);
        assert!(problem["detail"].as_str().unwrap().ends_with(&format!("state=ready differs={differs}")), "{refused}");
        assert_eq!(problem["hint"], "to take the earlier task: allow_different");
    }
    service.post(&format!("/api/queue/{}/cancel", first["id"].as_str().unwrap()), "").ok();
    let again = push(1, json!({})).ok();
    assert_eq!((&again["existing"], &again["state"], &again["id"]), (&json!(true), &json!("cancelled"), &first["id"]));
    let taken = push(2, json!({"allow_different": true})).ok();
    assert_eq!((&taken["existing"], &taken["payload"]), (&json!(true), &json!(1)));
}

#[test]
fn a_task_is_read_even_when_its_id_is_a_verb() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    for id in ["claim", "purge", "complete", "restore"] {
        let path = format!("/api/queue/{id}");
        service.get(&path).refused(404);
        service.post("/api/queue", json!({"payload": id, "id": id})).ok();
        let point = service.post("/api/points", "").ok()["id"].take();
        assert_eq!(service.post(&format!("{path}/cancel"), "").ok()["state"], "cancelled");
        assert_eq!(service.get(&path).ok()["payload"], id);
        assert_eq!(service.get(&path).ok()["state"], "cancelled");
        assert_eq!(service.get(&format!("{path}?at={}", point.as_str().unwrap())).ok()["state"], "ready");
    }
    service.post("/api/queue/claim", json!({"bot": "B"})).ok();
    service.put("/api/queue/claim", json!({})).refused(405);
}

#[test]
fn a_claim_waits_for_a_task_and_not_much_longer() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let none = Instant::now();
    assert_eq!(service.post("/api/queue/claim", json!({"bot": "B", "wait_ms": 300})).ok()["claims"], json!([]));
    assert!(none.elapsed() >= Duration::from_millis(300));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let claims = service.post("/api/queue/claim", json!({"bot": "B", "wait_ms": 20_000})).ok();
            (claims, Instant::now())
        });
        std::thread::sleep(Duration::from_millis(400));
        service.post("/api/queue", json!({"payload": "now"})).ok();
        let pushed = Instant::now();
        let (claims, got) = waiting.join().unwrap();
        assert_eq!(claims["claims"][0]["payload"], "now");
        assert!(got.saturating_duration_since(pushed) < Duration::from_secs(2));
    });
}

#[test]
fn chat_audit_and_config_are_appended_to_paged_and_read_as_of_a_point() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    for n in 1..=5 {
        let body = json!({"conversation": "standup", "role": "user", "content": format!("{n}"), "bot_id": "BOT-1"});
        assert_eq!(service.post("/api/chat", body).ok()["sequence"], n);
        service.post("/api/audit", json!({"action": "deploy", "actor": "BOT-1", "level": "WARNING"})).ok();
        service.put(&format!("/api/config/k{n}"), n).ok();
    }
    let said = |path: &str| -> Vec<String> {
        pages(&service, path, "messages")
            .iter()
            .map(|message| message["content"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(said("/api/chat"), ["5", "4", "3", "2", "1"]);
    assert_eq!(said("/api/chat?oldest&conversation=standup&bot=BOT-1"), ["1", "2", "3", "4", "5"]);
    assert_eq!(said("/api/chat?bot=other").len(), 0);
    assert_eq!(pages(&service, "/api/audit?action=deploy", "entries").len(), 5);
    assert_eq!(pages(&service, "/api/audit?actor=http", "entries").len(), 10, "each other change has an entry too");
    let point = service.post("/api/points", json!({"description": "five"})).ok();
    service.put("/api/config/k1", json!({"now": true})).ok();
    service.delete("/api/config/k2").ok();
    service.delete("/api/config/k2").refused(404);
    let id = point["id"].as_str().unwrap();
    for at in [id, "latest", &id[..13]] {
        let answer = service.get(&format!("/api/config/k2?at={at}"));
        assert_eq!(answer.ok(), 2);
        assert!(answer.head.contains(&format!("hivekeep-point: {id}")), "{answer}");
    }
    let then = service.get("/api/config?at=0s%20ago").ok();
    assert_eq!(then["config"]["k1"], 1);
    assert_eq!(service.get("/api/config").ok()["config"]["k1"], json!({"now": true}));
    service.get("/api/config?at=latest~7").refused(404);
    service.get("/api/config?at=yesterday").refused(422);
    service.put("/api/config/k", "").refused(422);
    service.post("/api/chat", json!({"conversation": "x", "role": "user"})).refused(422);
    service.post("/api/audit", json!({"action": "x", "actor": "y", "level": "loud"})).refused(422);
}

#[test]
fn points_are_made_held_compared_gone_back_to_and_undone() {
    let hive = Hive::new();
    hive.fill();
    let service = Service::start(&hive, &["--backup-interval", "off"]);
    let point = service.post("/api/points", json!({"description": "before", "tags": {"release": "7"}})).ok();
    let path = format!("/api/points/{}", point["id"].as_str().unwrap());
    assert_eq!(service.post(&format!("{path}/hold"), "").ok()["held"], true);
    assert_eq!(service.get(&path).ok()["held"], true);
    assert_eq!(service.post(&format!("{path}/release"), "").ok()["held"], false);
    service.put("/api/config/limit", 6).ok();
    service.put("/api/registry/BOT-4", json!({})).ok();
    let diff = service.get(&format!("{path}/diff")).ok();
    assert_eq!((&diff["total"], &diff["counts"]["registry"]["added"]), (&json!(2), &json!(1)));
    assert_eq!(service.get(&format!("{path}/diff?limit=1")).ok()["changes"].as_array().unwrap().len(), 1);
    let plan = service.post(&format!("{path}/restore"), json!({"dry_run": true})).ok();
    assert_eq!(plan["collections"]["config"]["changed"], 1);
    let restored = service.post(&format!("{path}/restore"), json!({"only": ["config"], "verify": true})).ok();
    assert_eq!((&restored["verified"], restored["undo"].is_string()), (&json!("all"), true));
    assert_eq!(service.get("/api/config/limit").ok(), 5);
    assert_eq!(service.get("/api/registry/BOT-4").status, 200);
    service.post("/api/undo", "").ok();
    assert_eq!(service.get("/api/config/limit").ok(), 6);
    service.put("/api/config/limit", 7).ok();
    service.post("/api/undo", "").refused(409);
    service.post("/api/undo", json!({"discard": true})).ok();
    assert_eq!(service.get("/api/config/limit").ok(), 5);
    assert_eq!(service.get("/api/points").ok()["points"].as_array().unwrap().len(), 1);
    let all = pages(&service, "/api/points?all", "points");
    let safety = all.iter().filter(|point| point["origin"] == "safety");
    assert_eq!(safety.count(), 3, "one of each restore and undo: {all:#?}");
    service.post(&format!("{path}/restore"), json!({"only": ["nonsense"]})).refused(422);
    service.post("/api/points/now/restore", "").refused(422);
}

#[test]
fn a_check_is_a_job_with_progress() {
    let hive = Hive::new();
    hive.fill();
    let service = Service::start(&hive, &[]);
    let started = service.post("/api/check", "").with(202);
    let path = format!("/api/check/{}", started["id"].as_str().unwrap());
    service.until("the check is done", |service| service.get(&path).ok()["state"] != "running");
    let done = service.get(&path).ok();
    assert_eq!((&done["state"], &done["report"]["found"]), (&json!("done"), &json!(0)));
    assert!(done["done"].as_u64() > Some(0) && done["finished_at"].is_string());
    service.get("/api/check/nonsense").refused(404);
}

#[test]
fn a_whole_hive_goes_through_backup_and_restore_and_comes_back_equal() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let bot = |n: u32| {
        json!({
            "port": 8000 + n, "pid": 50_000 + n, "status": "active", "registered_at": "2025-10-29T08:02:05.006801",
            "metadata": {"bot_type": "claude", "adapter_type": "mock"},
        })
    };
    let bots: serde_json::Map<_, _> = (0..40).map(|n| (format!("BOT-{n:03}"), bot(n))).collect();
    let task = |n: u32| json!({"id": format!("BACKLOG-{n:03}"), "title": "größe \u{1f41d}", "dependencies": [n], "status": "TODO"});
    let backlog: Vec<_> = (0..500).map(task).collect();
    for (kind, data) in [("registry", json!({"bots": bots})), ("queue", json!({"backlog": backlog}))] {
        let body = json!({"backup_type": kind, "data": data});
        let id = service.post("/api/disaster-recovery/backup", body).ok()["backup_id"].take();
        let path = format!("/api/disaster-recovery/restore/{}", id.as_str().unwrap());
        assert_eq!(service.post(&path, "").ok()["data"].to_string(), data.to_string(), "{kind}");
    }
}
