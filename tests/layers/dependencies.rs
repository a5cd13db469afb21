//! Holds that the code uses each dependency of `Cargo.toml`.

use std::fs;
use std::path::Path;

use super::{code, files};

#[test]
fn the_code_uses_each_dependency() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let named = ["\n[dependencies]\n", "\n[target.'cfg(unix)'.dependencies]\n"]
        .iter()
        .flat_map(|heading| manifest.split_once(heading).unwrap().1.split("\n[").next().unwrap().lines())
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name.replace('-', "_")));
    let named: Vec<_> = named.collect();
    assert!(named.len() > 30, "the dependencies are not seen: {named:?}");
    let all: String = files(&root.join("src")).iter().map(|path| code(&fs::read_to_string(path).unwrap())).collect();
    let unused: Vec<_> = named.iter().filter(|name| !all.contains(&format!("{name}::"))).collect();
    assert!(unused.is_empty(), "remove these from Cargo.toml: {unused:?}");
}
