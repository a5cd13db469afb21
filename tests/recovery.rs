//! Points, differences, restore, undo, sizes and history, by the public interface.
//!
//! Each test is named by the sentence that it proves.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use hivekeep::{
    BackupRequest, Bot, BotId, ChangeKind, ClaimOptions, ErrorKind, EventKind, Hint, Kind, ManualClock, NewEntry,
    NewTask, Origin, Page, Point, PointRequest, Policy, RestoreOptions, Retry, Selector, Store, TaskId, TaskState,
    Verified,
};
use serde_json::{Value, json};

struct Hive {
    store: Store,
    clock: ManualClock,
    folder: tempfile::TempDir,
}

fn start() -> jiff::Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

impl Hive {
    fn new() -> Self {
        Self::with_history(None)
    }

    fn with_history(window: Option<Duration>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(start());
        let mut options = Store::options().clock(clock.clone()).session(false);
        if let Some(window) = window {
            options = options.history(window);
        }
        let store = options.open(folder.path().join("hive.redb")).unwrap();
        Self { store, clock, folder }
    }

    fn put(&self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        self.store.write(|tx| tx.config().put(key, &value)).unwrap();
    }

    fn get(&self, key: &str) -> Option<Value> {
        self.store.view().unwrap().config().get(key).unwrap()
    }

    fn point(&self, description: &str) -> Point {
        self.store.restore_point(description).unwrap()
    }

    fn push(&self, task: NewTask) {
        self.store.write(|tx| tx.queue().enqueue(task.clone())).unwrap();
    }

    fn claim(&self, bot: &str) -> hivekeep::Claim {
        let options = ClaimOptions::default();
        self.store.write(|tx| tx.queue().claim(&bot_id(bot), &options)).unwrap().pop().unwrap()
    }

    fn complete(&self, claim: &hivekeep::Claim) {
        self.store.write(|tx| tx.queue().complete(&claim.id, claim.token, "done")).unwrap();
    }

    fn task(&self, id: &str) -> hivekeep::Task {
        self.store.view().unwrap().queue().get(&task_id(id)).unwrap().unwrap()
    }

    fn assignments(&self) -> Vec<String> {
        let view = self.store.view().unwrap();
        let assignments = view.assignments();
        assignments.list().map(|a| a.map(|a| format!("{}/{}", a.bot, a.task)).unwrap()).collect()
    }

    /// Restores, and holds the report against the plan that was printed before.
    fn restore(&self, point: &Point, options: RestoreOptions) -> hivekeep::RestoreReport {
        let plan = self.store.plan_restore(point, options.clone()).unwrap();
        let report = self.store.restore(point, options).unwrap();
        assert_eq!(plan.collections, report.collections, "a dry run counts what the restore then touches");
        self.check();
        report
    }

    fn undo(&self) -> hivekeep::RestoreReport {
        let plan = self.store.plan_undo().unwrap();
        let report = self.store.undo().unwrap();
        assert_eq!(plan.collections, report.collections);
        self.check();
        report
    }

    fn check(&self) {
        let report = self.store.check().unwrap();
        assert!(report.is_sound(), "{:#?}", report.findings);
    }

    fn events(&self, kind: EventKind) -> usize {
        let view = self.store.view().unwrap();
        view.events().list(Page::newest(1000)).unwrap().iter().filter(|event| event.kind == kind).count()
    }
}

fn bot_id(name: &str) -> BotId {
    BotId::new(name).unwrap()
}

fn task_id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

fn task(id: &str) -> NewTask {
    NewTask::new(json!({"what": id})).id(task_id(id))
}

fn counts(report: &hivekeep::RestoreReport) -> Vec<(&str, u64, u64, u64)> {
    report.collections.iter().map(|(name, c)| (name.as_str(), c.added, c.changed, c.removed)).collect()
}

/// Longer than a frame holds, so that it is kept in pieces.
fn long(byte: u8) -> Value {
    Value::String(String::from_utf8(vec![byte; (1 << 20) + 300_000]).unwrap())
}

