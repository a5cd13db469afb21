//! The refusals of the program, their messages and exit codes; and that processes do not get in each other's
//! way.

use std::fs;

use hivekeep::{Sharing, Store};
use serde_json::{Value, json};

use crate::util::{Hive, keys};

#[test]
fn a_verb_without_a_store_explains_how_to_create_one() {
    let hive = Hive::empty();
    let path = hive.path();
    let said = hive.refused(&["status"], 10);
    assert_eq!(said, format!("no store at {}\nhint: start one with hivekeep serve, or pass --store", path.display()));
    for verb in [
        &["get", "registry"][..],
        &["put", "config", "a", "1"],
        &["point", "create"],
        &["restore", "latest"],
        &["undo"],
        &["queue", "push", "1"],
        &["check"],
        &["check", "--sample", "10%"],
        &["log"],
        &["compact"],
        &["backup"],
    ] {
        assert_eq!(hive.refused(verb, 10), said, "{verb:?}");
    }
    assert!(!path.exists(), "a verb that needs a store has made one");
}

#[test]
fn a_count_of_zero_that_would_do_nothing_is_refused() {
    let hive = Hive::new();
    hive.ok(&["queue", "push", "1"]);
    for verb in [
        &["queue", "claim", "B", "--max", "0"][..],
        &["queue", "claim", "B", "--aging", "0s"],
        &["queue", "why", "task-1", "--aging", "0s"],
        &["queue", "list", "--limit", "0"],
        &["queue", "list", "--state", "ready", "--aging", "0s"],
        &["history", "--limit", "0"],
        &["log", "--limit", "0"],
        &["get", "config", "a", "--versions", "--limit", "0"],
    ] {
        let said = hive.refused(verb, 2);
        assert!(said.contains("at least") || said.contains("--limit"), "{verb:?}: {said}");
    }
    assert_eq!(hive.json(&["queue", "list"])[0]["state"], "ready");
}

#[test]
fn ready_tasks_are_listed_and_explained_in_the_order_of_claims_with_aging() {
    let hive = Hive::new();
    hive.ok(&["queue", "push", "1", "--id", "old", "--priority", "P3"]);
    std::thread::sleep(std::time::Duration::from_millis(20));
    hive.ok(&["queue", "push", "1", "--id", "new", "--priority", "P0"]);
    std::thread::sleep(std::time::Duration::from_millis(5));
    let first = |options: &[&str]| {
        hive.json(&[&["queue", "list", "--state", "ready"], options].concat())[0]["id"].as_str().unwrap().to_owned()
    };
    assert_eq!([first(&[]), first(&["--aging", "5ms"])], ["new", "old"]);
    let why = hive.ok(&["queue", "why", "new", "--aging", "5ms"]);
    assert_eq!(why, "ready: any bot may claim it; behind 1 task that goes first\n");
    hive.refused(&["queue", "list", "--aging", "5ms"], 2);
}

#[test]
fn with_json_an_error_is_one_object_and_nothing_is_printed_as_data() {
    let hive = Hive::empty();
    let ran = hive.run(&["--json", "status"]).with(10);
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(keys(&error), ["kind", "message", "code", "hint"]);
    assert_eq!((&error["kind"], &error["code"]), (&json!("no_store"), &json!(10)));
    assert_eq!(ran.out, "");
    let ran = hive.run(&["--json", "get"]).with(2);
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["message"], "the following required arguments were not provided: <COLLECTION>");
    assert_eq!((&error["kind"], &error["code"]), (&json!("usage"), &json!(2)));
}

#[test]
fn a_file_that_is_not_a_store_is_refused_by_name_and_not_changed() {
    let hive = Hive::empty();
    let path = hive.path();
    let shown = path.display();
    for (content, why) in [(&b""[..], "it is too short"), (b"{\"bots\": {}} and more", "it does not begin like one")] {
        fs::write(&path, content).unwrap();
        for verb in [&["status"][..], &["put", "config", "a", "1"], &["serve", "--listen", "127.0.0.1:0"]] {
            assert_eq!(hive.refused(verb, 1), format!("{shown} is not a store: {why}"));
        }
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(hive.refused(&["status"], 1), format!("{shown} is not a store: it is a directory"));
}

#[test]
fn a_store_that_another_process_has_open_exclusively_is_locked() {
    let hive = Hive::new();
    let store = Store::options().sharing(Sharing::Exclusive).open(hive.path()).unwrap();
    let said = hive.refused(&["put", "config", "a", "1"], 11);
    let by = format!("{} is locked by process {} (", hive.path().display(), std::process::id());
    assert!(said.starts_with(&by), "{said}");
    assert!(said.contains("); close it, or open both in shared mode\nhint: if a service has it, ask that: "), "{said}");
    assert_eq!(hive.refused(&["get", "config"], 11), said);
    store.close().unwrap();
    hive.ok(&["put", "config", "a", "1"]);
}

#[test]
fn several_processes_work_on_one_store_at_the_same_time() {
    let hive = Hive::new();
    let _open = hive.open();
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let hive = &hive;
            scope.spawn(move || {
                for n in 0..6 {
                    hive.ok(&["queue", "push", &n.to_string(), "--id", &format!("t-{worker}-{n}")]);
                    hive.ok(&["get", "queue"]);
                    hive.ok(&["queue", "claim", &format!("bot-{worker}-{n}")]);
                }
            });
        }
    });
    let tasks = hive.json(&["get", "queue"]);
    let mut tokens: Vec<_> = tasks.as_object().unwrap().values().map(|task| task["holder"]["token"].as_u64()).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, (1..=18).map(Some).collect::<Vec<_>>());
    assert!(hive.run(&["check"]).with(0).out.starts_with("sound: "));
}

