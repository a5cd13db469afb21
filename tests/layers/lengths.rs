//! Holds that files stay short, and lines of comments too. A longer file says at its top why it is.

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
            || module.last().is_some_and(|last| last.ends_with("test"));
        let source = fs::read_to_string(&path).unwrap();
        let lines = production_lines(&source);
        if !is_for_tests && lines > MOST && !head(&source).contains(REASON) {
            wrong.push(format!("{}: {lines} lines", name.display()));
        }
    }
    assert!(wrong.is_empty(), "split these files, or say at the top why they are long:\n{}", wrong.join("\n"));
}

/// Characters of a line of a comment, as rustfmt allows a line of code.
const WIDEST: usize = 120;
/// The folders with sources.
const FOLDERS: [&str; 6] = ["src", "tests", "benches", "examples", "fuzz", "bindings/python"];

#[test]
fn no_line_of_a_comment_is_longer_than_120_characters() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for path in FOLDERS.into_iter().flat_map(|folder| files(&root.join(folder))) {
        // A build makes sources too.
        if path.iter().any(|part| part == "target") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let long = source.lines().enumerate().filter(|(_, line)| is_too_long(line));
        wrong.extend(long.map(|(at, _)| format!("{}:{}", path.display(), at + 1)));
    }
    assert!(wrong.is_empty(), "wrap these comments:\n{}", wrong.join("\n"));
}

/// Whether a line is of a comment, and too long. The row of a table cannot be wrapped.
fn is_too_long(line: &str) -> bool {
    let text = line.trim_start().strip_prefix("//").map(|text| text.trim_start_matches(['/', '!', ' ']));
    text.is_some_and(|text| !text.starts_with('|')) && line.chars().count() > WIDEST
}

#[test]
fn a_long_line_is_seen_in_comments_alone_and_not_in_tables() {
    let with = |start: &str, characters: usize| format!("{start}{}", "ä".repeat(characters - start.len()));
    assert!(is_too_long(&with("    /// ", 121)) && is_too_long(&with("// ", 121)) && is_too_long(&with("//! ", 121)));
    assert!(
        !is_too_long(&with("    /// ", 120)) && !is_too_long(&with("//! | ", 121)) && !is_too_long(&with("let ", 121))
    );
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
