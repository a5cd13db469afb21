//! An import into a store that has gone on: what was finished there meanwhile.

use serde_json::json;

use super::{ExportOptions, ImportOptions, ImportReport};
use crate::state::ids::{BotId, TaskId};
use crate::state::queue::{ClaimOptions, NewTask, Task, TaskState};
use crate::testkit::checked_store::Fixture;

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

/// Takes an archive in, as its plan says.
fn import(hive: &Fixture, archive: &std::path::Path, keep: bool) -> ImportReport {
    let options = ImportOptions::new().keep_finished(keep);
    let plan = hive.store.plan_import(archive, &options).unwrap();
    let shown = if keep { "2 stay finished" } else { "1 would run again, 1 would be forgotten; see --keep-finished" };
    assert!(plan.to_string().contains(&format!("finished tasks since then: {shown}")), "{plan}");
    let report = hive.store.apply_import(&plan).unwrap();
    assert_eq!(plan.collections, report.collections, "a dry run counts what the import then touches");
    let numbers = (plan.tasks_run_again, plan.tasks_forgotten, plan.keep_finished);
    assert_eq!(numbers, (report.tasks_run_again, report.tasks_forgotten, report.keep_finished));
    hive.check();
    report
}

#[test]
fn an_import_into_a_newer_store_counts_what_runs_again_and_keeps_it_finished_when_asked() {
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
fn an_import_that_changes_nothing_leaves_undo_to_the_one_before() {
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
