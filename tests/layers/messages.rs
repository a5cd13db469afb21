//! Holds that the library speaks to every face: none of its messages names an option or a verb of the command line. And
//! that a message begins with its subject.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{TOOLS, code, files, module};

/// Files outside of the face whose strings may hold a command line, each with the reason.
const MAY: [(&[&str], &str); 10] = [
    (&["recovery", "restore", "options"], "the field `command` of an answer is a command line"),
    (&["recovery", "restore", "earlier"], "the field `command` of an answer is a command line"),
    (&["replica", "connection", "cipher"], "the context of a derived key is no message"),
    (&["service", "instance"], "the program is the author of its own policy"),
    (&["transfer", "doctor", "diagnosis"], "the advice of a diagnosis is a command line"),
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

/// Words with which a subordinate clause begins.
const CLAUSES: [&str; 5] = ["what", "who", "whether", "that", "how"];
/// Calls that describe a field of an answer or of a request. A boolean is usually described with `whether`.
const DESCRIBE: [&str; 3] = ["required", "optional", "nullable"];

#[test]
fn no_message_begins_with_a_subordinate_clause() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for path in files(&root) {
        let module = module(path.strip_prefix(&root).unwrap());
        let is_test = module.last().is_some_and(|name| name == "test" || name.ends_with("_test"));
        if is_test || module[0] == TOOLS {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let code = code(source.split("#[cfg(test)]\nmod tests").next().unwrap());
        wrong.extend(begun_with_a_clause(&code).map(|text| format!("{}: {text}", path.display())));
    }
    assert!(wrong.is_empty(), "begin these with their subject:\n{}", wrong.join("\n"));
}

/// The beginnings of the texts that begin with a subordinate clause.
fn begun_with_a_clause(code: &str) -> impl Iterator<Item = &str> {
    let begun = CLAUSES.iter().flat_map(|word| {
        let begin = format!("\"{word} ");
        code.match_indices(&begin).map(|(at, _)| (*word, at)).collect::<Vec<_>>()
    });
    let wrong = begun.filter(|(word, at)| !(*word == "whether" && DESCRIBE.contains(&call_around(code, *at))));
    wrong.map(|(_, at)| code[at..].lines().next().unwrap())
}

/// The name of the call whose argument stands there.
fn call_around(code: &str, at: usize) -> &str {
    let mut closed = 0;
    let open = code[..at].char_indices().rev().find(|(_, one)| match one {
        '(' if closed == 0 => true,
        '(' => {
            closed -= 1;
            false
        }
        ')' => {
            closed += 1;
            false
        }
        _ => false,
    });
    let before = &code[..open.map_or(0, |(at, _)| at)];
    before.rsplit(|one: char| !(one.is_alphanumeric() || one == '_')).next().unwrap_or_default()
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

#[test]
fn a_clause_at_the_beginning_is_seen_but_for_the_description_of_a_boolean() {
    for code in [
        "Error::invalid(\"that name is taken\")",
        "warn!(%error, \"whether it ended is not known\")",
        "f(required(\"a\", Flag, \"a flag\"), \"whether\", \"how long\")",
        "const A: &str = \"what is known\";",
        "required(\"a\", Text, \"who asks\")",
    ] {
        assert_eq!(begun_with_a_clause(code).count(), 1, "{code}");
    }
    for code in
        ["optional(\"a\", f(1),\n    \"whether it ends\")", "f(\"somewhat late\", \"whose key\", \"this that\")"]
    {
        assert_eq!(begun_with_a_clause(code).count(), 0, "{code}");
    }
}
