//! Holds the names: one name means one thing.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every file below a folder that ends in this way.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_str().unwrap().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The names of the types that a source shows to the whole crate.
fn types(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in source.lines() {
        let line = line.trim_start();
        let Some(rest) = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) ")) else { continue };
        let named = ["struct ", "enum ", "trait ", "type "].into_iter().find_map(|word| rest.strip_prefix(word));
        if let Some(rest) = named {
            let name: String = rest.chars().take_while(|character| character.is_alphanumeric()).collect();
            // A macro names the type that it defines where it is called.
            found.extend(Some(name).filter(|name| !name.is_empty()));
        }
    }
    found
}

#[test]
fn no_two_types_that_the_whole_crate_sees_have_one_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut places = BTreeMap::<_, Vec<_>>::new();
    for path in files(&root, ".rs") {
        for name in types(&fs::read_to_string(&path).unwrap()) {
            places.entry(name).or_default().push(path.strip_prefix(&root).unwrap().display().to_string());
        }
    }
    assert!(places.len() > 100, "only {} types were found", places.len());
    places.retain(|_, places| places.len() > 1);
    assert!(places.is_empty(), "rename one of each: {places:#?}");
}
