//! The content of an archive, as other programs see it.

use std::path::Path;
use std::process::Command;

use hivekeep::{EventKind, ExportOptions, ImportOptions, Origin, Page, Selector, Store};
use serde_json::{Value, json};

use crate::hive::{Hive, digests, names};

fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(ran.stdout), text(ran.stderr));
    assert!(ran.status.success(), "{program} {arguments:?}\n{out}{err}");
    out
}

fn json_of(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

#[test]
fn tar_opens_an_archive_and_sha256sum_accepts_it() {
    let hive = Hive::full();
    for name in ["a.tar.gz", "a.tar.zst"] {
        let report = hive.export(name);
        let folder = hive.path(&format!("{name} unpacked"));
        std::fs::create_dir(&folder).unwrap();
        run(&folder, "tar", &["-xf", &format!("../{name}")]);
        let checked = run(&folder, "sha256sum", &["--strict", "-c", "SHA256SUMS"]);
        assert!(checked.lines().all(|line| line.ends_with(": OK")), "{checked}");
        let listed = run(hive.folder(), "tar", &["-tf", name]);
        assert_eq!(listed.lines().next(), Some("manifest.json"));
        assert_eq!(listed.lines().last(), Some("SHA256SUMS"));
        assert_eq!(checked.lines().count() + 1, listed.lines().count(), "every entry but the sums has a sum");
        let sum = run(hive.folder(), "sha256sum", &[name]);
        assert_eq!(sum, format!("{}  {name}\n", report.sha256));
        assert_eq!(report.file_bytes, std::fs::metadata(hive.path(name)).unwrap().len());

        let manifest = json_of(&folder, "manifest.json");
        assert_eq!((&manifest["version"], &manifest["store"]), (&json!(1), &json!("h.redb")));
        assert_eq!(manifest["point"]["id"], json!(report.point.id));
        assert_eq!(json_of(&folder, "registry.json")["ant"]["port"], json!(8001));
        assert_eq!(json_of(&folder, "queue.json")["two"]["payload"], json!([1e300, null]));
        assert_eq!(json_of(&folder, "assignments.json"), json!({"bee": ["one", "three"]}));
        assert_eq!(json_of(&folder, "chat.json")[0]["content"], "hello\nthere");
        assert_eq!(json_of(&folder, "collections/rooms.attic.json"), json!({"a/../b": {"celsius": 21.5}}));
        let lines = std::fs::read_to_string(folder.join("collections/lines-000001.jsonl")).unwrap();
        assert_eq!(lines.lines().count(), 6);
        assert!(lines.starts_with(r#"{"key":"a \"0\"","value":"é\né\n"#));
        assert!(!listed.contains("records/collections/lines"), "lines are exact, and stand there once");
        let documents = std::fs::read_to_string(folder.join("documents.json")).unwrap();
        assert!(documents.contains("registry/nightly") && documents.contains("1e400"), "{documents}");
        let audit = std::fs::read_to_string(folder.join("audit-000001.jsonl")).unwrap();
        let actions: Vec<_> =
            audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["action"].clone()).collect();
        assert_eq!(actions, ["deploy", "restart"]);
    }
}

#[test]
fn the_same_point_gives_the_same_bytes_whatever_happened_since() {
    let hive = Hive::full();
    let first = hive.export("a.tar.gz");
    hive.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(hive.export("b.tar.gz").sha256, first.sha256, "nothing has changed, so the point is the same");
    hive.store
        .write(|tx| {
            tx.config().put("limit", &json!(6))?;
            tx.collection("later")?.put("k", &json!(1))?;
            tx.audit().append(hivekeep::NewEntry::new("later", "ops")).map(drop)
        })
        .unwrap();
    let again = ExportOptions::new().at(first.point.id.as_ref().unwrap());
    let again = hive.store.export(hive.path("c.tar.gz"), &again).unwrap();
    assert_eq!(again.sha256, first.sha256);
    let now = hive.export("d.tar.gz");
    assert_ne!(now.point.id, first.point.id);
    let zst = ["e.tar.zst", "f.tar.zst"].map(|name| hive.export(name).sha256);
    assert_eq!(zst[0], zst[1]);
}

#[test]
fn a_large_collection_is_a_line_for_each_record_in_several_files() {
    let hive = Hive::empty();
    let text = "x".repeat(1000);
    hive.store
        .load(|tx| {
            let mut rooms = tx.collection("rooms")?;
            (0..6000u32).try_for_each(|n| rooms.put(&format!("room-{n:05}"), &json!({"n": n, "text": text})))
        })
        .unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let progress = |done, of| seen.lock().unwrap().push((done, of));
    hive.store.export_with(hive.path("a.tar.zst"), &ExportOptions::new(), progress).unwrap();
    assert_eq!(seen.lock().unwrap().last(), Some(&(6000, 6000)));
    run(hive.folder(), "tar", &["-xf", "a.tar.zst", "collections"]);
    let files = names(&hive.path("collections"));
    assert!(files.len() > 2, "{files:?}");
    let lines = files.iter().map(|name| std::fs::read_to_string(hive.path("collections").join(name)).unwrap());
    let lines = lines.collect::<String>();
    for (n, line) in lines.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["key"], &line["value"]["n"]), (&json!(format!("room-{n:05}")), &json!(n)));
    }
    assert_eq!(lines.lines().count(), 6000);
    assert_eq!(digests(&hive.become_new("a.tar.zst", "new.redb")), digests(&hive.store));
}

