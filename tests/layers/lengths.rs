//! Holds that files stay short. A longer one says at its top why it is.

use std::fs;
use std::path::Path;

use super::{TOOLS, files, module};

/// Lines of a file without its tests.
const MOST: usize = 400;
/// A longer file has these words in its first comment.
const REASON: &str = "The file is long because";

#[test]
fn a_file_of_more_than_400_lines_says_why_it_is_long() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for path in files(&root) {
        let name = path.strip_prefix(&root).unwrap();
        let module = module(name);
        let is_for_tests = module.first().is_some_and(|first| first == TOOLS)
            || module.last().is_some_and(|last| last.ends_with("test") || last.ends_with("tests"));
        let source = fs::read_to_string(&path).unwrap();
        let lines = production_lines(&source);
        if !is_for_tests && lines > MOST && !head(&source).contains(REASON) {
            wrong.push(format!("{}: {lines} lines", name.display()));
        }
    }
    assert!(wrong.is_empty(), "split these files, or say at the top why they are long:\n{}", wrong.join("\n"));
}

/// The comment at the top, in one line.
fn head(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The lines before the tests, which come last in a file.
fn production_lines(source: &str) -> usize {
    let lines: Vec<_> = source.lines().collect();
    let is_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{');
    lines.windows(2).position(is_tests).unwrap_or(lines.len())
}

#[test]
fn tests_at_the_end_of_a_file_do_not_count_and_a_reason_is_read_over_lines() {
    assert_eq!(production_lines("fn f() {}\n\n#[cfg(test)]\nmod tests {\nfn g() {}\n}\n"), 2);
    assert_eq!(production_lines("#[cfg(test)]\nmod test;\nfn f() {}\n"), 3);
    assert_eq!(
        head("//! One list. The file\n//! is long because it is one.\nuse a;"),
        "One list. The file is long because it is one."
    );
}
