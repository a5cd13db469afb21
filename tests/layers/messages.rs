//! Holds that the library speaks to every face: none of its messages names an option or a verb of the command line.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{TOOLS, code, files, module};

/// Files outside of the face whose strings may hold a command line, each with the reason.
const MAY: [(&[&str], &str); 10] = [
    (&["recovery", "restore", "options"], "the field `command` of an answer is a command line"),
    (&["recovery", "restore", "earlier"], "the field `command` of an answer is a command line"),
    (&["replica", "cipher"], "the context of a derived key is no message"),
    (&["service", "instance"], "the program is the author of its own policy"),
    (&["transfer", "doctor"], "the advice of a diagnosis is a command line"),
    (&["transfer", "doctor", "copies"], "the advice of a diagnosis is a command line"),
    (&["transfer", "doctor", "look"], "the advice of a diagnosis is a command line"),
    (&["transfer", "doctor", "replica"], "the advice of a diagnosis is a command line"),
    (&["transfer", "doctor", "verified"], "the advice of a diagnosis is a command line"),
    (&["transfer", "drill", "bots"], "the drill runs this program"),
];

/// A message of the library reaches every face, so it says in general words how to go on. An error carries a hint, for
/// which each face has its own words.
#[test]
fn no_message_outside_of_the_face_names_an_option_or_a_verb_of_the_command_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let verbs = verbs(&fs::read_to_string(root.join("face/cli/args.rs")).unwrap());
    assert!(verbs.len() > 20 && verbs.contains(&"drill-bot".to_owned()), "the verbs are not seen: {verbs:?}");
    let (mut wrong, mut allowed) = (Vec::new(), BTreeSet::new());
    for path in files(&root) {
        let module = module(path.strip_prefix(&root).unwrap());
        let is_test = module.last().is_some_and(|name| name == "test" || name.ends_with("_test"));
        if is_test || [TOOLS, "face"].contains(&module[0].as_str()) {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let code = code(source.split("#[cfg(test)]\nmod tests").next().unwrap());
        let names: Vec<_> = code.lines().filter(|line| names_an_option(line) || names_a_verb(line, &verbs)).collect();
        match MAY.iter().find(|(allowed, _)| *allowed == module) {
            Some((module, _)) if !names.is_empty() => drop(allowed.insert(*module)),
            _ => wrong.extend(names.iter().map(|line| format!("{}: {}", path.display(), line.trim()))),
        }
    }
    assert!(wrong.is_empty(), "give the error a hint instead:\n{}", wrong.join("\n"));
    assert_eq!(allowed.len(), MAY.len(), "take the file that no longer names one from the list: {allowed:?}");
}

/// Whether a line has two hyphens and a letter behind something that begins a word.
fn names_an_option(line: &str) -> bool {
    line.match_indices("--").any(|(at, _)| {
        let begins = line[..at].chars().next_back().is_none_or(|before| " \"'(`".contains(before));
        begins && line[at + 2..].starts_with(|first: char| first.is_ascii_lowercase())
    })
}

/// Whether a line has a verb of the program behind its name or behind `run`.
fn names_a_verb(line: &str, verbs: &[String]) -> bool {
    ["hivekeep ", "run "].iter().flat_map(|before| line.match_indices(before)).any(|(at, before)| {
        let begins = !line[..at].ends_with(|last: char| last.is_alphanumeric() || "-_.".contains(last));
        let goes_on = |next: char| next.is_ascii_lowercase() || next == '-';
        let rest = &line[at + before.len()..];
        let word = &rest[..rest.find(|next| !goes_on(next)).unwrap_or(rest.len())];
        begins && verbs.iter().any(|verb| verb == word)
    })
}

/// The verbs of the program, in the words of a command line: the variants of an enum.
fn verbs(arguments: &str) -> Vec<String> {
    let list = arguments.split_once("enum Verb {").unwrap().1.split_once("\n}").unwrap().0;
    let names = list.lines().filter_map(|line| line.trim().split_once('(')).map(|(name, _)| name);
    let word = |name: &str| {
        let hyphens = name.chars().flat_map(|one| one.is_uppercase().then_some('-').into_iter().chain([one]));
        hyphens.collect::<String>().trim_start_matches('-').to_ascii_lowercase()
    };
    names.filter(|name| name.chars().all(char::is_alphanumeric)).map(word).collect()
}

#[test]
fn an_option_is_seen_wherever_it_stands() {
    for line in ["(\"pass --store\")", "    --allow-missing: after={id}", ".arg(\"--store\")", "say 'x --to'"] {
        assert!(names_an_option(line), "{line}");
    }
    for line in ["a - -b", "a -- b", "x--y", "-----BEGIN"] {
        assert!(!names_an_option(line), "{line}");
    }
    assert!(names_an_option(&code("\"http://; for https run curl with --on-failure\" // one")));
}

#[test]
fn a_verb_is_seen_behind_the_name_of_the_program_and_behind_run() {
    let verbs = verbs("enum Verb {\n    #[cfg(x)]\n    Check(Check),\n    DrillBot(Box<DrillBot>),\n}\n");
    assert_eq!(verbs, ["check", "drill-bot"]);
    for line in ["\"run check: x\"", "\"see hivekeep check\"", "\"hivekeep drill-bot\"", "run hivekeep check"] {
        assert!(names_a_verb(line, &verbs), "{line}");
    }
    for line in ["\"hivekeep checks\"", "\"check the store\"", "\"overrun check\"", "\"run curl\"", "fn run (check)"] {
        assert!(!names_a_verb(line, &verbs), "{line}");
    }
}
