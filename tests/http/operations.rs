//! For operators: health, metrics, who may ask, configuration, failure.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};

use serde_json::{Value, json};

use crate::BASE;
use crate::service::{Service, secret};
use crate::util::Hive;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn with_a_token_set_only_requests_that_show_it_are_served() {
    let hive = Hive::new();
    let file = secret(&hive, "token", &format!("{TOKEN}\n"));
    let by_file = ["--token-file", file.to_str().unwrap(), "--listen", "0.0.0.0:0", "--insecure-no-tls"];
    let servers = [Service::start(&hive, &by_file), Service::with(&hive, &[], &[("HIVEKEEP_TOKEN", TOKEN)])];
    for service in servers {
        for path in ["/livez", "/readyz"] {
            assert_eq!(service.get(path).status, 200, "{path} is open");
        }
        for path in ["/metrics", "/openapi.json", "/nowhere", "/api/config", "/api/disaster-recovery/status"] {
            let answer = service.get(path);
            answer.refused(401);
            assert!(answer.head.contains("www-authenticate: Bearer"), "{answer}");
        }
        service.ask("GET", "/metrics", "Authorization: Bearer 0123456789abcdef0123456789abcdeX\r\n", "").refused(401);
        let service = service.showing(TOKEN);
        service.get(&format!("{BASE}/status")).ok();
        service.ask("GET", "/api/config", "Origin: https://elsewhere.example\r\n", "").refused(403);
    }
}

#[test]
fn without_a_token_other_machines_cannot_reach_it_unless_an_option_allows_it() {
    let hive = Hive::new();
    let said = hive.refused(&["serve", "--listen", "0.0.0.0:0"], 2);
    assert!(said.contains("--token-file") && said.contains("--insecure-no-token"), "{said}");
    let service = Service::start(&hive, &["--listen", "0.0.0.0:0", "--insecure-no-token"]);
    service.get(&format!("{BASE}/status")).ok();
    service.ask("GET", "/api/config", "Origin: https://elsewhere.example\r\n", "").refused(403);
    let (_, said) = service.stop("-TERM");
    assert!(
        said.starts_with("warning: everybody who can reach this address can read and change the store\n"),
        "{said}"
    );
    let file = secret(&hive, "token", "short");
    let said = hive.refused(&["serve", "--token-file", file.to_str().unwrap()], 2);
    assert!(said.contains("openssl rand") && !said.contains("short\""), "{said}");
    #[cfg(unix)]
    for (mode, is_refused) in [(0o604, true), (0o640, false)] {
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let said = hive.refused(&["serve", "--token-file", file.to_str().unwrap()], 2);
        assert_eq!(said.contains("others can read this secret"), is_refused, "{mode:o}: {said}");
    }
}

#[test]
fn health_metrics_and_the_openapi_document_are_served() {
    let hive = Hive::new();
    hive.fill();
    let service = Service::start(&hive, &[]);
    assert_eq!(service.get("/livez").body, "ok\n");
    let ready = service.get("/readyz").ok();
    let names: Vec<_> = ready["checks"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        names,
        [
            "store",
            "backup",
            "retention",
            "archive",
            "replica",
            "upkeep",
            "schedules",
            "disk",
            "event_log",
            "last_check"
        ]
    );
    assert_eq!(ready["status"], "ready");
    service.get("/api/queue/build").ok();
    let metrics = service.get("/metrics").body;
    for line in [
        "hivekeep_bots 3",
        r#"hivekeep_tasks{state="ready"} 1"#,
        r#"hivekeep_tasks{state="waiting"} 1"#,
        r#"hivekeep_healthy{check="store"} 1"#,
        r#"hivekeep_http_requests_total{method="GET",path="/api/queue/{task}",status="200"} 1"#,
        r#"hivekeep_failures_total{work="backup"} 0"#,
    ] {
        assert!(metrics.lines().any(|own| own == line), "{line} is not in\n{metrics}");
    }
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("hivekeep_") && value.parse::<f64>().is_ok(), "{line}");
    }
    let document = service.get("/openapi.json").ok();
    let copy = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json")).unwrap();
    assert_eq!(document, serde_json::from_str::<Value>(&copy).unwrap());
}

