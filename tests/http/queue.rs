//! What the queue takes over HTTP, and what it refuses.

use serde_json::json;

use crate::service::Service;
use crate::util::Hive;

#[test]
fn more_attempts_than_a_task_can_have_are_refused_with_the_bound() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let push = |attempts: u64| service.post("/api/queue", json!({"payload": 1, "max_attempts": attempts}));
    let said = push(4_294_967_296).refused(422);
    assert_eq!(said, "a task has 4294967295 attempts at most: max_attempts=4294967296");
    assert_eq!(push(4_294_967_295).ok()["max_attempts"], 4_294_967_295_u32);
    push(0).refused(422);
}
