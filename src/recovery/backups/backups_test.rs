//! Backups by their ids, and backups of live state that are read and restored.

use serde_json::json;

use crate::engine::store::Store;
use crate::{BackupRequest, Bot, BotId, ClaimOptions, ErrorKind, Kind, NewTask, RestoreOptions, Selector, TaskId};

/// A bot with a task.
fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::options().session(false).open(folder.path().join("h.redb")).unwrap();
    let ant = BotId::new("ant").unwrap();
    store
        .write(|tx| {
            tx.registry().put(&Bot { port: Some(8001), ..Bot::new(ant.clone()) })?;
            tx.queue().enqueue(NewTask::new("work").id(TaskId::new("one")?))?;
            tx.queue().claim(&ant, &ClaimOptions::default())
        })
        .unwrap();
    (folder, store)
}

#[test]
fn a_backup_is_found_by_its_id_and_by_a_unique_prefix() {
    let (_folder, store) = store();
    let backups = [Kind::Registry, Kind::Queue].map(|kind| store.backup(BackupRequest::new(kind)).unwrap());
    let ids = backups.clone().map(|backup| backup.backup_id);
    assert_eq!(store.find_backup(&ids[0]).unwrap(), backups[0]);
    let own = ids[0].bytes().zip(ids[1].bytes()).take_while(|(one, other)| one == other).count() + 1;
    assert_eq!(store.find_backup(&ids[0][..own.max(4)]).unwrap(), backups[0]);
    assert_eq!(store.find_backup(&ids[0][..4]).unwrap_err().kind(), ErrorKind::Ambiguous);
    let none = store.find_backup("nothing").unwrap_err();
    assert_eq!((none.kind(), none.to_string().as_str()), (ErrorKind::NotFound, "Backup nothing not found"));
}

#[test]
fn a_backup_of_live_state_shows_its_content_after_later_changes() {
    let (_folder, store) = store();
    let full = store.backup(BackupRequest::new(Kind::Full)).unwrap();
    let assignments = store.backup(BackupRequest::new(Kind::BotAssignments)).unwrap();
    let bee = BotId::new("bee").unwrap();
    store.write(|tx| tx.registry().put(&Bot::new(bee.clone()))).unwrap();
    let data = store.backup_data(&full).unwrap();
    assert_eq!(data["registry"]["ant"]["port"], json!(8001));
    assert_eq!(data["registry"].as_object().unwrap().len(), 1);
    assert_eq!(data["queue"]["one"]["state"], json!("claimed"));
    assert_eq!(data["bot_assignments"], json!({ "ant": ["one"] }));
    assert_eq!(store.backup_data(&assignments).unwrap(), json!({ "ant": ["one"] }));
    let other = crate::Backup { checksum: full.checksum.clone(), ..assignments };
    assert_eq!(store.backup_data(&other).unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn a_backup_of_a_part_restores_that_part_only_by_its_id() {
    let (_folder, store) = store();
    store.restore_point("all parts").unwrap();
    let listed = store.backups(Some(Kind::Registry)).unwrap().remove(0);
    let bee = BotId::new("bee").unwrap();
    store
        .write(|tx| {
            tx.registry().put(&Bot::new(bee.clone()))?;
            tx.config().put("kept", &json!(true))
        })
        .unwrap();
    let report = store.restore(Selector::Id(listed.backup_id), RestoreOptions::new()).unwrap();
    assert_eq!(report.collections.keys().collect::<Vec<_>>(), ["registry"]);
    assert_eq!(report.total(), 1);
    let view = store.view().unwrap();
    assert_eq!((view.registry().get(&bee).unwrap(), view.config().get("kept").unwrap()), (None, Some(json!(true))));
}

#[test]
fn the_point_of_an_epoch_is_restored_and_an_epoch_without_one_is_gone() {
    let (_folder, store) = store();
    let point = store.restore_point("there").unwrap();
    store.write(|tx| tx.config().put("later", &json!(1))).unwrap();
    store.restore(Selector::Epoch(point.epoch), RestoreOptions::new()).unwrap();
    assert_eq!(store.view().unwrap().config().get("later").unwrap(), None);
    let none = store.restore(Selector::Epoch(crate::Epoch(77)), RestoreOptions::new()).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Gone);
    let now = store.restore(Selector::Now, RestoreOptions::new()).unwrap_err();
    assert_eq!(now.kind(), ErrorKind::Invalid);
    assert_eq!(Selector::from(&Selector::Now), Selector::Now);
}
