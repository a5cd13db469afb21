//! Every restore and every damage is one event, whichever function was called.

use serde_json::{Value, json};

use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
#[cfg(feature = "transfer")]
use crate::engine::wal::LogNews;
use crate::error::{ErrorKind, Result};
use crate::recovery::backups::{Backup, BackupRequest, Kind};
use crate::recovery::events::event::EventKind;
use crate::recovery::points::selector::Selector;
use crate::recovery::restore::options::RestoreOptions;
use crate::state::page::Page;
use crate::testkit::checked_store::Fixture;

/// The events of an operation, oldest first.
fn told<R>(store: &Store, work: impl FnOnce(&Store) -> Result<R>) -> (Option<ErrorKind>, Vec<(EventKind, Value)>) {
    let list = |page| store.view().unwrap().events().list(page).unwrap();
    let before = list(Page::newest(1)).first().map_or(0, |event| event.sequence);
    let failed = work(store).err().map(|error| error.kind());
    (failed, list(Page::oldest(9).after(before)).into_iter().map(|event| (event.kind, event.details)).collect())
}

fn backup(hive: &Fixture) -> Backup {
    hive.store.backup(BackupRequest::new(Kind::Registry).data(json!({"BOT-1": {"port": 8001}}))).unwrap()
}

/// Changes the checksum of a backup.
fn spoil(hive: &Fixture, backup: &Backup) {
    let other = Backup { checksum: "0".repeat(64), ..backup.clone() };
    let bytes = crate::engine::codec::encode(&other).unwrap();
    hive.store.write(|tx| tx.put_row(Table::Backups, other.backup_id.as_bytes(), &bytes)).unwrap();
}

/// Removes the pre-image of a record, as a damaged page would.
fn lose_a_pre_image(hive: &Fixture) {
    hive.write(|tx| tx.config().put("a", &1.into()));
    let point = hive.store.restore_point("before").unwrap();
    hive.write(|tx| tx.config().put("a", &2.into()));
    let lost = crate::engine::keys::pre_image_key(point.epoch.next(), &CollectionId::CONFIG.row_key(b"a"));
    assert!(hive.store.write(|tx| tx.delete(Table::PreImages, &lost)).unwrap());
}

#[test]
fn returning_the_data_of_a_backup_is_a_successful_restore() {
    let hive = Fixture::new();
    let backup = backup(&hive);
    let (failed, events) = told(&hive.store, |store| store.restore_data(&backup.backup_id));
    assert_eq!(failed, None);
    let details = json!({
        "backup_id": backup.backup_id, "type": "registry", "size_bytes": backup.size_bytes, "checksum": backup.checksum,
    });
    assert_eq!(events, [(EventKind::RestoreSuccessful, details)]);
    assert_eq!(told(&hive.store, |store| store.backup_data(&backup)).1, [], "reading is no restore");
}

#[test]
fn a_restore_of_an_unknown_backup_or_point_is_a_failed_restore_with_its_reason() {
    let hive = Fixture::new();
    for work in [
        |store: &Store| store.restore_data("none").map(drop),
        |store: &Store| store.restore_backup("none", RestoreOptions::new(), false).map(drop),
    ] {
        let (failed, events) = told(&hive.store, work);
        assert_eq!(failed, Some(ErrorKind::NotFound));
        let details = json!({"backup_id": "none", "error": "Backup none not found", "reason": "not_found"});
        assert_eq!(events, [(EventKind::RestoreFailed, details)]);
    }
    let options = RestoreOptions::new;
    let (_, events) = told(&hive.store, |store| store.restore(Selector::Latest(0), options()));
    assert_eq!((&events[0].0, &events[0].1["point"]), (&EventKind::RestoreFailed, &json!("latest")));
    assert_eq!((events.len(), &events[0].1["reason"]), (1, &json!("not_found")));
    let planned = told(&hive.store, |store| store.plan_restore(Selector::Latest(0), options()));
    assert_eq!(planned, (Some(ErrorKind::NotFound), Vec::new()), "a dry run is no restore");
    let refused = told(&hive.store, |store| store.restore(Selector::Now, options()));
    assert_eq!(refused, (Some(ErrorKind::Invalid), Vec::new()), "a restore that was asked for wrongly is none");
}

