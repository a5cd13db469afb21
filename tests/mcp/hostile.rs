//! Input that no honest client sends: it is answered, and the session goes on.

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::util::Hive;

#[test]
fn a_line_that_is_no_message_is_answered_with_an_error_and_the_session_goes_on() {
    let hive = Hive::new();
    let mut agent = Agent::new(&hive, "BOT-1");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_arguments = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"enqueue","arguments":{{"payload":{}1{}}}}}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"}]"#;
    for (line, code) in [
        (&b"{"[..], -32700),
        (&b"\xff\xfe\x00"[..], -32700),
        (&b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"method\":\"ping\"}"[..], -32700),
        (deep.as_bytes(), -32700),
        (deep_arguments.as_bytes(), -32700),
        (batch.as_bytes(), -32600),
        (&b"5"[..], -32600),
        (&b"{}"[..], -32600),
    ] {
        agent.send(line);
        let answer = agent.next();
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
    agent.send("");
    agent.send("x".repeat((1 << 20) + 1));
    assert!(agent.next()["error"]["message"].as_str().unwrap().contains("limit_bytes=1048576"));
    agent.send(r#"{"jsonrpc":"2.0","method":"notifications/nosuch","params":{"a":1}}"#);
    agent.ok("me", json!({}));
}

#[test]
fn wrong_calls_are_refused_by_name() {
    let hive = Hive::new();
    let mut agent = Agent::new(&hive, "BOT-1");
    let unknown = agent.ask("tools/call", json!({"name": "nosuch", "arguments": {}}));
    assert!(unknown["error"]["message"].as_str().unwrap().contains("name=nosuch"), "{unknown}");
    assert_eq!(agent.ask("nosuch/method", json!({}))["error"]["code"], -32601);
    for arguments in [json!({"name": 5}), json!({"name": "me", "arguments": 5}), json!([1]), json!("x")] {
        assert!(agent.ask("tools/call", arguments.clone())["error"].is_object(), "{arguments}");
    }
    for (tool, arguments, named) in [
        ("claim", json!({"lease_ms": "long"}), "lease_ms"),
        ("claim", json!({"lease_ms": 99_999_999_999_u64}), "lease"),
        ("claim", json!({"leese_ms": 1}), "leese_ms"),
        ("claim", json!({"max": 0}), "max"),
        ("claim", json!({"max": -1}), "max"),
        ("complete", json!({}), "task"),
        ("complete", json!({"task": 5}), "task"),
        ("complete", json!({"task": "\u{0}"}), "control"),
        ("fail", json!({"task": "a", "token": 1}), "error"),
        ("enqueue", json!({}), "payload"),
        ("enqueue", json!({"payload": 1, "id": "x".repeat(300)}), "200"),
        ("enqueue_all", json!({"tasks": {}}), "tasks"),
        ("enqueue_all", json!({"tasks": vec![json!({"payload": 1}); 1_001]}), "1001"),
        ("enqueue_all", json!({"tasks": [{"payload": 1}, {"pay": 1}]}), "task 2 of the batch"),
        ("tasks", json!({"state": "lost"}), "state"),
        ("note_write", json!({"name": "", "value": 1}), "empty"),
        ("note_write", json!({"name": "a"}), "value"),
        ("chat_post", json!({"conversation": "", "content": "x"}), "conversation"),
        ("me", json!({"who": 1}), "who"),
    ] {
        let said = agent.refused(tool, arguments.clone(), "invalid");
        assert!(said.contains(named), "{tool} {arguments}: {said}");
    }
    for (tool, arguments) in [("task", json!({"task": "nosuch"})), ("why", json!({"task": "nosuch"}))] {
        agent.refused(tool, arguments, "not_found");
    }
    agent.refused("complete", json!({"task": "nosuch", "token": 1}), "not_found");
    assert_eq!(agent.ok("tasks", json!({}))["tasks"], json!([]));
}

#[test]
fn claims_beyond_those_that_may_wait_at_once_are_refused_and_the_session_goes_on() {
    let hive = Hive::new();
    let mut agent = Agent::new(&hive, "BOT-1");
    let ids: Vec<_> =
        (0..60).map(|_| agent.begin("tools/call", json!({"name": "claim", "arguments": {"wait_ms": 1_000}}))).collect();
    let mut refused = 0;
    for _ in &ids {
        let (answer, is_error) = crate::agent::told(&agent.next());
        refused += usize::from(is_error && answer["kind"] == "busy");
    }
    assert!(refused >= 52, "{refused}");
    agent.ok("me", json!({}));
}

#[test]
fn calls_beyond_those_that_may_be_in_progress_at_once_are_refused_and_the_session_goes_on() {
    let hive = Hive::new();
    let mut agent = Agent::new(&hive, "BOT-1");
    let (store, mut refused) = (hive.open(), 0);
    // While somebody else writes, each call that writes takes its place.
    store
        .write(|_| {
            for number in 0..60 {
                let arguments = json!({"name": format!("note-{number}"), "value": 1});
                agent.begin("tools/call", json!({"name": "note_write", "arguments": arguments}));
            }
            while refused < 60 - 32 {
                let (answer, is_error) = crate::agent::told(&agent.next());
                assert!(is_error && answer["error"].as_str().unwrap().contains("limit=32"), "{answer}");
                refused += 1;
            }
            assert!(agent.says_nothing());
            Ok(())
        })
        .unwrap();
    for _ in 0..32 {
        let (answer, is_error) = crate::agent::told(&agent.next());
        assert!(!is_error, "{answer}");
    }
    agent.ok("me", json!({}));
}

#[test]
fn nothing_but_the_protocol_is_written_to_standard_output() {
    let hive = Hive::new();
    let mut agent = Agent::silent(&hive, &["--as", "BOT-1"]);
    assert!(agent.says_nothing());
    agent.send("not json at all");
    let answer: Value = agent.next();
    assert_eq!(answer["jsonrpc"], "2.0");
    agent.send(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    assert!(agent.next()["error"].is_object());
    agent.hang_up();
    let mut command = hive.command(&["mcp", "--as", "BOT-1", "--json"]);
    command.env("HIVEKEEP_LOG", "trace");
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}
