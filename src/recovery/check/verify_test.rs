//! Findings between rows that are sound by themselves, and the place at which a check of a part continues.

use serde_json::json;

use crate::engine::check::{CheckReport, Finding};
use crate::engine::codec;
use crate::engine::meta;
use crate::engine::records::{KeyRange, Records};
use crate::engine::schema::{CollectionId, Table};
use crate::engine::store::Store;
use crate::{BackupRequest, BotId, ClaimOptions, ErrorKind, Kind, NewMessage, NewTask, Selector};

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("h.redb")).unwrap();
    (folder, store)
}

/// The table and the finding, for each.
fn what(report: &CheckReport) -> Vec<(&str, &str)> {
    report.findings.iter().map(|finding| (finding.table.as_str(), finding.what.as_str())).collect()
}

fn findings(store: &Store) -> Vec<Finding> {
    store.check().unwrap().findings
}

#[test]
fn a_backup_without_its_point_and_a_point_without_its_backup_are_found() {
    let (_folder, store) = store();
    let backup = store.backup(BackupRequest::new(Kind::Registry)).unwrap();
    let row = store.view().unwrap().row(Table::Backups, backup.backup_id.as_bytes()).unwrap().unwrap();
    store.write(|tx| tx.remove_row(Table::Backups, backup.backup_id.as_bytes())).unwrap();
    let missing = format!("a point lists a backup that is missing: epoch={}", backup.epoch);
    assert_eq!(what(&store.check().unwrap()), [("backups", missing.as_str())]);

    let other = crate::recovery::backups::Backup { epoch: crate::Epoch(99), ..backup.clone() };
    let id = backup.backup_id.as_bytes();
    store.write(|tx| tx.put_row(Table::Backups, id, &codec::encode(&other)?)).unwrap();
    let lost = "the point of a backup is missing: its content is lost";
    assert_eq!(what(&store.check().unwrap()), [("backups", lost)]);
    store.write(|tx| tx.put_row(Table::Backups, id, &row)).unwrap();
    assert_eq!(findings(&store), []);
}

#[test]
fn rows_of_another_type_than_their_table_are_found_one_by_one() {
    let (_folder, store) = store();
    for table in [Table::Backups, Table::Events, Table::Sessions] {
        store.write(|tx| tx.put_row(table, &[0, 0, 0, 0, 0, 0, 0, 0], b"")).unwrap();
        let found = findings(&store);
        assert_eq!(found.iter().map(|finding| finding.table.as_str()).collect::<Vec<_>>(), [table.name()], "{found:?}");
        store.write(|tx| tx.remove_row(table, &[0, 0, 0, 0, 0, 0, 0, 0])).unwrap();
    }
    assert_eq!(findings(&store), []);
}

#[test]
fn a_check_of_a_part_continues_behind_the_one_before_and_an_empty_part_is_refused() {
    let (folder, store) = store();
    let rows = |tx: &mut crate::WriteTx<'_>| (0..50).try_for_each(|i| tx.config().put(&format!("{i:02}"), &json!(i)));
    store.write(rows).unwrap();
    for part in [0.0, -0.1, 1.1, f64::NAN] {
        let error = store.check_sample(part).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().ends_with(&format!("part={part}")), "{error}");
    }
    let place = folder.path().join("h.redb.check");
    assert!(!place.exists());
    let mut places = Vec::new();
    let mut records = 0;
    for _ in 0..2 {
        let report = store.check_sample(0.5).unwrap();
        assert!(report.is_sound() && report.records < 50, "{report:?}");
        records += report.records;
        places.push(std::fs::read_to_string(&place).unwrap());
    }
    assert!(records >= 50 && places[0] != places[1], "{records} {places:?}");
    // A file that cannot be understood means the beginning.
    std::fs::write(&place, "nonsense").unwrap();
    assert_eq!(store.check_sample(1.0).unwrap().records, 50);
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    let error = store.check_sample(0.5).unwrap_err();
    assert!(error.to_string().contains("h.redb.check"), "{error}");
}

#[test]
fn sound_pages_are_no_finding_and_a_store_opened_exclusively_is_locked() {
    let (folder, store) = store();
    store.write(|tx| tx.config().put("a", &json!(1))).unwrap();
    assert_eq!(store.check_pages().unwrap(), None);
    assert_eq!(store.check_at(Selector::Now).unwrap().records, 1);
    store.close().unwrap();
    let alone = Store::options().sharing(crate::Sharing::Exclusive).open(folder.path().join("h.redb")).unwrap();
    assert_eq!(alone.check_pages().unwrap_err().kind(), ErrorKind::Locked);
}

