//! The state: bots, chat, notes, points, differences, and all of it as resources.

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::util::{Hive, keys};

#[test]
fn bots_are_registered_listed_and_say_that_they_live() {
    let hive = Hive::new();
    let mut agent = Agent::new(&hive, "BOT-1");
    agent.refused("heartbeat", json!({}), "not_found");
    let bot = agent.ok("register", json!({"kind": "claude-code", "specializations": ["rust"], "max_concurrent": 2}));
    assert_eq!((&bot["id"], &bot["specializations"]), (&json!("BOT-1"), &json!(["rust"])));
    agent.ok("heartbeat", json!({}));
    let bots = agent.ok("bots", json!({}));
    assert_eq!(bots["bots"][0]["kind"], "claude-code");
    assert!(!bots["bots"][0]["last_heartbeat"].is_null());
    agent.refused("register", json!({"hands": 2}), "invalid");
}

#[test]
fn messages_and_notes_are_read_by_others_and_as_of_a_point() {
    let hive = Hive::new();
    let (mut one, mut other) = (Agent::new(&hive, "BOT-1"), Agent::new(&hive, "BOT-2"));
    let mut operator = Agent::with(&hive, &["--role", "operator"]);
    one.ok("chat_post", json!({"conversation": "standup", "content": "hello", "attributes": {"mood": "good"}}));
    let note = br#"{"name":"plan/today","value":{"steps":[1,2.50]}}"#;
    one.ok("note_write", hivekeep::json::parse(note).unwrap());
    operator.ok("point_make", json!({"description": "morning", "tags": {"day": "1"}}));
    one.ok("chat_post", json!({"conversation": "standup", "content": "x".repeat(2_000)}));
    one.ok("note_write", json!({"name": "plan/today", "value": "done"}));

    let chat = other.ok("chat_read", json!({"conversation": "standup"}));
    assert_eq!(chat["messages"][1]["content"], "hello");
    assert_eq!(chat["messages"][1]["bot_id"], "BOT-1");
    assert!(chat["messages"][0]["content"].as_str().unwrap().len() < 600);
    let full = other.ok("chat_read", json!({"conversation": "standup", "full": true, "limit": 1}));
    assert_eq!(full["messages"][0]["content"].as_str().unwrap().len(), 2_000);
    let second = other.ok("chat_read", json!({"limit": 1, "cursor": full["next"]}));
    assert_eq!((&second["messages"][0]["content"], &second["next"]), (&json!("hello"), &json!(null)));
    assert_eq!(other.ok("chat_read", json!({"at": "latest"}))["messages"].as_array().unwrap().len(), 1);

    assert_eq!(other.ok("note_read", json!({"bot": "BOT-1", "name": "plan/today"}))["value"], "done");
    let earlier = other.ok("note_read", json!({"bot": "BOT-1", "name": "plan/today", "at": "latest"}));
    assert_eq!(earlier["value"].to_string(), r#"{"steps":[1,2.50]}"#);
    assert_eq!(other.ok("notes", json!({"bot": "BOT-1", "prefix": "plan/"}))["notes"][0]["name"], "plan/today");
    assert_eq!(other.ok("notes", json!({}))["notes"], json!([]));
    one.ok("note_remove", json!({"name": "plan/today"}));
    one.refused("note_remove", json!({"name": "plan/today"}), "not_found");
    one.refused("note_read", json!({"name": "plan/today"}), "not_found");

    let points = one.ok("points", json!({}));
    assert_eq!(points["points"][0]["description"], "morning");
    let diff = one.ok("diff", json!({"point": "latest"}));
    assert_eq!((&diff["total"], keys(&diff["counts"])), (&json!(2), vec!["bot-notes", "chat"]));
    let first = one.ok("diff", json!({"point": "latest", "limit": 1}));
    let second = one.ok("diff", json!({"point": "latest", "limit": 1, "cursor": first["next"]}));
    assert_ne!(first["changes"], second["changes"]);
    one.refused("diff", json!({"point": "nosuch"}), "invalid");
}

#[test]
fn the_state_is_read_as_resources_now_and_as_of_a_point_in_pages() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create", "before"]);
    hive.ok(&["put", "config", "limit", "6"]);
    hive.ok(&["put", "registry", "a/b", "{}"]);
    let mut agent = Agent::new(&hive, "BOT-1");
    let listed = agent.ask("resources/list", json!({}));
    let listed: Vec<_> =
        listed["result"]["resources"].as_array().unwrap().iter().map(|one| one["uri"].clone()).collect();
    assert_eq!(
        listed,
        ["registry", "queue", "config", "chat", "points"].map(|name| json!(format!("hivekeep://{name}")))
    );
    for uri in &listed {
        let name = uri.as_str().unwrap().trim_start_matches("hivekeep://");
        assert!(agent.read(uri.as_str().unwrap())[name].is_array(), "{uri}");
    }
    let templates = agent.ask("resources/templates/list", json!({}));
    assert_eq!(templates["result"]["resourceTemplates"].as_array().unwrap().len(), 9);
    assert_eq!(agent.read("hivekeep://config/limit"), json!(6));
    assert_eq!(agent.read("hivekeep://config/limit?at=latest"), json!(5));
    assert_eq!(agent.read("hivekeep://registry/a%2Fb")["id"], "a/b");
    assert_eq!(agent.read("hivekeep://queue/build")["payload"], json!({"build": 1}));
    assert_eq!(agent.read("hivekeep://points/latest")["description"], "before");
    for number in 0..60 {
        agent.ok("chat_post", json!({"conversation": "c", "content": number.to_string()}));
    }
    let first = agent.read("hivekeep://chat?conversation=c");
    let second = agent.read(first["next"].as_str().unwrap());
    assert_eq!((first["chat"].as_array().unwrap().len(), second["chat"].as_array().unwrap().len()), (50, 10));
    assert_eq!(second["next"], Value::Null);
    for uri in
        ["hivekeep://keys", "hivekeep://config/nosuch", "hivekeep://queue?cursor=zz", "hivekeep://queue?at=nosuch", "x"]
    {
        let answer = agent.ask("resources/read", json!({"uri": uri}));
        assert!(answer["error"]["data"]["next"].is_string(), "{uri}: {answer}");
    }
}

