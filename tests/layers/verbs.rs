//! Holds that the table in `lib.rs` names the file of each verb of `Store`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{FREE, code, files, module};

/// The heading of the table.
const HEADING: &str = "//! # Where each verb is written\n";

#[test]
fn the_table_of_verbs_names_the_file_of_each_verb_of_a_store() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut rows = BTreeMap::new();
    for path in files(&root) {
        let module = module(path.strip_prefix(&root).unwrap());
        if !FREE.contains(&module[0].as_str()) {
            let verbs = verbs(&code(&fs::read_to_string(&path).unwrap()));
            if !verbs.is_empty() {
                rows.insert(module.join("/"), verbs);
            }
        }
    }
    assert!(rows.len() > 30, "the verbs are not seen");
    let row = |(file, verbs): (&String, &Vec<String>)| format!("//! | `{file}` | `{}` |\n", verbs.join("` `"));
    let right: String = rows.iter().map(row).collect();
    let lib = fs::read_to_string(root.join("lib.rs")).unwrap();
    let section = lib.split_once(HEADING).unwrap().1.split_once("//! # ").unwrap().0;
    let table: String = section.split_inclusive('\n').filter(|line| line.starts_with("//! | `")).collect();
    assert!(table == right, "the table in src/lib.rs should have these rows:\n{right}");
}

/// The public methods in the blocks `impl Store`.
fn verbs(source: &str) -> Vec<String> {
    let blocks = source.split("\nimpl Store {\n").skip(1).map(|block| block.split("\n}\n").next().unwrap());
    let methods = blocks.flat_map(|block| block.lines().filter_map(|line| line.strip_prefix("    pub fn ")));
    methods.map(|method| method.split(['(', '<']).next().unwrap().to_owned()).collect()
}

#[test]
fn a_verb_is_seen_in_each_block_and_nothing_else_is_one() {
    let source = "\nimpl Store {\n    pub fn a<T>(&self) {}\n    pub(crate) fn b(&self) {}\n}\n\nimpl View {\n    \
                  pub fn c(&self) {}\n}\n\nimpl Store {\n    pub fn d(&self) {}\n}\n";
    assert_eq!(verbs(source), ["a", "d"]);
}
