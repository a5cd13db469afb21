//! `replica`: made, shipped by a service that is killed, restored, and taken over.

use serde_json::Value;

use crate::util::Hive;
#[cfg(all(unix, feature = "http"))]
use crate::util::Running;

/// A file beside the store.
fn file(hive: &Hive, name: &str) -> std::path::PathBuf {
    hive.path().with_file_name(name)
}

/// Exports a file that refuses writes, and imports the archive.
fn is_exported_as_it_is(hive: &Hive, store: &str) {
    let log = || hive.ok(&["--store", store, "log"]);
    let before = log();
    let (archive, back) = (format!("{store}.tar.gz"), format!("back-{store}"));
    hive.ok(&["--store", store, "export", &archive]);
    assert_eq!(log(), before, "it has no new event");
    hive.ok(&["--store", &back, "import", &archive]);
    let get = ["get", "config"];
    assert_eq!(hive.ok(&[&["--store", &back], &get[..]].concat()), hive.ok(&[&["--store", store], &get[..]].concat()));
}

#[test]
fn a_replica_is_made_looked_at_verified_and_restored_into_a_new_file() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "colour", "\"red\""]);
    hive.ok(&["replica", "init", "there"]);
    let refused = hive.run(&["replica", "init", "there"]).with(1);
    assert!(refused.err.contains("there is a replica already"), "{}", refused.err);
    let status: Value = serde_json::from_str(&hive.ok(&["--json", "replica", "status", "there"])).unwrap();
    assert_eq!((status["bases"].as_array().unwrap().len(), &status["term"]["is_sealed"]), (1, &Value::Bool(true)));
    assert!(hive.ok(&["replica", "verify", "there"]).contains("sound: 1 whole base"));
    let drilled: Value = serde_json::from_str(&hive.ok(&["--json", "replica", "drill", "there"])).unwrap();
    assert!(drilled["records"].as_u64().unwrap() > 0 && drilled["restored_ms"].is_number(), "{drilled}");
    assert!(hive.ok(&["replica", "drill", "there", "--at", "newest", "--scratch", "."]).contains("came back in"));
    let said = hive.run(&["replica", "restore", "there", "--to", "copy.redb"]).with(0).err;
    assert!(said.contains(": hivekeep replica promote there --to copy.redb\n"), "{said}");
    assert!(said.contains(": hivekeep replica take-over copy.redb --as-new-store\n"), "{said}");
    let moment = format!("sequence {}", status["newest"]["sequence"]);
    let said = hive.run(&["replica", "restore", "there", "--to", "then.redb", "--at", &moment]).with(0).err;
    assert!(said.contains("discard all commits after") && !said.contains("promote"), "{said}");
    let said = hive.run(&["replica", "take-over", "then.redb"]).with(0).err;
    assert!(said.contains("gives up all that it has behind commit"), "{said}");
    assert_eq!(hive.ok(&["--store", "copy.redb", "get", "config", "colour"]).trim(), "\"red\"");
    let refused = hive.run(&["--store", "copy.redb", "put", "config", "colour", "1"]).with(1);
    assert!(refused.err.contains("take it over"), "{}", refused.err);
    is_exported_as_it_is(&hive, "copy.redb");
    assert!(hive.ok(&["replica", "standby", "there", "--to", "standby.redb", "--once"]).is_empty());
    assert!(hive.run(&["--store", "standby.redb", "put", "config", "colour", "1"]).code != Some(0));
    hive.run(&["replica", "promote", "there", "--to", "none.redb"]).with(10);
    assert!(hive.ok(&["replica", "promote", "there", "--to", "standby.redb"]).contains("writes from now on"));
    hive.ok(&["--store", "standby.redb", "put", "config", "colour", "1"]);
    let again = hive.run(&["replica", "promote", "there", "--to", "standby.redb"]).with(1).err;
    assert!(again.contains("promoted or taken over before") && again.contains("ship it"), "{again}");
    let own = ["replica", "take-over", "copy.redb", "--as-new-store"];
    hive.ok(&own);
    assert!(hive.run(&own).with(1).err.contains("one of its own"));
    hive.ok(&["--store", "copy.redb", "put", "config", "colour", "\"blue\""]);
    let trail = hive.ok(&["--store", "copy.redb", "--json", "get", "audit"]);
    assert!(trail.contains("take_over"), "{trail}");
}