#[test]
fn a_wrong_checksum_is_one_event_of_damage_and_one_of_a_failed_restore() {
    let hive = Fixture::new();
    let backup = backup(&hive);
    spoil(&hive, &backup);
    let id = backup.backup_id.as_str();
    for in_place in [false, true] {
        let (failed, events) = told(&hive.store, |store| match in_place {
            true => store.restore_backup(id, RestoreOptions::new(), true).map(drop),
            false => store.restore_data(id).map(drop),
        });
        assert_eq!(failed, Some(ErrorKind::Damaged));
        let kinds: Vec<_> = events.iter().map(|(kind, _)| kind.clone()).collect();
        assert_eq!(kinds, [EventKind::CorruptionDetected, EventKind::RestoreFailed]);
        assert_eq!((&events[1].1["backup_id"], &events[1].1["reason"]), (&json!(id), &json!("checksum_mismatch")));
    }
}

#[test]
fn a_restore_in_place_is_one_event_with_the_id_of_its_backup() {
    let hive = Fixture::new();
    let backup = hive.store.backup(BackupRequest::new(Kind::Queue)).unwrap();
    let (_, events) = told(&hive.store, |store| store.restore_backup(&backup.backup_id, RestoreOptions::new(), false));
    assert_eq!((&events[0].0, &events[0].1["backup_id"]), (&EventKind::RestoreSuccessful, &json!(backup.backup_id)));
    assert_eq!(events.len(), 1);
}

#[test]
fn damage_that_a_restore_finds_is_one_event_of_damage_and_one_of_a_failed_restore() {
    let hive = Fixture::new();
    lose_a_pre_image(&hive);
    for verify in [false, true] {
        let options = RestoreOptions::new().verify(verify);
        let (failed, events) = told(&hive.store, |store| store.restore(Selector::Latest(0), options));
        assert_eq!(failed, Some(ErrorKind::Damaged));
        let kinds: Vec<_> = events.iter().map(|(kind, _)| kind.clone()).collect();
        assert_eq!(kinds, [EventKind::CorruptionDetected, EventKind::RestoreFailed], "verify={verify}");
        assert_eq!(events[1].1["reason"], "damaged");
    }
}

#[test]
fn damage_that_a_check_finds_is_one_event_but_none_through_a_read_only_handle() {
    let hive = Fixture::new();
    assert_eq!(told(&hive.store, Store::check), (None, Vec::new()));
    lose_a_pre_image(&hive);
    let (_, events) = told(&hive.store, Store::check);
    assert_eq!((events.len(), &events[0].0), (1, &EventKind::CorruptionDetected));
    assert!(events[0].1["found"].as_u64().unwrap() > 0 && events[0].1["first"]["what"].is_string(), "{events:?}");
    let looking = Store::options().read_only(true).open(hive.store.path()).unwrap();
    let (_, events) = told(&hive.store, |_| looking.check().map(|report| assert!(!report.is_sound())));
    assert_eq!(events, []);
}

#[cfg(feature = "transfer")]
#[test]
fn a_log_that_was_set_aside_or_taken_up_later_is_told_at_the_next_look_for_crashes_or_at_the_close() {
    let hive = Fixture::new();
    let news = |name: &str| LogNews { set_aside: vec![name.to_owned()], ..LogNews::default() };
    hive.store.add_log_news(news("one"));
    let (_, events) = told(&hive.store, Store::notice_crashes);
    assert_eq!(events, [(EventKind::LogSetAside, json!({"path": "one"}))]);
    assert_eq!(told(&hive.store, Store::notice_crashes).1, []);
    hive.store.add_log_news(news("two"));
    hive.store.close().unwrap();
    let again = Store::open(hive.store.path()).unwrap();
    let newest = again.view().unwrap().events().list(Page::newest(1)).unwrap();
    assert_eq!((&newest[0].kind, &newest[0].details), (&EventKind::LogSetAside, &json!({"path": "two"})));
}
