//! Partial checks, and `repair`.

use std::fs;

use serde_json::json;

use crate::util::{Hive, keys};

/// Damages every copy of a string in the store's file, in more than one bit.
fn damage(hive: &Hive, text: &[u8]) {
    let mut bytes = fs::read(hive.path()).unwrap();
    let places: Vec<_> =
        bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] = b'#';
        bytes[at + 1] = b'#';
    }
    fs::write(hive.path(), bytes).unwrap();
}

/// A store with a secret that has another value at a point.
fn with_history() -> Hive {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["put", "config", "secret", r#""the first secret""#]);
    hive.ok(&["point", "create", "early"]);
    hive.ok(&["put", "config", "secret", r#""the second one""#]);
    hive
}

#[test]
fn a_sample_check_continues_where_the_last_one_ended() {
    let hive = with_history();
    let place = hive.path().with_extension("redb.check");
    let first = hive.ok(&["check", "--sample", "10%"]);
    assert!(first.starts_with("sound: "), "{first}");
    let one = fs::read_to_string(&place).unwrap();
    hive.ok(&["check", "--sample", "0.1"]);
    assert_ne!(fs::read_to_string(&place).unwrap(), one);
    fs::write(&place, "nonsense").unwrap();
    hive.ok(&["check", "--sample", "100%"]);
    for wrong in ["0%", "101%", "-1", "ten"] {
        let said = hive.run(&["check", &format!("--sample={wrong}")]).with(2).err;
        assert!(said.contains("must be more than 0 and at most 100%, such as 10% or 0.1"), "{said}");
    }
    hive.run(&["check", "--sample", "10%", "--pages"]).with(2);
}

#[test]
fn a_single_point_can_be_checked() {
    let hive = with_history();
    let out = hive.ok(&["check", "--at", "latest"]);
    assert!(out.starts_with("sound: 7 records (") && out.ends_with("0 pre-images and 1 point verified\n"), "{out}");
    hive.refused(&["check", "--at", "latest~5"], 13);
    damage(&hive, b"the first secret");
    let ran = hive.run(&["check", "--at", "latest"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.out.contains("config") && ran.out.contains("key=secret"), "{ran:?}");
}

#[test]
fn a_repair_reports_each_record_that_went_back_to_its_newest_sound_version() {
    let hive = with_history();
    damage(&hive, b"the second one");
    let damaged = fs::read(hive.path()).unwrap();
    let planned = hive.run(&["repair", "--dry-run"]).with(3).out;
    assert!(planned.contains("config secret: went back to what it was in epoch 1\n"), "{planned}");
    assert!(planned.contains("now config: records 2 of 2, bytes 19 of 17\n"), "{planned}");
    assert!(planned.ends_with("1 point kept\n") && planned.contains("something is lost: 7 records ("), "{planned}");
    let to = hive.path().with_extension("repaired.redb");
    assert!(!to.exists());

    let done = hive.run(&["repair"]).with(3);
    assert_eq!(done.out, planned);
    assert_eq!(done.err, format!("the repaired store is {}\n", to.display()));
    assert_eq!(fs::read(hive.path()).unwrap(), damaged, "the damaged file is only read");
    let said = hive.refused(&["repair"], 1);
    let path = to.display();
    assert_eq!(
        said,
        format!(
            "the file exists already; name a new file for the repaired store: to={path}\nhint: name another file with --to"
        )
    );

    let to = to.to_str().unwrap();
    assert_eq!(hive.json(&["--store", to, "get", "config", "secret"]), json!("the first secret"));
    assert!(hive.ok(&["--store", to, "check"]).starts_with("sound: "));
    hive.ok(&["--store", to, "restore", "latest"]);
    assert!(hive.ok(&["--store", to, "log"]).contains("repaired"));
}

#[test]
fn a_partial_point_is_marked_and_restored_only_on_request() {
    let hive = with_history();
    damage(&hive, b"the second one");
    damage(&hive, b"the first secret");
    let to = hive.path().with_extension("sound.redb");
    let to = to.to_str().unwrap();
    let done = hive.run(&["repair", "--to", to, "--json"]).with(3);
    let done: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(keys(&done), ["from", "to", "whole", "report"]);
    assert_eq!(
        done["report"]["lost"],
        json!([{"collection": "config", "key": "secret", "outcome": "lost", "epoch": 0}])
    );
    assert_eq!(done["report"]["partial"][0]["collections"][0]["collection"], "config");
    assert_eq!(done["report"]["partial"][0]["collections"][0]["was"]["count"], 2);

    let at = |arguments: &[&'static str]| -> Vec<&str> { [&["--store", to], arguments].concat() };
    hive.run(&at(&["get", "config", "secret"])).with(13);
    assert!(hive.ok(&at(&["point", "list"])).contains("manual, partial"));
    assert!(hive.ok(&at(&["point", "show", "latest"])).contains("partial      config had 2, 19 B: secret\n"));
    let point = hive.json(&at(&["point", "show", "latest"]));
    assert_eq!((&point["partial"], &point["lost"]["config"]["keys"]), (&json!(true), &json!(["secret"])));
    assert_eq!(
        hive.refused(&at(&["restore", "latest"]), 1),
        format!(
            "a repair lost part of that point; look at what it has lost, then allow a partial restore: \
             point={0}\nhint: hivekeep point show, then hivekeep restore {0} --partial",
            point["id"].as_str().unwrap()
        )
    );
    for json in [&[][..], &["--json"]] {
        let list = hive.run(&[&at(&["get", "config", "--at", "latest"])[..], json].concat()).with(3);
        assert!(list.out.contains("limit") && list.err.ends_with("the list leaves them out; known keys: secret\n"));
    }
    hive.ok(&at(&["get", "registry", "--at", "latest"]));
    hive.ok(&at(&["queue", "list", "--at", "latest"]));
    let diff = hive.run(&at(&["point", "diff", "latest"])).with(3);
    assert_eq!(diff.out, "? config/secret (a repair lost it)\n");
    let diff = hive.run(&at(&["point", "diff", "latest", "--json"])).with(3);
    assert!(diff.out.contains("\"partial\": true") && diff.out.contains("\"change\": \"lost\""), "{diff:?}");
    let plan = hive.run(&at(&["restore", "latest", "--dry-run"])).with(0);
    assert!(plan.out.contains("a repair lost part of that point"), "{plan:?}");
    assert!(plan.out.contains("; to restore what is left of it, allow a partial restore\n"), "{plan:?}");
    assert!(plan.err.contains("; to restore what is left of it: --partial\n"), "{plan:?}");
    hive.ok(&at(&["put", "config", "limit", "6"]));
    hive.ok(&at(&["restore", "latest", "--partial"]));
    assert_eq!(hive.json(&at(&["get", "config"])), json!({"limit": 5}));
    assert!(hive.ok(&at(&["check"])).starts_with("sound: "));
}

#[test]
fn one_flipped_bit_of_a_page_is_corrected_and_nothing_is_lost() {
    let hive = with_history();
    let mut bytes = fs::read(hive.path()).unwrap();
    let at = bytes.windows(14).rposition(|window| window == b"the second one").unwrap();
    bytes[at] ^= 4;
    fs::write(hive.path(), bytes).unwrap();
    let out = hive.ok(&["repair"]);
    assert!(out.contains(": damaged, put right\n") && out.contains("nothing is lost: 7 records ("), "{out}");
}

#[test]
fn a_store_in_use_and_a_file_that_is_not_a_store_are_not_repaired() {
    let hive = Hive::empty();
    let path = hive.path();
    assert_eq!(hive.refused(&["repair"], 10), format!("no store at {}; pass --store", path.display()));
    fs::write(&path, "not a store at all").unwrap();
    assert_eq!(hive.refused(&["repair"], 1), format!("nothing of a store is left in {}", path.display()));
    fs::remove_file(&path).unwrap();
    let open = hive.open();
    hive.refused(&["repair"], 11);
    open.close().unwrap();
    let out = hive.ok(&["repair"]);
    assert!(out.starts_with("nothing is lost: 0 records ("), "{out}");
    let names = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["h.redb", "h.redb.reserve", "h.redb.sessions", "h.repaired.redb"]);
}

#[test]
fn a_small_closed_store_with_a_damaged_page_is_refused_unless_it_is_read_unverified() {
    let hive = with_history();
    damage(&hive, b"the second one");
    let refused = hive.run(&["get", "config", "limit"]).with(4);
    assert!(refused.err.contains(": pages of the file are damaged; repair the store\nhint: "), "{refused:?}");
    assert!(refused.err.contains("hivekeep repair --dry-run") && refused.err.contains("--unverified"), "{refused:?}");
    let before = fs::read(hive.path()).unwrap();
    assert_eq!(hive.ok(&["--unverified", "get", "config", "limit"]), "5\n");
    assert!(hive.ok(&["--unverified", "queue", "list"]).contains("build"));
    hive.run(&["--unverified", "get", "config", "secret"]).with(4);
    for verb in [&["put", "config", "limit", "6"][..], &["check"], &["compact"], &["restore", "latest"]] {
        let said = hive.refused(&[&["--unverified"], verb].concat(), 2);
        assert!(said.starts_with("--unverified is for verbs that only read"), "{said}");
    }
    assert_eq!(fs::read(hive.path()).unwrap(), before, "a read changes nothing");
}

/// A store over 64 MiB, whose pages are not verified when it is opened; returns its file.
fn large() -> (Hive, Vec<u8>) {
    let hive = Hive::new();
    let store = hive.open();
    let (long, short) = ("x".repeat(1 << 20), "v".repeat(100));
    store.load(|tx| (0..70).try_for_each(|number| tx.collection("long")?.put(&number.to_string(), &long))).unwrap();
    store
        .load(|tx| (0..3000).try_for_each(|number| tx.config().put(&format!("key {number:04}"), &json!(short))))
        .unwrap();
    store.close().unwrap();
    let file = fs::read(hive.path()).unwrap();
    assert!(file.len() > 64 << 20);
    (hive, file)
}

#[test]
fn a_damaged_page_of_a_large_store_makes_every_verb_exit_with_the_damage_code_and_advice() {
    const PAGE: usize = 4096;
    let (hive, file) = large();
    let holds = |page: &[u8]| page[0] == 1 && page.windows(8).any(|window| window == b"key 1500");
    let pages: Vec<_> = (0..file.len() / PAGE).filter(|page| holds(&file[page * PAGE..][..PAGE])).collect();
    assert!(!pages.is_empty());
    for (at, bits) in [(0, 2), (2, 0x80), (3, 0x10), (5, 0x40)] {
        let damage = |bits: u8| {
            use std::io::{Seek, SeekFrom, Write};
            let mut open = fs::OpenOptions::new().write(true).open(hive.path()).unwrap();
            for page in &pages {
                open.seek(SeekFrom::Start((page * PAGE + at) as u64)).unwrap();
                open.write_all(&[file[page * PAGE + at] ^ bits]).unwrap();
            }
        };
        damage(bits);
        // A build of redb with assertions walks all pages before it writes, and may find the damage then.
        let walked: &[i32] = if cfg!(debug_assertions) { &[0, 4] } else { &[0] };
        // The offset belongs to one row; every other row of the page still reads as it was written.
        let read: &[i32] = if at == 5 { &[0, 4] } else { &[4] };
        let verbs: [(&[&str], &[i32]); 6] = [
            (&["check"], &[4]),
            (&["doctor", "--full"], &[4]),
            (&["get", "config"], &[4]),
            (&["get", "config", "key 1500"], read),
            (&["get", "config", "key 0003"], &[0]),
            (&["put", "config", "key 2999", "1"], walked),
        ];
        for (verb, codes) in verbs {
            let ran = hive.run(verb);
            let said = format!("{}{}", ran.out, ran.err);
            assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{verb:?}: {said}");
            assert!(ran.code.is_some_and(|code| codes.contains(&code)), "{ran:?}");
            assert!(ran.code == Some(0) || said.contains("hivekeep repair"), "{ran:?}");
            assert!(
                ran.code != Some(0) || verb[0] != "get" || ran.out == format!("{:?}\n", "v".repeat(100)),
                "{ran:?}"
            );
        }
        damage(0);
    }
}
