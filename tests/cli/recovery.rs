//! Points, differences, restores, undo, backups, check.

use std::fs;

use hivekeep::Store;
use serde_json::json;

use crate::util::{Hive, Running};

#[test]
fn a_point_is_made_listed_shown_held_and_forgotten() {
    let hive = Hive::new();
    hive.fill();
    let id = hive.ok(&["point", "create", "before the upgrade", "--tag", "release=1.2"]);
    let id = id.trim_end();
    let points = hive.json(&["point", "list"]);
    assert_eq!((&points[0]["id"], &points[0]["description"]), (&json!(id), &json!("before the upgrade")));
    assert_eq!(points[0]["tags"], json!({"release": "1.2"}));
    assert!(hive.ok(&["point", "list", "--sizes"]).contains("manual"));
    let point = hive.json(&["point", "show", id.get(..30).unwrap()]);
    assert_eq!(point["collections"]["registry"]["count"], 3);
    assert!(point["frees"]["bytes"].as_u64().unwrap() > 0);
    assert_eq!(hive.json(&["point", "hold", "latest"])["held"], true);
    assert_eq!(
        hive.refused(&["point", "forget", id], 1),
        format!("the point is held; release it first: point={id}\nhint: hivekeep point release POINT")
    );
    hive.ok(&["point", "release", id]);
    assert_eq!(hive.run(&["point", "forget", id, "--dry-run"]).with(0).err, "would forget 1 restore point\n");
    assert_eq!(hive.run(&["point", "forget", id]).with(0).err, "forgot 1 restore point\n");
    assert_eq!(hive.json(&["point", "list"]), json!([]));
    assert_eq!(
        hive.refused(&["point", "show", "latest"], 13),
        "there is no restore point yet; make one first\nhint: hivekeep point create"
    );
}

#[test]
fn a_point_is_restored_in_another_file_and_the_store_stays_as_it_is() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "limit", "1"]);
    hive.ok(&["point", "create", "one"]);
    hive.ok(&["put", "config", "limit", "2"]);
    let restored = hive.run(&["restore", "latest", "--to", "new.redb"]).with(0);
    assert_eq!(restored.out, "config: 0 added, 1 changed, 0 removed\n");
    let message = "new.redb has the state of that point, with 1 record restored; the store is as it was\n";
    assert_eq!(restored.err, message);
    assert_eq!(hive.ok(&["get", "config", "limit"]), "2\n");
    assert_eq!(hive.ok(&["--store", "new.redb", "get", "config", "limit"]), "1\n");
    assert!(hive.ok(&["--store", "new.redb", "check"]).starts_with("sound"));
    let refused = hive.refused(&["restore", "latest", "--to", "new.redb"], 1);
    assert!(refused.starts_with("the file exists already"), "{refused}");
}

#[test]
fn the_rules_of_retention_give_their_reasons() {
    let hive = Hive::new();
    hive.ok(&["point", "create", "first"]);
    let judged = hive.json(&["point", "forget", "--policy", "--dry-run"]);
    assert_eq!(judged[0]["keep"], true);
    assert_eq!(judged[0]["reasons"], json!(["latest good point", "within 7d"]));
    assert_eq!(hive.run(&["point", "forget", "--policy"]).with(0).err, "forgot 0 restore points\n");
}

#[test]
fn the_store_keeps_one_policy_and_every_verb_applies_it() {
    let hive = Hive::new();
    hive.ok(&["point", "create", "first"]);
    let shown = hive.ok(&["point", "policy"]);
    assert!(shown.starts_with("# never set; these are the defaults\nkeep-within = \"7d\"\n"), "{shown}");
    let set = hive.ok(&["point", "policy", "--keep-within", "30d", "--keep-daily", "60"]);
    assert!(set.contains("# set by hivekeep point policy at ") && set.contains("\nkeep-daily = 60\n"), "{set}");
    hive.ok(&["point", "policy", "--keep-count", "7"]);
    let policy = hive.json(&["point", "policy"]);
    assert_eq!((&policy["policy"]["keep_within"], &policy["policy"]["cap"]), (&json!("30d"), &json!(7)));
    let judged = hive.json(&["point", "forget", "--policy", "--dry-run"]);
    assert_eq!(judged[0]["reasons"], json!(["latest good point", "newest of its day", "within 30d"]));
    let doctor = hive.run(&["doctor"]).out;
    assert!(
        doctor.contains("30d, at most 7 of a kind older than 1d, 60 daily, set by hivekeep point policy"),
        "{doctor}"
    );
    assert!(hive.ok(&["point", "policy", "--keep-everything"]).ends_with("no-retention = true\n"));
    assert_eq!(hive.run(&["point", "forget", "--policy"]).with(0).err, "forgot 0 restore points\n");
    assert!(hive.ok(&["point", "policy", "--default"]).contains("keep-within = \"7d\""));
    assert!(hive.ok(&["log"]).contains("retention_set"));
}