#[test]
fn a_restore_of_a_moment_that_is_not_there_and_of_a_damaged_replica_are_refused_by_name() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "colour", "\"red\""]);
    hive.ok(&["replica", "init", "there"]);
    let early = ["replica", "restore", "there", "--to", "c.redb", "--at", "2001-01-01T00:00:00Z"];
    let refused = hive.run(&early).err;
    assert!(refused.contains("no base that is so old"), "{refused}");
    let oldest = refused.split_once("oldest=").unwrap().1.split(' ').next().unwrap();
    hive.ok(&["replica", "restore", "there", "--to", "oldest.redb", "--at", oldest]);
    let late = ["replica", "restore", "there", "--to", "c.redb", "--at", "2100-01-01T00:00:00Z"];
    assert!(hive.run(&late).err.contains("newest="));
    let wrong = ["replica", "drill", "there", "--at", "tomorrow"];
    assert!(hive.run(&wrong).with(2).err.contains("10m ago"));
    assert!(hive.ok(&["replica", "drill", "there", "--at", "newest"]).contains("came back in"));
    let part = file(&hive, "there/base/00000001-000000000001-000/part-00000");
    let mut bytes = std::fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let refused = hive.run(&["replica", "restore", "there", "--to", "c.redb"]).with(4);
    assert!(refused.err.contains("part-00000"), "{}", refused.err);
    assert!(!file(&hive, "c.redb").exists());
    hive.run(&["replica", "verify", "there"]).with(4);
    hive.run(&["replica", "drill", "there"]).with(4);
}

#[test]
fn the_loss_of_the_machine_is_rehearsed_with_the_replica_which_stays_as_it_is() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "colour", "\"red\""]);
    let refused = hive.run(&["drill", "--only", "machine_lost"]).with(2);
    assert!(refused.err.contains("only with a replica"), "{}", refused.err);
    hive.ok(&["replica", "init", "there"]);
    let before = hive.ok(&["replica", "status", "there"]);
    let report = hive.ok(&["--json", "drill", "--only", "machine_lost", "--replica", "there"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    let scenario = &report["scenarios"][0];
    assert_eq!(
        (&scenario["name"], &scenario["met"], &scenario["lost_records"]),
        (&"machine_lost".into(), &true.into(), &0.into())
    );
    assert_eq!(hive.ok(&["replica", "status", "there"]), before);
    let status: Value = serde_json::from_str(&hive.ok(&["--json", "status"])).unwrap();
    let location = status["replica"]["location"].as_str().unwrap();
    assert!(location.ends_with("there") && location.starts_with('/'), "{status}");
    assert_eq!(status["last_drill"]["scenarios"][0]["name"], "machine_lost");
    assert!(hive.ok(&["status"]).contains("replica  /"));
}

#[cfg(unix)]
#[test]
fn a_bucket_that_does_not_answer_is_told_soon_with_its_cause_and_the_credentials_that_are_missing() {
    use std::io::{BufRead, BufReader};

    let hive = Hive::new();
    let nobody = "http://127.0.0.1:9";
    let mut program = hive.command(&["replica", "status", &format!("s3://b/p?endpoint={nobody}")]);
    let own = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("AWS_"));
    for name in own {
        program.env_remove(name);
    }
    program.env("AWS_METADATA_ENDPOINT", nobody).stderr(std::process::Stdio::piped());
    let mut waiting = program.spawn().unwrap();
    let mut said = String::new();
    BufReader::new(waiting.stderr.take().unwrap()).read_line(&mut said).unwrap();
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    assert!(said.starts_with("still trying, for at most 5"), "{said}");
    assert!(said.contains("Connection refused") && said.contains("AWS_ACCESS_KEY_ID"), "{said}");
    assert!(!said.contains("Error performing"), "{said}");
}

#[test]
fn a_verb_that_reads_a_replica_makes_no_folder_where_none_is() {
    let hive = Hive::new();
    for verb in ["status", "verify", "drill"] {
        let refused = hive.run(&["replica", verb, "typo/there"]);
        assert!(refused.code != Some(0) && refused.err.contains("typo/there"), "{}", refused.err);
    }
    hive.run(&["replica", "standby", "typo/there", "--to", "s.redb", "--once"]);
    assert!(!file(&hive, "typo").exists() && !file(&hive, "s.redb").exists());
}

