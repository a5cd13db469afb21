//! The routes for people who look: in short, in parts, with filters, and with the plan that they have seen.

use serde_json::{Value, json};

use crate::service::Service;
use crate::util::Hive;

fn ids(list: &Value, name: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|own| own[name].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_pulse_names_the_state_and_changes_with_it() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--archive-every", "off", "--backup-interval", "off"]);
    let first = service.get("/api/pulse").ok();
    assert_eq!(service.get("/api/pulse").ok()["state"], first["state"]);
    service.put("/api/config/limit", "3").ok();
    let point = service.post("/api/points", json!({"description": "before"})).ok();
    let second = service.get("/api/pulse").ok();
    assert_ne!(second["state"], first["state"]);
    assert_eq!((&second["points"], &second["latest"]["point"]), (&json!(1), &point["id"]));
}

#[test]
fn points_are_listed_in_short_and_counted_along_the_time() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--archive-every", "off", "--backup-interval", "off"]);
    for name in ["one", "two", "three"] {
        service.put("/api/config/name", json!(name)).ok();
        service.post("/api/points", json!({"description": name})).ok();
    }
    let first = service.get("/api/timeline/points?limit=2").ok();
    assert_eq!(ids(&first["points"], "description"), ["three", "two"]);
    let next = first["next"].as_str().unwrap();
    let second = service.get(&format!("/api/timeline/points?limit=2&cursor={next}")).ok();
    assert_eq!((ids(&second["points"], "description"), &second["next"]), (vec!["one".to_owned()], &Value::Null));
    let timeline = service.get("/api/timeline?limit=5").ok();
    let count = |part: &Value| part["manual"].as_u64().unwrap();
    assert_eq!(timeline["buckets"].as_array().unwrap().iter().map(count).sum::<u64>(), 3);
    service.get("/api/timeline?limit=0").refused(422);
    let said = service.get("/api/timeline?from=yesterday").refused(422);
    assert!(said.ends_with("name=from"), "{said}");
}

#[test]
fn tasks_are_filtered_and_long_values_are_shortened_on_request() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let push = |body: Value| service.post("/api/queue", body).ok();
    push(
        json!({"id": "build-1", "payload": "x".repeat(1_000), "priority": "P0", "attributes": {"a": "y".repeat(500)}}),
    );
    push(json!({"id": "build-2", "payload": 1, "assigned_to": "BOT-2"}));
    push(json!({"id": "train-1", "payload": [2], "capabilities": ["gpu"], "depends_on": ["build-1"]}));
    for (query, found) in [
        ("id=build-", &["build-1", "build-2"][..]),
        ("can=gpu", &["train-1"]),
        ("bot=BOT-2", &["build-2"]),
        ("priority=P0&state=ready", &["build-1"]),
        ("id=train-&state=ready", &[]),
        ("older_than=1h", &[]),
    ] {
        assert_eq!(ids(&service.get(&format!("/api/queue?{query}")).ok()["tasks"], "id"), found, "{query}");
    }
    service.get("/api/queue?priority=P9").refused(422);
    service.get("/api/queue?older_than=long").refused(422);
    let short = service.get("/api/queue?id=build-1&preview=10").ok()["tasks"][0].take();
    assert_eq!(short["payload"], "xxxxxxxxxx…");
    assert!(short["attributes"]["…"].as_str().unwrap().len() < 20, "{short}");
    assert_eq!(service.get("/api/queue/build-1/dependents").ok()["tasks"], json!(["train-1"]));
}

