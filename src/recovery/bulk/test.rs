//! Tests of bulk changes.

use serde_json::json;

use crate::engine::codec;
use crate::error::{ErrorKind, Hint};
use crate::recovery::bulk::job::{BulkJob, BulkState, ROW, Stored, StoredJobs};
use crate::recovery::restore::options::RestoreOptions;
use crate::state::ids::{BotId, TaskId};
use crate::state::page::Page;
use crate::state::queue::{BulkAction, BulkTasks, ClaimOptions, NewTask, Priority, Retry, TaskFilter, TaskState};
use crate::testkit::checked_store::Fixture;

/// So many dead tasks take several transactions.
const MANY: usize = 600;

fn id(name: &str) -> TaskId {
    TaskId::new(name).unwrap()
}

fn in_state(state: TaskState) -> TaskFilter {
    TaskFilter { state: Some(state), ..TaskFilter::default() }
}

fn dead() -> TaskFilter {
    in_state(TaskState::Dead)
}

/// A store with dead tasks `dead-0000`.., and a ready one.
fn hive(count: usize) -> Fixture {
    let hive = Fixture::new();
    let bot = BotId::new("BOT-1").unwrap();
    let push = |tx: &mut crate::WriteTx<'_>| {
        for number in 0..count {
            let priority = Priority::ALL[number % 4];
            tx.queue().enqueue(
                NewTask::new(number).id(id(&format!("dead-{number:04}"))).max_attempts(1).priority(priority),
            )?;
        }
        let options = ClaimOptions { max: count, max_concurrent: Some(count as u32), ..ClaimOptions::default() };
        for claim in tx.queue().claim(&bot, &options)? {
            tx.queue().fail(&claim.id, claim.token, "no", Retry::Later)?;
        }
        tx.queue().enqueue(NewTask::new("waits for nobody").id(id("ready")))
    };
    hive.write(push);
    hive
}

fn run(hive: &Fixture) -> BulkJob {
    hive.store.continue_bulk(|_| true).unwrap().unwrap()
}

#[test]
fn all_tasks_that_fit_are_requeued_in_parts_with_one_entry_in_the_trail_and_the_point_before_takes_it_back() {
    let hive = hive(MANY);
    assert_eq!(hive.store.plan_bulk(BulkAction::Requeue, dead()).unwrap(), MANY as u64);
    let acting = hive.store.acting_as("ann");
    let job = acting.begin_bulk(BulkAction::Requeue, dead(), None).unwrap();
    assert_eq!((job.state, job.fits, job.by.as_deref()), (BulkState::Running, MANY as u64, Some("ann")));
    let mut seen = Vec::new();
    let done = acting
        .continue_bulk(|job| {
            seen.push(job.changed);
            true
        })
        .unwrap()
        .unwrap();
    assert!(seen.len() > 2 && seen.is_sorted(), "{seen:?}");
    assert_eq!((done.state, done.changed, done.passed), (BulkState::Done, MANY as u64, 0));
    assert_eq!(hive.store.bulk_jobs().unwrap(), [done]);
    let counts = hive.view().queue().counts().unwrap();
    assert_eq!((counts.dead, counts.ready), (0, MANY as u64 + 1));
    let trail = hive.view().audit().list(Page::newest(9)).unwrap();
    assert_eq!(trail.len(), 1, "{trail:?}");
    assert_eq!(
        (trail[0].action.as_str(), trail[0].target.as_deref()),
        ("queue_bulk", Some("requeue of 600 tasks: state=dead"))
    );
    hive.store
        .restore(job.point.as_str().parse::<crate::Selector>().unwrap(), RestoreOptions::new().only(["queue"]))
        .unwrap();
    assert_eq!(hive.view().queue().counts().unwrap().dead, MANY as u64);
    hive.check();
}

