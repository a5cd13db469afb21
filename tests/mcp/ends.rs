//! The end of a session, in each way: its tasks are ready for others.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::{Agent, PATIENCE};
use crate::util::Hive;

/// A session that holds the only task, with a lease that no test waits for.
fn holding(hive: &Hive) -> Agent {
    let mut agent = Agent::new(hive, "BOT-1");
    agent.ok("enqueue", json!({"payload": 1, "id": "a"}));
    let claims = agent.ok("claim", json!({"lease_ms": 3_600_000}));
    assert_eq!(claims["claims"][0]["id"], "a");
    agent
}

/// Another session gets the task, as its first attempt where nobody was at fault.
fn comes_back(hive: &Hive, attempt: u64) {
    let mut other = Agent::new(hive, "BOT-2");
    let begun = Instant::now();
    loop {
        let claims = other.ok("claim", json!({"wait_ms": 1_000}));
        if claims["claims"] != json!([]) {
            assert_eq!((&claims["claims"][0]["id"], &claims["claims"][0]["attempt"]), (&json!("a"), &json!(attempt)));
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "the task never came back");
    }
}

#[test]
fn a_task_comes_back_when_standard_input_ends() {
    let hive = Hive::new();
    holding(&hive).hang_up();
    comes_back(&hive, 1);
}

#[cfg(unix)]
#[test]
fn a_task_comes_back_when_the_server_is_told_to_stop() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT, rustix::process::Signal::HUP] {
        let hive = Hive::new();
        let mut agent = holding(&hive);
        let id = i32::try_from(agent.child.id()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), signal).unwrap();
        assert!(agent.child.wait().unwrap().success());
        let task: Value = hive.json(&["get", "queue", "a"]);
        assert_eq!((&task["state"], &task["attempts"]), (&json!("ready"), &json!(0)));
    }
}

#[test]
fn a_task_comes_back_when_the_server_is_killed() {
    let hive = Hive::new();
    let agent = holding(&hive);
    let begun = Instant::now();
    agent.kill();
    // The crash of the process ends its claims, long before their leases do.
    comes_back(&hive, 2);
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_session_ends_although_a_call_waits_for_a_task() {
    let hive = Hive::new();
    let mut agent = Agent::new(&hive, "BOT-1");
    agent.begin("tools/call", json!({"name": "claim", "arguments": {"wait_ms": 50_000}}));
    assert!(agent.says_nothing());
    let begun = Instant::now();
    agent.hang_up();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let mut other = Agent::new(&hive, "BOT-2");
    other.ok("enqueue", json!({"payload": 1, "id": "a"}));
    comes_back(&hive, 1);
}
