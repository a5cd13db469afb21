//! JSON: what is read is written and read back unchanged, and nothing is read that `serde_json` refuses.

use hivekeep::json::{MAX_DEPTH, check, item_count, parse, python_text, write_python};
use serde_json::Value;

/// Field names that have a special meaning in `serde_json`.
const MAGIC: &[u8] = b"serde_json";

pub fn run(data: &[u8]) {
    let theirs = serde_json::from_slice::<Value>(data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data));
    match parse(data) {
        Ok(value) => {
            let magic = data.windows(MAGIC.len()).any(|bytes| bytes == MAGIC);
            let deep = depth(&value) >= MAX_DEPTH - 1;
            assert!(magic || deep || theirs.is_ok(), "read, but serde_json refuses it: {theirs:?}");
            keeps(&value);
        }
        Err(error) => {
            let why = error.to_string();
            assert!(theirs.is_err() || why.contains("same name"), "refused, but serde_json reads it: {why}");
        }
    }
}

/// Every form in which the value is written reads back as the same text.
fn keeps(value: &Value) {
    check(value).unwrap();
    item_count(value);
    let compact = value.to_string();
    assert_eq!(parse(compact.as_bytes()).unwrap().to_string(), compact);
    let python = python_text(value);
    assert!(python.is_ascii());
    assert_eq!(parse(python.as_bytes()).unwrap().to_string(), compact);
    let mut written = Vec::new();
    write_python(value, &mut written).unwrap();
    assert_eq!(written, python.as_bytes());
}

/// How deep arrays and objects are nested.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
