//! Every change by the library has one entry in the audit trail, in the name of its actor. The verbs are those in the
//! table of `src/lib.rs` and those of transactions in the source, so that a new one cannot be forgotten.
#![cfg(feature = "transfer")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it does not expect")]

mod hive;
mod steps;
mod verbs;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use hive::{Does, Hive};

/// The verbs of `Store`, as `src/lib.rs` lists them.
fn verbs() -> BTreeSet<String> {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | `"));
    let cells = rows.filter_map(|row| row.split_once("` | `"));
    cells
        .flat_map(|(_, verbs)| verbs.trim_end_matches("` |").split("` `").map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// The public methods of what only a transaction has, such as `Config::put`.
fn steps() -> BTreeSet<String> {
    let mut steps = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            match file.is_dir() {
                true => folders.push(file),
                false => steps.extend(steps_in(&fs::read_to_string(file).unwrap_or_default())),
            }
        }
    }
    steps
}

fn steps_in(source: &str) -> Vec<String> {
    let blocks = source.split("\nimpl").skip(1).filter_map(|block| {
        let (head, rest) = block.split_once(" {\n")?;
        let name = head.strip_suffix("&mut WriteTx<'_>>")?.rsplit_once('<')?.0.rsplit(' ').next()?;
        Some((name.to_owned(), rest.split("\n}\n").next()?.to_owned()))
    });
    let methods = blocks.flat_map(|(name, block)| {
        let methods = block.lines().filter_map(|line| line.strip_prefix("    pub fn ")).map(str::to_owned);
        methods.map(move |method| format!("{name}::{}", method.split(['(', '<']).next().unwrap())).collect::<Vec<_>>()
    });
    methods.collect()
}

/// Does each verb, and looks at what it leaves in the trail.
fn hold(verbs: &BTreeSet<String>, listed: &[(&str, Does)]) {
    for verb in verbs {
        let does = listed.iter().find(|(name, _)| name == verb);
        let (_, does) = does.unwrap_or_else(|| panic!("say in tests/audit what {verb} leaves in the trail"));
        let (action, work) = match does {
            Does::One(action, work) => (action, work),
            Does::Reads => continue,
            Does::Nothing(why) => {
                println!("{verb}: {why}");
                continue;
            }
        };
        let hive = Hive::new();
        work(&hive);
        let trail = hive.trail();
        let left: Vec<_> = trail.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(left, [*action], "{verb}");
        let asked_by = trail[0].asked_by.as_ref().unwrap();
        let is_told = verb == "Audit::append";
        assert_eq!((asked_by.actor.as_str(), asked_by.told), ("me", is_told), "{verb}");
        assert!(hive.plain.check().unwrap().is_sound(), "{verb}");
    }
    for (name, _) in listed {
        assert!(verbs.contains(*name), "{name} is no verb any more");
    }
}

#[test]
fn every_verb_of_a_store_that_changes_something_leaves_exactly_one_entry_of_its_actor() {
    let verbs = verbs();
    assert!(verbs.len() > 70, "{verbs:?}");
    hold(&verbs, verbs::VERBS);
}

#[test]
fn every_step_of_a_transaction_that_changes_something_leaves_exactly_one_entry_of_its_actor() {
    let steps = steps();
    assert!(steps.len() > 30, "{steps:?}");
    hold(&steps, steps::STEPS);
}