#[test]
fn a_diff_names_what_changed() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    assert_eq!(hive.run(&["point", "diff", "latest", "now"]).with(0).err, "nothing differs\n");
    hive.ok(&["put", "config", "limit", "6"]);
    hive.ok(&["queue", "claim", "BOT-1"]);
    let out = hive.ok(&["point", "diff", "latest"]);
    assert!(out.starts_with("+ assignments/BOT-1/build "), "{out}");
    assert!(out.contains("\n~ config/limit 5 -> 6\n~ queue/build attempts: 0 -> 1"), "{out}");
    let diff = hive.json(&["point", "diff", "latest", "now"]);
    assert_eq!(diff["to"], "now");
    assert_eq!(diff["counts"]["config"], json!({"added": 0, "changed": 1, "removed": 0}));
    assert_eq!(diff["changes"][1]["after"], 6);
}

#[test]
fn a_restore_reports_its_changes_and_how_to_undo_it() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    hive.ok(&["put", "config", "limit", "6"]);
    hive.ok(&["remove", "registry", "BOT-3"]);
    hive.ok(&["queue", "claim", "BOT-1"]);
    let plan = hive.ok(&["restore", "latest", "--dry-run"]);
    assert!(
        plan.contains("\n  config: 0 added, 1 changed, 0 removed\n  queue: 0 added, 1 changed, 0 removed\n"),
        "{plan}"
    );
    assert_eq!(hive.ok(&["get", "config", "limit"]), "6\n", "a dry run has changed something");
    let before = hive.ok(&["get", "queue", "--json"]);
    let ran = hive.run(&["restore", "latest"]).with(0);
    assert_eq!(ran.err, "restored 4 records; undo with: hivekeep undo\n");
    assert_eq!(
        ran.out,
        "assignments: 0 added, 0 changed, 1 removed\nconfig: 0 added, 1 changed, 0 removed\n\
         queue: 0 added, 1 changed, 0 removed\nregistry: 1 added, 0 changed, 0 removed\n"
    );
    assert_eq!(hive.ok(&["get", "config", "limit"]), "5\n");
    hive.ok(&["undo", "--dry-run"]);
    assert_eq!(hive.run(&["undo"]).with(0).err, "undone, 4 records changed; redo with: hivekeep undo\n");
    assert_eq!(hive.ok(&["get", "queue", "--json"]), before, "an undo gives back exactly what was");
    let redone = hive.json(&["undo"]);
    assert_eq!(redone["collections"]["config"], json!({"added": 0, "changed": 1, "removed": 0}));
    let events = hive.json(&["log"]);
    let kinds: Vec<_> = events.as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(
        kinds.iter().filter(|kind| kind.starts_with("restore_") && **kind != "restore_point_created").count(),
        3
    );
}

#[test]
fn a_restore_and_an_undo_that_change_nothing_offer_no_undo() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    hive.ok(&["put", "config", "limit", "6"]);
    hive.ok(&["restore", "latest"]);
    assert_eq!(hive.run(&["restore", "latest"]).with(0).err, "nothing differed, so nothing was restored\n");
    assert_eq!(hive.json(&["restore", "latest"])["undo"], json!(null));
    hive.ok(&["put", "config", "limit", "6"]);
    let undone = hive.run(&["undo"]).with(0).err;
    assert_eq!(undone, "everything is as it was before that restore, so nothing was undone\n");
}