#[test]
fn a_damaged_page_is_a_finding() {
    let (folder, store) = store();
    let letters = "x".repeat(3000);
    store.write(|tx| tx.config().put("a", &json!(letters))).unwrap();
    store.close().unwrap();
    let path = folder.path().join("h.redb");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes
        .chunks_mut(4096)
        .filter(|page| page[1000..2000].iter().all(|byte| *byte == b'x'))
        .for_each(|page| page[1500] = b'y');
    std::fs::write(&path, bytes).unwrap();
    let unverified = Store::options().session(false).verify_on_open(crate::VerifyOnOpen::Never);
    let found = unverified.open(&path).unwrap().check_pages().unwrap().unwrap();
    assert_eq!(found.table, "pages");
}

#[test]
fn a_document_without_one_of_its_rows_is_found_now_and_at_its_point_and_a_repair_reassembles_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let store = Store::open(&path).unwrap();
    store.write(|tx| tx.documents().put("kind", "source", &json!({"bots": {"A": [1], "B": [2]}}))).unwrap();
    let whole = store.restore_point("whole").unwrap();
    // Count and digest are updated, so that only the document tells of the loss.
    let lose = |tx: &mut crate::WriteTx<'_>| {
        let rows = tx.page(CollectionId::DOCUMENTS, &KeyRange::all().backward(), 1)?;
        tx.remove(CollectionId::DOCUMENTS, &rows[0].0)
    };
    assert!(store.write(lose).unwrap());
    let broken = store.restore_point("broken").unwrap();
    let key = CollectionId::DOCUMENTS.row_key(b"kind\0\0source\0\0");
    let what = "the number of rows that a document names is not that of its rows: document=kind/source says=3 has=2";
    let expected = [Finding::new("live", &key, what)];
    assert_eq!(store.check().unwrap().findings, expected);
    assert_eq!(store.check_at(&broken).unwrap().findings, expected);
    assert_eq!(store.check_at(&whole).unwrap().findings, []);
    store.close().unwrap();

    let to = folder.path().join("repaired.redb");
    let report = Store::plan_repair(&path, &to).unwrap().apply().unwrap();
    let note = "a document was put together from what is left of it; a point may have it whole: \
                document=kind/source rows=2 of=3";
    assert_eq!(report.notes, [note]);
    let store = Store::open(&to).unwrap();
    let text = |view: crate::View| view.documents().text("kind", "source").unwrap().unwrap();
    assert_eq!(text(store.view().unwrap()), r#"{"bots":{"A":[1]}}"#);
    assert_eq!(text(store.at(&whole).unwrap()), r#"{"bots":{"A":[1],"B":[2]}}"#);
}

#[test]
fn a_counter_that_would_repeat_a_number_is_found_and_a_repair_raises_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.redb");
    let store = Store::open(&path).unwrap();
    store
        .write(|tx| {
            tx.chat().append(NewMessage::new("general", "ant", "hello"))?;
            tx.queue().enqueue(NewTask::new("work"))?;
            tx.queue().claim(&BotId::new("ant")?, &ClaimOptions::default())
        })
        .unwrap();
    store.restore_point("a").unwrap();
    for counter in ["chat", "events", "sessions", "task", "token"] {
        let key = meta::counter_key(counter);
        let set = |payload: Option<Vec<u8>>| {
            store.write(|tx| match &payload {
                Some(payload) => tx.put_row(Table::Meta, &key, payload),
                None => tx.remove_row(Table::Meta, &key).map(drop),
            })
        };
        let good = store.view().unwrap().row(Table::Meta, &key).unwrap().unwrap();
        set(None).unwrap();
        let in_use = meta::number(&good).unwrap();
        let what = format!(
            "a counter is behind a number that is in use, and would give it out again; repair the store: \
             counter={counter} given=0 in_use={in_use}"
        );
        let findings = store.check().unwrap().findings;
        assert_eq!(findings.iter().map(|finding| finding.what.as_str()).collect::<Vec<_>>(), [what.as_str()]);
        set(Some(good)).unwrap();
    }
    assert!(store.check().unwrap().is_sound());
    store.write(|tx| tx.remove_row(Table::Meta, &meta::counter_key("chat"))).unwrap();
    store.close().unwrap();
    let to = folder.path().join("repaired.redb");
    Store::plan_repair(&path, &to).unwrap().apply().unwrap();
    let store = Store::open(&to).unwrap();
    assert!(store.check().unwrap().is_sound());
    let message = store.write(|tx| tx.chat().append(NewMessage::new("general", "ant", "again"))).unwrap();
    assert!(message > 1);
}