#[test]
fn a_new_file_in_a_folder_that_is_not_there_is_refused_by_the_name_of_the_folder() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "colour", "\"red\""]);
    hive.ok(&["replica", "init", "there"]);
    hive.ok(&["export", "a.tar.gz"]);
    for typed in [
        &["replica", "restore", "there", "--to", "none/c.redb"][..],
        &["replica", "standby", "there", "--once", "--to", "none/c.redb"],
        &["replica", "drill", "there", "--scratch", "none"],
        &["drill", "--scratch", "none"],
        &["restore", "now", "--to", "none/c.redb"],
        &["repair", "--to", "none/c.redb"],
        &["export", "none/a.tar.gz"],
        &["--store", "none/c.redb", "import", "a.tar.gz"],
    ] {
        let refused = hive.run(typed);
        assert_ne!(refused.code, Some(0), "{typed:?}");
        assert!(refused.err.contains("the folder none does not exist"), "{typed:?}: {}", refused.err);
    }
}

#[test]
fn a_verb_that_needs_no_store_works_while_the_store_is_at_a_service() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "colour", "\"red\""]);
    hive.ok(&["replica", "init", "there"]);
    let away = |verb: &[&str]| hive.run(&[&["--store", "http://127.0.0.1:9", "replica"], verb].concat());
    for verb in [
        &["status", "there"][..],
        &["verify", "there"],
        &["drill", "there"],
        &["restore", "there", "--to", "copy.redb"],
        &["standby", "there", "--to", "copy.redb", "--once"],
        &["promote", "there", "--to", "copy.redb"],
    ] {
        away(verb).with(0);
    }
    assert!(away(&["init", "other"]).with(2).err.contains("does not work over a service"));
}

/// Alters a stored value, also in copies of the row that are not in use any more.
fn damage(hive: &Hive, value: &[u8], other: &[u8]) {
    let mut bytes = std::fs::read(hive.path()).unwrap();
    let spots: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(value)).collect();
    assert!(!spots.is_empty());
    spots.iter().for_each(|at| bytes[*at..at + other.len()].copy_from_slice(other));
    std::fs::write(hive.path(), bytes).unwrap();
}

#[test]
fn damage_comes_back_from_the_replica_into_a_new_file_or_into_the_store_itself() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "colour", "\"red\""]);
    hive.ok(&["replica", "init", "there"]);
    hive.ok(&["put", "config", "shape", "\"round\""]);
    damage(&hive, b"\"red\"", b"\"rod\"");
    let location = file(&hive, "there").display().to_string();
    for (verb, code) in [(&["check"][..], 4), (&["repair", "--dry-run"], 3), (&["doctor"], 4)] {
        let said = hive.run(verb).with(code).err;
        for way in ["check --heal", "repair --from"] {
            assert!(said.contains(&format!("hivekeep {way} {location} ")), "{verb:?}: {said}");
        }
    }
    let refused = hive.run(&["get", "config", "colour"]).with(4).err;
    assert!(refused.contains("; from its replica: hivekeep check --heal "), "{refused}");
    let planned = hive.ok(&["repair", "--from", "there", "--dry-run"]);
    assert!(planned.contains("live: rows that came from the replica: 1\n"), "{planned}");
    hive.ok(&["repair", "--from", "there", "--to", "sound.redb"]);
    assert_eq!(hive.ok(&["--store", "sound.redb", "get", "config", "colour"]).trim(), "\"red\"");

    let healed = hive.ok(&["check", "--heal", "there"]);
    assert!(healed.contains("colour: healed\nhealed: 1 row; not healed: 0 rows\nsound: "), "{healed}");
    assert_eq!(hive.ok(&["get", "config", "colour"]).trim(), "\"red\"");
    assert!(hive.ok(&["log"]).contains("rows_healed"));
    let trail = hive.ok(&["--json", "get", "audit"]);
    assert!(trail.contains("\"heal\""), "{trail}");

    // Nobody else has the commit that was not shipped.
    damage(&hive, b"\"round\"", b"\"raond\"");
    let refused = hive.run(&["--json", "check", "--heal", "there"]).with(4).out;
    assert!(refused.contains("does not keep them"), "{refused}");
    let other = Hive::new();
    other.ok(&["replica", "init", "other"]);
    let refused = hive.run(&["check", "--heal", file(&other, "other").to_str().unwrap()]).with(1);
    assert!(refused.err.contains("the replica is of another store"), "{}", refused.err);
}

