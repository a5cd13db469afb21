//! Documents: any sequence of JSON texts is put, read back as it was, and still there at every point between.

use hivekeep::json::parse;
use hivekeep::{Point, RestoreOptions, Sharing, Store};
use serde_json::Value;

use super::input::Input;

const KIND: &str = "registry";
/// Between two texts of one input.
const SEPARATOR: u8 = 0;
/// Longer than what a container's text may have before its elements get records of their own.
const LONG: usize = 5_000;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let shape = input.byte();
    let documents: Vec<Value> = input
        .rest()
        .split(|byte| *byte == SEPARATOR)
        .filter_map(|text| parse(text).ok())
        .map(|value| grown(value, shape))
        .filter(|value| hivekeep::json::check(value).is_ok())
        .take(8)
        .collect();
    if documents.is_empty() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::options().sharing(Sharing::Exclusive).open(folder.path().join("h.redb")).unwrap();
    let points: Vec<Point> = documents.iter().map(|document| put(&store, document)).collect();
    for (document, point) in documents.iter().zip(&points) {
        assert_same(&store.at(point).unwrap(), document);
    }
    store.restore(&points[0], RestoreOptions::new()).unwrap();
    assert_same(&store.view().unwrap(), &documents[0]);
    let report = store.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    assert!(store.write(|tx| tx.documents().remove(KIND, "source")).unwrap());
    assert_eq!(store.view().unwrap().documents().get(KIND, "source").unwrap(), None);
    assert_eq!(store.view().unwrap().documents().text(KIND, "other").unwrap().unwrap(), "[]");
}

fn put(store: &Store, document: &Value) -> Point {
    store
        .write(|tx| {
            tx.documents().put(KIND, "other", &Value::Array(Vec::new()))?;
            tx.documents().put(KIND, "source", document)
        })
        .unwrap();
    assert_same(&store.view().unwrap(), document);
    let again = store.write(|tx| tx.documents().put(KIND, "source", document)).unwrap();
    assert_eq!((again.put, again.removed), (0, 0), "putting the same again wrote something");
    store.restore_point("after").unwrap()
}

/// By text, because equality of values does not look at the order of members.
fn assert_same(view: &hivekeep::View, document: &Value) {
    assert_eq!(view.documents().text(KIND, "source").unwrap().unwrap(), document.to_string());
}

/// Short inputs would never reach documents of many records, so some are made larger.
fn grown(value: Value, shape: u8) -> Value {
    match shape % 4 {
        0 => value,
        1 => Value::Array(vec![value; 40]),
        2 => Value::Array(vec![value, Value::String("x".repeat(LONG)), Value::Array(vec![Value::Null; LONG])]),
        _ => {
            let member = |number: usize| (format!("member {number}"), Value::Array(vec![value.clone(); number]));
            Value::Object((0..20).map(member).collect())
        }
    }
}
