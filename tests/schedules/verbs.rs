//! The verbs of schedules, and due times that become tasks.

use std::time::Duration;

use hivekeep::{
    ClaimOptions, ErrorKind, Missed, NewSchedule, NewTask, Overlap, Page, Result, Schedule, ScheduleName, TaskId,
    Timing, WriteTx,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::Hive;

fn name(text: &str) -> ScheduleName {
    text.parse().unwrap()
}

fn every(text: &str, seconds: u64) -> NewSchedule {
    let timing = Timing::every(Duration::from_secs(seconds)).unwrap();
    NewSchedule::new(name(text), timing, NewTask::new("work"))
}

fn nightly_timing() -> Timing {
    Timing::cron("0 3 * * *", "Europe/Vienna").unwrap()
}

fn nightly(text: &str) -> NewSchedule {
    NewSchedule::new(name(text), nightly_timing(), NewTask::new("work"))
}

fn add(hive: &Hive, new: NewSchedule) -> Schedule {
    hive.write(|tx| tx.schedules().add(new))
}

fn fired(hive: &Hive) -> Vec<String> {
    hive.fired()
}

/// So many seconds after the time at which the clock begins.
fn time(seconds: i64) -> Timestamp {
    "2027-01-15T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn get(hive: &Hive, text: &str) -> Schedule {
    hive.view().schedules().get(&name(text)).unwrap().unwrap()
}

#[test]
fn a_due_time_becomes_one_task_that_names_its_schedule_and_is_as_the_schedule_describes_it() {
    let hive = Hive::new();
    let payload = hivekeep::json::parse(b"{\"limit\": 1.50, \"big\": 12345678901234567890123}").unwrap();
    let attributes = json!({"team": "ops"}).as_object().cloned().unwrap();
    let task = NewTask::new(payload.clone()).priority("P1".parse().unwrap()).capability("rust").attributes(attributes);
    let timing = Timing::cron("30 9 * * *", "Europe/Vienna").unwrap();
    let added = add(&hive, NewSchedule::new(name("report"), timing, task.max_attempts(2)));
    assert_eq!(added.next_at.unwrap().to_string(), "2027-01-15T08:30:00Z");
    assert!(fired(&hive).is_empty());
    hive.clock.set("2027-01-15T08:30:00.5Z".parse().unwrap());
    assert_eq!(fired(&hive), ["report@2027-01-15T08:30:00Z"]);
    assert!(fired(&hive).is_empty(), "each due time once");
    let id: TaskId = "report@2027-01-15T08:30:00Z".parse().unwrap();
    let task = hive.view().queue().get(&id).unwrap().unwrap();
    assert_eq!((task.payload.to_string(), task.priority.as_str(), task.max_attempts), (payload.to_string(), "P1", 2));
    assert_eq!((task.schedule(), task.due_at()), (Some("report"), Some("2027-01-15T08:30:00.000000+00:00")));
    assert_eq!(task.attributes["team"], "ops");
    assert!(task.capabilities.contains("rust"));
    let schedule = get(&hive, "report");
    assert_eq!(
        (schedule.last_task, schedule.last_due_at.map(|at| at.to_string())),
        (Some(id), Some("2027-01-15T08:30:00Z".into()))
    );
    assert_eq!(schedule.next_at.unwrap().to_string(), "2027-01-16T08:30:00Z");
}

#[test]
fn a_schedule_reads_back_as_it_was_added_and_its_json_has_every_field() {
    let hive = Hive::new();
    let new = every("tidy", 600).missed(Missed::All).overlap(Overlap::Skip);
    let added = add(&hive, new);
    assert_eq!(get(&hive, "tidy"), added);
    assert_eq!(hive.view().schedules().list().unwrap(), std::slice::from_ref(&added));
    let shown = serde_json::to_value(&added).unwrap();
    let expected = json!({
        "name": "tidy", "every_ms": 600_000, "from": "2027-01-15T08:00:00.000000+00:00", "cron": null, "time_zone": null,
        "missed": "all", "overlap": "skip", "paused": false, "created_at": "2027-01-15T08:00:00.000000+00:00",
        "task": {"payload": "work", "priority": "P2", "max_attempts": 5},
        "next_at": "2027-01-15T08:10:00.000000+00:00", "last_due_at": null, "last_task": null,
    });
    assert_eq!(shown, expected);
    let fields = json!({
        "name": "n", "cron": "0 3 * * *", "time_zone": "Europe/Vienna", "missed": "none", "replace": true,
        "task": {"payload": 1, "priority": "P0"},
    });
    let read = NewSchedule::from_fields(fields.as_object().cloned().unwrap()).unwrap();
    let task = NewTask::new(1).priority("P0".parse().unwrap());
    assert_eq!(read, NewSchedule::new(name("n"), nightly_timing(), task).missed(Missed::None).replacing());
    for wrong in [
        json!({"name": "n", "task": {"payload": 1}}),
        json!({"name": "n", "every_ms": 1000, "cron": "* * * * *", "task": {"payload": 1}}),
        json!({"name": "n", "every_ms": 1000, "time_zone": "UTC", "task": {"payload": 1}}),
        json!({"name": "n", "every_ms": 1000}),
        json!({"name": "n", "every_ms": 1000, "task": 1}),
        json!({"name": "n", "every_ms": 1000, "task": {"payload": 1, "colour": 1}}),
        json!({"name": "n/m", "every_ms": 1000, "task": {"payload": 1}}),
        json!({"name": "n", "every_ms": 1000, "often": 1, "task": {"payload": 1}}),
    ] {
        let refused = NewSchedule::from_fields(wrong.as_object().cloned().unwrap()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{wrong}");
    }
}

#[test]
fn missed_due_times_fire_as_chosen_none_the_last_or_all_up_to_a_thousand() {
    let hive = Hive::new();
    for (text, missed) in [("none", Missed::None), ("last", Missed::Last), ("all", Missed::All)] {
        add(&hive, every(text, 600).missed(missed));
    }
    fired(&hive);
    hive.pass(3 * 600 + 61);
    let due = |text: &str, minute: &str| format!("{text}@2027-01-15T08:{minute}:00Z");
    let expected = [due("all", "10"), due("all", "20"), due("all", "30"), due("last", "30")];
    assert_eq!(fired(&hive), expected);
    hive.pass(600);
    let late = fired(&hive);
    assert_eq!(late, [due("all", "40"), due("last", "40")], "it is more than a minute late");
    hive.pass(600 - 60);
    assert_eq!(fired(&hive).len(), 3, "one that is a minute late is not missed");
    hive.pass(2_000 * 600);
    let tasks = fired(&hive);
    assert_eq!(tasks.len(), 1 + 1000 + 1);
    hive.pass(600);
    assert_eq!(fired(&hive).len(), 3);
}

#[test]
fn a_clock_that_is_set_back_makes_no_due_time_fire_again_and_one_that_is_set_forward_makes_them_missed() {
    let hive = Hive::new();
    add(&hive, every("a", 60).missed(Missed::All));
    hive.pass(120);
    assert_eq!(fired(&hive).len(), 2);
    hive.clock.set(time(30));
    assert!(fired(&hive).is_empty());
    hive.clock.set(time(120));
    assert!(fired(&hive).is_empty());
    hive.clock.set(time(180));
    assert_eq!(fired(&hive), ["a@2027-01-15T08:03:00Z"]);
    hive.clock.set(time(360));
    assert_eq!(fired(&hive).len(), 3);
}

#[test]
fn due_times_of_a_pause_do_not_fire_later() {
    let hive = Hive::new();
    add(&hive, every("a", 60).missed(Missed::All));
    hive.write(|tx| tx.schedules().pause(&name("a")));
    hive.pass(300);
    assert!(fired(&hive).is_empty());
    let paused = get(&hive, "a");
    assert!(paused.paused && paused.next_at.is_none() && paused.overdue_since(time(9999)).is_none());
    hive.write(|tx| tx.schedules().resume(&name("a")));
    assert!(fired(&hive).is_empty());
    hive.pass(60);
    assert_eq!(fired(&hive), ["a@2027-01-15T08:06:00Z"]);
}

#[test]
fn due_times_are_skipped_while_the_last_task_is_not_finished_if_that_is_chosen() {
    let hive = Hive::new();
    add(&hive, every("a", 60).overlap(Overlap::Skip).missed(Missed::All));
    hive.pass(120);
    assert_eq!(fired(&hive), ["a@2027-01-15T08:01:00Z"]);
    hive.pass(60);
    assert!(fired(&hive).is_empty());
    hive.write(|tx| tx.queue().cancel(&"a@2027-01-15T08:01:00Z".parse()?));
    assert!(fired(&hive).is_empty(), "a skipped due time is handled");
    hive.pass(60);
    assert_eq!(fired(&hive), ["a@2027-01-15T08:04:00Z"]);
}

#[test]
fn a_run_enqueues_at_once_and_leaves_the_due_times_as_they_are() {
    let hive = Hive::new();
    let next = add(&hive, every("a", 60)).next_at;
    hive.pass(1);
    let task = hive.write(|tx| tx.schedules().run(&name("a")));
    assert_eq!((task.id.as_str(), task.schedule()), ("a@2027-01-15T08:00:01Z", Some("a")));
    assert_eq!(get(&hive, "a").next_at, next);
    assert_eq!(get(&hive, "a").last_task, Some(task.id));
    let again = hive.refused(|tx| tx.schedules().run(&name("a")));
    assert_eq!(again.kind(), ErrorKind::Conflict);
    hive.pass(59);
    assert_eq!(fired(&hive), ["a@2027-01-15T08:01:00Z"]);
}

#[test]
fn a_schedule_that_is_there_is_only_replaced_on_request_and_one_that_is_not_there_is_not_found() {
    let hive = Hive::new();
    add(&hive, every("a", 60));
    assert_eq!(hive.refused(|tx| tx.schedules().add(nightly("a"))).kind(), ErrorKind::Conflict);
    let replaced = add(&hive, nightly("a").replacing());
    assert!(replaced.timing.expression().is_some());
    let verbs: [fn(&mut WriteTx<'_>, &ScheduleName) -> Result<()>; 4] = [
        |tx, name| tx.schedules().remove(name),
        |tx, name| tx.schedules().pause(name).map(drop),
        |tx, name| tx.schedules().resume(name).map(drop),
        |tx, name| tx.schedules().run(name).map(drop),
    ];
    for verb in verbs {
        assert_eq!(hive.refused(|tx| verb(tx, &name("b"))).kind(), ErrorKind::NotFound);
    }
    hive.write(|tx| tx.schedules().remove(&name("a")));
    assert_eq!(hive.view().schedules().count().unwrap(), 0);
    assert!(fired(&hive).is_empty());
}

#[test]
fn a_task_that_cannot_come_back_is_refused_and_so_are_too_long_and_too_many_schedules() {
    let hive = Hive::new();
    let timing = || Timing::every(Duration::from_secs(60)).unwrap();
    let long = "x".repeat(64 << 10);
    let deep = (0..hivekeep::json::MAX_DEPTH).fold(json!(1), |value, _| json!([value]));
    let owned = |field: &str| json!({field: 1}).as_object().cloned().unwrap();
    for task in [
        NewTask::new(1).id("t".parse().unwrap()),
        NewTask::new(1).idempotency_key("k"),
        NewTask::new(1).after("t".parse().unwrap()),
        NewTask::new(1).not_before(time(0)),
        NewTask::new(1).max_attempts(0),
        NewTask::new(1).attributes(owned("schedule")),
        NewTask::new(1).attributes(owned("due_at")),
        NewTask::new(long.clone()),
        NewTask::new(1).attributes(owned(&long)),
        NewTask::new(deep),
    ] {
        let refused = hive.refused(|tx| tx.schedules().add(NewSchedule::new(name("a"), timing(), task)));
        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }
    for text in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
        assert!(text.parse::<ScheduleName>().is_err(), "{text}");
    }
    let many = |tx: &mut WriteTx<'_>| {
        (0..1000).try_for_each(|number| tx.schedules().add(every(&format!("s{number}"), 60)).map(drop))
    };
    hive.store.write(many).unwrap();
    let refused = hive.refused(|tx| tx.schedules().add(every("one-more", 60)));
    assert_eq!(refused.to_string(), "the schedules are too many; leave some out: count=1001 max=1000");
    hive.pass(60);
    assert_eq!(fired(&hive).len(), 1000);
}

#[test]
fn the_collection_of_schedules_is_read_like_any_other_and_filled_by_its_own_verbs_alone() {
    let hive = Hive::new();
    add(&hive, every("a", 60));
    let refused = hive.refused(|tx| tx.collection::<Value>("schedules")?.put("b", &json!(1)));
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let record = hive.view().record("schedules", "a").unwrap().unwrap();
    assert_eq!((&record["every_ms"], &record["task"]["payload"]), (&json!(60_000), &json!("work")));
    assert!(hive.write(|tx| tx.collection::<Value>("schedules")?.remove("a")));
    hive.pass(60);
    assert!(fired(&hive).is_empty());
}

#[test]
fn a_schedule_that_is_replaced_by_an_equal_one_goes_on() {
    let hive = Hive::new();
    let first = add(&hive, every("a", 60));
    hive.pass(50);
    let again = add(&hive, every("a", 60).replacing());
    assert_eq!((again.created_at, again.next_at), (first.created_at, first.next_at));
    hive.pass(10);
    assert_eq!(fired(&hive), ["a@2027-01-15T08:01:00Z"]);
}

#[test]
fn a_task_that_has_the_id_of_a_due_time_already_keeps_it_from_nothing() {
    let hive = Hive::new();
    add(&hive, every("a", 60));
    hive.write(|tx| tx.queue().enqueue(NewTask::new("another").id("a@2027-01-15T08:01:00Z".parse()?)));
    hive.pass(60);
    let tasks = hive.store.fire_schedules().unwrap();
    assert_eq!(tasks.len(), 1);
    let task = hive.view().queue().get(&tasks[0]).unwrap().unwrap();
    assert!(task.due_at().is_some_and(|due| due.starts_with("2027-01-15T08:01:00")), "{task:?}");
    hive.pass(60);
    assert_eq!(fired(&hive), ["a@2027-01-15T08:02:00Z"]);
}

#[test]
fn a_schedule_that_cannot_fire_keeps_no_other_from_firing() {
    let hive = Hive::new();
    // The name of no bot, with a space that nobody sees.
    let unfit = NewTask::new(1).assign_to("ant\u{200b}".parse().unwrap());
    add(&hive, NewSchedule::new(name("a"), Timing::every(Duration::from_secs(60)).unwrap(), unfit));
    add(&hive, every("b", 60));
    hive.pass(60);
    let failed = hive.store.fire_schedules().unwrap_err().to_string();
    assert!(failed.contains("schedule a"), "{failed}");
    let id = "b@2027-01-15T08:01:00Z".parse().unwrap();
    assert!(hive.view().queue().get(&id).unwrap().is_some());
    add(&hive, every("a", 60).replacing());
    hive.pass(60);
    assert_eq!(fired(&hive).len(), 2);
}

#[test]
fn each_change_has_one_audit_entry_and_a_page_continues_where_the_last_one_ended() {
    let hive = Hive::new();
    let acting = hive.store.acting_as("me");
    let a = name("a");
    acting.write(|tx| tx.schedules().add(every("a", 60))).unwrap();
    acting.write(|tx| tx.schedules().pause(&a)).unwrap();
    acting.write(|tx| tx.schedules().pause(&a)).unwrap();
    acting.write(|tx| tx.schedules().resume(&a)).unwrap();
    acting.write(|tx| tx.schedules().run(&a)).unwrap();
    acting.write(|tx| tx.schedules().remove(&a)).unwrap();
    let entries = hive.view().audit().list(Page::oldest(9)).unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["schedule_add", "schedule_pause", "schedule_resume", "schedule_run", "schedule_remove"]);
    for text in ["a", "b", "c"] {
        add(&hive, every(text, 60));
    }
    let view = hive.view();
    let first = view.schedules().page(None, 2).unwrap();
    let second = view.schedules().page(first.next.as_deref(), 2).unwrap();
    assert_eq!((first.items.len(), second.items.len(), second.next), (2, 1, None));
}