#[cfg(all(unix, feature = "http"))]
/// Waits until a condition holds.
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    use std::time::{Duration, Instant};

    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(all(unix, feature = "http"))]
#[test]
fn a_write_that_waits_for_the_replica_survives_the_machine() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "number", "0"]);
    hive.ok(&["replica", "init", "there"]);
    hive.run(&["serve", "--durability", "replicated", "--listen", "127.0.0.1:0"]).with(2);
    let refused = hive.run(&["serve", "--listen", "127.0.0.1:0", "--replica", "nowhere"]).err;
    assert!(refused.contains("error: ") && !refused.contains("WARN"), "it is told once: {refused}");
    let replicated = ["--replica", "there", "--replica-interval", "1h", "--durability", "replicated"];
    let (mut service, at) = serve(&hive, "h.redb", &replicated);
    let at = at.as_str();
    for number in 1..6 {
        hive.ok(&["--store", at, "put", "config", "number", &number.to_string()]);
    }
    hive.ok(&["--store", at, "point", "create", "waits too"]);
    // The machine is lost, and its disk with it.
    service.stop("-KILL");
    hive.ok(&["replica", "restore", "there", "--to", "back.redb"]);
    assert_eq!(hive.ok(&["--store", "back.redb", "get", "config", "number"]).trim(), "5");
    assert!(hive.ok(&["--store", "back.redb", "point", "list"]).contains("waits too"));
}

#[cfg(all(unix, feature = "http"))]
#[test]
fn a_killed_machine_is_back_on_another_one_and_the_old_one_writes_nothing_any_more() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "colour", "\"red\""]);
    hive.ok(&["replica", "init", "there"]);
    let serve = |store: &str, port_file: &str| {
        let file = std::fs::File::create(file(&hive, port_file)).unwrap();
        let mut program = hive.command(&["--store", store, "--json", "serve", "--listen", "127.0.0.1:0"]);
        program
            .args(["--replica", "there", "--replica-interval", "50ms", "--archive-every", "off"])
            .stdout(file)
            .spawn()
            .unwrap()
    };
    let address = |port_file: &str| {
        let mut url = None;
        wait_until("the service does not listen", || {
            std::fs::read_to_string(file(&hive, port_file)).is_ok_and(|text| text.contains("listening"))
        });
        for line in std::fs::read_to_string(file(&hive, port_file)).unwrap().lines() {
            let greeting: Value = serde_json::from_str(line).unwrap();
            url = greeting["listening"].as_str().map(str::to_owned);
        }
        url.unwrap()
    };
    let mut first = serve("h.redb", "first");
    let at = address("first");
    let greeting: Value = serde_json::from_str(&std::fs::read_to_string(file(&hive, "first")).unwrap()).unwrap();
    assert_eq!(greeting["replica"]["location"], file(&hive, "there").to_str().unwrap());
    assert!(greeting["replica"]["term"] == 2 && greeting["replica"]["sequence"].as_u64().unwrap() > 0, "{greeting}");
    for number in 0..20 {
        hive.ok(&["--store", &at, "put", "config", "number", &number.to_string()]);
    }
    let newest = || {
        let status: Value = serde_json::from_str(&hive.ok(&["--json", "replica", "status", "there"])).unwrap();
        status["newest"]["sequence"].as_u64().unwrap()
    };
    hive.ok(&["--store", &at, "queue", "push", "1", "--id", "t"]);
    // Nothing is written any more, and the replica has everything after ten intervals.
    wait_until("the replica does not come to rest", || {
        let before = newest();
        std::thread::sleep(std::time::Duration::from_millis(500));
        newest() == before
    });
    // The machine is gone, as far as the other one knows.
    let stopped = rustix::process::Pid::from_child(&first);
    rustix::process::kill_process(stopped, rustix::process::Signal::STOP).unwrap();
    hive.ok(&["replica", "restore", "there", "--to", "new.redb", "--take-over"]);
    assert_eq!(hive.ok(&["--store", "new.redb", "get", "config", "number"]).trim(), "19");
    hive.ok(&["--store", "new.redb", "get", "queue", "t"]);
    let status = hive.ok(&["replica", "status", "there"]);
    assert!(status.contains("term 3 of"), "the term of the old machine is over: {status}");
    let mut second = serve("new.redb", "second");
    let there = address("second");
    hive.ok(&["--store", &there, "put", "config", "number", "100"]);
    // It was asleep, and not dead.
    rustix::process::kill_process(stopped, rustix::process::Signal::CONT).unwrap();
    wait_until("the old machine goes on writing", || {
        hive.run(&["--store", &at, "put", "config", "number", "7"]).code != Some(0)
    });
    hive.ok(&["--store", &there, "put", "config", "number", "101"]);
    for child in [&mut first, &mut second] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(hive.ok(&["replica", "verify", "there"]).contains("sound:"));
}