#[test]
fn every_record_is_read_by_its_collection_now_and_at_a_point() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    service.put("/api/config/a%2Fb", r#"{"n": 0.10000000000000000555, "big": 123456789012345678901234567890}"#).ok();
    service.post("/api/points", "").ok();
    service.put("/api/config/a%2Fb", "2").ok();
    service.put("/api/config/c", "3").ok();
    assert_eq!(service.get("/api/collections").ok()["collections"]["config"]["count"], 2);
    let page = service.get("/api/collections/config?prefix=a/").ok();
    assert_eq!(page["records"], json!([{"key": "a/b", "value": 2}]));
    let then = service.get("/api/collections/config/a%2Fb?at=latest");
    assert!(then.body.contains(r#"{"n":0.10000000000000000555,"big":123456789012345678901234567890}"#), "{then}");
    let said = service.get("/api/collections/jobs").refused(404);
    assert!(said.contains("the collections are"), "{said}");
    service.get("/api/collections/config/nothing").refused(404);
}

#[test]
fn a_page_of_backups_goes_on_behind_the_last_one_whatever_was_made_and_forgotten_since() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--backup-interval", "off"]);
    let make = || {
        let made = service.post(&format!("{}/backup", crate::BASE), json!({"backup_type": "queue"})).ok();
        made["backup_id"].as_str().unwrap().to_owned()
    };
    let made: Vec<_> = (0..4).map(|_| make()).collect();
    let page = |cursor: &str| {
        let page = service.get(&format!("/api/backups?kind=queue&limit=2{cursor}")).ok();
        (ids(&page["backups"], "backup_id"), page["next"].as_str().map(str::to_owned))
    };
    let (first, next) = page("");
    assert_eq!(first, [made[3].as_str(), &made[2]]);
    make();
    hive.ok(&["point", "forget", &made[3]]);
    let (second, next) = page(&format!("&cursor={}", next.unwrap()));
    assert_eq!((second, next), (vec![made[1].clone(), made[0].clone()], None));
    service.get("/api/backups?cursor=2").refused(422);
}

#[test]
fn documents_are_read_page_by_page() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    for name in ["a", "b", "c", "d"] {
        service.put(&format!("/api/collections/documents/registry%2F{name}"), json!({"n": name})).ok();
    }
    service.put("/api/collections/documents/other%2Fx", "1").ok();
    let (mut keys, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = service.get(&format!("/api/collections/documents?prefix=registry/&limit=2&cursor={cursor}")).ok();
        keys.extend(ids(&page["records"], "key"));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = next.replace('/', "%2F"),
            None => break,
        }
    }
    assert_eq!((keys.join(" ").as_str(), pages), ("registry/a registry/b registry/c registry/d", 2));
}

#[test]
fn many_records_are_changed_together_and_the_earlier_values_returned() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let change =
        |name: &str, body: Value| service.ask("PATCH", &format!("/api/collections/{name}"), "", &body.to_string());
    for name in ["config", "rooms"] {
        change(name, json!({"put": {"a": 1, "b": null}})).ok();
        let told = change(name, json!({"put_new": {"a": 5, "c": 3}, "remove": ["b", "none"]})).ok();
        assert_eq!(told["before"], json!({"a": 1, "b": null}));
        let refused = change(name, json!({"clear": true, "put": {"": 1}}));
        refused.refused(422);
        let records = service.get(&format!("/api/collections/{name}")).ok()["records"].take();
        assert_eq!(records, json!([{"key": "a", "value": 1}, {"key": "c", "value": 3}]), "all of it or nothing");
    }
    change("queue", json!({"put": {"a": 1}})).refused(422);
    change("rooms", json!({"put": [1]})).refused(422);
}

#[test]
fn a_full_batch_tells_of_whole_tasks_and_of_the_fields_in_which_an_earlier_one_differs() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let keyed = json!({"payload": 1, "idempotency_key": "k"});
    let other = json!({"payload": 2, "idempotency_key": "k", "allow_different": true});
    let told = service.post("/api/queue/batch", json!({"tasks": [keyed, other], "full": true})).ok()["tasks"].take();
    assert_eq!((&told[0]["task"]["payload"], &told[0]["existing"]), (&json!(1), &json!(false)));
    assert_eq!((&told[1]["differs"], &told[1]["task"]["payload"]), (&json!(["payload"]), &json!(1)));
    assert_eq!(service.post("/api/queue", &other).ok()["differs"], json!(["payload"]));
}