#[test]
fn a_restore_of_one_task_says_whether_it_runs_again_or_stays_finished() {
    let hive = Hive::new();
    hive.ok(&["queue", "push", "1", "--id", "m"]);
    hive.ok(&["point", "create"]);
    let claimed = hive.json(&["queue", "claim", "BOT-1"]);
    let token = claimed["token"].to_string();
    hive.ok(&["queue", "complete", "m", "--token", &token]);
    let of_one = ["restore", "latest", "--only", "queue", "--key", "m"];
    let kept = hive.run(&[&of_one[..], &["--keep-finished"]].concat()).with(0).err;
    assert_eq!(kept, "1 finished task kept\nnothing else differed, so nothing was restored\n");
    let plan = hive.ok(&[&of_one[..], &["--keep-finished", "--dry-run"]].concat());
    assert!(plan.ends_with("  nothing else differs\n  finished tasks since then: 1 stays finished\n"), "{plan}");
    let restored = hive.run(&of_one).with(0).err;
    assert_eq!(
        restored,
        "1 finished task will run again; to keep finished work: hivekeep undo, then the same with --keep-finished\n\
         restored 1 record; undo with: hivekeep undo\n"
    );
}

#[test]
fn a_restore_can_be_limited_to_collections_or_a_key() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    hive.ok(&["put", "config", "limit", "6"]);
    hive.ok(&["put", "registry", "BOT-1", r#"{"port": 1}"#]);
    hive.ok(&["put", "registry", "BOT-2", r#"{"port": 2}"#]);
    let ran = hive.run(&["restore", "latest", "--only", "registry", "--key", "BOT-1"]).with(0);
    assert_eq!(ran.err, "restored 1 record; undo with: hivekeep undo\n");
    let registry = hive.json(&["get", "registry"]);
    assert_eq!((&registry["BOT-1"]["port"], &registry["BOT-2"]["port"]), (&json!(8001), &json!(2)));
    hive.ok(&["restore", "latest", "--only", "registry,queue", "--verify"]);
    assert_eq!(hive.json(&["get", "registry"])["BOT-2"]["port"], 8001);
    assert_eq!(hive.ok(&["get", "config", "limit"]), "6\n");
}

#[test]
fn an_undo_refuses_to_overwrite_later_work_unless_forced() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    hive.ok(&["put", "config", "limit", "6"]);
    hive.ok(&["restore", "latest"]);
    hive.ok(&["put", "config", "limit", "7"]);
    let said = hive.refused(&["undo"], 1);
    assert!(said.contains("config/limit"), "{said}");
    assert!(said.ends_with("hint: to undo it anyway: hivekeep undo --discard"), "{said}");
    hive.ok(&["undo", "--discard"]);
    assert_eq!(hive.ok(&["get", "config", "limit"]), "6\n");
    assert_eq!(Hive::new().refused(&["undo"], 13), "there is no restore to undo");
}

#[test]
fn reading_by_time_reports_the_point_that_was_used() {
    let hive = Hive::new();
    hive.fill();
    let id = hive.ok(&["point", "create"]);
    hive.ok(&["put", "config", "limit", "6"]);
    assert_eq!(hive.ok(&["get", "config", "limit", "--at", "latest"]), "5\n");
    let ran = hive.run(&["get", "config", "limit", "--at", "0s ago"]).with(0);
    assert_eq!(ran.out, "5\n");
    assert!(ran.err.starts_with(&format!("0s ago means {} of ", id.trim_end())), "{}", ran.err);
    assert_eq!(hive.run(&["-q", "get", "config", "limit", "--at", "0s ago"]).with(0).err, "");
}

#[test]
fn a_backup_is_made_of_live_state_or_of_a_file_and_listed() {
    let hive = Hive::new();
    hive.fill();
    let live = hive.json(&["backup", "--kind", "queue", "--tag", "a=b"]);
    assert_eq!((&live["backup_type"], &live["of"], &live["item_count"]), (&json!("queue"), &json!("live"), &json!(2)));
    let file = hive.path().with_extension("json");
    fs::write(&file, r#"{"BOT-9": {"port": 9}}"#).unwrap();
    let id = hive.ok(&["backup", "--kind", "registry", "--source", "mine", file.to_str().unwrap()]);
    let history = hive.json(&["history"]);
    assert_eq!(history[0]["backup_id"], json!(id.trim_end()));
    assert_eq!((&history[0]["of"], &history[0]["source"]), (&json!("documents"), &json!("mine")));
    assert_eq!(hive.json(&["history", "--kind", "queue", "--limit", "1"])[0]["backup_id"], live["backup_id"]);
    assert!(hive.ok(&["history"]).starts_with("BACKUP"));
    assert_eq!(hive.json(&["get", "documents", "registry/mine"]), json!({"BOT-9": {"port": 9}}));
    fs::write(&file, "{").unwrap();
    assert!(hive.refused(&["backup", file.to_str().unwrap()], 2).starts_with(file.to_str().unwrap()));
}

#[test]
fn a_check_of_a_sound_store_reports_that_and_changes_nothing() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    let before = fs::read(hive.path()).unwrap();
    let out = hive.ok(&["check"]);
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.starts_with("sound: 6 records ("), "{out}");
    assert!(out.ends_with("0 pre-images, 1 point and all pages verified\n"), "{out}");
    for check in [&["check"][..], &["check", "--pages"]] {
        let report = hive.json(check);
        assert_eq!((&report["sound"], &report["pages"]), (&true.into(), &true.into()));
        assert_eq!(fs::read(hive.path()).unwrap(), before, "{check:?}");
    }
    let _open = Store::open(hive.path()).unwrap();
    let checked = hive.run(&["check"]).with(0);
    assert!(checked.out.ends_with("0 pre-images and 1 point verified\n"), "{checked:?}");
    assert!(checked.err.contains("the pages of the file were not verified"), "{checked:?}");
    assert_eq!(hive.json(&["check", "--pages"])["pages"], true);
}

#[test]
fn verbs_that_only_read_leave_no_trace() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["point", "create"]);
    let before = fs::read(hive.path()).unwrap();
    for verb in [
        &["status", "--sizes"][..],
        &["get", "queue", "--at", "latest"],
        &["point", "list", "--all", "--sizes"],
        &["point", "diff", "latest"],
        &["restore", "latest", "--dry-run"],
        &["point", "forget", "--policy", "--dry-run"],
        &["log"],
        &["history"],
        &["queue", "list"],
    ] {
        hive.ok(verb);
    }
    assert_eq!(fs::read(hive.path()).unwrap(), before);
    let names: Vec<_> =
        fs::read_dir(hive.path().parent().unwrap()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("new")), "{names:?}");
}

