//! Work: tasks are enqueued, claimed and finished.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::agent::Agent;
use crate::util::Hive;

#[test]
fn an_agent_finds_every_tool_with_a_schema_of_its_arguments() {
    let hive = Hive::new();
    let mut agent = Agent::new(&hive, "BOT-1");
    let answer = agent.ask("tools/list", json!({}));
    let tools = answer["result"]["tools"].as_array().unwrap();
    assert!(tools.len() > 20);
    for tool in tools {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
        assert!(!tool["annotations"]["readOnlyHint"].is_null(), "{tool}");
    }
    let claim = tools.iter().find(|tool| tool["name"] == "claim").unwrap();
    assert!(claim["description"].as_str().unwrap().contains("call complete, fail or release"));
}

#[test]
fn a_task_is_claimed_completed_and_the_next_one_claimed_in_the_same_commit() {
    let hive = Hive::new();
    let mut agent = Agent::new(&hive, "BOT-1");
    let task = br#"{"payload":{"build":1.50,"big":12345678901234567890123},"id":"a"}"#;
    let pushed = agent.ok("enqueue", hivekeep::json::parse(task).unwrap());
    assert_eq!(pushed, json!({"task": "a", "state": "ready", "existing": false}));
    let batch =
        agent.ok("enqueue_all", json!({"tasks": [{"payload": 2, "id": "b", "depends_on": ["a"]}, {"payload": 3}]}));
    assert_eq!(batch["tasks"][0], json!({"task": "b", "state": "waiting", "existing": false}));
    let claims = agent.ok("claim", json!({}));
    assert_eq!((&claims["claims"][0]["id"], &claims["lease_is_extended"]), (&json!("a"), &json!(true)));
    assert_eq!(claims["claims"][0]["payload"].to_string(), r#"{"build":1.50,"big":12345678901234567890123}"#);
    assert_eq!(agent.ok("me", json!({}))["tasks"], json!(["a"]));
    let done = agent.ok("complete", json!({"task": "a", "result": {"sha": "4f2a"}, "claim_next": true}));
    assert_eq!(done["completed"], json!({"task": "a", "state": "done"}));
    assert_eq!(done["claims"].as_array().unwrap().len(), 1);
    assert_eq!(agent.ok("task", json!({"task": "a"}))["result"], json!({"sha": "4f2a"}));
    let entries = hive.json(&["get", "audit"]);
    let entries = entries.as_array().unwrap();
    let own = |action: &str| entries.iter().filter(|entry| entry["action"] == action).collect::<Vec<_>>();
    for (action, count) in [("queue_push", 2), ("queue_claim", 2), ("queue_complete", 1)] {
        let found = own(action);
        assert_eq!(found.len(), count, "{action}: {entries:?}");
        assert_eq!((&found[0]["details"]["way"], &found[0]["asked_by"]["bot"]), (&json!("mcp"), &json!("BOT-1")));
    }
}

#[test]
fn a_task_can_be_failed_released_and_extended_and_the_answer_to_an_empty_claim_says_why() {
    let hive = Hive::new();
    let mut agent = Agent::new(&hive, "BOT-1");
    let empty = agent.ok("claim", json!({}));
    assert_eq!(empty["claims"], json!([]));
    assert!(empty["reason"].as_str().unwrap().contains("BOT-1"), "{empty}");
    agent.ok("enqueue", json!({"payload": 1, "id": "a", "max_attempts": 2}));
    agent.ok("claim", json!({"lease_ms": 60_000}));
    let extended = agent.ok("extend", json!({"task": "a", "lease_ms": 120_000}));
    assert_eq!(extended["holder"]["bot"], "BOT-1");
    assert_eq!(agent.ok("release", json!({"task": "a"})), json!({"task": "a", "state": "ready"}));
    agent.refused("release", json!({"task": "a"}), "invalid");
    let token = agent.ok("claim", json!({}))["claims"][0]["token"].clone();
    let failed = agent.ok("fail", json!({"task": "a", "token": token, "error": "no such branch", "retry": false}));
    assert_eq!(failed, json!({"task": "a", "state": "failed", "attempts": 1}));
    let said = agent.refused("complete", json!({"task": "a", "token": token}), "conflict");
    assert!(said.contains("throw this work away"), "{said}");
    assert!(agent.ok("why", json!({"task": "a"}))["text"].as_str().unwrap().contains("failed"));
}

#[test]
fn two_sessions_that_claim_at_once_never_get_the_same_task() {
    let hive = Hive::new();
    let tasks: Vec<_> = (0..40).map(|number| json!({"payload": number, "id": format!("task-{number}")})).collect();
    let mut first = Agent::new(&hive, "BOT-1");
    first.ok("enqueue_all", json!({"tasks": tasks}));
    let second = Agent::new(&hive, "BOT-2");
    let each_has_one = std::sync::Barrier::new(2);
    let worked: Vec<_> = std::thread::scope(|scope| {
        let both = [first, second].map(|mut agent| {
            let each_has_one = &each_has_one;
            scope.spawn(move || {
                let mut done = Vec::new();
                let mut claims = agent.ok("claim", json!({}));
                each_has_one.wait();
                while let Some(task) = claims["claims"][0]["id"].as_str().map(str::to_owned) {
                    claims = agent.ok("complete", json!({"task": task, "claim_next": true}));
                    done.push(task);
                }
                done
            })
        });
        both.map(|agent| agent.join().unwrap()).into()
    });
    let mut all = worked.concat();
    all.sort();
    all.dedup();
    assert_eq!((all.len(), worked[0].len() + worked[1].len()), (40, 40));
    assert!(worked.iter().all(|done| !done.is_empty()), "{worked:?}");
}

#[test]
fn a_wait_ends_with_the_task_that_comes_and_a_cancelled_one_claims_nothing() {
    let hive = Hive::new();
    let (mut waiting, mut other) = (Agent::new(&hive, "BOT-1"), Agent::new(&hive, "BOT-2"));
    let claim = json!({"name": "claim", "arguments": {"wait_ms": 50_000}});
    let id = waiting.begin("tools/call", claim.clone());
    assert!(waiting.says_nothing());
    other.ok("enqueue", json!({"payload": 1, "id": "a"}));
    let (claims, _) = crate::agent::told(&waiting.answer(id));
    assert_eq!(claims["claims"][0]["id"], "a");

    let id = waiting.begin("tools/call", claim);
    assert!(waiting.says_nothing());
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
    waiting.send(cancelled.to_string());
    waiting.ok("me", json!({}));
    other.ok("enqueue", json!({"payload": 2, "id": "b"}));
    let claimed = other.ok("claim", json!({"wait_ms": 5_000}));
    assert_eq!(claimed["claims"][0]["id"], "b");
    assert_eq!(waiting.ok("me", json!({}))["tasks"], json!(["a"]));
}

#[test]
fn the_lease_of_a_claim_is_extended_while_its_session_lives() {
    let hive = Hive::new();
    let (mut agent, mut other) = (Agent::new(&hive, "BOT-1"), Agent::new(&hive, "BOT-2"));
    agent.ok("enqueue", json!({"payload": 1, "id": "a"}));
    agent.ok("claim", json!({"lease_ms": 4_000}));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
        assert_eq!(other.ok("claim", json!({}))["claims"], json!([]));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(agent.ok("complete", json!({"task": "a"}))["completed"]["state"], "done");
}