#[test]
fn a_failed_backup_is_reported_and_free_space_is_checked_first() {
    let hive = Hive::new();
    hive.fill();
    let told = hive.path().with_file_name("told");
    let command = format!("echo \"$HIVEKEEP_FAILED: $HIVEKEEP_ERROR\" >> {}", told.display());
    let service =
        Service::start(&hive, &["--min-free", "9999999GiB", "--backup-interval", "1s", "--on-failure", &command]);
    service.until("the service is not ready", |service| service.get("/readyz").status == 503);
    service
        .until("the backup check fails", |service| service.get("/readyz").with(503)["checks"]["backup"]["ok"] == false);
    service.until("the command was run", |_| told.exists());
    assert!(fs::read_to_string(&told).unwrap().starts_with("backup: the disk is nearly full"));
    assert!(service.get("/metrics").body.contains("hivekeep_failures_total{work=\"backup\"} 1\n"));
    let said = service.post(&format!("{BASE}/backup"), json!({"data": {"a": 1}})).refused(507);
    assert!(said.starts_with("the disk is nearly full"), "{said}");
    let events = service.get("/api/events").ok()["events"].take();
    assert!(events.as_array().unwrap().iter().any(|event| event["event"] == "backup_failed"), "{events}");
    service.put("/api/config/still", "\"works\"").ok();
}

#[test]
fn a_url_is_notified_of_a_failure_and_nothing_waits_for_its_response() {
    let hive = Hive::new();
    hive.fill();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hooks?from=hive", listener.local_addr().unwrap());
    let arguments = ["--min-free", "9999999GiB", "--backup-interval", "1s", "--failure-url", &url];
    let service = Service::start(&hive, &arguments);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut text = String::new();
    let body = loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "{text}");
        text.push_str(std::str::from_utf8(&part[..length]).unwrap());
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        if let Ok(body) = serde_json::from_str::<Value>(body) {
            break body;
        }
    };
    assert!(text.starts_with("POST /hooks?from=hive HTTP/1.1\r\n"), "{text}");
    assert!(text.to_lowercase().contains("content-type: application/json"), "{text}");
    assert_eq!(body["event"], "backup_failed");
    assert!(body["details"]["error"].as_str().unwrap().starts_with("the disk is nearly full"), "{body}");
    let event = service.get("/api/events").ok()["events"].take();
    let event = event.as_array().unwrap().iter().find(|event| event["event"] == "backup_failed").unwrap().clone();
    assert_eq!(event["details"]["error"], body["details"]["error"]);
    // It has had no answer yet; the service continues, and ends, nevertheless.
    service.put("/api/config/still", "\"works\"").ok();
    assert_eq!(service.stop("-TERM").0, Some(0));
    let said = hive.refused(&["serve", "--failure-url", "https://example.org"], 2);
    assert!(said.contains("the setting on-failure"), "{said}");
}

/// Changes one bit in each place of a file where a text stands.
fn damage(path: &std::path::Path, text: &str) {
    let bytes = fs::read(path).unwrap();
    let places: Vec<_> = (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text.as_bytes())).collect();
    assert!(!places.is_empty());
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    for at in places {
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&[bytes[at] ^ 1]).unwrap();
    }
}