#[test]
fn a_change_that_was_killed_goes_on_where_it_was_and_changes_no_task_twice() {
    let hive = hive(MANY);
    hive.store.begin_bulk(BulkAction::Requeue, dead(), None).unwrap();
    let mut left = 2;
    let killed = hive
        .store
        .continue_bulk(|_| {
            left -= 1;
            left >= 0
        })
        .unwrap()
        .unwrap();
    assert_eq!(killed.state, BulkState::Running);
    assert!((1..MANY as u64).contains(&killed.changed), "{}", killed.changed);
    assert_eq!(hive.view().queue().counts().unwrap().ready, killed.changed + 1, "the number is exact");
    assert_eq!(hive.store.bulk_jobs().unwrap(), [killed]);
    // A task that was requeued dies again, and is not requeued once more.
    let bot = BotId::new("BOT-1").unwrap();
    let again = hive.write(|tx| {
        let claim = tx.queue().claim(&bot, &ClaimOptions::default())?.into_iter().find(|claim| claim.id != id("ready"));
        let claim = claim.unwrap();
        tx.queue().fail(&claim.id, claim.token, "no", Retry::Never)
    });
    let done = run(&hive);
    assert_eq!((done.state, done.changed), (BulkState::Done, MANY as u64));
    assert_eq!(hive.view().queue().get(&again.id).unwrap().unwrap().state, TaskState::Failed);
    assert!(hive.store.continue_bulk(|_| true).unwrap().is_none());
    hive.check();
}

#[test]
fn two_who_continue_the_same_change_do_no_part_twice() {
    let hive = hive(MANY);
    hive.store.begin_bulk(BulkAction::Requeue, dead(), None).unwrap();
    let mut is_first = true;
    let mut other = None;
    let done = hive.store.continue_bulk(|_| {
        if !std::mem::take(&mut is_first) && other.is_none() {
            other = hive.store.continue_bulk(|_| true).unwrap();
        }
        true
    });
    assert_eq!(done.unwrap(), other);
    assert_eq!(other.unwrap().changed, MANY as u64);
    hive.check();
}

#[test]
fn a_change_that_no_further_try_can_continue_ends_as_failed_with_its_error() {
    let hive = hive(3);
    let job = hive.store.begin_bulk(BulkAction::Requeue, dead(), None).unwrap();
    let mut jobs = StoredJobs::of(&hive.view()).unwrap();
    let stored = jobs.find_mut(&job.id).unwrap();
    let mut progress = json!(stored.progress);
    progress["cursor"] = "of no page".into();
    stored.progress = serde_json::from_value(progress).unwrap();
    hive.write(|tx| ROW.put(tx, &jobs));
    let failed = run(&hive);
    assert_eq!((failed.state, failed.changed), (BulkState::Failed, 0));
    let error = failed.error.unwrap();
    assert!(error.contains("cursor"), "{error}");
    assert!(hive.store.continue_bulk(|_| true).unwrap().is_none());
    hive.store.begin_bulk(BulkAction::Requeue, dead(), None).unwrap();
    assert_eq!(run(&hive).changed, 3);
}

#[test]
fn a_change_that_fails_after_somebody_has_stopped_it_stays_stopped() {
    let hive = hive(3);
    let job = hive.store.begin_bulk(BulkAction::Requeue, dead(), None).unwrap();
    let stopped = hive.store.stop_bulk(&job.id).unwrap();
    let error = crate::Error::conflict("too late");
    assert_eq!(hive.write(|tx| tx.fail_bulk(&job.id, &error)).job, stopped);
}

#[test]
fn only_one_runs_at_a_time_and_a_stopped_one_changes_nothing_more() {
    let hive = hive(MANY);
    let job = hive
        .store
        .begin_bulk(BulkAction::Cancel, TaskFilter { id_prefix: Some("ready".into()), ..TaskFilter::default() }, None)
        .unwrap();
    let points = hive.store.points().unwrap().len();
    let refused = hive.store.begin_bulk(BulkAction::Requeue, dead(), None).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains(&job.id), "{refused}");
    assert_eq!(hive.store.points().unwrap().len(), points, "a refused change makes no point");
    let stopped = hive.store.stop_bulk(&job.id).unwrap();
    assert_eq!((stopped.state, stopped.changed), (BulkState::Stopped, 0));
    assert_eq!(hive.store.stop_bulk(&job.id).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(hive.store.stop_bulk("other").unwrap_err().kind(), ErrorKind::NotFound);
    assert!(hive.store.continue_bulk(|_| true).unwrap().is_none());
    assert_eq!(hive.view().queue().get(&id("ready")).unwrap().unwrap().state, TaskState::Ready);
    // One that is stopped while it is continued.
    let second = hive.store.begin_bulk(BulkAction::Requeue, dead(), None).unwrap();
    let mut parts = 0;
    let ended = hive.store.continue_bulk(|_| {
        parts += 1;
        if parts == 2 {
            hive.store.stop_bulk(&second.id).unwrap();
        }
        true
    });
    let ended = ended.unwrap().unwrap();
    assert_eq!(ended.state, BulkState::Stopped);
    assert_eq!(hive.view().queue().counts().unwrap().ready, ended.changed + 1);
    hive.check();
}