#[test]
fn a_whole_restore_gives_back_every_collection_and_leaves_audit_and_events_alone() {
    let hive = Hive::new();
    hive.put("kept", 1);
    hive.push(task("a"));
    hive.store.write(|tx| tx.registry().put(&Bot::new(bot_id("ant")))).unwrap();
    hive.store.write(|tx| tx.collection("own")?.put("x", &1)).unwrap();
    let point = hive.point("before");
    hive.put("kept", 2);
    hive.put("new", 3);
    hive.store.write(|tx| tx.collection::<u8>("own")?.remove("x")).unwrap();
    hive.store.write(|tx| tx.registry().remove(&bot_id("ant"))).unwrap();
    hive.store.write(|tx| tx.audit().append(NewEntry::new("deploy", "ops"))).unwrap();
    let report = hive.restore(&point, RestoreOptions::new());
    assert_eq!(counts(&report), [("config", 0, 1, 1), ("own", 1, 0, 0), ("registry", 1, 0, 0)]);
    assert_eq!(report.verified, Verified::Changed);
    assert_eq!((hive.get("kept"), hive.get("new")), (Some(json!(1)), None));
    let view = hive.store.view().unwrap();
    assert_eq!(view.collection::<u8>("own").unwrap().get("x").unwrap(), Some(1));
    assert_eq!(view.audit().list(Page::newest(9)).unwrap().len(), 1);
    assert_eq!(hive.events(EventKind::RestoreSuccessful), 1);
    assert!(hive.store.diff(&point, Selector::Now).unwrap().changes.is_empty());
}

#[test]
fn a_restore_leaves_no_point_behind_it_but_its_safety_point() {
    let hive = Hive::new();
    let point = hive.point("before");
    hive.put("a", 1);
    hive.restore(&point, RestoreOptions::new());
    let origins: Vec<_> = hive.store.all_points().unwrap().iter().map(|point| point.origin).collect();
    assert_eq!(origins, [Some(Origin::Safety), Some(Origin::Live)]);
    assert_eq!(hive.store.find_point(Selector::Latest(0)).unwrap().unwrap().id, point.id);
}

#[test]
fn queue_and_assignments_go_back_as_one() {
    for only in ["queue", "assignments", "bot_assignments"] {
        let hive = Hive::new();
        hive.push(task("a").assign_to(bot_id("ant")));
        hive.put("kept", 1);
        let point = hive.point("before");
        hive.put("kept", 2);
        hive.complete(&hive.claim("ant"));
        let report = hive.restore(&point, RestoreOptions::new().only([only]));
        assert_eq!(counts(&report), [("assignments", 1, 0, 0), ("queue", 0, 1, 0)], "{only}");
        assert_eq!((hive.task("a").state, hive.assignments()), (TaskState::Waiting, vec!["ant/a".to_owned()]));
        assert_eq!(hive.get("kept"), Some(json!(2)));
    }
}

#[test]
fn one_task_by_key_brings_its_assignment_along_with_any_present_holder() {
    let hive = Hive::new();
    hive.push(task("a").assign_to(bot_id("ant")));
    hive.push(task("b"));
    let point = hive.point("before");
    hive.store.write(|tx| tx.queue().unassign(&task_id("a"))).unwrap();
    hive.complete(&hive.claim("fly"));
    let options = RestoreOptions::new().only(["queue"]).key("b");
    let plan = hive.store.plan_restore(&point, options.key("a")).unwrap();
    // Another bot takes the task after the plan was made.
    hive.store.write(|tx| tx.queue().requeue(&task_id("a"))).unwrap_err();
    hive.push(task("c"));
    let claim = hive.claim("cat");
    assert_eq!(claim.id, task_id("b"), "the first was done by the fly");
    hive.store.apply(&plan).unwrap();
    hive.check();
    assert_eq!(hive.assignments(), ["ant/a", "cat/b"]);
}

#[test]
fn a_plan_that_is_applied_later_follows_the_task_to_the_bot_that_holds_it_by_then() {
    let hive = Hive::new();
    hive.push(task("a").assign_to(bot_id("ant")));
    let point = hive.point("before");
    hive.store.write(|tx| tx.queue().unassign(&task_id("a"))).unwrap();
    let plan = hive.store.plan_restore(&point, RestoreOptions::new().only(["queue"]).key("a")).unwrap();
    let claim = hive.claim("cat");
    hive.store.apply(&plan).unwrap();
    hive.check();
    assert_eq!(hive.assignments(), ["ant/a"]);
    hive.undo();
    assert_eq!(hive.assignments(), ["cat/a"]);
    assert_eq!(hive.task("a").holder.unwrap().token, claim.token);
}

