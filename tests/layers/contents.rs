//! Holds that a `mod.rs` is a page of contents: it names the files of its folder, and has no code of its own.

use std::fs;
use std::path::Path;

use super::{FREE, code, files, module};

#[test]
fn a_contents_page_holds_no_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let pages: Vec<_> = files(&root).into_iter().filter(|path| path.ends_with("mod.rs")).collect();
    assert!(pages.len() > 80, "only {} pages were found", pages.len());
    let mut wrong = Vec::new();
    for path in pages {
        let name = path.strip_prefix(&root).unwrap();
        if !FREE.contains(&module(name)[0].as_str()) {
            let code = code(&fs::read_to_string(&path).unwrap());
            wrong.extend(besides_contents(&code).map(|line| format!("{}: {line}", name.display())));
        }
    }
    assert!(wrong.is_empty(), "give this code a file with a name of its own:\n{}", wrong.join("\n"));
}

/// The first lines of all that a page has besides modules, imports and their attributes.
fn besides_contents(page: &str) -> impl Iterator<Item = &str> {
    let is_attribute = |line: &str| line.starts_with("#[") || line.starts_with("#![");
    let mut is_inside = false;
    let first_lines = page.lines().filter(move |line| {
        let is_first = !is_inside && !line.trim().is_empty() && !is_attribute(line);
        is_inside = (is_inside || is_first) && !line.ends_with(';');
        is_first
    });
    first_lines.filter(|line| {
        let item = item(line);
        let is_file = item.starts_with("mod ") && item.ends_with(';');
        !is_file && !item.starts_with("use ")
    })
}

/// An item without its visibility.
fn item(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("pub") else { return line };
    rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, item)| item).trim_start()
}

#[test]
fn code_in_a_contents_page_is_seen_in_every_form() {
    for page in [
        "#[macro_use]\nmod rules;\n\nmod a;\n#[cfg(any(test, feature = \"x\"))]\npub(in crate::a) mod b;\n",
        "mod a;\npub(crate) use self::a::{\n    A, B,\n};\npub use b::C as D;\npub(super) use a::E;\n",
    ] {
        assert_eq!(besides_contents(page).collect::<Vec<_>>(), [""; 0], "{page}");
    }
    for code in [
        "pub(crate) fn f() {}",
        "const A: u8 = 1;",
        "pub struct A;",
        "impl A {\n}",
        "macro_rules! a {}",
        "static A: u8 = 1;",
        "#[derive(Debug)]\nenum A {}",
        "type A = u8;",
        "#[cfg(test)]\nmod tests {\n}",
        "note!(a);",
    ] {
        let page = format!("mod a;\nuse a::A;\n\n{code}\n");
        assert_eq!(besides_contents(&page).count(), 1, "{code}");
    }
}