#[test]
fn answers_are_short_and_paged_however_long_the_values_are() {
    let hive = Hive::new();
    let mut agent = Agent::new(&hive, "BOT-1");
    for number in 0..130 {
        let payload = json!({"text": "long ".repeat(2_000), "number": number});
        agent.ok(
            "enqueue",
            json!({"payload": payload, "id": format!("task-{number:03}"), "attributes": {"a": "x".repeat(3_000)}}),
        );
    }
    let (mut seen, mut cursor) = (0, Value::Null);
    loop {
        let page = agent.ok("tasks", json!({"limit": 100, "cursor": cursor}));
        assert!(page.to_string().len() <= 32 << 10, "{}", page.to_string().len());
        seen += page["tasks"].as_array().unwrap().len();
        cursor = page["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen, 130);
    let usual = agent.ok("tasks", json!({"state": "ready"}));
    assert!(usual["tasks"].as_array().unwrap().len() <= 20 && usual["next"].is_string());
    assert!(agent.ok("task", json!({"task": "task-001"})).to_string().len() > 10_000);
    agent.ok("enqueue", json!({"payload": "y".repeat(500_000), "id": "huge", "priority": "P0"}));
    assert!(agent.ok("task", json!({"task": "huge"})).to_string().len() < 80_000);
    assert!(agent.ok("claim", json!({})).to_string().len() < 80_000);
    agent.refused("tasks", json!({"cursor": "zz"}), "invalid");
    agent.refused("chat_read", json!({"cursor": "zz"}), "invalid");
    agent.refused("points", json!({"cursor": "zz"}), "invalid");
    agent.refused("diff", json!({"point": "latest", "cursor": "zz"}), "not_found");
    agent.refused("tasks", json!({"limit": 0}), "invalid");
}
