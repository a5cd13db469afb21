//! `export` and `import`.

use std::fs;

use serde_json::{Value, json};

use crate::util::{Hive, keys};

#[test]
fn an_archive_becomes_the_same_store_elsewhere() {
    let hive = Hive::new();
    hive.fill();
    let printed = hive.ok(&["export", "a.tar.gz"]);
    let (sum, name) = printed.trim_end().split_once("  ").unwrap();
    assert_eq!((sum.len(), name), (64, "a.tar.gz"));
    let ran = hive.run(&["--store", "new.redb", "import", "a.tar.gz"]).with(0);
    assert_eq!(
        ran.out,
        "config: 1 added, 0 changed, 0 removed\nqueue: 2 added, 0 changed, 0 removed\nregistry: 3 added, 0 changed, 0 removed\n"
    );
    assert!(
        ran.err.starts_with("imported 6 records of ") && ran.err.ends_with(" into the new new.redb\n"),
        "{}",
        ran.err
    );
    let mut audited = hive.json(&["get", "audit"]);
    assert_eq!(audited.as_array_mut().and_then(Vec::pop).unwrap()["action"], "export");
    let mut imported = hive.json(&["--store", "new.redb", "get", "audit"]);
    assert_eq!(imported.as_array_mut().and_then(Vec::pop).unwrap()["action"], "import");
    assert_eq!(imported, audited);
    for kind in ["registry", "queue", "config", "assignments", "chat", "documents"] {
        let here = hive.ok(&["get", kind, "--json"]);
        assert_eq!(hive.ok(&["--store", "new.redb", "get", kind, "--json"]), here);
    }
    let report = hive.json(&["export", "b.tar.zst", "--at", "latest", "--only", "queue"]);
    assert_eq!(keys(&report)[..3], ["file", "sha256", "file_bytes"]);
    assert_eq!((&report["records"], &report["encrypted"]), (&json!(2), &json!(false)));
}

#[test]
fn an_import_into_a_store_can_be_planned_and_undone() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["export", "a.tar.gz"]);
    hive.ok(&["put", "config", "limit", "6"]);
    let shown = hive.ok(&["import", "a.tar.gz", "--dry-run"]);
    assert!(shown.ends_with("from a.tar.gz\n  config: 0 added, 1 changed, 0 removed\n"), "{shown}");
    assert_eq!(hive.json(&["get", "config", "limit"]), json!(6));
    let ran = hive.run(&["import", "a.tar.gz", "--only", "config"]).with(0);
    assert_eq!(ran.err, "imported 1 record; undo with: hivekeep undo\n");
    assert_eq!(hive.json(&["get", "config", "limit"]), json!(5));
    hive.ok(&["undo"]);
    assert_eq!(hive.json(&["get", "config", "limit"]), json!(6));
    let events = hive.ok(&["log", "--json"]);
    for event in ["archive_created", "imported", "restore_undone"] {
        assert!(events.contains(event), "{events}");
    }
}

#[test]
fn an_impossible_export_or_import_is_refused_and_leaves_no_file() {
    let hive = Hive::new();
    hive.fill();
    assert!(
        hive.refused(&["export", "a.zip"], 2).starts_with("the name of an archive must end with .tar.gz or .tar.zst")
    );
    assert!(hive.refused(&["export", "a.tar.gz", "--only", "cats"], 2).contains("collection=cats"));
    assert!(hive.refused(&["export", "a.tar.gz", "--at", "latest"], 13).contains("no restore point"));
    hive.ok(&["export", "a.tar.gz"]);
    let said = hive.refused(&["export", "a.tar.gz"], 1);
    assert_eq!(said, "the file exists; name another, or replace it: file=a.tar.gz\nhint: to replace it: --force");
    hive.ok(&["export", "a.tar.gz", "--force"]);
    assert!(hive.refused(&["import", "none.tar.gz"], 13).contains("no such archive"));
    let bytes = fs::read(hive.path().with_file_name("a.tar.gz")).unwrap();
    fs::write(hive.path().with_file_name("cut.tar.gz"), &bytes[..bytes.len() / 2]).unwrap();
    assert!(hive.refused(&["import", "cut.tar.gz"], 4).starts_with("cut.tar.gz: "));
    assert!(hive.refused(&["--store", "new.redb", "import", "cut.tar.gz"], 4).contains("truncated"));
    let said = hive.run(&["--store", "new.redb", "import", "a.tar.gz", "--dry-run"]).with(0).err;
    assert_eq!(said, "a.tar.gz is sound; new.redb would be new\n");
    assert!(!hive.path().with_file_name("new.redb").exists());
    let ran = hive.run(&["import", "cut.tar.gz", "--json"]).with(4);
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!((&error["kind"], &error["code"]), (&json!("damaged"), &json!(4)));
}

#[cfg(feature = "age")]
#[test]
fn an_encrypted_archive_needs_its_passphrase() {
    let hive = Hive::new();
    hive.fill();
    fs::write(hive.path().with_file_name("secret"), "correct horse\n").unwrap();
    hive.ok(&["export", "a.tar.zst.age", "--passphrase-file", "secret"]);
    let said = hive.refused(&["--store", "new.redb", "import", "a.tar.zst.age"], 2);
    assert_eq!(said, "the archive is encrypted; give its passphrase\nhint: --passphrase-file FILE");
    hive.ok(&["--store", "new.redb", "import", "a.tar.zst.age", "--passphrase-file", "secret"]);
}
