//! Holds the names and words: one name means one thing, sentences begin with their subject, pages name files that
//! exist, contents pages list their files, and comments cite invariants that exist.
#![expect(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every file below a folder with this ending.
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

/// Words with which no sentence of this project begins: the noun that they stand for is easier to read.
const VAGUE: [&str; 4] = ["What", "Who", "Whoever", "Of"];

/// Whether a sentence in a line of prose begins with a vague word. A question may.
fn begins_vaguely(line: &str) -> bool {
    let line = line.trim_start().trim_start_matches(['/', '!', '*', '-', '|', '#', '>', ' ', '"', '`', '(']);
    let sentences = line.match_indices([' ']).filter(|(at, _)| {
        let before = line[..*at].trim_end_matches(['"', '`', ')', '*']);
        before.ends_with(['.', ':', '!', '?'])
    });
    let starts = std::iter::once(0).chain(sentences.map(|(at, _)| at + 1));
    let vague = |rest: &str| VAGUE.iter().any(|word| rest.strip_prefix(word).is_some_and(|rest| rest.starts_with(' ')));
    starts.map(|at| line[at..].trim_start_matches(['"', '`', '(', '*'])).any(vague)
}

#[test]
fn no_sentence_begins_with_a_vague_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "tests", "benches", "examples", "docs", "fuzz/src", "fuzz/fuzz_targets", "bindings/python"];
    let mut found = Vec::new();
    let all = folders
        .iter()
        .flat_map(|folder| [".rs", ".md", ".py", ".pyi"].map(|ending| files(&root.join(folder), ending)).concat());
    // This file has examples of such sentences.
    let all = all.filter(|path| !path.ends_with("tests/names.rs"));
    for path in all.chain(["README.md", "CHANGELOG.md", "Cargo.toml"].map(|page| root.join(page))) {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().enumerate().filter(|(_, line)| begins_vaguely(line));
        found.extend(lines.map(|(at, line)| format!("{}:{}: {}", path.display(), at + 1, line.trim())));
    }
    assert!(found.is_empty(), "begin with the subject:\n{}", found.join("\n"));
}

#[test]
fn a_vague_word_is_seen_at_every_beginning_of_a_sentence() {
    for line in [
        "/// What it holds.",
        "//! * Of two, one.",
        "| Who may ask | all |",
        "It ends. What follows is new.",
        "\"Whoever waits\"",
    ] {
        assert!(begins_vaguely(line), "{line}");
    }
    for line in ["/// The content.", "enum Of {", "/// Said of What is there", "Whatever comes", "/// Offers more."] {
        assert!(!begins_vaguely(line), "{line}");
    }
}

/// Folders whose files the pages name, those of `src` without `src/` too.
const FOLDERS: [&str; 15] = [
    "src", "tests", "benches", "examples", "docs", "fuzz", "json", "files", "engine", "state", "recovery", "replica",
    "transfer", "service", "face",
];

/// Paths of this project in code spans, such as `engine/rows`.
fn paths(page: &str) -> Vec<&str> {
    let spans = page.split('`').skip(1).step_by(2);
    let is_path = |span: &&str| {
        span.split_once('/').is_some_and(|(folder, _)| FOLDERS.contains(&folder))
            && span.chars().all(|one| one.is_ascii_alphanumeric() || "/._-".contains(one))
    };
    spans.filter(is_path).collect()
}

#[test]
fn every_file_that_a_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut seen, mut missing) = (0, Vec::new());
    let others = ["README.md", "src/engine/FORMAT.md", "src/replica/FORMAT.md"].map(|page| root.join(page));
    for page in files(&root.join("docs"), ".md").into_iter().chain(others) {
        for path in paths(&fs::read_to_string(&page).unwrap()) {
            let places = [root.join(path), root.join("src").join(path), root.join("src").join(format!("{path}.rs"))];
            seen += 1;
            if !places.iter().any(|place| place.exists()) {
                missing.push(format!("{}: {path}", page.display()));
            }
        }
    }
    assert!(seen > 100, "only {seen} paths were found");
    assert!(missing.is_empty(), "pages name files that are not there:\n{}", missing.join("\n"));
}

/// The names in code spans of a text that may be modules, each part of a path such as `opening::slot`.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    let spans = text.split('`').skip(1).step_by(2).flat_map(|span| span.split("::"));
    spans.filter(|span| !span.is_empty() && span.chars().all(|one| one.is_ascii_lowercase() || one == '_'))
}

/// The names that the items of a contents page begin with: those before the colon.
fn listed(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter_map(|line| line.strip_prefix("* ")?.split_once(": ")).flat_map(|(names, _)| spans(names))
}

/// Whether a file holds tests alone.
fn is_of_tests(name: &str) -> bool {
    name == "test" || name.ends_with("_test")
}

#[test]
fn a_file_of_tests_is_named_test_or_ends_so() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let wrong = files(&root, "tests.rs");
    assert!(wrong.is_empty(), "name them test.rs or NAME_test.rs: {wrong:?}");
    assert!(files(&root, "test.rs").len() > 50, "the tests are not found");
}

/// One file for each verb, and the page says so.
const NOT_LISTED: &str = "face/cli/verbs";