#[test]
fn damage_is_refused_and_reported_and_never_returned_as_data() {
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    let text = "the text that is going to be damaged";
    let id = service.post(&format!("{BASE}/backup"), json!({"data": {"a": text}})).ok()["backup_id"].take();
    let path = format!("{BASE}/restore/{}", id.as_str().unwrap());
    service.stop("-TERM");
    // While another process has the store open, its pages are not verified when it is opened.
    let other = hive.open();
    damage(&hive.path(), text);
    let service = Service::start(&hive, &["--backup-interval", "off"]);
    let said = service.post(&path, "").refused(409);
    assert!(!said.contains("the tex"), "{said}");
    service.post(&path, json!({"apply": true, "data": true})).refused(409);
    let told = |kind: &str| {
        let events = service.get("/api/events").ok()["events"].take();
        events.as_array().unwrap().iter().filter(|event| event["event"] == kind).count()
    };
    assert_eq!((told("corruption_detected"), told("restore_failed")), (2, 2), "each is told once");
    let job = service.post("/api/check", "").with(202)["id"].as_str().unwrap().to_owned();
    service.until("the check is done", |service| service.get(&format!("/api/check/{job}")).ok()["state"] == "done");
    assert!(service.get(&format!("/api/check/{job}")).ok()["report"]["found"].as_u64() > Some(0));
    assert_eq!((told("corruption_detected"), told("check_failed")), (3, 0), "the check has told of it once more");
    let ready = service.get("/readyz").with(503);
    assert_eq!(ready["checks"]["last_check"]["ok"], false);
    service.stop("-TERM");
    other.close().unwrap();
    let said = hive.refused(&["serve", "--listen", "127.0.0.1:0"], 4);
    assert!(said.contains("damaged"), "alone, its pages are verified: {said}");
}

#[test]
fn events_are_mirrored_as_lines() {
    let hive = Hive::new();
    let log = hive.path().with_file_name("events.jsonl");
    let service = Service::start(&hive, &["--event-log", log.to_str().unwrap()]);
    let id = service.post(&format!("{BASE}/backup"), json!({"data": {"a": 1}})).ok()["backup_id"].take();
    assert!(fs::read_to_string(&log).unwrap().ends_with("}\n"), "the line is there before the answer");
    service.post(&format!("{BASE}/mark-shutdown"), "").ok();
    let text = fs::read_to_string(&log).unwrap();
    hive.ok(&["point", "create"]);
    service.until("a line of another process is there", |_| {
        fs::read_to_string(&log).unwrap().contains("restore_point_created")
    });
    let rotated = hive.path().with_file_name("events.jsonl.1");
    fs::rename(&log, &rotated).unwrap();
    service.post(&format!("{BASE}/backup"), json!({"data": {"a": 2}})).ok();
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 1, "a new file, and only what is new");
    service.stop("-TERM");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["backup_created", "clean_shutdown_marked"]);
    assert_eq!(lines[0]["details"]["backup_id"], id);
    assert_eq!(lines[0].as_object().unwrap().keys().collect::<Vec<_>>(), ["timestamp", "event", "details", "actor"]);
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let hive = Hive::empty();
    let file = hive.path().with_file_name("hivekeep.toml");
    fs::write(&file, "backup-interval = \"1h\"\nkeep-count = 5\nmax-body = \"1MiB\"\n").unwrap();
    let mut command =
        hive.command(&["serve", "--config", file.to_str().unwrap(), "--keep-count", "7", "--print-config"]);
    let output = command.env("HIVEKEEP_KEEP_COUNT", "6").env("HIVEKEEP_MAX_BODY", "2MiB").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    for line in ["backup-interval = \"1h\"", "keep-count = \"7\"", "max-body = \"2MiB\"", "keep-within = \"7d\""] {
        assert!(printed.lines().any(|own| own == line), "{line} is not in\n{printed}");
    }
    assert!(!hive.path().exists(), "printing opens nothing");
    fs::write(&file, "backup_intervall = \"1h\"\n").unwrap();
    let said = hive.refused(&["serve", "--config", file.to_str().unwrap()], 2);
    assert!(said.contains("backup_intervall"), "{said}");
}

#[test]
fn retention_keeps_at_most_the_cap_and_never_forgets_held_points() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--keep-count", "2", "--keep-floor", "0s", "--backup-interval", "1s"]);
    let point = |n: u32| {
        service.put("/api/config/n", n).ok();
        service.post("/api/points", json!({})).ok()["id"].as_str().unwrap().to_owned()
    };
    let held = point(0);
    service.post(&format!("/api/points/{held}/hold"), "").ok();
    let old = point(1);
    (2..6).for_each(|n| drop(point(n)));
    service.put("/api/config/n", 9).ok();
    service.until("the old one is forgotten", |service| service.get(&format!("/api/points/{old}")).status == 404);
    assert_eq!(service.get(&format!("/api/points/{held}")).ok()["held"], true);
    let events = service.get("/api/events").ok()["events"].take();
    assert!(events.as_array().unwrap().iter().any(|event| event["event"] == "backup_deleted_old"), "{events}");
}