#[test]
fn a_value_is_replaced_only_if_it_is_the_one_that_was_read() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    service.put("/api/config/limits", r#"{"builds": 3.10}"#).ok();
    let read = service.get("/api/config/limits");
    let tag = read.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let set = |body: &str| service.ask("PUT", "/api/config/limits", &format!("If-Match: {tag}\r\n"), body);
    let written = set("4");
    written.ok();
    let said = set("5").refused(412);
    assert!(said.contains("read it again"), "{said}");
    let read = service.get("/api/config/limits");
    assert_eq!(read.ok(), 4);
    let etag = |head: &str| head.lines().find(|line| line.starts_with("etag: ")).map(str::to_owned);
    assert!(etag(&read.head).is_some() && etag(&read.head) == etag(&written.head), "a writer need not read again");
    service.ask("PUT", "/api/config/limits", &format!("If-Match: \"other\", W/{tag}\r\nIf-Match: *\r\n"), "4").ok();
    service.delete("/api/config/limits").ok();
    set("6").refused(412);
}

#[test]
fn conditions_hold_for_every_change_of_a_value_that_has_an_etag_and_are_refused_for_all_others() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let tag = |value: &str| {
        let written = service.put("/api/config/limits", value);
        let tag = written.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        tag.to_owned()
    };
    let earlier = tag("1");
    for path in ["/api/config/limits", "/api/collections/config/limits"] {
        let ask = |method: &str, header: &str, body: &str| service.ask(method, path, &format!("{header}\r\n"), body);
        let now = tag("2");
        for (method, body) in [("PUT", "9"), ("DELETE", "")] {
            ask(method, &format!("If-Match: {earlier}"), body).refused(412);
            ask(method, "If-None-Match: *", body).refused(412);
            ask(method, &format!("If-None-Match: \"other\", {now}"), body).refused(412);
            assert_eq!(service.get("/api/config/limits").ok(), 2, "{method} {path}");
        }
        ask("DELETE", &format!("If-Match: {now}"), "").ok();
        ask("DELETE", "If-Match: *", "").refused(412);
        ask("PUT", "If-Match: *", "9").refused(412);
        ask("PUT", "If-None-Match: *", "3").ok();
        ask("PUT", &format!("If-None-Match: {now}"), "4").ok();
    }
    service.put("/api/registry/BOT-1", json!({"port": 1})).ok();
    for (method, path) in [
        ("PUT", "/api/registry/BOT-1"),
        ("DELETE", "/api/registry/BOT-1"),
        ("PUT", "/api/collections/sensors/roof"),
        ("PATCH", "/api/collections/config"),
        ("POST", "/api/queue"),
    ] {
        let said = service.ask(method, path, "If-Match: *\r\n", r#"{"port": 2, "payload": 1}"#).refused(412);
        assert!(said.starts_with("this resource has no ETag"), "{said}");
    }
    assert_eq!(service.get("/api/registry/BOT-1").ok()["port"], 1);
}

#[test]
fn an_unknown_query_parameter_is_refused_on_every_route_but_those_of_the_replaced_service() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    service.put("/api/config/limit", "1").ok();
    service.post("/api/points", "").ok();
    service.put("/api/config/limit", "2").ok();
    for (method, target) in crate::described::targets("x") {
        let answer = service.ask(&method, &format!("{target}?another=1"), "", "");
        if target.starts_with(crate::BASE) {
            assert!(!answer.body.contains("query parameter"), "{answer}");
        } else {
            assert!(answer.refused(422).starts_with("unknown query parameter"), "{answer}");
        }
    }
    let said = service.post("/api/points/latest/restore?dry_run=true", "").refused(422);
    assert_eq!(said, "this is a field of the body, not a query parameter: name=dry_run");
    service.post("/api/undo?dry_run=true&discard=true", "").refused(422);
    assert_eq!(service.get("/api/config/limit").ok(), 2, "nothing was restored");
    let said = service.get("/api/queue?priorty=P0").refused(422);
    assert!(said.starts_with("unknown query parameter: name=priorty known=state,"), "{said}");
    let said = service.get("/api/bulk?limit=5").refused(422);
    assert_eq!(said, "unknown query parameter; this request has none: name=limit");
}