#[cfg(all(unix, feature = "http"))]
#[test]
fn a_standby_promotes_itself_when_the_service_is_killed_and_the_old_file_is_locked_before_the_new_one_has_shipped() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "number", "0"]);
    hive.ok(&["replica", "init", "there"]);
    let lease = ["serve", "--listen", "127.0.0.1:0", "--replica", "there", "--replica-lease", "5s"];
    let shared = [&lease[..], &["--exclusive=false"]].concat();
    assert!(hive.run(&shared).with(2).err.contains("replica-lease"));
    let often = ["--replica", "there", "--replica-lease", "5s", "--replica-interval", "50ms"];
    let (mut service, at) = serve(&hive, "h.redb", &often);
    let at = at.as_str();
    hive.ok(&["--store", at, "put", "config", "number", "1"]);
    let status: Value = serde_json::from_str(&hive.ok(&["--store", at, "--json", "status"])).unwrap();
    assert!(status["replica"]["shipping"]["lease_left_ms"].as_u64().unwrap() > 0, "{status}");
    assert!(hive.ok(&["replica", "status", "there"]).contains("lease of 5s"));
    let said = std::fs::File::create(file(&hive, "said")).unwrap();
    let mut program =
        hive.command(&["replica", "standby", "there", "--to", "copy.redb", "--every", "50ms", "--promote"]);
    let mut standby = program.stderr(said).spawn().unwrap();
    wait_until("there is no standby", || {
        hive.run(&["--store", "copy.redb", "get", "config", "number"]).out.trim() == "1"
    });
    // As long as the service gives signs, it stays one.
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert!(standby.try_wait().unwrap().is_none(), "{}", std::fs::read_to_string(file(&hive, "said")).unwrap());
    service.stop("-KILL");
    let ended = standby.wait().unwrap();
    let said = std::fs::read_to_string(file(&hive, "said")).unwrap();
    assert!(ended.success() && said.contains("after 5s without a sign"), "{said}");
    assert!(said.contains("ship it: hivekeep --store copy.redb serve --replica-lease 5s --replica there\n"), "{said}");
    // Nobody waits for the lease of a term that is over.
    let status = hive.ok(&["replica", "status", "there"]);
    assert!(status.contains(" by a promotion: over") && !status.contains("lease of"), "{status}");
    hive.ok(&["--store", "copy.redb", "put", "config", "number", "2"]);
    // It lacks nothing that was shipped, and must not go on all the same.
    let refused = hive.run(&lease).with(1);
    assert!(refused.err.contains("moved to another file"), "{}", refused.err);
    assert!(!refused.err.contains("WARN") && !refused.err.contains("ERROR"), "it is told once: {}", refused.err);
    let refused = hive.run(&["put", "config", "number", "3"]).with(1);
    assert!(refused.err.contains("another machine has the history"), "{}", refused.err);
    let refused = hive.run(&["replica", "promote", "there", "--to", "h.redb"]).with(1);
    assert!(refused.err.contains("make a new copy beside it"), "{}", refused.err);
    is_exported_as_it_is(&hive, "h.redb");
}

/// Starts a service, and gives its address.
#[cfg(all(unix, feature = "http"))]
fn serve(hive: &Hive, store: &str, more: &[&str]) -> (Running, String) {
    let arguments = ["--store", store, "--json", "serve", "--listen", "127.0.0.1:0", "--archive-every", "off"];
    let mut service = Running::start(hive, &[&arguments, more].concat());
    let greeting: Value = serde_json::from_str(&service.line()).unwrap();
    let address = greeting["listening"].as_str().unwrap().to_owned();
    (service, address)
}

