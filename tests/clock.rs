//! A machine whose clock is wrong by centuries: nothing panics or waits for ever, and what was written is read back.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use hivekeep::{
    Bot, BotId, ClaimOptions, ManualClock, NewEntry, NewTask, Page, Policy, RestoreOptions, Scheduler,
    SchedulerOptions, Store, TaskState,
};
use jiff::Timestamp;
use serde_json::json;

/// Times that a clock may show, and that numbers since 1970 are negative, zero or as large as can be for.
fn times() -> [Timestamp; 5] {
    let before_1970 = "1969-12-31T23:59:59.999999Z".parse().unwrap();
    let year_0 = "-000001-06-01T00:00:00Z".parse().unwrap();
    [Timestamp::MIN, year_0, before_1970, Timestamp::UNIX_EPOCH, Timestamp::MAX]
}

#[test]
fn a_store_works_whatever_the_clock_shows() {
    for now in times() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(now);
        let open = || Store::options().clock(clock.clone()).open(folder.path().join("h.redb")).unwrap();
        let store = open();
        use_everything(&store);
        store.close().unwrap();
        let store = open();
        clock.advance(Duration::from_secs(10 * 365 * 86_400));
        use_everything(&store);
        assert!(store.check().unwrap().is_sound(), "{now}");
        store.close().unwrap();
    }
}

#[test]
fn a_clock_that_jumps_across_all_of_time_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
    let store = Store::options().clock(clock.clone()).open(folder.path().join("h.redb")).unwrap();
    for now in times().into_iter().chain(times().into_iter().rev()) {
        clock.set(now);
        use_everything(&store);
    }
    assert!(store.check().unwrap().is_sound());
    store.close().unwrap();
}

/// One of each thing that is told the time.
fn use_everything(store: &Store) {
    let bot: BotId = "BOT-1".parse().unwrap();
    let task = store.write(|tx| tx.queue().enqueue(NewTask::new(json!({"n": 1})))).unwrap();
    store.write(|tx| tx.registry().put(&Bot::new(bot.clone()))).unwrap();
    store.heartbeat(&bot).unwrap();
    let claims = store.write(|tx| tx.queue().claim(&bot, &ClaimOptions::default())).unwrap();
    store.write(|tx| tx.audit().append(NewEntry::new("deploy", "operator"))).unwrap();
    let point = store.restore_point("before").unwrap();
    for claim in &claims {
        store.write(|tx| tx.queue().complete(&claim.id, claim.token, json!(null))).unwrap();
    }
    store.write(|tx| tx.config().put("limit", &json!(1))).unwrap();
    store.restore(&point.id, RestoreOptions::new()).unwrap();
    store.undo().unwrap();
    store.auto_backup_if_needed(Duration::from_secs(1)).unwrap();
    store
        .retain(&Policy { keep_hourly: 1, keep_daily: 1, keep_weekly: 1, keep_monthly: 1, ..Policy::default() })
        .unwrap();
    archive(store);
    store.upkeep().unwrap();
    store.purge_finished(Duration::from_secs(1)).unwrap();
    drop(Scheduler::start(store.clone(), SchedulerOptions::default()).unwrap());
    let view = store.view().unwrap();
    assert!(!view.events().list(Page::newest(9)).unwrap().is_empty());
    assert!(view.queue().get(&task.id).unwrap().is_none_or(|task| task.state != TaskState::Dead));
    for point in store.points().unwrap() {
        let text = serde_json::to_string(&point).unwrap();
        assert!(text.contains("+00:00"), "{text}");
    }
}

/// Makes an archive, where there is such a thing.
#[cfg(feature = "transfer")]
fn archive(store: &Store) {
    let folder = store.path().with_extension("archives");
    let every = Duration::from_secs(1);
    let schedule = hivekeep::ArchiveSchedule {
        every,
        folder,
        must_exist: false,
        keep: hivekeep::ArchivePolicy::default(),
        sealed: hivekeep::ExportOptions::new(),
    };
    if let Err(error) = store.auto_archive(&schedule) {
        // Two of a clock that stands still would have one name.
        assert_eq!(error.kind(), hivekeep::ErrorKind::Conflict, "{error}");
    }
}

#[cfg(not(feature = "transfer"))]
fn archive(_store: &Store) {}