#[test]
fn a_schedule_that_nobody_fires_is_overdue_after_a_minute() {
    let hive = Hive::new();
    add(&hive, every("a", 60));
    let due: Timestamp = time(60);
    let overdue = |seconds| get(&hive, "a").overdue_since(time(seconds));
    assert_eq!((overdue(60), overdue(120), overdue(121)), (None, None, Some(due)));
}

#[test]
fn a_schedule_that_a_clock_has_moved_years_ahead_says_so_and_begins_now_when_it_is_replaced() {
    let hive = Hive::new();
    add(&hive, every("a", 60));
    hive.pass(10 * 366 * 24 * 60 * 60);
    assert_eq!(fired(&hive).len(), 1);
    hive.clock.set(time(600));
    let ahead = get(&hive, "a");
    assert_eq!(ahead.silent_until(time(600)), ahead.next_at);
    assert!(ahead.next_at > Some("2036-01-01T00:00:00Z".parse().unwrap()) && ahead.overdue_since(time(600)).is_none());
    #[cfg(feature = "transfer")]
    {
        let diagnosis = hive.store.diagnose(&hivekeep::DiagnosisOptions::default()).unwrap();
        let line = diagnosis.lines.iter().find(|line| line.topic == "schedules").unwrap();
        assert!(line.what.contains("the clock was ahead, so a does not fire before 203"), "{line:?}");
        assert_eq!(hive.store.summary().unwrap().schedules.silent, 1);
    }
    let replaced = add(&hive, every("a", 60).replacing());
    assert_eq!((replaced.next_at, replaced.silent_until(time(600))), (Some(time(660)), None));
    hive.pass(60);
    assert_eq!(fired(&hive), ["a@2027-01-15T08:11:00Z"]);
    // A clock that differs by seconds is not reported.
    hive.clock.set(time(640));
    assert_eq!(get(&hive, "a").silent_until(time(640)), None);
}