/// The response of a service to a request of a path.
#[cfg(all(unix, feature = "http"))]
fn response(address: &str, path: &str) -> String {
    use std::io::{Read, Write};

    let at = address.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[cfg(all(unix, feature = "http"))]
#[test]
fn a_service_that_does_not_ship_a_store_with_a_replica_says_so() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "number", "1"]);
    hive.ok(&["replica", "init", "there"]);
    let (mut service, at) = serve(&hive, "h.redb", &[]);
    hive.ok(&["--store", &at, "put", "config", "number", "2"]);
    let ready = response(&at, "/readyz");
    assert!(ready.contains("no process ships the store to its replica"), "{ready}");
    let metrics = response(&at, "/metrics");
    assert!(
        metrics.contains("hivekeep_replica_lag_seconds ") && metrics.contains("hivekeep_replica_shipped 0"),
        "{metrics}"
    );
    let status = hive.ok(&["--store", &at, "status"]);
    assert!(status.contains("NO PROCESS SHIPS IT, it has commit "), "{status}");
    let advice = format!("-> ship it: hivekeep serve --replica {}", file(&hive, "there").display());
    for store in [&at, "h.redb"] {
        let diagnosis = hive.run(&["--store", store, "doctor"]).with(3).out;
        assert!(diagnosis.contains("warn  replica ") && diagnosis.contains(&advice), "{diagnosis}");
    }
    service.stop("-TERM");
}

#[cfg(all(unix, feature = "http"))]
#[test]
fn a_copy_says_of_what_it_is_one_and_whether_a_standby_keeps_it_up_to_date() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "number", "1"]);
    hive.ok(&["replica", "init", "there"]);
    hive.ok(&["replica", "restore", "there", "--to", "copy.redb"]);
    let (mut service, at) = serve(&hive, "copy.redb", &[]);
    let told = || ["copy.redb", &at].map(|store| hive.ok(&["--store", store, "status"]));
    for status in told() {
        assert!(status.contains(" this file is a copy, with commit ") && status.contains("NOBODY KEEPS"), "{status}");
        assert!(status.contains("archive  none; the replica is the other copy"), "{status}");
    }
    let diagnosis = hive.run(&["--store", "copy.redb", "doctor"]).with(3).out;
    assert!(diagnosis.contains("warn  replica ") && diagnosis.contains("-> let it follow: "), "{diagnosis}");
    assert!(response(&at, "/metrics").contains("hivekeep_copy_followed 0"));
    let mut standby = Running::start(&hive, &["replica", "standby", "there", "--to", "copy.redb", "--every", "50ms"]);
    wait_until("nobody follows", || response(&at, "/metrics").contains("hivekeep_copy_followed 1"));
    assert!(response(&at, "/metrics").contains("hivekeep_copy_timestamp_seconds 1"));
    // A process that opens the file holds all of its locks for a moment, as a standby does at its start.
    let follows = |text: &str| text.contains("this file is a copy, ") && text.contains("a standby keeps it up to date");
    wait_until("the standby is not seen", || {
        follows(&response(&at, "/readyz")) && told().iter().all(|text| follows(text))
    });
    standby.stop("-KILL");
    wait_until("the standby is not missed", || response(&at, "/metrics").contains("hivekeep_copy_followed 0"));
    service.stop("-TERM");
    let (_, said) = service.hang_up();
    assert!(said.contains("listening http://") && !said.contains("last run: "), "{said}");
}

#[cfg(all(unix, feature = "http"))]
#[test]
fn a_service_over_a_copy_tells_its_moment_with_each_response() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "number", "1"]);
    hive.ok(&["replica", "init", "there"]);
    hive.ok(&["replica", "standby", "there", "--to", "copy.redb", "--once"]);
    for (store, tells) in [("copy.redb", true), ("h.redb", false)] {
        let (mut service, at) = serve(&hive, store, &[]);
        let response = response(&at, "/api/config/number");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        assert_eq!(response.contains("hivekeep-copy-time: 20"), tells, "{store}: {response}");
        service.stop("-KILL");
        let (_, said) = service.hang_up();
        assert_eq!((said.contains("read only: "), said.contains("next backup: ")), (tells, !tells), "{said}");
    }
}

