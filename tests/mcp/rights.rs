//! Rights: the bot and the role of a session decide what it may do.

use serde_json::json;

use crate::agent::Agent;
use crate::util::Hive;

#[test]
fn a_session_acts_as_its_own_bot_only() {
    let hive = Hive::new();
    let (mut one, mut other) = (Agent::new(&hive, "BOT-1"), Agent::new(&hive, "BOT-2"));
    one.ok("enqueue", json!({"payload": 1, "id": "a"}));
    let token = one.ok("claim", json!({}))["claims"][0]["token"].clone();
    assert_eq!(other.ok("task", json!({"task": "a"}))["holder"]["token"], json!(null));
    assert_eq!(other.ok("tasks", json!({}))["tasks"][0]["holder"]["token"], json!(null));
    assert_eq!(other.read("hivekeep://queue/a")["holder"]["token"], json!(null));
    assert_eq!(other.read("hivekeep://queue")["queue"][0]["holder"]["token"], json!(null));
    assert_eq!(one.ok("task", json!({"task": "a"}))["holder"]["token"], token);
    for tool in ["complete", "extend", "release"] {
        other.refused(tool, json!({"task": "a", "token": token}), "forbidden");
    }
    other.refused("claim", json!({"bot": "BOT-1"}), "forbidden");
    other.refused("register", json!({"bot": "BOT-1"}), "forbidden");
    one.ok("register", json!({}));
    other.refused("heartbeat", json!({"bot": "BOT-1"}), "forbidden");
    other.refused("chat_post", json!({"conversation": "c", "content": "x", "bot": "BOT-1"}), "forbidden");
    other.refused("note_write", json!({"name": "n", "value": 1, "bot": "BOT-1"}), "forbidden");
    one.ok("complete", json!({"task": "a"}));
}

#[test]
fn applying_a_restore_needs_an_operator_and_the_refusal_says_so() {
    let hive = Hive::new();
    let mut operator = Agent::with(&hive, &["--role", "operator"]);
    let mut bot = Agent::new(&hive, "BOT-1");
    let said = bot.refused("point_make", json!({"description": "mine"}), "forbidden");
    assert!(said.contains("needs the role operator") && said.contains("ask an operator"), "{said}");
    operator.ok("point_make", json!({"description": "before"}));
    bot.ok("enqueue", json!({"payload": 1, "id": "a"}));
    let plan = bot.ok("restore_plan", json!({"point": "latest"}));
    assert_eq!(plan["collections"]["queue"], json!({"added": 0, "removed": 1, "changed": 0}));
    let apply = json!({"point": "latest", "expect": plan["state"]});
    let said = bot.refused("restore", apply.clone(), "forbidden");
    assert!(said.contains("needs the role operator"), "{said}");
    operator.ok("restore", apply.clone());
    assert_eq!(bot.ok("tasks", json!({}))["tasks"], json!([]));
    let said = operator.refused("restore", apply, "conflict");
    assert!(said.contains("expect") || said.contains("changed"), "{said}");
    operator.ok("undo", json!({}));
    assert_eq!(bot.ok("tasks", json!({}))["tasks"][0]["id"], "a");
    operator.refused("claim", json!({}), "invalid");
    operator.ok("claim", json!({"bot": "BOT-9"}));
}

#[test]
fn a_reader_only_looks() {
    let hive = Hive::new();
    hive.fill();
    let mut reader = Agent::with(&hive, &["--role", "reader"]);
    reader.ok("tasks", json!({}));
    reader.read("hivekeep://registry");
    for (tool, arguments) in [
        ("claim", json!({"bot": "BOT-1"})),
        ("enqueue", json!({"payload": 1})),
        ("chat_post", json!({"conversation": "c", "content": "x"})),
        ("note_write", json!({"name": "n", "value": 1, "bot": "BOT-1"})),
        ("heartbeat", json!({"bot": "BOT-1"})),
    ] {
        let said = reader.refused(tool, arguments, "forbidden");
        assert!(said.contains("role=reader"), "{said}");
    }
}

#[test]
fn a_session_with_the_role_bot_names_its_bot_and_a_store_that_is_not_there_is_not_made() {
    let hive = Hive::new();
    assert!(hive.refused(&["mcp"], 2).contains("--as BOT"));
    hive.run(&["mcp", "--as", "BOT-1", "--role", "king"]).with(2);
    let empty = Hive::empty();
    empty.refused(&["mcp", "--as", "BOT-1"], 10);
    assert!(!empty.path().exists());
}
