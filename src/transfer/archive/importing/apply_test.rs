//! Imports into a store that has changed since: tasks that finished, undo, and lost records.

use serde_json::json;

use crate::engine::commit::Outcome;
use crate::engine::point::Lost;
use crate::engine::schema::CollectionId;
use crate::engine::store::Store;
use crate::error::ErrorKind;
use crate::recovery::points::point::Point;
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::{ClaimOptions, NewTask, Task, TaskState};
use crate::testkit::checked_store::Fixture;
use crate::transfer::archive::{ExportOptions, ImportOptions, ImportReport};

fn push(hive: &Fixture, name: &str) -> Task {
    let id = TaskId::new(name).unwrap();
    hive.write(|tx| tx.queue().enqueue(NewTask::new(json!(name)).id(id).idempotency_key(name)))
}

fn complete(hive: &Fixture) -> Task {
    let bot = BotId::new("ant").unwrap();
    hive.write(|tx| {
        let claim = tx.queue().claim(&bot, &ClaimOptions::default())?.remove(0);
        tx.queue().complete(&claim.id, claim.token, "result")
    })
}

fn tasks(hive: &Fixture) -> Vec<Task> {
    hive.view().queue().list().map(|task| task.unwrap()).collect()
}

/// Imports an archive as planned.
fn import(hive: &Fixture, archive: &std::path::Path, keep: bool) -> ImportReport {
    let options = ImportOptions::new().keep_finished(keep);
    let plan = hive.store.plan_import(archive, &options).unwrap();
    let shown = if keep { "2 stay finished" } else { "1 would run again, 1 would be forgotten" };
    assert!(plan.to_string().contains(&format!("finished tasks since then: {shown}")), "{plan}");
    let report = hive.store.apply_import(&plan).unwrap();
    assert_eq!(plan.collections, report.collections, "a dry run counts what the import then touches");
    let numbers = (plan.tasks_run_again, plan.tasks_forgotten, plan.keep_finished);
    assert_eq!(numbers, (report.tasks_run_again, report.tasks_forgotten, report.keep_finished));
    hive.check();
    report
}

#[test]
fn an_import_into_a_newer_store_counts_tasks_that_run_again_and_keeps_them_finished_on_request() {
    let hive = Fixture::new();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("hive.tar.zst");
    push(&hive, "first");
    hive.store.export(&archive, &ExportOptions::new()).unwrap();
    complete(&hive);
    push(&hive, "second");
    complete(&hive);
    let before = tasks(&hive);

    let report = import(&hive, &archive, false);
    assert_eq!((report.tasks_run_again, report.tasks_forgotten), (1, 1));
    assert_eq!(tasks(&hive).iter().map(|task| task.state).collect::<Vec<_>>(), [TaskState::Ready]);
    hive.store.undo().unwrap();
    assert_eq!(tasks(&hive), before);

    let report = import(&hive, &archive, true);
    assert!(report.collections.is_empty(), "{:?}", report.collections);
    assert_eq!(tasks(&hive), before);
    assert_eq!(push(&hive, "second"), before[1], "the producer's same push does not run again");
}

#[test]
fn after_an_import_that_changes_nothing_undo_reverts_the_operation_before() {
    let hive = Fixture::new();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("hive.tar.zst");
    let limit = || hive.view().config().get("limit").unwrap();
    hive.write(|tx| tx.config().put("limit", &json!(1)));
    hive.store.export(&archive, &ExportOptions::new()).unwrap();
    hive.write(|tx| tx.config().put("limit", &json!(2)));
    hive.store.import(&archive, &ImportOptions::new()).unwrap();
    let points = hive.store.all_points().unwrap();
    let again = hive.store.import(&archive, &ImportOptions::new()).unwrap();
    assert_eq!((again.collections.len(), again.undo), (0, None));
    assert_eq!(hive.store.all_points().unwrap(), points, "it makes no safety point");
    let events = hive.view().events().list(crate::state::page::Page::newest(1)).unwrap();
    assert_eq!(events[0].kind, crate::recovery::events::event::EventKind::Imported);
    hive.store.undo().unwrap();
    assert_eq!(limit(), Some(json!(2)));
    hive.store.undo().unwrap();
    assert_eq!(limit(), Some(json!(1)));
}

/// Marks a point as one that is known to have lost `config/lost` in a repair.
fn lose(hive: &Fixture, point: &Point) {
    hive.store
        .alone(|tx| {
            let mut manifest = tx.manifest(point.epoch)?;
            let was = manifest.stats(CollectionId::CONFIG);
            manifest.lost.push(Lost { collection: CollectionId::CONFIG, was, keys: vec![b"lost".to_vec()] });
            tx.put_manifest(point.epoch, &manifest).map(Outcome::Commit)
        })
        .unwrap();
}

#[test]
fn an_archive_carries_the_losses_of_its_point() {
    let hive = Fixture::new();
    let folder = tempfile::tempdir().unwrap();
    let (archive, new) = (folder.path().join("hive.tar.zst"), folder.path().join("new.redb"));
    hive.write(|tx| tx.config().put("a", &json!(1)));
    let point = hive.store.restore_point("partial").unwrap();
    lose(&hive, &point);
    let report = hive.store.export(&archive, &ExportOptions::new().at(&point)).unwrap();
    assert!(report.point.partial && report.point.lost["config"].count == 1);
    for key in ["a", "lost", "new"] {
        hive.write(|tx| tx.config().put(key, &json!(2)));
    }

    let plan = hive.store.plan_import(&archive, &ImportOptions::new()).unwrap();
    assert!(plan.to_string().contains("before it was archived; to import what is left of it, allow a partial import"));
    for refused in [
        hive.store.apply_import(&plan).unwrap_err(),
        Store::import_new(&archive, &new, &ImportOptions::new()).unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    }
    let queue = ImportOptions::new().only(["queue"]);
    hive.store.import(&archive, &queue).unwrap();

    let partial = ImportOptions::new().partial(true);
    let plan = hive.store.plan_import(&archive, &partial).unwrap();
    let report = hive.store.apply_import(&plan).unwrap();
    assert_eq!(plan.collections, report.collections);
    let config: Vec<_> = hive.view().config().list().map(|entry| entry.unwrap()).collect();
    assert_eq!(config, [("a".into(), json!(1)), ("lost".into(), json!(2))], "what is known to be lost stays");
    assert!(hive.store.check().unwrap().is_sound());

    Store::import_new(&archive, &new, &partial).unwrap();
    let new = Store::open(&new).unwrap();
    let there = new.points().unwrap().remove(0);
    assert!(there.partial && there.lost["config"].keys == ["lost"], "{there:?}");
    assert!(new.check().unwrap().is_sound());
}