#[test]
fn the_service_writes_the_rules_that_it_is_given_into_the_store_and_leaves_them_when_given_none() {
    let hive = Hive::new();
    Service::start(&hive, &["--keep-within", "30d"]).stop("-TERM");
    Service::start(&hive, &[]).stop("-TERM");
    let shown = hive.ok(&["point", "policy"]);
    assert!(shown.contains("# set by hivekeep serve at ") && shown.contains("keep-within = \"30d\""), "{shown}");
    Service::start(&hive, &["--no-retention"]).stop("-TERM");
    assert!(hive.ok(&["point", "policy"]).ends_with("no-retention = true\n"));
}

#[test]
fn a_folder_of_archives_that_cannot_be_written_is_found_when_the_service_starts() {
    let hive = Hive::new();
    let folder = hive.path().with_file_name("copies");
    let directory = folder.to_str().unwrap();
    let said =
        hive.refused(&["serve", "--listen", "127.0.0.1:0", "--archive-dir", directory, "--archive-must-exist"], 1);
    assert!(said.contains("is its disk mounted?") && !folder.exists(), "{said}");
    fs::write(&folder, b"in the way").unwrap();
    let said = hive.refused(&["serve", "--listen", "127.0.0.1:0", "--archive-dir", directory], 1);
    assert!(said.contains("no archive could be written; choose another folder"), "{said}");
    assert!(said.contains("--archive-dir"), "{said}");
}

#[cfg(feature = "age")]
#[test]
fn automatic_archives_are_encrypted_and_doctor_says_how_far_they_could_be_verified() {
    const SECRET: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    let hive = Hive::new();
    hive.fill();
    let service = Service::start(&hive, &["--archive-every", "1s", "--archive-recipient", RECIPIENT]);
    let last = |service: &Service| service.get("/api/disaster-recovery/status").ok()["archive"]["last"].take();
    service.until("an archive is there", |service| last(service)["verified"] == true);
    let archive = last(&service);
    assert_eq!((&archive["encrypted"], &archive["opened"]), (&json!(true), &json!(false)));
    service.stop("-TERM");
    let file = archive["file"].as_str().unwrap();
    assert!(file.ends_with(".tar.gz.age") && fs::read(file).unwrap().starts_with(b"age-encryption.org/"));
    hive.refused(&["--store", "new.redb", "import", file], 2);
    fs::write(hive.path().with_file_name("key.txt"), SECRET).unwrap();
    hive.ok(&["--store", "new.redb", "import", file, "--identity", "key.txt"]);
    assert_eq!(hive.ok(&["--store", "new.redb", "get", "queue", "--json"]), hive.ok(&["get", "queue", "--json"]));
}