#[test]
fn status_reports_a_killed_process_until_it_is_acknowledged() {
    let hive = Hive::new();
    assert_eq!(hive.json(&["crash", "ack"]), json!({"acknowledged": 0}));
    let point = hive.ok(&["point", "create", "before the crash"]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--json"];
    for killed in [true, false] {
        let mut service = Running::start(&hive, &serve);
        service.line();
        if killed {
            assert_eq!(service.stop("-KILL"), None);
        }
        let status = hive.ok(&["status"]);
        let line = status.lines().find(|line| line.starts_with("crashed")).unwrap();
        assert!(line.contains("hivekeep, last alive") && line.contains("nothing acknowledged is lost; "), "{line}");
        assert!(line.ends_with("hivekeep crash ack") && !line.contains("restore"), "{line}");
        assert_eq!(hive.json(&["status"])["crash"]["restore_point"], point.trim());
        assert_eq!(hive.json(&["status"])["crash"]["reason"], "process_died");
        if killed {
            continue;
        }
        assert_eq!(hive.json(&["crash", "ack"]), json!({"acknowledged": 1}));
        assert!(!hive.ok(&["status"]).contains("crashed"));
        assert_eq!(service.stop("-TERM"), Some(0));
    }
}

#[test]
fn a_killed_process_is_reported_and_acknowledged_before_another_one_starts() {
    let hive = Hive::new();
    let mut service = Running::start(&hive, &["serve", "--listen", "127.0.0.1:0", "--json"]);
    service.line();
    assert_eq!(service.stop("-KILL"), None);
    let before = fs::read(hive.path()).unwrap();
    assert!(hive.ok(&["status"]).contains("\ncrashed  session"));
    let doctor = hive.run(&["doctor"]).out;
    assert!(
        doctor.contains("a process crashed: hivekeep") && doctor.contains("-> once seen: hivekeep crash ack"),
        "{doctor}"
    );
    assert_eq!(fs::read(hive.path()).unwrap(), before, "reading verbs write nothing");
    assert_eq!(hive.json(&["crash", "ack"]), json!({"acknowledged": 1}));
    assert!(!hive.ok(&["status"]).contains("crashed"));
    assert!(hive.run(&["doctor"]).out.contains("none crashed"));
    assert_eq!(hive.json(&["crash", "ack"]), json!({"acknowledged": 0}));
}
