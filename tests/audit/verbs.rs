//! The verbs of `Store`.

use std::fs;
use std::time::Duration;

use hivekeep::{
    AdoptOptions, BackupRequest, BulkAction, BulkTasks, ClaimOptions, ExportOptions, GuardOptions, ImportOptions,
    InitReplicaOptions, Kind, LastDrill, NewTask, PointRequest, Policy, RestoreOptions, Selector,
};
use jiff::Timestamp;
use serde_json::json;

use crate::hive::Does::{self, Nothing, One, Reads};
use crate::hive::{Hive, bot};

/// A verb that makes another store, which tests/cli/audit.rs has.
const ELSEWHERE: &str =
    "it makes or opens another store on behalf of an actor in its options; tests/cli/audit.rs has it";
const BY_ITSELF: &str = "upkeep is nobody's act; an actor who calls it does not do what it finds to do";

pub const VERBS: &[(&str, Does)] = &[
    (
        "acknowledge_crashes",
        Nothing("without a crash there is nothing to acknowledge; with one it is crash_acknowledge"),
    ),
    ("acting_as", Reads),
    (
        "adopt",
        One("adopt", |hive| {
            fs::write(hive.file("registry.json"), r#"{"bots": {"BOT-1": {"port": 1}}}"#).unwrap();
            hive.acting.adopt(&[hive.file("registry.json")], &AdoptOptions::default()).unwrap();
        }),
    ),
    ("all_points", Reads),
    (
        "apply",
        One("restore", |hive| {
            let plan = hive.plain.plan_restore(&hive.point(), RestoreOptions::new()).unwrap();
            hive.acting.apply(&plan).unwrap();
        }),
    ),
    (
        "apply_import",
        One("import", |hive| {
            let plan = hive.plain.plan_import(archive(hive), &ImportOptions::new()).unwrap();
            hive.acting.apply_import(&plan).unwrap();
        }),
    ),
    (
        "apply_import_with",
        One("import", |hive| {
            let plan = hive.plain.plan_import(archive(hive), &ImportOptions::new()).unwrap();
            hive.acting.apply_import_with(&plan, |_, _| ()).unwrap();
        }),
    ),
    ("at", Reads),
    ("auto_archive", Nothing("its point and its export leave an entry each")),
    (
        "auto_backup",
        One("point_create", |hive| {
            hive.value(1);
            hive.acting.auto_backup(Duration::ZERO, PointRequest::new("x").automatic(), false).unwrap().unwrap();
        }),
    ),
    (
        "auto_backup_if_needed",
        One("point_create", |hive| {
            hive.value(1);
            hive.acting.auto_backup_if_needed(Duration::ZERO).unwrap().unwrap();
        }),
    ),
    (
        "backup",
        One("backup_create", |hive| {
            hive.acting.backup(BackupRequest::new(Kind::Registry)).unwrap();
        }),
    ),
    ("backup_data", Reads),
    ("backups", Reads),
    (
        "begin_guard",
        One("guard_begin", |hive| {
            let guard = hive.acting.begin_guard(GuardOptions::new("x")).unwrap();
            guard.pass(&hive.plain).unwrap();
        }),
    ),
    (
        "begin_bulk",
        One("queue_bulk", |hive| {
            hive.task();
            hive.acting.begin_bulk(BulkAction::Cancel, BulkTasks::All, None).unwrap();
        }),
    ),
    ("brief_points", Reads),
    ("bulk_jobs", Reads),
    ("check", Reads),
    ("check_at", Reads),
    ("check_at_with", Reads),
    ("check_pages", Reads),
    ("check_sample", Reads),
    ("check_sample_with", Reads),
    ("check_with", Reads),
    (
        "claim_wait",
        One("queue_claim", |hive| {
            hive.task();
            hive.acting.claim_wait(&bot(), &ClaimOptions::default(), Duration::ZERO).unwrap();
        }),
    ),
    ("clock", Reads),
    ("close", Nothing("it ends the session of the process, which sessions say")),
    (
        "compact",
        One("compact", |hive| {
            hive.value(1);
            assert!(hive.acting.compact().unwrap());
        }),
    ),
    (
        "complete_and_claim",
        One("queue_complete", |hive| {
            let claim = hive.claim();
            let options = ClaimOptions::default();
            hive.acting.complete_and_claim(&claim.id, claim.token, 1, &options, Duration::ZERO).unwrap();
        }),
    ),
    ("continue_bulk", Nothing("it does what begin_bulk has the entry of")),
    ("copy_time", Reads),
    ("crash", Reads),
    ("diagnose", Reads),
    ("diff", Reads),
    ("diff_page", Reads),
    ("drill", Nothing(ELSEWHERE)),
    ("durability", Reads),
    (
        "enqueue_all",
        One("queue_push", |hive| {
            hive.acting.enqueue_all(vec![NewTask::new(1)]).unwrap();
        }),
    ),
    ("event_log_error", Reads),
    (
        "export",
        One("export", |hive| {
            hive.point();
            hive.acting.export(hive.file("own.tar.gz"), &ExportOptions::new()).unwrap();
        }),
    ),
    (
        "export_with",
        One("export", |hive| {
            hive.point();
            hive.acting.export_with(hive.file("own.tar.gz"), &ExportOptions::new(), |_, _| ()).unwrap();
        }),
    ),
    ("find_backup", Reads),
    ("fire_schedules", Nothing(BY_ITSELF)),
    ("find_point", Reads),
    (
        "forget",
        One("point_forget", |hive| {
            let point = hive.point();
            hive.acting.forget(&[Selector::from(&point)]).unwrap();
        }),
    ),
    (
        "give_back",
        One("queue_give_back", |hive| {
            let claim = hive.claim();
            hive.acting.give_back(&[claim]).unwrap();
        }),
    ),
    ("guard", Nothing("it has an entry at its beginning and one at its end; tests/cli/audit.rs has both")),
    ("apply_orphans", Nothing("tests/cli/replica.rs has its entry")),
    ("heal_from_replica", Nothing("tests/cli/replica.rs has its entry")),
    ("heartbeat", Nothing("docs/ARCHITECTURE.md says why heartbeats have none")),
    (
        "hold",
        One("point_hold", |hive| {
            let point = hive.point();
            hive.acting.hold(&point).unwrap();
        }),
    ),
    (
        "import",
        One("import", |hive| {
            hive.acting.import(archive(hive), &ImportOptions::new()).unwrap();
        }),
    ),
    ("import_new", Nothing(ELSEWHERE)),
    ("import_new_with", Nothing(ELSEWHERE)),
    (
        "import_with",
        One("import", |hive| {
            hive.acting.import_with(archive(hive), &ImportOptions::new(), |_, _| ()).unwrap();
        }),
    ),
    (
        "init_replica",
        One("replica_init", |hive| {
            let at = hive.file("replica").to_str().unwrap().parse().unwrap();
            hive.acting.init_replica(&at, &InitReplicaOptions::default()).unwrap();
        }),
    ),
    ("inventory", Reads),
    ("is_closed", Reads),
    ("judge", Reads),
    ("last_archive", Reads),
    ("last_check", Reads),
    ("load", Nothing("its steps leave the entries")),
    (
        "make_point",
        One("point_create", |hive| {
            hive.acting.make_point(PointRequest::new("x")).unwrap();
        }),
    ),
    ("log_status", Reads),
    (
        "mark_shutdown",
        One("shutdown_mark", |hive| {
            hive.acting.mark_shutdown().unwrap();
        }),
    ),
    ("next_backup_at", Reads),
    ("note_check", Nothing("it writes beside the store, and a check changes nothing")),
    (
        "note_drill",
        One("drill", |hive| {
            let drill = LastDrill { at: Timestamp::UNIX_EPOCH, took_ms: 1, records: 1, scenarios: Vec::new() };
            hive.acting.note_drill(&drill).unwrap();
        }),
    ),
    ("notice_crashes", Nothing(BY_ITSELF)),
    ("open", Nothing("it begins the session of the process, which sessions say")),
    ("options", Reads),
    ("path", Reads),
    ("plan_bulk", Reads),
    ("plan_import", Reads),
    ("plan_import_with", Reads),
    ("plan_repair", Nothing(ELSEWHERE)),
    ("plan_orphans", Reads),
    ("plan_repair_from_replica", Nothing(ELSEWHERE)),
    ("plan_repair_without_log", Nothing(ELSEWHERE)),
    ("plan_restore", Reads),
    ("plan_undo", Reads),
    ("point_size", Reads),
    ("point_with_backups", Reads),
    ("points", Reads),
    ("policy", Reads),
    ("pulse", Reads),
    (
        "purge_finished",
        One("queue_purge", |hive| {
            hive.finished();
            std::thread::sleep(Duration::from_millis(2));
            assert_eq!(hive.acting.purge_finished(Duration::ZERO).unwrap(), 1);
        }),
    ),
    ("rehearse_adopt", Reads),
    (
        "release",
        One("point_release", |hive| {
            let point = hive.point();
            hive.plain.hold(&point).unwrap();
            hive.acting.release(&point).unwrap();
        }),
    ),
    ("reopen", Nothing("the file is opened again after a failure, and nothing in it changes")),
    ("replica_status", Nothing("it reads a replica, and no store")),
    ("replicate", Nothing("it reads the store, and writes elsewhere")),
    (
        "restore",
        One("restore", |hive| {
            hive.acting.restore(&hive.point(), RestoreOptions::new()).unwrap();
        }),
    ),
    (
        "restore_data",
        One("restore_data", |hive| {
            let backup = hive.plain.backup(BackupRequest::new(Kind::Registry).data(json!({"a": 1}))).unwrap();
            hive.acting.restore_data(&backup.backup_id).unwrap();
        }),
    ),
    (
        "restore_point",
        One("point_create", |hive| {
            hive.acting.restore_point("x").unwrap();
        }),
    ),
    ("restore_to", Nothing("it makes a new file, and leaves the store as it is")),
    ("restore_replica", Nothing("it makes a copy of what is in a replica, and nobody writes to that")),
    (
        "retain",
        One("point_forget", |hive| {
            // The newest one stays.
            (0..2).for_each(|_| drop(hive.point()));
            hive.acting.retain(&nothing()).unwrap();
        }),
    ),
    (
        "retain_by_policy",
        One("point_forget", |hive| {
            (0..2).for_each(|_| drop(hive.point()));
            hive.plain.set_policy(Some(nothing()), "test").unwrap();
            hive.acting.retain_by_policy().unwrap();
        }),
    ),
    ("session", Reads),
    ("sessions", Reads),
    (
        "set_policy",
        One("retention_set", |hive| {
            hive.acting.set_policy(Some(nothing()), "test").unwrap();
        }),
    ),
    (
        "stop_bulk",
        One("queue_bulk_stop", |hive| {
            hive.task();
            let job = hive.plain.begin_bulk(BulkAction::Cancel, BulkTasks::All, None).unwrap();
            hive.acting.stop_bulk(&job.id).unwrap();
        }),
    ),
    ("summary", Reads),
    ("take_mark_back", Nothing("it is part of a change, which has the entry")),
    ("take_over_replica", Nothing(ELSEWHERE)),
    ("timeline", Reads),
    (
        "undo",
        One("undo", |hive| {
            restored(hive);
            hive.acting.undo().unwrap();
        }),
    ),
    (
        "undo_discarding",
        One("undo", |hive| {
            restored(hive);
            hive.acting.undo_discarding().unwrap();
        }),
    ),
    ("upkeep", Nothing(BY_ITSELF)),
    ("verify_archive", Reads),
    ("verify_archive_with", Reads),
    ("verify_replica", Nothing("it reads a replica, and no store")),
    ("drill_replica", Nothing("it makes a copy of what is in a replica, and removes it")),
    ("view", Reads),
    ("weigh", Reads),
    ("worker", Nothing("its claims and completions leave the entries")),
    ("write", Nothing("its steps leave the entries")),
    ("with_durability", Reads),
    ("replica_status", Reads),
    ("restore_replica", Nothing(ELSEWHERE)),
    ("take_over_replica", Nothing(ELSEWHERE)),
    ("verify_replica", Reads),
];

/// An archive of another state than the present one.
fn archive(hive: &Hive) -> std::path::PathBuf {
    let (file, point) = (hive.file("e.tar.gz"), hive.point());
    hive.plain.export(&file, &ExportOptions::new().at(&point)).unwrap();
    file
}

fn restored(hive: &Hive) {
    let point = hive.point();
    hive.plain.restore(&point, RestoreOptions::new()).unwrap();
}

/// Keeps no point.
fn nothing() -> Policy {
    Policy { cap: Some(0), floor: Duration::ZERO, keep_within: Some(Duration::ZERO), ..Policy::default() }
}
