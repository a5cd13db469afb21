//! Documents as a whole, in a store.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::id::DocumentId;
use super::names::{RowNames, row_value};
use super::prepared::Prepared;
use super::put::Written;
use crate::engine::records::{KeyRange, Records, scan};
use crate::engine::schema::CollectionId;
use crate::engine::store::Store;
use crate::engine::write::WriteTx;
use crate::error::{ErrorKind, Result};
use crate::json;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::options().open_with(&dir.path().join("h.redb"), &[]).unwrap();
    (dir, store)
}

fn put(tx: &mut WriteTx<'_>, document: &Value) -> Written {
    tx.documents().put("kind", "source", document).unwrap()
}

pub(super) fn text(tx: &mut WriteTx<'_>) -> String {
    tx.documents().text("kind", "source").unwrap().unwrap()
}

fn rows(records: &impl Records) -> BTreeMap<Vec<u8>, Vec<u8>> {
    scan(records, CollectionId::DOCUMENTS, KeyRange::all()).collect::<Result<_>>().unwrap()
}

/// Puts the document and compares everything that can be: what it reads as, the counts, and which rows were touched.
pub(super) fn put_and_compare(tx: &mut WriteTx<'_>, document: &Value) -> Written {
    let before = rows(tx);
    let written = put(tx, document);
    let after = rows(tx);
    assert_eq!(text(tx), document.to_string());
    assert_eq!(after.len() as u64, written.put + written.unchanged);
    let untouched = after.iter().filter(|(key, payload)| before.get(*key) == Some(payload)).count() as u64;
    assert!(untouched >= written.unchanged, "{written:?} but {untouched} rows are as they were");
    let gone = before.keys().filter(|key| !after.contains_key(*key)).count() as u64;
    assert!(gone <= written.removed, "{written:?} but {gone} rows are gone");
    written
}