#[test]
fn every_contents_page_lists_the_files_of_its_folder_and_no_others() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let pages: Vec<_> = files(&root, "mod.rs").into_iter().filter(|path| path.ends_with("mod.rs")).collect();
    assert!(pages.len() > 40, "only {} pages were found", pages.len());
    let mut wrong = Vec::new();
    for path in pages {
        let (folder, source) = (path.parent().unwrap(), fs::read_to_string(&path).unwrap());
        let lines = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim_start);
        let page = lines.collect::<Vec<_>>().join("\n");
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let modules = entries.filter(|path| path.is_dir() || path.extension().is_some_and(|ending| ending == "rs"));
        let modules: BTreeSet<_> = modules.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        let named: BTreeSet<_> = spans(&page).collect();
        let silent = modules.iter().map(String::as_str).filter(|name| {
            *name != "mod" && !is_of_tests(name) && !named.contains(name) && !folder.ends_with(NOT_LISTED)
        });
        wrong.extend(silent.map(|name| format!("{}: {name} is not listed", folder.display())));
        let gone = listed(&page).filter(|name| !modules.contains(*name));
        wrong.extend(gone.map(|name| format!("{}: {name} is not there", folder.display())));
    }
    assert!(wrong.is_empty(), "contents pages:\n{}", wrong.join("\n"));
}

#[test]
fn the_names_of_a_contents_page_are_those_before_its_colons() {
    let page = "Two rooms: `attic`.\n* [`a_b`], `c::d`: of `e`\n  `f`: more\n* here: the rest\n* `Type`: none";
    assert_eq!(listed(page).collect::<Vec<_>>(), ["a_b", "c", "d"]);
    assert_eq!(spans(page).collect::<Vec<_>>(), ["attic", "a_b", "c", "d", "e", "f"]);
}

/// A page that states invariants, and the sources that keep them.
struct Invariants {
    page: &'static str,
    /// The letters of their numbers.
    letters: &'static str,
    folders: &'static [&'static str],
    /// A letter that stands for something else too, so comments need not cite it.
    shared: Option<char>,
}

const ALL_INVARIANTS: [Invariants; 2] = [
    Invariants {
        page: "src/engine/FORMAT.md",
        letters: "ADFRSTVWX",
        folders: &["engine", "state", "recovery", "transfer", "service"],
        // Priorities of tasks have the names of invariants of purged tasks.
        shared: Some('P'),
    },
    Invariants { page: "src/replica/FORMAT.md", letters: "LO", folders: &["replica"], shared: None },
];

impl Invariants {
    /// The numbers that the page states. One that is not in use is kept free.
    fn stated(&self) -> Vec<String> {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(self.page)).unwrap();
        let stated = page.lines().filter(|line| line.starts_with("* **") && !line.ends_with("*(not in use)*"));
        let numbers = stated.filter_map(|line| line[4..].split_once(".**").map(|(number, _)| number.to_owned()));
        numbers.collect()
    }

    /// The numbers in a text that may be cited, such as `S2`: a letter of the page and digits, as a word.
    fn cited<'a>(&self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let words = text.split(|one: char| !(one.is_ascii_alphanumeric() || one == '_'));
        words.filter(|word| {
            let (letter, number) = word.split_at_checked(1).unwrap_or_default();
            self.letters.contains(letter) && !number.is_empty() && number.len() < 3 && number.parse::<u8>().is_ok()
        })
    }
}

#[test]
fn comments_cite_every_invariant_of_the_formats_and_no_other() {
    for invariants in ALL_INVARIANTS {
        let (root, stated) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), invariants.stated());
        assert!(stated.len() >= 16, "only {stated:?} were found in {}", invariants.page);
        let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
        for path in invariants.folders.iter().flat_map(|folder| files(&root.join(folder), ".rs")) {
            let source = fs::read_to_string(&path).unwrap();
            let comments = source.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("//"));
            for (at, number) in comments.flat_map(|(at, line)| invariants.cited(line).map(move |number| (at, number))) {
                // A rule is kept in the code, and not in a test of it.
                let is_kept = !is_of_tests(path.file_stem().unwrap().to_str().unwrap());
                match stated.iter().any(|stated| stated == number) {
                    true => drop(is_kept.then(|| seen.insert(number.to_owned()))),
                    false => wrong.push(format!("{}:{}: {number}", path.display(), at + 1)),
                }
            }
        }
        assert!(wrong.is_empty(), "{} has no such invariant:\n{}", invariants.page, wrong.join("\n"));
        let is_silent = |number: &&String| !number.starts_with(|letter| Some(letter) == invariants.shared);
        let silent: Vec<_> = stated.iter().filter(is_silent).filter(|number| !seen.contains(*number)).collect();
        assert!(silent.is_empty(), "no comment says where these of {} are kept: {silent:?}", invariants.page);
    }
}

#[test]
fn a_cited_invariant_is_seen_as_a_word_of_its_own() {
    let [engine, replica] = ALL_INVARIANTS;
    assert_eq!(engine.cited("// S2 and S7: kept (W10), not s2.").collect::<Vec<_>>(), ["S2", "S7", "W10"]);
    assert_eq!(engine.cited("// S, S123, T_1, XS1, P0, SHA256 and 2 S").count(), 0);
    assert_eq!(replica.cited("// L12: over S3 (O2).").collect::<Vec<_>>(), ["L12", "O2"]);
}