#[test]
fn an_assignment_by_key_is_its_task() {
    let hive = Hive::new();
    hive.push(task("a").assign_to(bot_id("hive/ant")));
    let point = hive.point("before");
    hive.complete(&hive.claim("hive/ant"));
    for name in ["assignments", "bot_assignments"] {
        let options = RestoreOptions::new().only([name]).key("hive/ant/a");
        assert_eq!(hive.store.plan_restore(&point, options).unwrap().total(), 2, "{name}");
    }
    hive.restore(&point, RestoreOptions::new().only(["assignments"]).key("hive/ant/a"));
    assert_eq!(hive.task("a").state, TaskState::Waiting);
}

#[test]
fn a_key_never_restores_more_than_its_record() {
    let hive = Hive::new();
    hive.put("a", 1);
    hive.put("b", 1);
    let point = hive.point("before");
    hive.put("a", 2);
    hive.put("b", 2);
    let refused = |only: &[&str], key: &str| {
        let options = RestoreOptions::new().only(only.iter().copied()).key(key);
        hive.store.plan_restore(&point, options).unwrap_err().kind()
    };
    assert_eq!(refused(&[], "a"), ErrorKind::Invalid);
    assert_eq!(refused(&["full"], "a"), ErrorKind::Invalid);
    assert_eq!(refused(&["config", "queue"], "a"), ErrorKind::Invalid);
    assert_eq!(refused(&["unheard"], "a"), ErrorKind::Invalid);
    assert_eq!(refused(&["config"], "c"), ErrorKind::NotFound);
    assert_eq!(refused(&["bot_assignments"], "a"), ErrorKind::NotFound);
    assert_eq!(refused(&["chat"], "no number"), ErrorKind::NotFound);
    hive.restore(&point, RestoreOptions::new().only(["config"]).key("a"));
    assert_eq!((hive.get("a"), hive.get("b")), (Some(json!(1)), Some(json!(2))));
}

#[test]
fn finished_tasks_stay_finished_when_asked_and_those_that_wait_for_them_agree() {
    let hive = Hive::new();
    hive.push(task("a").assign_to(bot_id("ant")));
    hive.push(task("b").after(task_id("a")));
    hive.push(task("c").assign_to(bot_id("cat")));
    hive.push(task("d").assign_to(bot_id("dog")));
    let point = hive.point("before");
    hive.complete(&hive.claim("ant"));
    hive.store.write(|tx| tx.queue().cancel(&task_id("c"))).unwrap();
    hive.store.write(|tx| tx.queue().unassign(&task_id("d"))).unwrap();
    let done = [hive.task("a"), hive.task("c")];
    let plan = hive.store.plan_restore(&point, RestoreOptions::new()).unwrap();
    assert_eq!((plan.tasks_run_again, plan.collections["queue"].changed), (2, 4));
    assert!(plan.to_string().contains("2 would run again"), "{plan}");
    let report = hive.restore(&point, RestoreOptions::new().keep_finished(true));
    // The dependant and the task that is assigned again are all that differs.
    assert_eq!(counts(&report), [("assignments", 1, 0, 0), ("queue", 0, 2, 0)]);
    assert_eq!([hive.task("a"), hive.task("c")], done);
    assert!(hive.task("b").waiting_for.is_empty(), "what it waited for is done");
    assert_eq!(hive.assignments(), ["dog/d"]);
    hive.undo();
    assert_eq!(hive.assignments(), [""; 0]);
}

#[test]
fn a_long_task_stays_finished_too() {
    let hive = Hive::new();
    hive.push(NewTask::new(long(b'a')).id(task_id("a")));
    let point = hive.point("before");
    hive.complete(&hive.claim("ant"));
    let kept = hive.restore(&point, RestoreOptions::new().keep_finished(true));
    assert_eq!((hive.task("a").state, kept.undo), (TaskState::Done, None));
    let report = hive.restore(&point, RestoreOptions::new());
    assert_eq!((hive.task("a").state, counts(&report)), (TaskState::Ready, vec![("queue", 0, 1, 0)]));
    assert_eq!(hive.claim("ant").payload, long(b'a'));
}