#[test]
fn a_new_store_has_the_state_the_point_the_trail_and_numbers_that_nobody_had() {
    let hive = Hive::full();
    let point = hive.store.restore_point("before the move").unwrap();
    let report = hive.export("a.tar.gz");
    assert_eq!(report.point.id.as_ref(), Some(&point.id));
    let new = hive.become_new("a.tar.gz", "new.redb");
    assert_eq!(digests(&new), digests(&hive.store));
    assert!(new.check().unwrap().is_sound());
    let there = new.find_point("latest".parse::<Selector>().unwrap()).unwrap().unwrap();
    assert_eq!((&there.id, there.timestamp, there.origin), (&point.id, point.timestamp, Some(Origin::Live)));
    assert_eq!(there.description, "before the move");
    let (view, own) = (new.view().unwrap(), hive.store.view().unwrap());
    assert_eq!(view.audit().list(Page::oldest(9)).unwrap(), own.audit().list(Page::oldest(9)).unwrap());
    assert!(view.audit().verify().unwrap().findings.is_empty());
    assert_eq!(view.config().get("long").unwrap(), own.config().get("long").unwrap());
    let events = view.events().list(Page::oldest(9)).unwrap();
    assert_eq!(events[0].kind, EventKind::Imported);
    new.write(|tx| tx.audit().append(hivekeep::NewEntry::new("moved", "ops"))).unwrap();
    assert!(new.view().unwrap().audit().verify().unwrap().findings.is_empty(), "the chain goes on");

    let held = view.queue().get(&"one".parse().unwrap()).unwrap().unwrap().holder.unwrap();
    new.write(|tx| tx.queue().complete(&"one".parse()?, held.token, "done")).unwrap();
    let next = new.write(|tx| tx.queue().claim(&"ant".parse()?, &hivekeep::ClaimOptions::default())).unwrap();
    assert!(next[0].token.0 > held.token.0 + 1000, "a token that was given out behind the archive would count here");
}

