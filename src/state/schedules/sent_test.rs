//! Schedules and their JSON.

use std::time::Duration;

use serde_json::Value;

use super::schedule::{NewSchedule, Schedule};
use super::timing::Timing;
use crate::json;
use crate::state::ids::TaskId;

#[test]
fn a_schedule_and_its_description_read_back_from_their_json() {
    let fields = json::parse(
        br#"{"name": "n", "cron": "30 2 * * mon-fri", "time_zone": "Europe/Vienna", "missed": "all", "overlap": "skip",
        "replace": true, "task": {"payload": [1.50, 1e400], "priority": "P1", "delay_ms": 5, "attributes": {"a": -0}}}"#,
    );
    let Value::Object(fields) = fields.unwrap() else { panic!("it is an object") };
    let new = NewSchedule::from_fields(fields).unwrap();
    assert_eq!(NewSchedule::from_fields(new.to_fields().unwrap()).unwrap(), new);
    let now = "2026-11-28T16:00:00Z".parse().unwrap();
    for timing in [new.timing.clone(), Timing::every(Duration::from_secs(90)).unwrap()] {
        let task = TaskId::new("n@1").ok();
        let schedule = Schedule::new(NewSchedule { timing, ..new.clone() }, now).at(None, now);
        let schedule = Schedule { paused: true, last_due_at: Some(now), last_task: task, ..schedule };
        let shown = json::parse(serde_json::to_string(&schedule).unwrap().as_bytes()).unwrap();
        assert_eq!(shown["task"]["payload"].to_string(), "[1.50,1e400]");
        let Value::Object(shown) = shown else { panic!("it is an object") };
        assert_eq!(Schedule::from_fields(shown.clone()).unwrap(), schedule);
        let without = |gone: &'static str| shown.clone().into_iter().filter(move |(name, _)| name != gone);
        for name in ["name", "task", "created_at", "paused"] {
            assert!(Schedule::from_fields(without(name).collect()).is_err(), "{name}");
        }
    }
}