#[test]
fn claims_of_the_past_are_returned_without_counting_an_attempt_and_their_tokens_are_void() {
    let hive = Hive::new();
    hive.push(task("a"));
    hive.push(task("b"));
    let claim = hive.claim("ant");
    let point = hive.point("before");
    hive.complete(&claim);
    let report = hive.restore(&point, RestoreOptions::new());
    assert_eq!(report.claims_returned, 1);
    assert_eq!((hive.task("a").state, hive.task("a").attempts), (TaskState::Ready, 0));
    let old = hive.store.write(|tx| tx.queue().complete(&claim.id, claim.token, 1)).unwrap_err();
    assert_eq!(old.kind(), ErrorKind::Conflict);
    let again = hive.claim("bee");
    assert!(again.token > claim.token, "tokens never go back");
    let by_key = hive.restore(&point, RestoreOptions::new().only(["queue"]).key("a"));
    assert_eq!(by_key.claims_returned, 1);
}

#[test]
fn an_undo_gives_back_claims_and_tokens_and_an_undo_of_it_does_the_restore_again() {
    let hive = Hive::new();
    hive.push(task("a"));
    let point = hive.point("before");
    let claim = hive.claim("ant");
    hive.put("x", 1);
    let before = hive.store.restore_point("compare").unwrap();
    hive.restore(&point, RestoreOptions::new());
    let restored = hive.store.restore_point("compare").unwrap();
    hive.undo();
    assert!(hive.store.diff(&before, Selector::Now).unwrap().changes.is_empty());
    assert_eq!(hive.task("a").holder.unwrap().token, claim.token);
    hive.undo();
    assert!(hive.store.diff(&restored, Selector::Now).unwrap().changes.is_empty());
    hive.undo();
    hive.complete(&claim);
    assert_eq!(hive.events(EventKind::RestoreUndone), 3);
}

#[test]
fn an_undo_of_a_single_task_gives_back_the_tasks_that_it_released() {
    let hive = Hive::new();
    hive.push(task("a"));
    hive.push(task("b").after(task_id("a")));
    hive.complete(&hive.claim("ant"));
    let done = hive.point("done");
    hive.store.write(|tx| tx.queue().purge("2030-01-01T00:00:00Z".parse().unwrap(), 9)).unwrap();
    hive.push(task("a"));
    hive.push(task("c").after(task_id("a")));
    let before = hive.point("compare");
    hive.restore(&done, RestoreOptions::new().only(["queue"]).key("a"));
    assert!(hive.task("c").waiting_for.is_empty(), "what it waited for is done again");
    hive.undo();
    assert_eq!(hive.store.diff(&before, Selector::Now).unwrap().to_string(), "");
    hive.undo();
    assert!(hive.task("c").waiting_for.is_empty());
}

#[test]
fn an_undo_refuses_to_overwrite_later_work_and_names_it() {
    let hive = Hive::new();
    for n in 0..14 {
        hive.put(&format!("k{n:02}"), 1);
    }
    let point = hive.point("before");
    for n in 0..14 {
        hive.put(&format!("k{n:02}"), 2);
    }
    hive.put("other", 1);
    hive.restore(&point, RestoreOptions::new().only(["config"]));
    hive.store.write(|tx| tx.collection("own")?.put("later but not in the way", &1)).unwrap();
    hive.undo();
    hive.undo();
    for n in 0..12 {
        hive.put(&format!("k{n:02}"), 3);
    }
    let plan = hive.store.plan_undo().unwrap();
    for refused in [hive.store.undo().unwrap_err(), hive.store.apply(&plan).unwrap_err()] {
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert_eq!(refused.hint(), Some(&Hint::DiscardLaterWork));
        let refused = refused.to_string();
        assert!(refused.contains("overwrite them: config/k00, config/k01"), "{refused}");
        assert!(refused.ends_with("config/k09 and 2 more"), "{refused}");
    }
    let later = hive.point("compare");
    hive.store.undo_discarding().unwrap();
    hive.check();
    assert_eq!((hive.get("k00"), hive.get("other")), (Some(json!(2)), Some(json!(1))));
    hive.undo();
    assert!(
        hive.store.diff(&later, Selector::Now).unwrap().changes.is_empty(),
        "the later work is in the safety point"
    );
}

#[test]
fn a_later_change_to_the_value_that_an_undo_would_write_does_not_prevent_it() {
    let hive = Hive::new();
    hive.put("a", 1);
    let point = hive.point("before");
    hive.put("a", 2);
    hive.restore(&point, RestoreOptions::new());
    hive.put("a", 2);
    hive.put("b", 1);
    hive.point("between");
    hive.store.write(|tx| tx.config().remove("b")).unwrap();
    hive.undo();
    assert_eq!(hive.get("a"), Some(json!(2)));
}