#[test]
fn archives_are_made_and_read_back_and_a_failed_one_is_reported() {
    let hive = Hive::new();
    hive.fill();
    let folder = hive.path().with_file_name("copies");
    let told = hive.path().with_file_name("told");
    let command = format!("echo \"$HIVEKEEP_FAILED: $HIVEKEEP_ERROR\" >> {}", told.display());
    let every = ["--archive-every", "1s", "--archive-dir", folder.to_str().unwrap(), "--on-failure", &command];
    let service = Service::start(&hive, &every);
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, b"in the way").unwrap();
    service.put("/api/config/n", 1).ok();
    service.until("the archive check fails", |service| {
        let ready = service.get("/readyz");
        ready.status == 503 && ready.with(503)["checks"]["archive"]["ok"] == false
    });
    service.until("the command was run", |_| told.exists());
    assert!(fs::read_to_string(&told).unwrap().starts_with("archive: "));
    assert!(service.get("/metrics").body.contains("hivekeep_failures_total{work=\"archive\"} 1\n"));
    service.stop("-TERM");
    fs::remove_file(&folder).unwrap();

    let hive = Hive::new();
    hive.fill();
    let every = ["--archive-every", "1s", "--archive-dir", folder.to_str().unwrap()];
    let service = Service::start(&hive, &every);
    let status = |service: &Service| service.get("/api/disaster-recovery/status").ok()["archive"].take();
    service.until("an archive is there", |service| status(service)["last"]["verified"] == true);
    let archive = status(&service);
    assert_eq!((&archive["automatic"], &archive["same_file_system"]), (&json!(true), &json!(true)));
    assert_eq!(archive["warning"], "the newest archive is on the same file system as the store");
    let metrics = service.get("/metrics").body;
    assert!(metrics.contains("hivekeep_last_archive_verified 1\n"), "{metrics}");
    assert!(metrics.contains("hivekeep_last_archive_state_timestamp_seconds "), "{metrics}");
    let detail = service.get("/readyz").ok()["checks"]["archive"]["detail"].take();
    assert!(detail.as_str().unwrap().starts_with("the newest archive is of the state of "), "{detail}");
    let events = service.get("/api/events").ok()["events"].to_string();
    assert!(events.contains("archive_created") && events.contains("archive_verified"), "{events}");
    service.stop("-TERM");
    let shown = hive.ok(&["status"]);
    assert!(
        shown.contains("archive  ") && shown.contains("state-20") && shown.contains(" of the state of "),
        "{shown}"
    );
    assert!(hive.ok(&["log"]).contains("state_at="), "the log says of when the state is");
    let file = hive.json(&["status"])["archive"]["last"]["file"].take();
    hive.ok(&["--store", "new.redb", "import", file.as_str().unwrap()]);
    assert_eq!(hive.ok(&["--store", "new.redb", "get", "queue", "--json"]), hive.ok(&["get", "queue", "--json"]));

    let off = Hive::new();
    let service = Service::start(&off, &["--archive-every", "off"]);
    let archive = status(&service);
    assert_eq!((&archive["automatic"], &archive["last"]), (&json!(false), &Value::Null));
    assert_eq!(archive["warning"], "there is no copy outside of this file");
    service.stop("-TERM");
}

#[cfg(feature = "replica")]
#[test]
fn a_service_says_how_far_its_replica_is_and_refuses_a_mistyped_one() {
    let hive = Hive::new();
    hive.fill();
    hive.ok(&["replica", "init", "there"]);
    let there = hive.path().with_file_name("there").display().to_string();
    let service = Service::start(&hive, &["--replica", "there", "--replica-keep", "30d", "--replica-drill", "off"]);
    let shipping = |path: &str| service.get(path).ok()["replica"]["shipping"].take();
    service.until("the replica is complete", |_| shipping("/api/summary")["complete_at"].is_string());
    let state = shipping("/api/disaster-recovery/status");
    assert_eq!((&state["fenced"], &state["error"]), (&json!(false), &json!(null)));
    let metrics = service.get("/metrics").body;
    for line in [
        "replica_lag_seconds ",
        "replica_kept_bytes ",
        "replica_fenced 0\n",
        "replica_sound 1\n",
        "healed_rows_total 0\n",
    ] {
        assert!(metrics.contains(&format!("hivekeep_{line}")), "{line}: {metrics}");
    }
    assert!(hive.ok(&["--store", &service.url(), "status"]).contains("restorable until 20"));
    let doctor = service.get("/api/doctor").ok();
    let line = doctor["lines"].as_array().unwrap().iter().find(|line| line["topic"] == "replica").unwrap();
    assert!(line["verdict"] == "ok" && line["what"].as_str().unwrap().starts_with(&there), "{line}");
    service.stop("-TERM");
    let shown = hive.ok(&["status"]);
    assert!(shown.contains(&there) && !shown.contains("restorable until"), "{shown}");
    let serve = |more: &[&str]| hive.run(&[&["serve", "--listen", "127.0.0.1:0", "--replica"], more].concat());
    let refused = serve(&["there", "--replica-keep", "5s"]).with(2);
    assert!(refused.err.contains("shortest=1h"), "{}", refused.err);
    let refused = serve(&["theer"]);
    assert!(refused.code != Some(0) && refused.err.contains(&format!("before={there}")), "{}", refused.err);
    assert!(!hive.path().with_file_name("theer").exists());
}