#[test]
fn a_list_of_a_point_that_lost_records_says_so_over_http_and_on_the_command_line() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["put", "config", "secret", "\"the only secret\""]);
    hive.ok(&["point", "create"]);
    let mut bytes = std::fs::read(hive.path()).unwrap();
    let places = (0..bytes.len() - 15).filter(|at| bytes[*at..].starts_with(b"the only secret")).collect::<Vec<_>>();
    for at in places {
        bytes[at..at + 2].copy_from_slice(b"##");
    }
    let sound = hive.path().with_extension("sound.redb");
    std::fs::write(hive.path(), bytes).unwrap();
    hive.run(&["repair", "--to", sound.to_str().unwrap()]).with(3);
    std::fs::rename(&sound, hive.path()).unwrap();

    let service = Service::start(&hive, &[]);
    for path in ["/api/config", "/api/collections/config"] {
        let list = service.get(&format!("{path}?at=latest")).ok();
        assert_eq!((&list["partial"], &list["lost"]), (&json!(true), &json!(["secret"])), "{list}");
        assert!(list.to_string().contains("limit"), "{list}");
        assert!(service.get(path).ok().get("partial").is_none());
    }
    assert!(service.get("/api/registry?at=latest").ok().get("partial").is_none());
    let diff = service.get("/api/points/latest/diff").ok();
    assert_eq!((&diff["total"], &diff["changes"][0]["change"]), (&json!(1), &json!("lost")));
    let url = service.url();
    let list = hive.run(&["--store", &url, "get", "config", "--at", "latest"]).with(3);
    assert!(list.err.contains("known keys: secret"), "{list:?}");
    hive.run(&["--store", &url, "point", "diff", "latest"]).with(3);
}

#[test]
fn a_registration_without_a_body_is_refused_and_changes_nothing() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    service.put("/api/registry/BOT-1", json!({"port": 8001, "kind": "worker"})).ok();
    for body in ["", "null"] {
        let said = service.put("/api/registry/BOT-1", body).refused(422);
        assert!(said.starts_with("the body is missing"), "{said}");
    }
    let bot = service.get("/api/registry/BOT-1").ok();
    assert_eq!((&bot["port"], &bot["kind"]), (&json!(8001), &json!("worker")));
    service.put("/api/registry/BOT-1", "{}").ok();
}

#[test]
fn a_restore_follows_the_plan_that_was_seen_or_is_refused() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    service.put("/api/config/limit", "1").ok();
    service.post("/api/points", "").ok();
    service.put("/api/config/limit", "2").ok();
    let plan = service.post("/api/points/latest/restore", json!({"dry_run": true})).ok();
    service.put("/api/config/limit", "3").ok();
    let answer = service.post("/api/points/latest/restore", json!({"expect": plan["state"]}));
    let said = answer.refused(409);
    assert!(
        said.starts_with("the state has changed since the plan") && answer.body.contains("plan it again"),
        "{answer}"
    );
    let plan = service.post("/api/points/latest/restore", json!({"dry_run": true})).ok();
    service.post("/api/points/latest/restore", json!({"expect": plan["state"]})).ok();
    assert_eq!(service.get("/api/config/limit").ok(), 1);
    service.post("/api/undo", json!({"expect": plan["state"]})).refused(409);
    let undo = service.post("/api/undo", json!({"dry_run": true})).ok();
    service.post("/api/undo", json!({"expect": undo["state"]})).ok();
    assert_eq!(service.get("/api/config/limit").ok(), 3);
}