#[test]
fn an_undo_that_was_planned_before_another_restore_is_refused() {
    let hive = Hive::new();
    let point = hive.point("before");
    assert_eq!(hive.store.undo().unwrap_err().kind(), ErrorKind::NotFound);
    hive.put("a", 1);
    hive.restore(&point, RestoreOptions::new());
    let plan = hive.store.plan_undo().unwrap().discard();
    hive.put("a", 2);
    hive.restore(&point, RestoreOptions::new());
    assert_eq!(hive.store.apply(&plan).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn a_plan_whose_point_was_forgotten_meanwhile_is_refused_with_an_event() {
    let hive = Hive::new();
    let point = hive.point("before");
    hive.put("a", 1);
    let plan = hive.store.plan_restore(&point, RestoreOptions::new()).unwrap();
    let view = hive.store.at(&point).unwrap();
    hive.store.forget(&[(&point).into()]).unwrap();
    assert_eq!(hive.store.apply(&plan).unwrap_err().kind(), ErrorKind::Gone);
    assert_eq!(hive.events(EventKind::RestoreFailed), 1);
    assert_eq!(hive.get("a"), Some(json!(1)));
    assert_eq!(view.config().get("a").unwrap(), None, "a view that is open stays as it is");
    assert_eq!(hive.store.at(&point).unwrap_err().kind(), ErrorKind::NotFound);
    let adopted = hive.store.all_points().unwrap();
    assert!(adopted.is_empty(), "{adopted:?}");
}

#[test]
fn long_values_come_back_whole_whichever_of_their_pieces_changed() {
    let hive = Hive::new();
    let mut text = vec![b'a'; (2 << 20) + 5];
    let value = |text: &[u8]| Value::String(String::from_utf8(text.to_vec()).unwrap());
    hive.put("long", value(&text));
    hive.put("short", 1);
    let point = hive.point("long");
    text[1 << 20] = b'b';
    hive.put("long", value(&text));
    hive.put("short", long(b's'));
    let middle = hive.point("longer");
    hive.put("long", 1);
    hive.store.write(|tx| tx.config().remove("short")).unwrap();
    let report = hive.restore(&middle, RestoreOptions::new().only(["config"]).key("long"));
    assert_eq!(counts(&report), [("config", 0, 1, 0)]);
    assert_eq!((hive.get("long"), hive.get("short")), (Some(value(&text)), None));
    hive.restore(&middle, RestoreOptions::new());
    assert_eq!(hive.get("short"), Some(long(b's')));
    hive.restore(&point, RestoreOptions::new());
    text[1 << 20] = b'a';
    assert_eq!((hive.get("long"), hive.get("short")), (Some(value(&text)), Some(json!(1))));
    hive.undo();
    assert_eq!(hive.get("short"), Some(long(b's')));
}

#[test]
fn documents_come_back_alone_and_only_those_that_are_named() {
    let hive = Hive::new();
    let backup = |kind, data: Value| hive.store.backup(BackupRequest::new(kind).source("s").data(data)).unwrap();
    let first = backup(Kind::Registry, json!({"ant": {"port": 1}}));
    let request = PointRequest::new("both")
        .document(Kind::Registry, json!({"ant": {"port": 2}}))
        .document(Kind::Queue, json!({"a": 1}))
        .document(Kind::Full, json!({}));
    let both = hive.store.make_point(request).unwrap();
    assert_eq!(both.backups.len(), 2, "an empty object makes no backup");
    hive.put("live", 1);
    backup(Kind::Registry, json!({"bee": {"port": 3}}));
    hive.store.write(|tx| tx.documents().put("queue", "queue-backup", &json!({"b": 2}))).unwrap();
    let document = |kind: &str, source: &str| hive.store.view().unwrap().documents().get(kind, source).unwrap();

    let id = Selector::Id(first.backup_id.clone());
    for only in ["config", "queue"] {
        let refused = hive.store.plan_restore(id.clone(), RestoreOptions::new().only([only])).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Invalid | ErrorKind::NotFound), "{only}: {refused}");
    }
    assert!(hive.store.plan_restore(id.clone(), RestoreOptions::new().only(["registry"]).key("ant")).is_err());
    hive.store.restore(id, RestoreOptions::new()).unwrap();
    hive.check();
    assert_eq!(document("registry", "s"), Some(json!({"ant": {"port": 1}})));
    assert_eq!((hive.get("live"), document("queue", "queue-backup")), (Some(json!(1)), Some(json!({"b": 2}))));
    hive.undo();
    assert_eq!(document("registry", "s"), Some(json!({"bee": {"port": 3}})));

    hive.restore(&both, RestoreOptions::new().only(["queue"]));
    assert_eq!(document("queue", "queue-backup"), Some(json!({"a": 1})));
    assert_eq!(document("registry", "s"), Some(json!({"bee": {"port": 3}})), "of another source");
}