#[test]
fn an_import_into_a_store_goes_back_exactly_and_is_undone_exactly() {
    let hive = Hive::full();
    let archived = digests(&hive.store);
    hive.export("a.tar.gz");
    hive.store
        .write(|tx| {
            tx.config().put("limit", &json!(6))?;
            tx.config().remove("long")?;
            tx.registry().remove(&"ant".parse()?)?;
            tx.collection("later")?.put("k", &json!(1))?;
            tx.audit().append(hivekeep::NewEntry::new("later", "ops")).map(drop)
        })
        .unwrap();
    let changed = digests(&hive.store);
    let options = ImportOptions::new();
    let plan = hive.store.plan_import(hive.path("a.tar.gz"), &options).unwrap();
    assert_eq!(digests(&hive.store), changed, "a plan changes nothing");
    let report = hive.store.import(hive.path("a.tar.gz"), &options).unwrap();
    assert_eq!(plan.collections, report.collections);
    assert_eq!((report.created, report.claims_returned), (false, 1));
    let counts = &report.collections;
    assert_eq!((counts["config"].added, counts["config"].changed, counts["later"].removed), (1, 1, 1));
    // Its one claim has come back to ready since; all else is as it was.
    let without_queue = |all: Vec<(String, hivekeep::Stats)>| {
        all.into_iter().filter(|(name, _)| name != "queue" && name != "assignments").collect::<Vec<_>>()
    };
    assert_eq!(without_queue(digests(&hive.store)), without_queue(archived));
    assert_eq!(hive.store.view().unwrap().audit().head().unwrap().sequence, 3, "the trail is the store's own");
    assert!(hive.store.check().unwrap().is_sound());
    hive.store.undo().unwrap();
    assert_eq!(digests(&hive.store), changed);
    hive.store.undo().unwrap();
    assert_eq!(hive.store.view().unwrap().config().get("limit").unwrap(), Some(json!(5)), "an undo is undone");
    assert!(hive.store.check().unwrap().is_sound());
}

#[test]
fn only_what_is_named_is_archived_and_taken() {
    let hive = Hive::full();
    let only = ExportOptions::new().only(["queue", "config"]);
    hive.store.export(hive.path("part.tar.gz"), &only).unwrap();
    let manifest = Store::verify_archive(hive.path("part.tar.gz"), &ImportOptions::new()).unwrap();
    let there: Vec<_> = manifest.collections.iter().map(|collection| collection.name.as_str()).collect();
    assert_eq!(there, ["queue", "assignments", "config"]);
    assert!(!manifest.complete && manifest.audit.is_none());
    hive.store
        .write(|tx| {
            tx.config().put("limit", &json!(6))?;
            tx.queue().cancel(&"three".parse()?)?;
            tx.registry().remove(&"ant".parse()?).map(drop)
        })
        .unwrap();
    let only = ImportOptions::new().only(["config"]);
    let report = hive.store.import(hive.path("part.tar.gz"), &only).unwrap();
    assert_eq!(report.collections.keys().collect::<Vec<_>>(), ["config"]);
    let report = hive.store.import(hive.path("part.tar.gz"), &ImportOptions::new()).unwrap();
    assert_eq!(report.collections.keys().collect::<Vec<_>>(), ["assignments", "queue"]);
    assert!(hive.store.view().unwrap().registry().get(&"ant".parse().unwrap()).unwrap().is_none());
    let wrong = ImportOptions::new().only(["registry"]);
    let error = hive.store.import(hive.path("part.tar.gz"), &wrong).unwrap_err();
    assert!(error.to_string().ends_with("it has queue, assignments, config: collection=registry"), "{error}");
    hive.become_new("part.tar.gz", "part.redb");
}

#[test]
fn an_archive_has_an_event_and_nothing_is_left_beside_it() {
    let hive = Hive::full();
    let before = names(hive.folder());
    hive.export("a.tar.gz");
    let events = hive.store.view().unwrap().events().list(Page::newest(1)).unwrap();
    assert_eq!((&events[0].kind, &events[0].details["records"]), (&EventKind::ArchiveCreated, &json!(20)));
    let refused = hive.store.export(hive.path("a.tar.gz"), &ExportOptions::new()).unwrap_err();
    assert_eq!(refused.kind(), hivekeep::ErrorKind::Conflict);
    let replace = ExportOptions::new().replace(true);
    hive.store.export(hive.path("a.tar.gz"), &replace).unwrap();
    let mut after = before;
    after.insert(0, "a.tar.gz".to_owned());
    assert_eq!(names(hive.folder()), after);
}