#[test]
fn put_refuses_records_that_have_verbs_of_their_own() {
    let hive = Hive::new();
    assert_eq!(
        hive.refused(&["put", "queue", "t", "1"], 2),
        "tasks have verbs of their own; see hivekeep queue --help: collection=queue"
    );
    for collection in ["assignments", "chat", "audit"] {
        hive.refused(&["remove", collection, "1"], 2);
    }
    let said = hive.refused(&["put", "config", "greeting", "hello"], 2);
    assert!(said.starts_with("invalid JSON; a string needs quotes, such as '\"hello\"'"), "{said}");
    assert!(hive.refused(&["put", "config", "a", r#"{"b": 1, "b": 2}"#], 2).contains("pointer=\"/b\""));
    assert!(hive.refused(&["put", "registry", "B", r#"{"prot": 1}"#], 2).ends_with("field=prot"));
}

#[test]
fn a_selector_without_a_match_or_with_several_is_refused() {
    let hive = Hive::new();
    assert_eq!(
        hive.refused(&["restore", "latest"], 13),
        "there is no restore point yet; make one first\nhint: hivekeep point create"
    );
    let ids = [0, 1].map(|_| hive.ok(&["point", "create"]).trim_end().to_owned());
    let common = ids[0].chars().zip(ids[1].chars()).take_while(|(a, b)| a == b).count();
    let prefix = ids[0].get(..common).unwrap();
    let said = hive.refused(&["point", "show", prefix], 2);
    assert!(said.starts_with("several ids begin with this ("), "{said}");
    assert!(said.ends_with(&format!("; type more of the id that you mean: id={prefix} matches=2")), "{said}");
    assert_eq!(
        hive.refused(&["point", "show", "ffffffff"], 13),
        "no restore point or backup has that id; look at the list of all points: id=ffffffff\nhint: hivekeep point list --all"
    );
    let said = hive.run(&["get", "config", "--at", "yesterday"]).with(2).err;
    assert!(said.contains("this names no restore point; use latest, latest~3, an id"), "{said}");
}

#[test]
fn damage_has_its_own_exit_code() {
    let hive = Hive::new();
    let store = hive.open();
    store.write(|tx| tx.config().put("secret", &json!("x".repeat(3000)))).unwrap();
    store.close().unwrap();
    let mut bytes = fs::read(hive.path()).unwrap();
    let at = bytes.windows(100).position(|window| window == [b'x'; 100]).unwrap();
    bytes[at + 50] ^= 1;
    fs::write(hive.path(), bytes).unwrap();
    let ran = hive.run(&["check"]).with(4);
    assert!(!ran.out.contains("sound"), "{ran:?}");
    let record = "live \\x00\\x00\\x00\\x05secret: a stored record is damaged (its checksum does not match): \
                  collection=config key=secret\n";
    assert!(ran.out.contains(record), "{ran:?}");
    assert!(ran.out.contains("count, bytes or digest of a collection differ from its records"), "{ran:?}");
    let lines = hive.run(&["check", "--json"]).with(4).out;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(keys(&lines[0]), ["table", "key", "what"]);
    let last = lines.last().unwrap();
    assert_eq!((&last["sound"], &last["found"]), (&json!(false), &json!(lines.len() - 1)));
    hive.run(&["get", "config", "secret"]).with(4);
}

#[test]
fn compact_needs_consent_if_others_would_wait() {
    let hive = Hive::new();
    let open = hive.open();
    assert_eq!(
        hive.refused(&["compact"], 11),
        "other processes have the store open and would wait while it is compacted; to do it anyway: hivekeep \
         compact --yes"
    );
    open.close().unwrap();
    let sizes = hive.json(&["compact"]);
    assert_eq!(keys(&sizes), ["changed", "bytes_before", "bytes_after"]);
}

#[test]
fn contradictory_options_are_refused() {
    let hive = Hive::new();
    hive.ok(&["point", "create"]);
    let before = fs::read(hive.path()).unwrap();
    for typed in [
        &["point", "policy", "--keep-everything", "--keep-last", "3"][..],
        &["point", "policy", "--keep-everything", "--no-thinning"],
        &["point", "policy", "--keep-everything", "--keep-tag", "a"],
        &["restore", "latest", "--dry-run", "--verify"],
        &["repair", "--dry-run", "--to", "other.redb"],
        &["serve", "--no-retention", "--keep-last", "3"],
        &["serve", "--no-retention", "--no-thinning=false"],
        &["serve", "--insecure-no-token", "--token-file", "token"],
    ] {
        let ran = hive.run(typed).with(2);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{ran:?}");
    }
    assert_eq!(fs::read(hive.path()).unwrap(), before);
}