#[test]
fn a_backup_of_live_state_restores_its_kind_alone() {
    let hive = Hive::new();
    hive.push(task("a"));
    hive.put("x", 1);
    let backup = hive.store.backup(BackupRequest::new(Kind::Queue)).unwrap();
    hive.push(task("b"));
    hive.put("x", 2);
    let report = hive.store.restore(Selector::Id(backup.backup_id.clone()), RestoreOptions::new()).unwrap();
    assert_eq!(counts(&report), [("queue", 0, 0, 1)]);
    assert_eq!(hive.get("x"), Some(json!(2)));
    assert_eq!(hive.store.backup_data(&backup).unwrap().as_object().unwrap().len(), 1);
}

#[test]
fn a_difference_reads_the_same_both_ways_and_across_forgotten_points() {
    let hive = Hive::new();
    hive.put("kept", 1);
    hive.put("changed", json!({"a": 1, "b": 2}));
    hive.put("removed", 1);
    let from = hive.point("from");
    hive.put("changed", json!({"a": 1, "b": 0}));
    let between = hive.point("between");
    hive.put("changed", json!({"a": 1, "b": 3}));
    hive.store.write(|tx| tx.config().remove("removed")).unwrap();
    hive.put("added", 4);
    hive.put("kept", 2);
    hive.put("kept", 1);
    let to = hive.point("to");
    hive.put("after", 5);
    let there = "+ config/added 4\n~ config/changed b: 2 -> 3\n- config/removed 1\n";
    let back = "- config/added 4\n~ config/changed b: 3 -> 2\n+ config/removed 1\n";
    for _ in 0..2 {
        assert_eq!(hive.store.diff(&from, &to).unwrap().to_string(), there);
        assert_eq!(hive.store.diff(&to, &from).unwrap().to_string(), back);
        let now = hive.store.diff(&from, Selector::Now).unwrap();
        assert_eq!(now.counts()["config"].total(), 4);
        assert_eq!(now.changes[1].change, ChangeKind::Added, "{now}");
        assert!(hive.store.diff(&to, &to).unwrap().changes.is_empty());
        let _ = hive.store.forget(&[(&between).into()]);
    }
}

#[test]
fn a_point_equals_itself_when_it_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("h.redb")).unwrap();
    let point = store.restore_point("by the clock of the system").unwrap();
    assert_eq!(store.points().unwrap(), [point]);
}