#[test]
fn a_bulk_change_is_about_the_tasks_of_its_filter_and_no_others() {
    let hive = hive(8);
    let filter = TaskFilter { priority: Some(Priority::P1), ..TaskFilter::default() };
    hive.store.begin_bulk(BulkAction::Requeue, filter.clone(), None).unwrap();
    let late = hive.write(|tx| tx.queue().enqueue(NewTask::new("later").priority(Priority::P1)));
    assert_eq!(run(&hive).changed, 2);
    // Pushed since it began.
    hive.store.begin_bulk(BulkAction::Cancel, filter, None).unwrap();
    hive.write(|tx| tx.queue().enqueue(NewTask::new("later").id(id("young")).priority(Priority::P1)));
    assert_eq!(run(&hive).changed, 3);
    let state = |id: &TaskId| hive.view().queue().get(id).unwrap().unwrap().state;
    assert_eq!((state(&late.id), state(&id("young"))), (TaskState::Cancelled, TaskState::Ready));
    let wrong = hive.store.begin_bulk(BulkAction::Requeue, in_state(TaskState::Done), None).unwrap_err();
    assert_eq!(wrong.to_string(), "a requeue is for tasks that are failed, dead, cancelled: state=done");
}

#[test]
fn a_bulk_change_without_a_filter_is_refused_unless_all_tasks_are_named() {
    let hive = hive(8);
    for filter in [TaskFilter::default(), TaskFilter { id_prefix: Some(String::new()), ..TaskFilter::default() }] {
        let refused = hive.store.begin_bulk(BulkAction::Requeue, filter.clone(), None).unwrap_err();
        assert_eq!(refused.hint(), Some(&Hint::NameAllTasks), "{refused}");
        assert!(hive.store.plan_bulk(BulkAction::Requeue, filter).is_err());
    }
    assert_eq!(hive.store.bulk_jobs().unwrap(), []);
    hive.store.begin_bulk(BulkAction::Requeue, BulkTasks::All, None).unwrap();
    assert_eq!(run(&hive).changed, 8);
}

#[test]
fn a_bulk_purge_keeps_the_tasks_that_others_wait_for() {
    let hive = hive(3);
    hive.write(|tx| tx.queue().enqueue(NewTask::new("waits").after(id("dead-0001"))));
    hive.store.begin_bulk(BulkAction::Purge, dead(), None).unwrap();
    let done = run(&hive);
    assert_eq!((done.fits, done.changed, done.passed), (3, 2, 1));
    assert!(hive.view().queue().get(&id("dead-0001")).unwrap().is_some());
    assert!(hive.view().queue().get(&id("dead-0000")).unwrap().is_none());
    hive.check();
}

#[test]
fn a_bulk_purge_remembers_no_more_tasks_than_the_limit() {
    let hive = hive(5);
    hive.write(|tx| tx.queue().set_memory(std::time::Duration::from_secs(60), 2));
    hive.store.begin_bulk(BulkAction::Purge, dead(), None).unwrap();
    assert_eq!(run(&hive).changed, 5);
    assert_eq!(hive.view().queue().memory().unwrap().count, 2);
    hive.check();
}

