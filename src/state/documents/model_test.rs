//! Documents against the texts that were put: any JSON, and any run of edits.
//!
//! `HIVEKEEP_TEST_SCALE=N cargo test --release --lib documents::model` runs N times as many cases.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::test::{in_transaction, put_and_compare, task, tasks, text};
use crate::engine::write::WriteTx;
use crate::json;

/// Runs a test for so many inputs, times the scale, each in a transaction that has no such document.
fn run<S: Strategy>(cases: u32, input: S, test: impl Fn(&mut WriteTx<'_>, S::Value)) {
    let scale: u32 = std::env::var("HIVEKEEP_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1);
    let config = Config { cases: cases * scale, failure_persistence: None, ..Config::default() };
    in_transaction(|tx| {
        let tx = RefCell::new(tx);
        let tested = TestRunner::new(config).run(&input, |input| {
            let mut tx = tx.borrow_mut();
            tx.documents().remove("kind", "source").unwrap();
            test(&mut tx, input);
            Ok(())
        });
        tested.unwrap();
    });
}

#[test]
fn any_json_text_comes_back_equal_over_any_other() {
    run(100, prop::collection::vec(json_text(), 1..5), |tx, texts| {
        for expected in texts {
            put_and_compare(tx, &json::parse(expected.as_bytes()).unwrap());
            assert_eq!(text(tx), expected);
        }
    });
}

#[test]
fn a_document_that_is_edited_again_and_again_reads_as_its_newest() {
    let edits = prop::collection::vec((0u8..8, any::<usize>(), 0usize..200), 1..40);
    run(60, (0usize..60, edits), |tx, (count, edits)| {
        let mut document = tasks(0..count);
        put_and_compare(tx, &document);
        for (kind, place, number) in edits {
            edit(&mut document, kind, place, number);
            put_and_compare(tx, &document);
        }
    });
}

/// Compact JSON texts of every kind, some long enough to be split.
fn json_text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        prop::sample::select(vec!["12345678901234567890123", "1e400", "-0", "1E-2", "0.10", "-1.5e+300", "0e0"])
            .prop_map(str::to_string),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?",
    ];
    let string = prop_oneof![8 => any::<String>(), 1 => (0usize..6_000).prop_map(|length| "é".repeat(length))];
    let string = string.prop_map(|string| Value::String(string).to_string());
    let word = prop::sample::select(vec!["null", "true", "false", "{}", "[]"]).prop_map(str::to_string);
    let leaf = prop_oneof![number, string, word];
    leaf.prop_recursive(10, 200, 20, |inner| {
        let members = prop::collection::btree_map(any::<String>(), inner.clone(), 0..12).prop_map(|members| {
            // Sorted by something else than the name, so that order is put to the test.
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_by_key(|(name, text)| (text.len() % 7, name.len() % 3));
            let members: Vec<_> =
                members.into_iter().map(|(name, text)| format!("{}:{text}", Value::String(name))).collect();
            format!("{{{}}}", members.join(","))
        });
        prop_oneof![
            prop::collection::vec(inner, 0..20).prop_map(|elements| format!("[{}]", elements.join(","))),
            members,
        ]
    })
}

/// One change of a document: which kind, where, and with what.
fn edit(document: &mut Value, kind: u8, place: usize, number: usize) {
    let rest = place / 7;
    match document {
        Value::Array(elements) if !elements.is_empty() => {
            let at = rest % elements.len();
            match kind {
                0 => elements.insert(at, task(number)),
                1 => drop(elements.remove(at)),
                2 => elements.rotate_left(at),
                3 => elements.push(elements[at].clone()),
                _ => edit(&mut elements[at], kind, rest, number),
            }
        }
        Value::Object(members) if !members.is_empty() => {
            let name = members.keys().nth(rest % members.len()).unwrap().clone();
            match kind {
                0 => drop(members.insert(format!("new {number}"), task(number))),
                1 => drop(members.shift_remove(&name)),
                2 => {
                    let member = members.shift_remove(&name).unwrap();
                    members.insert(name, member);
                }
                3 => members[&name] = Value::Array((0..number % 9).map(task).collect()),
                _ => edit(&mut members[&name], kind, rest, number),
            }
        }
        other => {
            *other = if kind.is_multiple_of(2) { json!([number]) } else { json!({ "x": "y".repeat(number * 40) }) }
        }
    }
}