#[test]
fn held_points_are_not_forgotten_and_hold_and_release_have_events() {
    let hive = Hive::new();
    let points: Vec<_> = (0..3).map(|n| hive.point(&n.to_string())).collect();
    let middle = hive.store.hold(&points[1]).unwrap();
    assert!(middle.held);
    hive.store.hold(&points[1]).unwrap();
    let all: Vec<Selector> = points.iter().map(Into::into).collect();
    assert_eq!(hive.store.forget(&all).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(hive.store.points().unwrap().len(), 3, "then nothing is forgotten");
    hive.store.release(&points[1]).unwrap();
    assert_eq!(hive.store.forget(&all).unwrap().len(), 3);
    let told = [EventKind::PointHeld, EventKind::PointReleased, EventKind::BackupDeletedOld];
    assert_eq!(told.map(|kind| hive.events(kind)), [1, 1, 1]);
    assert!(hive.store.backups(None).unwrap().is_empty());
    assert_eq!(hive.store.hold(&points[1]).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_hold_that_races_with_forgetting_either_keeps_the_point_or_fails() {
    let hive = Hive::new();
    for round in 0..20 {
        let point = hive.point(&round.to_string());
        let (held, forgotten) = std::thread::scope(|scope| {
            let hold = scope.spawn(|| hive.store.hold(&point));
            let forget = scope.spawn(|| hive.store.forget(&[(&point).into()]));
            (hold.join().unwrap(), forget.join().unwrap())
        });
        let retained = hive.store.points().unwrap().iter().any(|other| other.id == point.id);
        assert_eq!((held.is_ok(), forgotten.is_err()), (retained, retained), "{held:?} {forgotten:?}");
    }
    hive.check();
}

#[test]
fn retention_forgets_safety_points_after_their_week_and_tells_of_it() {
    let hive = Hive::new();
    let point = hive.point("before");
    hive.put("a", 1);
    hive.restore(&point, RestoreOptions::new());
    hive.clock.advance(Duration::from_secs(6 * 24 * 3600));
    let last = hive.point("the latest good one");
    assert!(hive.store.retain(&Policy::default()).unwrap().is_empty());
    hive.clock.advance(Duration::from_secs(2 * 24 * 3600));
    assert_eq!(hive.store.retain(&Policy::default()).unwrap().len(), 2);
    assert_eq!(hive.store.all_points().unwrap(), [last]);
    assert_eq!(hive.events(EventKind::BackupDeletedOld), 1);
    hive.check();
}

#[test]
fn every_commit_of_the_window_can_be_read_and_restored_by_its_time() {
    let hive = Hive::with_history(Some(Duration::from_secs(60)));
    let mut times = Vec::new();
    for n in 0..20 {
        hive.clock.advance(Duration::from_secs(1));
        hive.put("n", n);
        hive.put(&format!("only {n}"), n);
        times.push(hive.store.view().unwrap().config().get("n").map(|_| hive.clock_now()).unwrap());
    }
    for (n, time) in times.iter().enumerate() {
        let view = hive.store.at(Selector::At(*time)).unwrap();
        assert_eq!(view.config().get("n").unwrap(), Some(json!(n)));
        assert_eq!(view.config().list().count(), n + 2);
    }
    let at = Selector::At(times[7]);
    let plan = hive.store.plan_restore(at.clone(), RestoreOptions::new()).unwrap();
    assert_eq!((plan.point.origin, plan.collections["config"].removed), (None, 12));
    hive.store.restore(at, RestoreOptions::new()).unwrap();
    hive.check();
    assert_eq!((hive.get("n"), hive.get("only 8")), (Some(json!(7)), None));
    hive.undo();
    assert_eq!(hive.get("n"), Some(json!(19)));
    let commit = hive.store.all_points().unwrap().into_iter().find(|point| point.origin.is_none()).unwrap();
    assert_eq!(hive.store.hold(&commit).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_point_prints_as_what_names_it_again() {
    let hive = Hive::with_history(Some(Duration::from_secs(60)));
    let made = hive.point("before the night");
    hive.put("n", 1);
    let commit = hive.store.all_points().unwrap().into_iter().find(|point| point.origin.is_none()).unwrap();
    for point in [&made, &commit] {
        assert_eq!(point.to_string(), point.id.to_string());
        let named: Selector = point.to_string().parse().unwrap();
        assert_eq!(hive.store.find_point(named).unwrap().as_ref(), Some(point));
        assert_eq!(hive.store.find_point(&point.id).unwrap().as_ref(), Some(point));
    }
    assert_eq!(json!(made)["id"], json!(made.id));
    assert_eq!(json!(commit)["id"], json!(null), "the JSON of a commit's point is what it was");
}

#[test]
fn two_commits_of_the_same_microsecond_are_told_apart_by_their_epochs() {
    let hive = Hive::with_history(Some(Duration::from_secs(60)));
    hive.put("n", 1);
    hive.put("n", 2);
    let commits = hive.store.all_points().unwrap();
    assert_eq!(commits[0].timestamp, commits[1].timestamp);
    let n_at = |point: &Point| hive.store.at(point).unwrap().config().get("n").unwrap();
    assert_eq!((n_at(&commits[0]), n_at(&commits[1])), (Some(json!(2)), Some(json!(1))));
    hive.store.forget(&[Selector::from(&commits[1])]).unwrap();
    assert_eq!(n_at(&commits[0]), Some(json!(2)));
    let gone = hive.store.at(&commits[1]).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Gone);
    hive.check();
}

impl Hive {
    fn clock_now(&self) -> jiff::Timestamp {
        hivekeep::Clock::now(&self.clock)
    }

    fn commits(&self) -> usize {
        self.store.all_points().unwrap().iter().filter(|point| point.origin.is_none()).count()
    }

    fn wait_until(&self, what: &str, done: impl Fn() -> bool) {
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while !done() {
            assert!(std::time::Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn commits_from_before_the_window_are_merged_away_by_themselves() {
    let hive = Hive::with_history(Some(Duration::from_secs(60)));
    for n in 0..10 {
        hive.put("n", n);
    }
    let named = hive.point("stays");
    hive.clock.advance(Duration::from_secs(59));
    hive.put("n", 10);
    assert!(hive.commits() >= 11);
    hive.clock.advance(Duration::from_secs(2));
    hive.wait_until("the old commits go", || hive.commits() == 1);
    hive.check();
    assert_eq!(hive.store.at(&named).unwrap().config().get("n").unwrap(), Some(json!(9)));
    assert_eq!(hive.store.at(Selector::At(start())).unwrap().epoch(), Some(named.epoch));
}

#[test]
fn commits_that_a_history_left_behind_go_with_retention_once_it_is_off() {
    let hive = Hive::with_history(Some(Duration::from_secs(60)));
    hive.put("n", 1);
    hive.put("n", 2);
    hive.store.close().unwrap();
    let options = Store::options().clock(hive.clock.clone()).session(false);
    let store = options.open(hive.folder.path().join("hive.redb")).unwrap();
    store.retain(&Policy::default()).unwrap();
    assert!(!store.all_points().unwrap().is_empty(), "the window has not passed");
    hive.clock.advance(Duration::from_secs(61));
    store.retain(&Policy::default()).unwrap();
    assert!(store.all_points().unwrap().is_empty());
}

#[test]
fn counters_and_epochs_never_go_back() {
    let hive = Hive::new();
    let empty = hive.point("empty");
    hive.push(NewTask::new("first"));
    let first = hive.store.write(|tx| tx.queue().enqueue(NewTask::new("second"))).unwrap();
    hive.restore(&empty, RestoreOptions::new());
    let second = hive.store.write(|tx| tx.queue().enqueue(NewTask::new("third"))).unwrap();
    assert!(second.sequence > first.sequence);
    assert_ne!(second.id, first.id);
    let later = hive.point("later");
    assert!(later.epoch > empty.epoch);
    let safety = hive.store.all_points().unwrap().into_iter().find(|point| point.origin == Some(Origin::Safety));
    assert!(later.epoch > safety.unwrap().epoch);
}

#[test]
fn a_verified_restore_says_so() {
    let hive = Hive::new();
    let point = hive.point("before");
    hive.put("a", 1);
    let report = hive.restore(&point, RestoreOptions::new().verify(true));
    assert_eq!(report.verified, Verified::All);
}

#[test]
fn a_failed_attempt_after_a_restore_counts_as_usual() {
    let hive = Hive::new();
    hive.push(task("a").max_attempts(1));
    let point = hive.point("before");
    let claim = hive.claim("ant");
    hive.store.write(|tx| tx.queue().fail(&claim.id, claim.token, "no", Retry::Later)).unwrap();
    assert_eq!(hive.task("a").state, TaskState::Dead);
    let plan = hive.store.plan_restore(&point, RestoreOptions::new()).unwrap();
    assert_eq!(plan.tasks_run_again, 1, "a dead task would run again too");
    hive.restore(&point, RestoreOptions::new());
    let claim = hive.claim("ant");
    assert_eq!(claim.attempts, 1);
}

#[test]
fn no_restore_and_no_undo_brings_a_revoked_key_back_or_opens_a_store_that_asks_for_keys() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("h.redb")).unwrap();
    let name = || "ops".parse::<hivekeep::KeyName>().unwrap();
    let put = |value: u64| store.write(|tx| tx.config().put("x", &json!(value))).unwrap();
    put(0);
    let before = store.restore_point("before there were keys").unwrap();
    store.write(|tx| tx.keys().add(hivekeep::NewKey::new(name(), hivekeep::Role::Operator))).unwrap();
    put(1);
    let with = store.restore_point("with the key").unwrap();
    store.write(|tx| tx.keys().revoke(&name())).unwrap();
    put(2);
    let state = || store.view().unwrap().keys().get(&name()).unwrap().unwrap().state;
    for point in [&with, &before] {
        store.restore(point, RestoreOptions::new()).unwrap();
        assert_eq!(state(), hivekeep::KeyState::Revoked);
        assert!(store.view().unwrap().keys().are_used().unwrap());
    }
    store.undo().unwrap();
    assert_eq!(state(), hivekeep::KeyState::Revoked);
}