/// Runs a test in one transaction of a new store.
pub(super) fn in_transaction(test: impl FnOnce(&mut WriteTx<'_>)) {
    let (_dir, store) = store();
    store
        .load(|tx| {
            test(tx);
            Ok(())
        })
        .unwrap();
}

fn written(put: u64, removed: u64, unchanged: u64) -> Written {
    Written { put, removed, unchanged }
}

pub(super) fn task(number: usize) -> Value {
    json!({"id": format!("TASK-{number}"), "title": "do it", "tags": ["a"], "attempts": 0})
}

pub(super) fn tasks(numbers: impl IntoIterator<Item = usize>) -> Value {
    json!({"tasks": numbers.into_iter().map(task).collect::<Vec<_>>(), "version": 1})
}

#[test]
fn the_rows_of_a_document_are_fixed() {
    in_transaction(|tx| {
        put(tx, &json!({"bots": {"BOT-1": {"port": 8001}}, "at": 1.50}));
        let key = |path: &[u64]| {
            let path: Vec<u8> = path.iter().flat_map(|order| order.to_be_bytes()).collect();
            [&b"kind\0\0source\0\0"[..], &path].concat()
        };
        let first = 1 << 63;
        let expected = [
            (key(&[]), b"\x01\x03\0\0\0\0\0\0\0{".to_vec()),
            (key(&[first]), b"\"bots\":{".to_vec()),
            (key(&[first, first]), b"\"BOT-1\":{\"port\":8001}".to_vec()),
            (key(&[first + (1 << 20)]), b"\"at\":1.5".to_vec()),
        ];
        assert_eq!(rows(tx), expected.into());
    });
}

#[test]
fn one_bot_that_changed_is_one_record() {
    in_transaction(|tx| {
        let mut registry = json!({"bots": {}, "updated_at": 0});
        for number in 0..500 {
            registry["bots"][format!("BOT-{number}")] = json!({"port": number, "metadata": {"adapter": "cli"}});
        }
        assert_eq!(put_and_compare(tx, &registry), written(503, 0, 0));
        assert_eq!(put_and_compare(tx, &registry), written(0, 0, 503));
        registry["bots"]["BOT-222"]["port"] = json!(9000);
        assert_eq!(put_and_compare(tx, &registry), written(1, 0, 502));
        // The document's own row says how many there are.
        registry["bots"]["NEW"] = json!({"port": 1});
        assert_eq!(put_and_compare(tx, &registry), written(2, 0, 502));
        registry["bots"].as_object_mut().unwrap().shift_remove("BOT-7");
        assert_eq!(put_and_compare(tx, &registry), written(1, 1, 502));
    });
}

#[test]
fn popping_inserting_and_appending_to_ten_thousand_elements_touches_a_handful() {
    in_transaction(|tx| {
        let numbers: Vec<usize> = (0..10_000).collect();
        assert_eq!(put(tx, &tasks(numbers.clone())), written(10_003, 0, 0));
        assert_eq!(put_and_compare(tx, &tasks(numbers[1..].to_vec())), written(1, 1, 10_001));
        let appended = [&numbers[2..], &[20_000]].concat();
        assert_eq!(put_and_compare(tx, &tasks(appended.clone())), written(1, 1, 10_001));
        let inserted = [&appended[..5_000], &[30_000], &appended[5_000..]].concat();
        assert_eq!(put_and_compare(tx, &tasks(inserted.clone())), written(2, 0, 10_001));
        let moved = [&inserted[9_000..9_001], &inserted[..9_000], &inserted[9_001..]].concat();
        assert_eq!(put_and_compare(tx, &tasks(moved.clone())), written(1, 1, 10_002));
        let mut changed = tasks(moved);
        for at in (0..10_000).step_by(100) {
            changed["tasks"][at]["attempts"] = json!(1);
        }
        changed["tasks"].as_array_mut().unwrap().remove(4_999);
        assert_eq!(put_and_compare(tx, &changed), written(101, 1, 9_901));
    });
}

#[test]
fn inserting_hundreds_of_times_at_one_place_touches_few_rows() {
    in_transaction(|tx| {
        let mut list: Vec<Value> = (0..500).map(|number| json!({"id": number, "text": "x".repeat(100)})).collect();
        put(tx, &json!({"list": list}));
        let mut put_in_all = 0;
        for number in 500..700 {
            list.insert(250, json!({"id": number, "text": "x".repeat(100)}));
            put_in_all += put(tx, &json!({"list": list})).put;
        }
        assert_eq!(text(tx), json!({"list": list}).to_string());
        assert!(put_in_all < 2_000, "{put_in_all}");
    });
}

#[test]
fn members_keep_their_order_when_it_changes() {
    in_transaction(|tx| {
        let mut members: Vec<_> = (0..20).map(|number| (format!("m{number}"), json!([number]))).collect();
        for _ in 0..5 {
            members.rotate_left(3);
            put_and_compare(tx, &members.iter().cloned().collect::<serde_json::Map<_, _>>().into());
            members.swap(2, 11);
            put_and_compare(tx, &members.iter().cloned().collect::<serde_json::Map<_, _>>().into());
        }
    });
}

#[test]
fn a_document_may_become_something_else_altogether() {
    in_transaction(|tx| {
        let long = "x".repeat(5_000);
        for document in [
            json!({"a": {"b": {"c": [1, 2]}}}),
            json!([{"b": {"c": [1, 2]}}]),
            json!({"a": [{"c": [1, 2]}]}),
            json!({"a": {"b": long, "c": long}}),
            json!({"a": [long, long]}),
            json!({"a": "{"}),
            json!("["),
            json!({}),
            json!([[]]),
            json!(null),
        ] {
            put_and_compare(tx, &document);
        }
    });
}

#[test]
fn documents_are_kept_apart_listed_and_removed() {
    let (_dir, store) = store();
    let names = [("", ""), ("a", "b"), ("a", "b\0"), ("a\0b", ""), ("ab", ""), ("queue", "bot")];
    store
        .write(|tx| {
            for (kind, source) in names {
                // As an earlier version let in.
                let document = Prepared::of_value(&json!({"I am": [kind, source]}))?;
                tx.documents().put_prepared(kind, source, &document)?;
            }
            Ok(())
        })
        .unwrap();
    let view = store.view().unwrap();
    let listed: Vec<_> = view.documents().list().map(Result::unwrap).collect();
    assert_eq!(listed, names.map(|(kind, source)| DocumentId::new(kind, source).unwrap()));
    assert!(store.write(|tx| tx.documents().remove("a", "b")).unwrap());
    assert!(!store.write(|tx| tx.documents().remove("a", "b")).unwrap());
    let now = store.view().unwrap();
    assert_eq!(now.documents().list().count(), 5);
    assert_eq!(now.documents().get("a", "b").unwrap(), None);
    assert_eq!(now.documents().get("a", "b\0").unwrap().unwrap(), json!({"I am": ["a", "b\0"]}));
    assert!(view.documents().get("a", "b").unwrap().is_some());
}

#[test]
fn a_document_is_read_as_of_a_point() {
    let (_dir, store) = store();
    let mut versions = Vec::new();
    for start in 0..5 {
        let document = tasks(start..start + 20);
        store.write(|tx| Ok(put(tx, &document))).unwrap();
        versions.push((store.write(|tx| tx.seal_commit()).unwrap(), document));
    }
    store.write(|tx| tx.documents().remove("kind", "source")).unwrap();
    for (epoch, document) in versions {
        let view = store.view_at(epoch).unwrap();
        assert_eq!(view.documents().get("kind", "source").unwrap(), Some(document));
        assert_eq!(view.documents().list().count(), 1);
    }
    assert_eq!(store.view().unwrap().documents().list().count(), 0);
}

#[test]
fn rows_are_named_for_people() {
    in_transaction(|tx| {
        let registry = json!({"bots": {"BOT-1": {"port": 1}, "a/b": {"port": 2}}, "tasks": [[1], [2], [3]], "n": 1});
        put(tx, &registry);
        let mut fewer = registry;
        fewer["tasks"].as_array_mut().unwrap().remove(0);
        put(tx, &fewer);
        let mut names = RowNames::new(tx);
        let named: Vec<_> = rows(tx)
            .iter()
            .map(|(key, payload)| {
                (names.name(key).unwrap(), row_value(key, payload).unwrap().map(|value| value.to_string()))
            })
            .collect();
        let expected = [
            ("documents/kind/source", None),
            ("documents/kind/source/bots", None),
            ("documents/kind/source/bots/BOT-1", Some(r#"{"port":1}"#)),
            ("documents/kind/source/bots/a~1b", Some(r#"{"port":2}"#)),
            ("documents/kind/source/tasks", None),
            ("documents/kind/source/tasks/0", Some("[2]")),
            ("documents/kind/source/tasks/1", Some("[3]")),
            ("documents/kind/source/n", Some("1")),
        ];
        assert_eq!(named, expected.map(|(name, value)| (name.to_string(), value.map(str::to_string))));
    });
}

/// The result of reading after a change of the rows, which is then taken back.
fn read_after(store: &Store, change: impl FnOnce(&mut WriteTx<'_>) -> Result<()>) -> Result<Value> {
    let mut read = None;
    let undone = store.write::<()>(|tx| {
        change(tx)?;
        read = Some(tx.documents().get("kind", "source"));
        assert!(tx.documents().remove("kind", "source")?);
        assert!(rows(tx).is_empty());
        Err(crate::Error::invalid("undo this"))
    });
    assert_eq!(undone.unwrap_err().to_string(), "undo this");
    read.unwrap().map(Option::unwrap)
}

const WHOLE: &str = r#"{"bots":{"B":{"port":1},"C":{"port":2}},"tasks":[[1],[2]]}"#;

fn store_of_whole() -> (tempfile::TempDir, Store, Vec<Vec<u8>>) {
    let (dir, store) = store();
    store.write(|tx| tx.documents().put("kind", "source", &json::parse(WHOLE.as_bytes())?)).unwrap();
    let keys = rows(&store.view().unwrap()).into_keys().collect();
    (dir, store, keys)
}

#[test]
fn rows_with_a_payload_that_does_not_fit_are_damage_and_can_be_removed() {
    let (_dir, store, keys) = store_of_whole();
    let wrong: [&[u8]; 15] = [
        b"",
        b"\x00{",
        b"\x01",
        b"\x01{",
        b"\x01\x06\0\0\0\0\0\0\0[",
        b"\x01\x06\0\0\0\0\0\0\0{}",
        b"\x01\x05\0\0\0\0\0\0\0{",
        b"\x01\x06\0\0\0\0\0\0\x01{",
        b"\"B\":1{",
        b"\"x\":",
        b"\"x\":1,\"y\":2",
        b"{}[",
        b"1,2",
        b"[",
        b"{",
    ];
    for key in &keys {
        for payload in wrong {
            let error = read_after(&store, |tx| tx.put(CollectionId::DOCUMENTS, key, payload)).unwrap_err();
            let newer = key == &keys[0] && payload.first().is_some_and(|version| *version > 1);
            let kind = if newer { ErrorKind::NewerFormat } else { ErrorKind::Damaged };
            assert_eq!(error.kind(), kind, "{} at {}", payload.escape_ascii(), key.escape_ascii());
        }
    }
    let twice = read_after(&store, |tx| tx.put(CollectionId::DOCUMENTS, &keys[2], b"\"C\":{\"port\":1}"));
    assert_eq!(twice.unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(store.write(|tx| Ok(text(tx))).unwrap(), WHOLE);
}

#[test]
fn a_lost_row_one_without_its_parent_a_parent_without_rows_and_one_too_deep_are_damage() {
    let (_dir, store, keys) = store_of_whole();
    let [document, bots, b, c, ..] = keys.as_slice() else { panic!("{keys:?}") };
    let deep = |levels: usize| [&b[..], &vec![1; levels * 8]].concat();
    let cases = [
        (vec![document], vec![]),
        (vec![bots], vec![]),
        (vec![b, c], vec![]),
        (vec![b], vec![]),
        (vec![c], vec![]),
        (vec![], vec![deep(1)]),
        (vec![], vec![deep(9)]),
        (vec![b], vec![deep(400)]),
    ];
    for (gone, added) in cases {
        let error = read_after(&store, |tx| {
            gone.iter().try_for_each(|key| tx.remove(CollectionId::DOCUMENTS, key).map(drop))?;
            added.iter().try_for_each(|key| tx.put(CollectionId::DOCUMENTS, key, b"1"))?;
            assert_eq!(tx.documents().list().count(), 1);
            let error = tx.documents().put("kind", "source", &json!({})).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged);
            Ok(())
        });
        let message = "the records of a document do not fit together; restore it, or remove it and put it again: \
                       document=kind/source";
        assert_eq!(error.unwrap_err().to_string(), message);
    }
}

#[test]
fn a_document_of_a_newer_version_is_left_alone() {
    in_transaction(|tx| {
        tx.put(CollectionId::DOCUMENTS, b"kind\0\0source\0\0", b"\x021").unwrap();
        assert_eq!(tx.documents().get("kind", "source").unwrap_err().kind(), ErrorKind::NewerFormat);
        let error = tx.documents().put("kind", "source", &json!(2)).unwrap_err();
        let message = "a newer version wrote a document; use that version: document=kind/source version=2";
        assert_eq!(error.to_string(), message);
    });
}

#[test]
fn what_would_not_read_back_is_refused_and_changes_nothing() {
    let (_dir, store) = store();
    store.write(|tx| Ok(put(tx, &json!([1])))).unwrap();
    let deep = (0..129).fold(Value::Null, |value, _| Value::Array(vec![value]));
    let error = store.write(|tx| tx.documents().put("kind", "source", &deep)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let error = store.write(|tx| tx.documents().put(&"k".repeat(513), "source", &json!(1))).unwrap_err();
    assert_eq!(error.to_string(), "the kind of a document is too long; shorten it: bytes=513 max=512");
    let longest = "k".repeat(512);
    store.write(|tx| tx.documents().put(&longest, &longest, &json!([[[[1]]]]))).unwrap();
    assert_eq!(store.view().unwrap().documents().text("kind", "source").unwrap().unwrap(), "[1]");
}

#[test]
fn the_deepest_nesting_comes_back() {
    in_transaction(|tx| {
        let array = (1..128).fold("[1e400]".to_string(), |text, _| format!("[{text}]"));
        let object =
            (1..128).fold(format!("{{\"a\":\"{}\"}}", "x".repeat(5_000)), |text, _| format!("{{\"a\":{text}}}"));
        for document in [array, object] {
            put(tx, &json::parse(document.as_bytes()).unwrap());
            assert_eq!(text(tx), document);
        }
    });
}

#[cfg(feature = "http")]
#[test]
fn a_document_that_takes_more_memory_than_it_may_is_refused_by_name() {
    let (_dir, store) = store();
    let document = json!({"numbers": vec![1; 1_000], "text": "x".repeat(1_000)});
    store.write(|tx| tx.documents().put("kind", "source", &document)).unwrap();
    let (view, id) = (store.view().unwrap(), DocumentId::new("kind", "source").unwrap());
    assert_eq!(view.documents().get_within(&id, 200_000).unwrap(), Some(document));
    // The text is 3,000 bytes long, and there are a thousand values in it.
    let refused = view.documents().get_within(&id, 120_000).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().ends_with("document=kind/source max_bytes=120000"), "{refused}");
    let other = DocumentId::new("kind", "other").unwrap();
    assert_eq!(view.documents().get_within(&other, 0).unwrap(), None);
    assert_eq!(view.documents().list_behind(Some(&other)).count(), 1);
    assert_eq!(view.documents().list_behind(Some(&id)).count(), 0);
}
