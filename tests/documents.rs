//! Documents by what a user of the library sees: what was put comes back as it was, now and as of a restore point.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use hivekeep::{DocumentId, Store, Written, json};
use serde_json::{Value, json};

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("hive.redb")).unwrap();
    (folder, store)
}

fn put(store: &Store, document: &Value) -> Written {
    store.write(|tx| tx.documents().put("queue", "bot", document)).unwrap()
}

fn queue(count: u32) -> Value {
    let task = |number| json!({"id": format!("TASK-{number}"), "title": "mend the roof", "tags": ["a", "b"]});
    json!({"version": "1.0", "tasks": (0..count).map(task).collect::<Vec<_>>()})
}

#[test]
fn order_and_numbers_come_back_as_they_were_handed_over() {
    let (_folder, store) = store();
    let text = r#"{"z":12345678901234567890123,"a":[1e400,-0,1E-2,1.50],"m":{"é":{},"":[[]]}}"#;
    put(&store, &json::parse(text.as_bytes()).unwrap());
    assert_eq!(store.view().unwrap().documents().text("queue", "bot").unwrap().unwrap(), text);
}

#[test]
fn popping_the_head_of_ten_thousand_tasks_removes_one_record_and_writes_their_number() {
    let (_folder, store) = store();
    let mut document = queue(10_000);
    put(&store, &document);
    document["tasks"].as_array_mut().unwrap().remove(0);
    assert_eq!(put(&store, &document), Written { put: 1, removed: 1, unchanged: 10_001 });
    document["tasks"][4_999]["title"] = json!("mend the door");
    assert_eq!(put(&store, &document), Written { put: 1, removed: 0, unchanged: 10_001 });
    assert_eq!(store.view().unwrap().documents().get("queue", "bot").unwrap(), Some(document));
}

#[test]
fn a_restore_point_keeps_the_document_that_was() {
    let (_folder, store) = store();
    let before = queue(50);
    put(&store, &before);
    let point = store.restore_point("before the change").unwrap();
    put(&store, &queue(20));
    store.write(|tx| tx.documents().remove("queue", "bot")).unwrap();

    let past = store.at(&point).unwrap();
    let listed: Vec<_> = past.documents().list().collect::<Result<_, _>>().unwrap();
    assert_eq!(listed, [DocumentId::new("queue", "bot").unwrap()]);
    let read = past.documents().get("queue", "bot").unwrap().unwrap();
    assert_eq!(json::python_text(&read), json::python_text(&before));
    assert_eq!(store.view().unwrap().documents().get("queue", "bot").unwrap(), None);
}