#[cfg(all(unix, feature = "http"))]
#[test]
fn a_service_over_a_copy_writes_nothing_and_ends_once_the_copy_is_promoted() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "number", "1"]);
    hive.ok(&["replica", "init", "there"]);
    hive.ok(&["replica", "standby", "there", "--to", "copy.redb", "--once"]);
    let (service, at) = serve(&hive, "copy.redb", &[]);
    let at = at.as_str();
    assert!(hive.run(&["--store", at, "put", "config", "number", "2"]).with(1).err.contains("copy"));
    hive.ok(&["replica", "promote", "there", "--to", "copy.redb"]);
    let (ended, said) = service.hang_up();
    assert!(ended == Some(0) && said.contains("the copy was promoted"), "{said}");
    hive.ok(&["--store", "copy.redb", "put", "config", "number", "3"]);
}

#[cfg(all(unix, feature = "http"))]
#[test]
fn a_service_over_a_copy_that_is_made_anew_ends_and_says_so() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "number", "1"]);
    hive.ok(&["replica", "init", "there"]);
    let status: Value = serde_json::from_str(&hive.ok(&["--json", "replica", "status", "there"])).unwrap();
    let moment = format!("sequence {}", status["newest"]["sequence"]);
    let (mut service, at) = serve(&hive, "h.redb", &["--replica", "there", "--replica-interval", "50ms"]);
    hive.ok(&["--store", &at, "put", "config", "number", "2"]);
    // To stop it ships the rest.
    service.stop("-TERM");
    let follows = ["replica", "standby", "there", "--to", "copy.redb", "--once"];
    hive.ok(&follows);
    let (service, at) = serve(&hive, "copy.redb", &[]);
    assert_eq!(hive.ok(&["--store", &at, "get", "config", "number"]).trim(), "2");
    // The history goes another way.
    let back = hive.run(&["replica", "restore", "there", "--to", "past.redb", "--at", &moment, "--take-over"]).with(0);
    assert!(back.err.contains("gives up what it had behind commit"), "{}", back.err);
    assert!(hive.ok(&follows).contains("made anew"));
    let (ended, said) = service.hang_up();
    assert!(ended == Some(1) && said.contains("has made the copy anew"), "{said}");
    assert_eq!(hive.ok(&["--store", "copy.redb", "get", "config", "number"]).trim(), "1");
}

#[cfg(all(unix, feature = "http"))]
#[test]
fn a_copy_that_a_standby_follows_is_not_promoted_and_an_interrupted_restore_says_how_it_goes_on() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "number", "1"]);
    hive.ok(&["replica", "init", "there"]);
    let mut standby =
        hive.command(&["replica", "standby", "there", "--to", "copy.redb", "--every", "50ms"]).spawn().unwrap();
    wait_until("there is no standby", || {
        let copy: Value =
            serde_json::from_str(&hive.run(&["--store", "copy.redb", "--json", "status"]).out).unwrap_or_default();
        copy["replica"]["copy"]["is_followed"] == Value::Bool(true)
    });
    for verb in [&["promote", "there", "--to", "copy.redb"][..], &["take-over", "copy.redb"]] {
        let refused = hive.run(&[&["replica"], verb].concat()).with(11).err;
        assert!(refused.contains("stop that one first"), "{refused}");
    }
    standby.kill().unwrap();
    standby.wait().unwrap();
    // As if it had been a restore that was interrupted.
    let again = hive.run(&["replica", "restore", "there", "--to", "copy.redb", "--take-over"]).with(1).err;
    assert!(again.contains("go on with it: hivekeep replica promote there --to copy.redb"), "{again}");
    hive.ok(&["replica", "promote", "there", "--to", "copy.redb"]);
}

#[cfg(feature = "http")]
#[test]
fn a_service_that_is_to_ship_a_store_where_there_is_none_makes_none() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "number", "1"]);
    hive.ok(&["replica", "init", "there"]);
    let refused = hive.run(&["--store", "new.redb", "serve", "--listen", "127.0.0.1:0", "--replica", "there"]).with(10);
    let restore = "hivekeep replica restore there --to new.redb --take-over";
    assert!(refused.err.contains(restore), "{}", refused.err);
    assert!(!file(&hive, "new.redb").exists());
    // As it says.
    hive.ok(&["replica", "restore", "there", "--to", "new.redb", "--take-over"]);
    let taken = hive.run(&["--store", "new.redb", "replica", "init", "there"]).with(1);
    assert!(!taken.err.contains("remove"), "{}", taken.err);
}