#[test]
fn a_difference_is_listed_in_pages_with_the_numbers_of_all() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    service.post("/api/points", "").ok();
    for key in ["a", "b", "c"] {
        service.put(&format!("/api/config/{key}"), json!("x".repeat(100))).ok();
    }
    service.put("/api/registry/BOT-1", "{}").ok();
    let first = service.get("/api/points/latest/diff?collection=config&limit=2&preview=5").ok();
    assert_eq!((ids(&first["changes"], "key"), &first["total"]), (vec!["a".to_owned(), "b".to_owned()], &json!(4)));
    assert_eq!(first["changes"][0]["after"], "xxxxx…");
    let next = first["next"].as_str().unwrap();
    let second = service.get(&format!("/api/points/latest/diff?collection=config&cursor={next}")).ok();
    assert_eq!((ids(&second["changes"], "key"), &second["next"]), (vec!["c".to_owned()], &Value::Null));
    let only = service.get("/api/points/latest/diff?prefix=BOT").ok();
    assert_eq!(ids(&only["changes"], "collection"), ["registry"]);
}

#[test]
fn a_point_is_forgotten_unless_it_is_held_and_a_diagnosis_needs_no_shell() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let point = service.post("/api/points", json!({"held": true})).ok();
    let path = format!("/api/points/{}", point["id"].as_str().unwrap());
    service.delete(&path).refused(409);
    service.post(&format!("{path}/release"), "").ok();
    assert_eq!(service.delete(&path).ok()["id"], point["id"]);
    service.get(&path).refused(404);
    let lines = service.get("/api/doctor").ok()["lines"].take();
    assert!(ids(&lines, "topic").contains(&"archives".to_owned()), "{lines}");
    assert_eq!(service.post("/api/crash/ack", "").ok()["acknowledged"], 0);
}

#[test]
fn the_service_shows_its_settings_without_passwords_and_the_bots_that_wait() {
    let hive = Hive::new();
    let secret = "hunter2";
    let command = format!("curl -u me:{secret} http://localhost:9");
    let service = Service::start(
        &hive,
        &[
            "--backup-interval",
            "90s",
            "--on-failure",
            &command,
            "--failure-url",
            "http://localhost:9/hunter2",
            "--no-thinning",
        ],
    );
    let answer = service.get("/api/service").ok();
    let settings = &answer["settings"];
    assert_eq!((&settings["backup-interval"], &settings["exclusive"]), (&json!("1m 30s"), &json!("false")));
    assert_eq!((&settings["on-failure"], &settings["failure-url"]), (&json!("set"), &json!("set")));
    assert!(!answer.to_string().contains(secret), "{answer}");
    assert!(settings.get("no-thinning").is_none(), "a rule of retention is in the store: {settings}");
    assert_eq!(answer["waiting"], json!([]));
    std::thread::scope(|scope| {
        let claims = scope.spawn(|| service.post("/api/queue/claim", json!({"bot": "BOT-1", "wait_ms": 30_000})).ok());
        while service.get("/api/service").ok()["waiting"] != json!(["BOT-1"]) {
            assert!(!claims.is_finished(), "it never waited");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        service.post("/api/queue", json!({"payload": 1})).ok();
        claims.join().unwrap();
    });
    assert_eq!(service.get("/api/service").ok()["waiting"], json!([]));
}

#[test]
fn the_chain_of_the_audit_trail_is_verified_up_to_its_newest_entry() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--archive-every", "off", "--backup-interval", "off"]);
    for number in 0..3 {
        service.post("/api/audit", json!({"action": "deploy", "actor": "BOT-1", "details": number})).ok();
    }
    let last = service.get("/api/pulse").ok()["last_audit"].take();
    let report = service.get("/api/audit-check").ok();
    assert_eq!((&report["last"], &report["found"], &report["findings"]), (&last, &json!(0), &json!([])), "{report}");
    // A client that asks again and again gets the same report, and takes no core.
    service.post("/api/audit", json!({"action": "deploy", "actor": "BOT-1"})).ok();
    assert_eq!(service.get("/api/audit-check").ok(), report);
}