#[test]
fn a_task_that_would_be_taken_for_one_of_a_schedule_is_refused() {
    let hive = Hive::new();
    let both = json!({"schedule": "a", "due_at": "2027-01-15T08:01:00Z"}).as_object().unwrap().clone();
    let task = |attributes: &serde_json::Map<String, Value>| NewTask::new(1).attributes(attributes.clone());
    for refused in [
        hive.refused(|tx| tx.queue().enqueue(task(&both))),
        hive.refused(|tx| tx.queue().enqueue_all(vec![task(&both)])),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains("attributes=schedule,due_at"), "{refused}");
    }
    // One of the two alone is a word of the producer's own.
    for name in ["schedule", "due_at"] {
        let mut one = both.clone();
        one.retain(|key, _| key == name);
        let task = hive.write(|tx| tx.queue().enqueue(task(&one)));
        assert_eq!((task.schedule(), task.due_at(), task.attributes.len()), (None, None, 1));
    }
}

#[test]
fn a_due_time_whose_task_was_purged_does_not_fire_again_when_the_clock_was_set_back_and_the_schedule_resumed() {
    let hive = Hive::new();
    add(&hive, every("a", 60).missed(Missed::All));
    hive.pass(180);
    assert_eq!(fired(&hive).len(), 3);
    let ant = "ant".parse().unwrap();
    while let [claim] = &*hive.write(|tx| tx.queue().claim(&ant, &ClaimOptions::default())) {
        hive.write(|tx| tx.queue().complete(&claim.id, claim.token, "done"));
    }
    hive.pass(1);
    assert_eq!(hive.store.purge_finished(Duration::ZERO).unwrap(), 3);
    hive.clock.set(time(0));
    hive.write(|tx| tx.schedules().pause(&name("a")));
    hive.write(|tx| tx.schedules().resume(&name("a")));
    hive.clock.set(time(180));
    assert!(fired(&hive).is_empty());
    hive.clock.set(time(240));
    assert_eq!(fired(&hive), ["a@2027-01-15T08:04:00Z"]);
}