#[cfg(all(unix, feature = "http"))]
#[test]
fn a_moment_that_is_taken_over_ends_the_writer_before_and_says_what_the_replica_gives_up() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "number", "1"]);
    hive.ok(&["replica", "init", "there"]);
    let early = hive.ok(&["replica", "restore", "there", "--to", "early.redb"]);
    let sequence = early.split("commit ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let (mut service, at) = serve(&hive, "h.redb", &["--replica", "there", "--replica-interval", "50ms"]);
    let at = at.as_str();
    hive.ok(&["--store", at, "put", "config", "number", "2"]);
    let newest = || hive.ok(&["replica", "status", "there"]);
    wait_until("nothing is shipped", || !newest().contains(&format!("newest commit {sequence} ")));
    let moment = format!("sequence {sequence}");
    let back = ["replica", "restore", "there", "--to", "past.redb", "--at", &moment, "--take-over"];
    let back = hive.run(&back).with(0);
    assert!(back.err.contains(&format!("gives up what it had behind commit {sequence}")), "{}", back.err);
    assert!(newest().contains(" by a restore: over"), "{}", newest());
    // Before the new one is shipped.
    wait_until("the service goes on writing", || hive.run(&["--store", at, "put", "config", "n", "3"]).code != Some(0));
    hive.ok(&["--store", "past.redb", "put", "config", "number", "4"]);
    service.stop("-KILL");
}

#[test]
fn what_only_an_overtaken_file_has_is_listed_and_taken_into_the_store_that_goes_on() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "colour", "\"red\""]);
    hive.ok(&["replica", "init", "there"]);
    // Nobody ships this any more.
    for value in ["0", "1"] {
        hive.ok(&["put", "config", "tail", value]);
    }
    let orphans = ["--store", "new.redb", "replica", "orphans", "there", "--of", "h.redb"];
    let with = |more: &[&str]| hive.run(&[&orphans[..], more].concat());
    hive.ok(&["replica", "restore", "there", "--to", "new.redb"]);
    let early = with(&[]).with(1).err;
    assert!(early.contains("no other machine has taken over"), "{early}");
    hive.ok(&["replica", "promote", "there", "--to", "new.redb"]);
    let get = || hive.ok(&["--store", "new.redb", "get", "config"]);
    let before = get();
    for more in [&[][..], &["--apply", "--dry-run"]] {
        let listed = with(more).with(0).out;
        assert!(listed.starts_with("the file and the replica part after commit "), "{listed}");
        assert!(listed.contains("  config: take 1, already there 0, in conflict 0\n+ config/tail\n"), "{listed}");
        assert!(listed.contains("the file keeps for itself: 2 audit entries"), "{listed}");
        assert_eq!(get(), before);
    }
    with(&["--dry-run"]).with(2);
    let taken = with(&["--apply", "--json"]).with(0);
    let report: Value = serde_json::from_str(&taken.out).unwrap();
    assert_eq!((&report["orphans"][0]["key"], &report["orphans"][0]["fate"]), (&"tail".into(), &"take".into()));
    assert!(taken.err.contains("took 1 record into the store; undo with: hivekeep undo"), "{}", taken.err);
    assert!(get().contains("tail"));
    assert!(hive.ok(&["--store", "new.redb", "--json", "get", "audit"]).contains("\"apply_orphans\""));
    assert!(hive.ok(&["--store", "new.redb", "log"]).contains("orphans_applied"));
    assert!(with(&["--apply"]).with(0).err.contains("nothing was taken"));
    hive.ok(&["--store", "new.redb", "undo"]);
    assert_eq!(get(), before);
    let own = hive.run(&["--store", "new.redb", "replica", "orphans", "there", "--of", "new.redb"]).with(2).err;
    assert!(own.contains("is the store itself"), "{own}");
    let service =
        hive.run(&["--store", "http://127.0.0.1:9", "replica", "orphans", "there", "--of", "h.redb"]).with(2).err;
    assert!(service.contains("it compares the file with another one"), "{service}");
}
