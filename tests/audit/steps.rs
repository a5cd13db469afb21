//! The verbs of transactions.

use std::time::Duration;

use hivekeep::{
    Bot, ClaimOptions, NewEntry, NewKey, NewMessage, NewSchedule, NewTask, Retry, Role, ScheduleName, Timing,
};
use serde_json::json;

use crate::hive::Does::{self, Nothing, One, Reads};
use crate::hive::{bot, key};

pub const STEPS: &[(&str, Does)] = &[
    (
        "Audit::append",
        One("x", |hive| {
            hive.act(|tx| tx.audit().append(NewEntry::new("x", "me")));
        }),
    ),
    (
        "Audit::purge",
        Nothing("an entry about removed entries would be there for ever; upkeep and the chain say how far"),
    ),
    (
        "Chat::append",
        One("chat_append", |hive| {
            hive.act(|tx| tx.chat().append(NewMessage::new("c", "user", "x")));
        }),
    ),
    (
        "Chat::remove",
        One("chat_remove", |hive| {
            let number = hive.prepare(|tx| tx.chat().append(NewMessage::new("c", "user", "x")));
            hive.act(|tx| tx.chat().remove(number));
        }),
    ),
    ("Collection::converting", Reads),
    ("Collection::put", One("record_put", |hive| hive.act(|tx| tx.collection("c")?.put("k", &1)))),
    (
        "Collection::remove",
        One("record_remove", |hive| {
            hive.prepare(|tx| tx.collection("c")?.put("k", &1));
            hive.act(|tx| tx.collection::<u64>("c")?.remove("k"));
        }),
    ),
    ("Config::put", One("config_put", |hive| hive.act(|tx| tx.config().put("a", &json!(1))))),
    (
        "Config::remove",
        One("config_remove", |hive| {
            hive.value(1);
            hive.act(|tx| tx.config().remove("a"));
        }),
    ),
    (
        "Documents::put",
        One("document_put", |hive| {
            hive.act(|tx| tx.documents().put("k", "s", &json!({"a": 1})));
        }),
    ),
    (
        "Documents::remove",
        One("document_remove", |hive| {
            hive.prepare(|tx| tx.documents().put("k", "s", &json!({"a": 1})));
            hive.act(|tx| tx.documents().remove("k", "s"));
        }),
    ),
    ("Events::append", Nothing("an event is itself what is written down, and names the actor")),
    ("Events::append_at", Nothing("an event is itself what is written down, and names the actor")),
    (
        "Keys::add",
        One("key_add", |hive| {
            hive.act(|tx| tx.keys().add(NewKey::new(key(), Role::Reader)));
        }),
    ),
    (
        "Keys::remove",
        One("key_remove", |hive| {
            hive.key();
            hive.prepare(|tx| tx.keys().revoke(&key()));
            hive.act(|tx| tx.keys().remove(&key()));
        }),
    ),
    (
        "Keys::revoke",
        One("key_revoke", |hive| {
            hive.key();
            hive.act(|tx| tx.keys().revoke(&key()));
        }),
    ),
    (
        "Keys::rotate",
        One("key_rotate", |hive| {
            hive.key();
            hive.act(|tx| tx.keys().rotate(&key(), Duration::ZERO));
        }),
    ),
    ("Notes::put", One("record_put", |hive| hive.act(|tx| tx.notes(&bot()).put("a", &json!(1))))),
    (
        "Notes::remove",
        One("record_remove", |hive| {
            hive.prepare(|tx| tx.notes(&bot()).put("a", &json!(1)));
            hive.act(|tx| tx.notes(&bot()).remove("a"));
        }),
    ),
    (
        "Queue::assign",
        One("queue_assign", |hive| {
            let task = hive.task();
            hive.act(|tx| tx.queue().assign(&task, &bot()));
        }),
    ),
    (
        "Queue::cancel",
        One("queue_cancel", |hive| {
            let task = hive.task();
            hive.act(|tx| tx.queue().cancel(&task));
        }),
    ),
    (
        "Queue::claim",
        One("queue_claim", |hive| {
            hive.task();
            hive.act(|tx| tx.queue().claim(&bot(), &ClaimOptions::default()));
        }),
    ),
    (
        "Queue::complete",
        One("queue_complete", |hive| {
            let claim = hive.claim();
            hive.act(|tx| tx.queue().complete(&claim.id, claim.token, 1));
        }),
    ),
    (
        "Queue::complete_and_claim",
        One("queue_complete", |hive| {
            let claim = hive.claim();
            hive.act(|tx| tx.queue().complete_and_claim(&claim.id, claim.token, 1, &ClaimOptions::default()));
        }),
    ),
    (
        "Queue::enqueue",
        One("queue_push", |hive| {
            hive.act(|tx| tx.queue().enqueue(NewTask::new(1)));
        }),
    ),
    (
        "Queue::enqueue_all",
        One("queue_push", |hive| {
            hive.act(|tx| tx.queue().enqueue_all(vec![NewTask::new(1), NewTask::new(2)]));
        }),
    ),
    (
        "Queue::enqueue_once",
        One("queue_push", |hive| {
            hive.act(|tx| tx.queue().enqueue_once(NewTask::new(1).idempotency_key("k")));
        }),
    ),
    ("Queue::expire", Nothing("an end of a lease is nobody's act; it is an attempt of the task")),
    (
        "Queue::extend",
        One("queue_extend", |hive| {
            let claim = hive.claim();
            hive.act(|tx| tx.queue().extend(&claim.id, claim.token, Duration::from_secs(9)));
        }),
    ),
    (
        "Queue::fail",
        One("queue_fail", |hive| {
            let claim = hive.claim();
            hive.act(|tx| tx.queue().fail(&claim.id, claim.token, "x", Retry::Never));
        }),
    ),
    (
        "Queue::give_back",
        One("queue_give_back", |hive| {
            let claim = hive.claim();
            hive.act(|tx| tx.queue().give_back(&[claim]));
        }),
    ),
    (
        "Queue::purge",
        One("queue_purge", |hive| {
            hive.finished();
            let now = hive.plain.clock().now();
            hive.act(|tx| tx.queue().purge(now + Duration::from_secs(9), 10));
        }),
    ),
    (
        "Queue::release",
        One("queue_release", |hive| {
            let claim = hive.claim();
            hive.act(|tx| tx.queue().release(&claim.id, claim.token));
        }),
    ),
    (
        "Queue::requeue",
        One("queue_requeue", |hive| {
            let task = hive.finished();
            hive.act(|tx| tx.queue().requeue(&task));
        }),
    ),
    (
        "Queue::set_memory",
        One("queue_memory_set", |hive| {
            hive.act(|tx| tx.queue().set_memory(Duration::from_secs(9), 9));
        }),
    ),
    (
        "Queue::unassign",
        One("queue_assign", |hive| {
            let task = hive.task();
            hive.prepare(|tx| tx.queue().assign(&task, &bot()));
            hive.act(|tx| tx.queue().unassign(&task));
        }),
    ),
    ("Registry::heartbeat", Nothing("docs/ARCHITECTURE.md says why heartbeats have none")),
    ("Registry::put", One("registry_put", |hive| hive.act(|tx| tx.registry().put(&Bot::new(bot()))))),
    (
        "Registry::remove",
        One("registry_remove", |hive| {
            hive.register();
            hive.act(|tx| tx.registry().remove(&bot()));
        }),
    ),
    (
        "Schedules::add",
        One("schedule_add", |hive| {
            hive.act(|tx| tx.schedules().add(tidy()));
        }),
    ),
    (
        "Schedules::pause",
        One("schedule_pause", |hive| {
            hive.prepare(|tx| tx.schedules().add(tidy()));
            hive.act(|tx| tx.schedules().pause(&schedule()));
        }),
    ),
    (
        "Schedules::remove",
        One("schedule_remove", |hive| {
            hive.prepare(|tx| tx.schedules().add(tidy()));
            hive.act(|tx| tx.schedules().remove(&schedule()));
        }),
    ),
    (
        "Schedules::resume",
        One("schedule_resume", |hive| {
            hive.prepare(|tx| tx.schedules().add(tidy()).and_then(|own| tx.schedules().pause(&own.name)));
            hive.act(|tx| tx.schedules().resume(&schedule()));
        }),
    ),
    (
        "Schedules::run",
        One("schedule_run", |hive| {
            hive.prepare(|tx| tx.schedules().add(tidy()));
            hive.act(|tx| tx.schedules().run(&schedule()));
        }),
    ),
];

/// A schedule.
fn tidy() -> NewSchedule {
    let every = Timing::every(Duration::from_secs(3_600)).unwrap();
    NewSchedule::new(schedule(), every, NewTask::new("tidy up"))
}

fn schedule() -> ScheduleName {
    "tidy".parse().unwrap()
}