#[test]
fn the_bytes_of_a_bulk_change_are_fixed_and_its_json_shows_the_filter() {
    let hive = hive(1);
    let filter = TaskFilter { id_prefix: Some("dead-".into()), older_than: Some(std::time::Duration::ZERO), ..dead() };
    hive.pass(1);
    let mut job = hive.store.begin_bulk(BulkAction::Requeue, filter, None).unwrap();
    (job.id, job.point) = ("j".into(), "p".into());
    let mut jobs = StoredJobs::of(&hive.view()).unwrap();
    let Stored { progress, parts, .. } = jobs.0.pop_front().unwrap();
    jobs.begin(Stored { job: job.clone(), progress, parts });
    let golden = b"\x01\x01\x01j\x00\x01\x04\x00\x00\x00\x01\x05dead-\x01\x00\x00\x01p\x00\xfd\x80\x84OQ.\xca\x0c\
            \x00\x00\x01\x00\x00\x00\x00\x01\x04\x00\x00\x00\x01\x05dead-\x01\x00\xfd\x80\x84OQ.\xca\x0c\
            \x00\x02\x01\x04\x00\x00";
    assert_eq!(codec::encode(&jobs).unwrap().escape_ascii().to_string(), golden.escape_ascii().to_string());
    assert_eq!(codec::decode::<StoredJobs>(golden).unwrap(), jobs);
    assert_eq!(
        json!(job)["filter"],
        json!({"state": "dead", "bot": null, "can": null, "priority": null, "id": "dead-", "older_than": "0s"})
    );
    assert!(ROW.read(&hive.view()).unwrap().is_some());
}

#[test]
fn a_restore_of_tasks_stops_the_change_that_runs_and_an_undo_too() {
    let hive = hive(MANY);
    let job = hive.store.begin_bulk(BulkAction::Requeue, dead(), None).unwrap();
    let one_part = |hive: &Fixture| {
        let mut left = 2;
        hive.store.continue_bulk(|_| {
            left -= 1;
            left >= 0
        })
    };
    assert!(one_part(&hive).unwrap().unwrap().changed > 0);
    let only = |name: &str| RestoreOptions::new().only([name]);
    let point = || job.point.as_str().parse::<crate::Selector>().unwrap();
    hive.write(|tx| tx.config().put("limit", &json!(1)));
    hive.store.restore(point(), only("config")).unwrap();
    assert_eq!(hive.store.bulk_jobs().unwrap()[0].state, BulkState::Running, "no task was put back");
    hive.store.restore(point(), only("queue")).unwrap();
    let stopped = hive.store.bulk_jobs().unwrap().remove(0);
    assert_eq!((stopped.state, stopped.error.as_deref()), (BulkState::Stopped, Some("a restore put tasks back")));
    assert!(hive.store.continue_bulk(|_| true).unwrap().is_none());
    assert_eq!(hive.view().queue().counts().unwrap().dead, MANY as u64);
    hive.store.begin_bulk(BulkAction::Requeue, dead(), None).unwrap();
    one_part(&hive).unwrap();
    hive.store.undo_discarding().unwrap();
    assert_eq!(hive.store.bulk_jobs().unwrap()[0].state, BulkState::Stopped);
    hive.check();
}

#[test]
fn a_change_that_fits_no_task_is_refused_and_makes_no_point() {
    let hive = hive(1);
    let filter = TaskFilter { id_prefix: Some("zzz".into()), ..TaskFilter::default() };
    let refused = hive.store.begin_bulk(BulkAction::Cancel, filter, None).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    assert_eq!(refused.to_string(), "no task fits that could be changed by cancel: id=zzz");
    assert!(hive.store.bulk_jobs().unwrap().is_empty() && hive.store.points().unwrap().is_empty());
}

#[test]
fn a_change_is_refused_when_more_tasks_fit_than_were_expected() {
    let hive = hive(3);
    let refused = hive.store.begin_bulk(BulkAction::Requeue, dead(), Some(2)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().ends_with("fits=3 at_most=2"), "{refused}");
    assert!(hive.store.bulk_jobs().unwrap().is_empty() && hive.store.points().unwrap().is_empty());
    hive.store.begin_bulk(BulkAction::Requeue, dead(), Some(3)).unwrap();
    assert_eq!(run(&hive).changed, 3);
}
