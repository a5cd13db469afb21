//! The command line over a service: each verb prints the same, and exits with the same code, as it does with the file
//! itself. The verbs are those that have a manual page, so that a new one cannot be forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use crate::service::{Service, secret};
use crate::util::{Hive, Ran};

/// A run of the program, and what differs for a reason.
struct Step {
    typed: &'static [&'static str],
    differs: Differs,
}

/// The part of an output that may differ.
#[derive(Clone, Copy, PartialEq)]
enum Differs {
    /// Nothing but times, ids, tokens and actors.
    Nothing,
    /// Numbers too: the file of a service has rows of its own, and audit entries have longer texts.
    Numbers,
    /// All but the exit code.
    Output,
    /// The text, but not the JSON: it tells when keys were used, and only those of a service are.
    Text,
}

const fn same(typed: &'static [&'static str]) -> Step {
    Step { typed, differs: Differs::Nothing }
}

const fn but_numbers(typed: &'static [&'static str]) -> Step {
    Step { typed, differs: Differs::Numbers }
}

const fn but_text(typed: &'static [&'static str]) -> Step {
    Step { typed, differs: Differs::Text }
}

const fn code_of(typed: &'static [&'static str]) -> Step {
    Step { typed, differs: Differs::Output }
}

/// The runs, in this order. `TOKEN` is the token of the claim before, `POINT` the id of the first point.
const SCRIPT: &[Step] = &[
    same(&["put", "registry", "BOT-1", r#"{"port": 8001, "specializations": ["rust"], "attributes": {"n": 1.50}}"#]),
    same(&["put", "registry", "BOT-1", r#"{"prot": 8001}"#]),
    same(&["put", "config", "limit", "[1e400, -0, 1.50, 12345678901234567890123]"]),
    same(&["put", "config", "a/b c?#%é", "\"\\u001b[31m\""]),
    same(&["put", "config", "..", "1"]),
    same(&["put", "sensors", "roof", "21.50"]),
    same(&["put", "documents", "registry/my/bot", r#"{"z": 1e400, "a": [1, {"b": null}]}"#]),
    same(&["put", "documents", "registry-2/x", "[]"]),
    same(&["put", "documents", "nothing", "[]"]),
    same(&["put", "queue", "x", "1"]),
    same(&["get", "registry"]),
    same(&["get", "registry", "BOT-1"]),
    same(&["get", "registry", "BOT-9"]),
    same(&["get", "config"]),
    same(&["get", "config", "limit"]),
    same(&["get", "config", "a/b c?#%é"]),
    same(&["get", "config", ".."]),
    same(&["get", "config", "none"]),
    same(&["get", "sensors"]),
    same(&["get", "sensors", "roof"]),
    same(&["get", "nowhere"]),
    same(&["get", "documents"]),
    same(&["get", "documents", "registry/my/bot"]),
    same(&["get", "documents", "registry/none"]),
    same(&["get", "config", "--newest", "1"]),
    same(&["queue", "push", r#"{"build": 1.50}"#, "--id", "build", "--priority", "P1", "--idempotency-key", "k"]),
    same(&["queue", "push", r#"{"build": 1.50}"#, "--id", "build", "--priority", "P1", "--idempotency-key", "k"]),
    same(&["queue", "push", "2", "--idempotency-key", "k"]),
    same(&["queue", "push", "2", "--idempotency-key", "k", "--allow-different"]),
    same(&["queue", "push", "1", "--id", "test", "--after", "build", "--attributes", r#"{"x": -0}"#]),
    same(&["queue", "push", "1", "--after", "unknown"]),
    same(&["queue", "push", "--from", "tasks.jsonl"]),
    same(&["queue", "push", "--from", "wrong.jsonl"]),
    same(&["queue", "assign", "test", "BOT-1"]),
    same(&["queue", "unassign", "test"]),
    same(&["queue", "assign", "none", "BOT-1"]),
    same(&["queue", "list"]),
    same(&["queue", "list", "--state", "ready", "--limit", "1"]),
    same(&["queue", "list", "--can", "rust", "--priority", "P2", "--id", "from", "--older", "1h"]),
    same(&["queue", "why", "test"]),
    same(&["queue", "why", "build", "--bot", "BOT-1"]),
    same(&["queue", "why", "none"]),
    same(&["queue", "claim", "BOT-1", "--lease", "10m"]),
    same(&["queue", "claim", "BOT-1", "--lease", "0s"]),
    same(&["get", "assignments"]),
    same(&["get", "assignments", "BOT-1"]),
    same(&["get", "assignments", "BOT-2"]),
    same(&["get", "queue"]),
    same(&["get", "queue", "build"]),
    same(&["queue", "extend", "build", "--token", "TOKEN", "--lease", "20m"]),
    same(&["queue", "extend", "build", "--token", "99999999", "--lease", "20m"]),
    same(&["queue", "release", "build", "--token", "TOKEN"]),
    same(&["queue", "claim", "BOT-1", "--max", "1"]),
    same(&["queue", "complete", "build", "--token", "TOKEN", "--result", "[1.50]", "--claim-next", "--lease", "5m"]),
    same(&["queue", "fail", "test", "--token", "TOKEN", "--error", "no compiler", "--no-retry"]),
    same(&["queue", "requeue", "test"]),
    same(&["queue", "cancel", "test"]),
    same(&["queue", "cancel", "none"]),
    same(&["queue", "claim", "BOT-2"]),
    same(&["queue", "complete", "from-1", "--token", "TOKEN"]),
    same(&["queue", "claim", "BOT-2"]),
    same(&["queue", "push", "1", "--id", "bulk-1", "--capability", "gpu"]),
    same(&["queue", "push", "1", "--id", "bulk-2", "--priority", "P3"]),
    same(&["queue", "cancel", "--id", "bulk-", "--dry-run"]),
    same(&["queue", "cancel", "--id", "bulk-", "--can", "gpu", "--older", "1h", "--dry-run"]),
    same(&["queue", "cancel", "--id", "bulk-", "--priority", "P3", "--state", "ready"]),
    same(&["queue", "cancel", "--state", "done"]),
    same(&["queue", "cancel", "bulk-1", "--state", "ready"]),
    same(&["queue", "cancel", "--dry-run"]),
    same(&["queue", "cancel", "--id", "bulk-", "--bot", "BOT-1"]),
    same(&["queue", "requeue", "--id", "bulk-", "--state", "cancelled"]),
    same(&["queue", "list", "--id", "bulk-"]),
    same(&["queue", "cancel", "--id", "bulk-"]),
    same(&["queue", "bulk"]),
    same(&["queue", "bulk", "--continue"]),
    same(&["queue", "bulk", "--stop", "none"]),
    same(&[
        "schedule",
        "add",
        "nightly",
        "--cron",
        "30 2 29 2 *",
        "--time-zone",
        "Europe/Vienna",
        "--missed",
        "all",
        "--overlap",
        "skip",
        "--priority",
        "P1",
        "--assign",
        "BOT-1",
        "--capability",
        "rust",
        "--delay",
        "10m",
        "--max-attempts",
        "2",
        "--attributes",
        r#"{"x": -0}"#,
        "--",
        r#"{"report": [1.50, 1e400]}"#,
    ]),
    same(&["schedule", "add", "nightly", "--every", "1h", "2"]),
    same(&["schedule", "add", "tidy", "--every", "100d", "\"tidy up\""]),
    same(&["schedule", "add", "tidy", "--every", "200d", "--replace", "3"]),
    same(&["schedule", "add", "quick", "--every", "1ms", "3"]),
    same(&["schedule", "add", "odd", "--cron", "30 2 * * never", "3"]),
    same(&["schedule", "add", "odd", "--cron", "@daily", "--time-zone", "Nowhere", "3"]),
    same(&["schedule", "list"]),
    same(&["schedule", "show", "nightly"]),
    same(&["schedule", "show", "none"]),
    same(&["schedule", "pause", "nightly"]),
    same(&["schedule", "show", "nightly"]),
    same(&["schedule", "resume", "nightly"]),
    same(&["schedule", "resume", "none"]),
    same(&["schedule", "run", "tidy"]),
    same(&["schedule", "run", "none"]),
    same(&["schedule", "remove", "tidy"]),
    same(&["schedule", "remove", "tidy"]),
    same(&["queue", "memory"]),
    same(&["queue", "memory", "--keep", "30d"]),
    same(&["point", "create", "before \u{1b}[31m", "--tag", "release=1.2", "--hold"]),
    same(&["point", "list"]),
    same(&["schedule", "list", "--at", "latest"]),
    same(&["schedule", "show", "nightly", "--at", "latest"]),
    but_numbers(&["point", "list", "--sizes"]),
    but_numbers(&["point", "show", "latest"]),
    same(&["point", "show", "latest~9"]),
    same(&["point", "show", "now"]),
    same(&["put", "config", "limit", "6"]),
    same(&["remove", "registry", "BOT-1"]),
    same(&["remove", "registry", "BOT-1"]),
    same(&["remove", "documents", "registry-2/x"]),
    same(&["remove", "sensors", "roof"]),
    same(&["get", "config", "limit", "--versions"]),
    same(&["get", "config", "limit", "--at", "latest"]),
    same(&["get", "registry", "--at", "latest"]),
    same(&["get", "registry", "--at", "0s ago"]),
    same(&["get", "config", "limit", "--at", "latest~9"]),
    same(&["point", "diff", "latest"]),
    same(&["point", "diff", "latest", "latest"]),
    same(&["restore", "latest", "--dry-run"]),
    same(&["restore", "latest", "--only", "config", "--key", "limit", "--dry-run"]),
    same(&["restore", "latest", "--expect", "another"]),
    same(&["restore", "latest", "--only", "nowhere"]),
    same(&["restore", "latest", "--keep-finished"]),
    same(&["restore", "latest"]),
    same(&["undo", "--dry-run"]),
    same(&["undo"]),
    same(&["undo", "--expect", "another"]),
    same(&["backup", "--kind", "registry", "--tag", "a=b", "--source", "me"]),
    same(&["backup", "document.json", "--kind", "queue"]),
    but_numbers(&["history"]),
    but_numbers(&["history", "--kind", "queue", "--limit", "1"]),
    same(&["point", "policy"]),
    same(&["point", "policy", "--keep-daily", "9"]),
    same(&["point", "policy"]),
    same(&["point", "hold", "latest"]),
    same(&["point", "forget", "latest", "--dry-run"]),
    same(&["point", "forget", "latest"]),
    same(&["point", "release", "latest"]),
    same(&["point", "forget", "latest"]),
    same(&["point", "forget", "none"]),
    same(&["key", "add", "dash", "--role", "reader", "--expires", "90d"]),
    same(&["key", "add", "dash", "--role", "reader"]),
    but_text(&["key", "list"]),
    same(&["key", "rotate", "dash", "--keep-old", "0s"]),
    same(&["key", "remove", "dash"]),
    same(&["key", "revoke", "dash"]),
    same(&["key", "remove", "dash"]),
    same(&["key", "revoke", "none"]),
    same(&["get", "chat"]),
    same(&["get", "chat", "--conversation", "standup", "--newest", "2"]),
    same(&["get", "chat", "--newest", "1", "--before", "3", "--bot", "BOT-1"]),
    same(&["get", "chat", "2"]),
    same(&["get", "chat", "x"]),
    same(&["get", "audit", "--action", "config_put"]),
    same(&["get", "audit", "--action", "config_put", "--newest", "2", "--since", "1h ago"]),
    same(&["get", "audit", "--bot", "BOT-1"]),
    same(&["get", "audit", "--conversation", "x"]),
    same(&["log", "--limit", "9"]),
    same(&["log", "--limit", "0"]),
    but_numbers(&["status"]),
    but_numbers(&["status", "--sizes"]),
    but_numbers(&["check"]),
    same(&["crash", "ack"]),
    same(&["queue", "purge", "0s"]),
    same(&["queue", "purge", "30d"]),
    code_of(&["doctor"]),
];

/// Verbs that are not in the script, or groups of them, each with the reason.
const NOT_OVER_A_SERVICE: [(&str, &str); 13] = [
    ("adopt", "this verb does not work over a service"),
    ("compact", "this verb does not work over a service"),
    ("completions", "it reads no store"),
    ("drill", "this verb does not work over a service"),
    ("drill-bot", "this verb does not work over a service"),
    ("export", "this verb does not work over a service"),
    ("guard", "this verb does not work over a service"),
    ("import", "this verb does not work over a service"),
    ("man", "it reads no store"),
    ("replica", "this verb does not work over a service"),
    ("repair", "this verb does not work over a service"),
    ("serve", "this verb does not work over a service"),
    ("mcp", "this verb does not work over a service"),
];

/// The names of all verbs, as their manual pages are named.
fn verbs() -> BTreeSet<String> {
    let hive = Hive::empty();
    let folder = hive.path().with_file_name("pages");
    hive.ok(&["man", "--to", folder.to_str().unwrap()]);
    let names = std::fs::read_dir(folder).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap());
    let all: BTreeSet<_> =
        names.filter_map(|name| Some(name.strip_prefix("hivekeep-")?.strip_suffix(".1")?.to_owned())).collect();
    // A verb that only groups others has no work of its own.
    let groups: BTreeSet<_> = all.iter().filter_map(|verb| Some(verb.split_once('-')?.0.to_owned())).collect();
    all.difference(&groups).filter(|verb| !verb.ends_with("help")).cloned().collect()
}

/// A store with messages in it, and the files that the script names.
fn filled() -> Hive {
    let hive = Hive::new();
    let store = hive.open();
    for (number, content) in ["one", "two", "three", "four"].into_iter().enumerate() {
        let conversation = if number == 1 { "other" } else { "standup" };
        let mut message = hivekeep::NewMessage::new(conversation, "user", content);
        message.bot = (number != 2).then(|| "BOT-1".parse().unwrap());
        store.write(|tx| tx.chat().append(message)).unwrap();
    }
    store.close().unwrap();
    let tasks = "{\"payload\": [1.50, -0], \"id\": \"from-1\", \"capabilities\": [\"rust\"]}\n{\"payload\": 2, \"id\": \"from-2\", \"priority\": \"P3\"}\n";
    for (name, text) in [
        ("tasks.jsonl", tasks),
        ("wrong.jsonl", "{\"payload\": 1}\n{\"prio\": 1}\n"),
        ("document.json", "{\"a\": 1.50}"),
    ] {
        std::fs::write(hive.path().with_file_name(name), text).unwrap();
    }
    hive
}

/// A store that is reached by its file, or over a service.
struct Reached<'h> {
    hive: &'h Hive,
    store: Option<String>,
    key: Option<PathBuf>,
    json: bool,
    token: String,
}

impl Reached<'_> {
    fn run(&mut self, typed: &[&str]) -> Ran {
        let mut typed: Vec<_> =
            typed.iter().map(|word| if *word == "TOKEN" { self.token.clone() } else { (*word).to_owned() }).collect();
        if self.json {
            typed.push("--json".into());
        }
        let typed: Vec<_> = typed.iter().map(String::as_str).collect();
        let mut command = self.hive.command(&typed);
        if let Some(store) = &self.store {
            command.env("HIVEKEEP_STORE", store);
        }
        if let Some(key) = &self.key {
            command.env("HIVEKEEP_KEY_FILE", key);
        }
        let ran = Ran::new(&typed, command.output().unwrap());
        if let Some(token) = token_in(&ran.out) {
            self.token = token;
        }
        ran
    }
}

/// The last token that an output has, as text or as JSON.
fn token_in(out: &str) -> Option<String> {
    let begins = |mark: &str| out.rfind(mark).map(|at| &out[at + mark.len()..]);
    let rest = begins("  token ").or_else(|| begins("\"token\": "))?;
    let token: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(token).filter(|token| !token.is_empty())
}

/// Runs the script both ways.
fn compare(json: bool, listen: Option<&str>, with_key: bool) {
    let (here, there) = (filled(), filled());
    let key = with_key.then(|| {
        here.ok(&["key", "add", "ops", "--role", "admin"]);
        let key = there.ok(&["key", "add", "ops", "--role", "admin"]);
        secret(&there, "key", &key)
    });
    let socket = there.path().with_file_name("hive.sock");
    let unix = format!("unix:{}", socket.display());
    let quiet = ["--backup-interval", "off", "--archive-every", "off"];
    let listen = listen.map(|_| ["--listen", &unix]);
    let service = Service::start(&there, &[&quiet[..], listen.as_ref().map_or(&[][..], |listen| &listen[..])].concat());
    let address = if listen.is_some() { unix.clone() } else { service.url() };
    let mut by_file = Reached { hive: &here, store: None, key: None, json, token: String::new() };
    let mut by_service = Reached { hive: &there, store: Some(address), key, json, token: String::new() };
    let (mut masks, mut wrong) = ((Mask::default(), Mask::default()), Vec::new());
    // With the first key the service asks for one.
    for Step { typed, differs } in SCRIPT.iter().filter(|step| with_key || step.typed[0] != "key") {
        let (one, other) = (by_file.run(typed), by_service.run(typed));
        let shown = |ran: &Ran, mask: &mut Mask| {
            let is_shown = *differs != Differs::Output && (json || *differs != Differs::Text);
            let out = if is_shown { mask.of(&ran.out) } else { String::new() };
            (ran.code, if *differs == Differs::Numbers { without_numbers(&out) } else { out }, kind_of(ran, json))
        };
        let (left, right) = (shown(&one, &mut masks.0), shown(&other, &mut masks.1));
        if left != right {
            wrong.push(format!(
                "{typed:?}\n--- by the file {left:?}\n{}--- by the service {right:?}\n{}",
                one.err, other.err
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), SCRIPT.len(), wrong.join("\n\n"));
    drop(service);
    assert!(there.ok(&["check"]).starts_with("sound"));
}

/// The kind of an error, where JSON tells it.
fn kind_of(ran: &Ran, json: bool) -> Option<String> {
    let line = ran.err.lines().last().filter(|_| json && ran.code != Some(0))?;
    let error: Value = serde_json::from_str(line).ok()?;
    Some(format!("{} {}", error["kind"], error["code"]))
}

/// Replaces times, ids, tokens, secrets and actors, each id by its number.
#[derive(Default)]
struct Mask {
    ids: BTreeMap<String, usize>,
    /// Whether the next word is a token.
    token_follows: bool,
}

impl Mask {
    fn of(&mut self, out: &str) -> String {
        let out = match serde_json::from_str::<Value>(out) {
            Ok(_) => without_actors(out),
            Err(_) => out.to_owned(),
        };
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_:.+".contains(c);
        let (mut masked, mut word) = (String::new(), String::new());
        for c in out.chars().chain([' ']) {
            if is_part(c) {
                word.push(c);
                continue;
            }
            masked += &self.word(&word);
            word.clear();
            masked.push(c);
        }
        // The first line of status tells the file. Columns are as wide as what stands in them.
        masked
            .lines()
            .filter(|line| !line.starts_with("store "))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n")
            .collect()
    }

    fn word(&mut self, word: &str) -> String {
        let hexadecimal = word.bytes().filter(u8::is_ascii_hexdigit).count();
        let is_id = word.len() == 36 && word.matches('-').count() == 4 && hexadecimal == 32;
        let is_hash =
            word.len() >= 16 && hexadecimal == word.len() && word.bytes().any(|byte| byte.is_ascii_alphabetic());
        let is_time = word.len() >= 20 && word.starts_with("20") && word.contains('T') && word.contains(':');
        let is_actor = ["http", "ops"].contains(&word) || word.starts_with("cli:");
        let masked = match () {
            () if is_id => {
                let next = self.ids.len();
                format!("id-{}", self.ids.entry(word.to_owned()).or_insert(next))
            }
            () if is_hash => "hash".into(),
            () if is_time => "time".into(),
            () if is_actor => "actor".into(),
            () if word.starts_with("hk_") => "secret".into(),
            // Where keys are asked for, tokens are random.
            () if self.token_follows => "token".into(),
            () => word.to_owned(),
        };
        self.token_follows = word == "token" || word.is_empty() && self.token_follows;
        masked
    }
}

/// JSON without the members that say who asked, which file it is, and how long the queue is, and without tokens, which
/// others do not see where keys are asked for.
fn without_actors(out: &str) -> String {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for name in ["asked_by", "actor", "previous", "token", "last_used_at", "pages", "store"] {
                    members.remove(name);
                }
                // The id of a task of `schedule run` has the time in it, which is shorter where it ends in zeros.
                if let Some(Value::Object(queue)) = members.get_mut("queue") {
                    queue.remove("bytes");
                }
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    // Numbers are compared as they are written, so the text is parsed only to be stripped.
    let mut value = hivekeep::json::parse(out.as_bytes()).unwrap();
    strip(&mut value);
    serde_json::to_string_pretty(&value).unwrap()
}

fn without_numbers(out: &str) -> String {
    let mut text = String::new();
    for c in out.chars() {
        match c.is_ascii_digit() || c == '.' {
            true if text.ends_with('#') => {}
            true => text.push('#'),
            false => text.push(c),
        }
    }
    // Beside a service, which has the store open, pages are verified only when that is asked for.
    let text = text.replace(", # points and all pages verified", " and # points verified");
    ["KiB", "MiB", "GiB"].iter().fold(text, |text, unit| text.replace(unit, "B"))
}

#[test]
fn every_verb_is_in_the_script_or_is_refused_with_the_reason() {
    let typed = |words: &[&str]| {
        let words: Vec<_> = words.iter().take_while(|word| !word.starts_with('-')).copied().collect();
        (1..=words.len().min(2)).map(|count| words[..count].join("-")).collect::<Vec<_>>()
    };
    let in_script: BTreeSet<_> = SCRIPT.iter().flat_map(|step| typed(step.typed)).collect();
    let all = verbs();
    let is_of = |verb: &str, listed: &str| verb == listed || verb.starts_with(&format!("{listed}-"));
    for verb in &all {
        let is_listed = NOT_OVER_A_SERVICE.iter().any(|(listed, _)| is_of(verb, listed));
        assert!(in_script.contains(verb) != is_listed, "say what {verb} does over a service");
    }
    let hive = Hive::empty();
    for (listed, reason) in &NOT_OVER_A_SERVICE {
        if !all.iter().any(|verb| is_of(verb, listed)) {
            // A build may leave out the tools for agents, and hides the bots of a drill.
            assert!(["mcp", "drill-bot"].contains(listed), "{listed} is no verb any more");
            continue;
        }
        let mut typed = vec!["--store", "http://127.0.0.1:1"];
        typed.push(*listed);
        typed.extend(match *listed {
            "export" | "import" | "adopt" => &["x"][..],
            "guard" => &["--", "true"],
            "replica" => &["init", "there"],
            "drill-bot" => &["one"],
            "completions" => &["bash"],
            _ => &[],
        });
        if reason.starts_with("it reads") {
            hive.ok(&typed);
        } else {
            let said = hive.refused(&typed, 2);
            assert!(said.starts_with(reason) && said.contains("store=http://127.0.0.1:1"), "{listed}: {said}");
        }
    }
    assert_eq!(std::fs::read_dir(hive.path().parent().unwrap()).unwrap().count(), 0, "no file was made");
}

#[test]
fn options_that_need_the_file_are_refused_over_a_service() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    for typed in [
        &["check", "--pages"][..],
        &["check", "--sample", "10%"],
        &["check", "--at", "latest"],
        &["doctor", "--full"],
        &["doctor", "--archive-dir", "x"],
        &["point", "forget", "--policy"],
        &["queue", "why", "t", "--aging", "1m"],
        &["queue", "claim", "B", "--aging", "1m"],
        &["queue", "list", "--state", "ready", "--aging", "1m"],
    ] {
        let said = hive.refused(&[&["--store", &service.url()], typed].concat(), 2);
        assert!(said.contains("service"), "{typed:?}: {said}");
    }
}

#[test]
fn text_over_a_service_is_that_of_the_file() {
    compare(false, None, false);
}

#[test]
fn json_over_a_service_with_a_key_is_that_of_the_file() {
    compare(true, None, true);
}

#[cfg(unix)]
#[test]
fn text_over_a_unix_socket_with_a_key_is_that_of_the_file() {
    compare(false, Some("unix"), true);
}

#[test]
fn lists_of_many_pages_are_those_of_the_file() {
    let hive = Hive::new();
    let store = hive.open();
    let before = store.restore_point("before").unwrap().to_string();
    for chunk in 0..3 {
        let task = |number: u32| hivekeep::NewTask::new(number).id(format!("t{chunk}-{number:04}").parse().unwrap());
        store.enqueue_all((0..900).map(task).collect()).unwrap();
    }
    let message = |number: u64| hivekeep::NewMessage::new("c", "user", format!("{number}"));
    store.write(|tx| (0..2_500).try_for_each(|number| tx.chat().append(message(number)).map(drop))).unwrap();
    store.close().unwrap();
    let service = Service::start(&hive, &["--backup-interval", "off"]);
    for typed in [
        &["queue", "list"][..],
        &["queue", "list", "--limit", "1001"],
        &["get", "queue"],
        &["get", "chat"],
        &["get", "chat", "--newest", "1100"],
        &["get", "chat", "--before", "1300"],
        &["get", "chat", "--before", "2400", "--newest", "300"],
        &["point", "diff", &before],
    ] {
        let (here, there) = (hive.run(typed), hive.run(&[&["--store", &service.url()], typed].concat()));
        assert_eq!(here.code, there.code, "{typed:?}: {}", there.err);
        assert!(here.out == there.out, "{typed:?}: {} and {} bytes", here.out.len(), there.out.len());
        assert!(here.out.lines().count() > 250 || here.code != Some(0), "{typed:?}");
    }
}
