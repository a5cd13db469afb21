//! A failure closes the store's file under the service: it opens it again by itself, tells of it, and ends when it
//! cannot.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::service::Service;
use crate::util::Hive;

/// A record that fills a quarter of a page.
const LENGTH: usize = 1000;
/// No page of the file is smaller.
const PAGE: u64 = 4096;

#[cfg(target_os = "linux")]
#[test]
fn a_service_goes_on_by_itself_once_a_full_disk_has_room_and_nothing_acknowledged_is_lost() {
    let small = match crate::small::Small::mount() {
        Ok(small) => small,
        Err(why) => return println!("skipped: no file system can be mounted here: {why}"),
    };
    let hive = Hive::empty();
    let store = small.path().join("h.redb");
    let store = store.to_str().unwrap();
    let told = tempfile::tempdir().unwrap();
    let command = format!("echo \"$HIVEKEEP_FAILED: $HIVEKEEP_ERROR\" >> {}", told.path().join("told").display());
    let off = ["--backup-interval", "off", "--archive-every", "off", "--min-free", "0"];
    let service = Service::start(&hive, &[&["--store", store, "--on-failure", &command], &off[..]].concat());
    for number in 0..10 {
        service.put(&path(number), value(number)).ok();
    }
    // The reserve beside the store is given up, and filled too.
    let filler = small.path().join("filler");
    fill(&filler);
    let mut written = 10;
    service.until("the disk is full", |service| {
        fill(&filler);
        let answer = service.put(&path(written), value(written));
        assert!([200, 500, 503, 507].contains(&answer.status), "{answer}");
        written += usize::from(answer.status == 200);
        answer.status != 200 && !small.path().join("h.redb.reserve").exists()
    });
    service.until("what is there can be read on the full disk", |service| service.get(&path(3)).status == 200);
    assert_eq!(service.get(&path(3)).ok(), value(3));

    std::fs::remove_file(&filler).unwrap();
    service.until("it writes again", |service| service.put("/api/config/after", "1").status == 200);
    service.until("it is ready again", |service| service.get("/readyz").status == 200);
    assert_eq!(service.get("/livez").body, "ok\n");
    for number in 0..written {
        assert_eq!(service.get(&path(number)).ok(), value(number), "an acknowledged record was lost");
    }
    assert!(reopens(&service) >= 1);
    service.until("somebody was told", |_| told.path().join("told").exists());
    let told = std::fs::read_to_string(told.path().join("told")).unwrap();
    assert!(told.lines().any(|line| line.starts_with("reopen: ")), "{told}");
    let (code, said) = service.stop("-TERM");
    assert_eq!(code, Some(0), "{said}");
    assert!(hive.ok(&["check", "--store", store]).starts_with("sound: "));
}

#[cfg(unix)]
#[test]
fn a_value_beyond_the_limit_of_a_file_is_an_error_and_does_not_end_the_service() {
    let hive = Hive::new();
    let off = ["--backup-interval", "off", "--archive-every", "off", "--min-free", "0"];
    // In blocks of 512 bytes or of 1 KiB, as the shell has them.
    let service = Service::within(&hive, "ulimit -f 32768", &off);
    let long = json!("x".repeat(1 << 20));
    let record = |number: usize| format!("/api/collections/long/{number}");
    let mut written = 0;
    let refused = loop {
        let answer = service.put(&record(written), &long);
        if answer.status != 200 {
            break answer;
        }
        written += 1;
        assert!(written < 100, "the limit was never met");
    };
    assert!([500, 503, 507].contains(&refused.status), "{refused}");
    service.until("it answers again", |service| service.get(&record(0)).status == 200);
    assert_eq!(service.get("/livez").body, "ok\n");
    for number in 0..written {
        assert_eq!(service.get(&record(number)).ok()["value"], long, "an acknowledged record was lost");
    }
    // Whether it can close cleanly depends on the room that is left.
    let (code, said) = service.stop("-TERM");
    assert!(code.is_some(), "a signal ended it: {said}");
}

#[test]
fn a_damaged_page_costs_what_lies_on_it_and_everything_else_goes_on() {
    let hive = Hive::new();
    let off = ["--backup-interval", "off", "--archive-every", "off"];
    let service = Service::start(&hive, &off);
    for number in 0..60 {
        service.put(&path(number), value(number)).ok();
    }
    service.post("/api/queue", json!({"id": "build", "payload": 1})).ok();
    service.stop("-TERM");
    // Other processes keep it from verifying the pages, as a large store is not verified either.
    let other = hive.open();
    let service = Service::start(&hive, &off);
    damage(&hive.path(), &marker(30));
    for _ in 0..5 {
        let refused = service.get(&path(30)).refused(409);
        assert!(refused.contains("pages of the file are damaged; repair the store"), "{refused}");
        let begun = Instant::now();
        assert_eq!(service.get("/api/queue/build").ok()["id"], "build");
        assert_eq!(service.get(&path(2)).ok(), value(2));
        service.post("/api/chat", json!({"bot_id": "b", "conversation": "c", "role": "user", "content": "x"})).ok();
        assert!(begun.elapsed() < Duration::from_secs(5), "the others waited for {:?}", begun.elapsed());
        assert_eq!(service.get("/livez").body, "ok\n");
    }
    assert!(reopens(&service) <= 6, "one for each reading at most: {}", reopens(&service));
    service.stop("-TERM");
    drop(other);
}

#[test]
fn a_service_ends_with_code_1_when_its_store_cannot_be_opened_again_for_long() {
    let hive = Hive::new();
    let service = Service::start(&hive, &["--reopen-timeout", "4s", "--archive-every", "off"]);
    service.put(&path(1), value(1)).ok();
    let mut file = OpenOptions::new().write(true).open(hive.path()).unwrap();
    file.write_all(&[0; 4096]).unwrap();
    service.until("nothing can be served", |service| service.put(&path(2), value(2)).status != 200);
    service.until("that is told to a supervisor", |service| service.status_if_any("/livez") == Some(503));
    let (code, said) = service.ended();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the store could not be opened again within"), "{said}");
}

fn path(number: usize) -> String {
    format!("/api/config/record-{number:04}")
}

fn marker(number: usize) -> String {
    format!("marker {number:04} ")
}

fn value(number: usize) -> Value {
    json!(marker(number).repeat(LENGTH / marker(number).len()))
}

fn reopens(service: &Service) -> u64 {
    let metrics = service.get("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("hivekeep_reopens_total "));
    line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

/// Takes every page that is left.
#[cfg(target_os = "linux")]
fn fill(filler: &Path) {
    let mut file = OpenOptions::new().create(true).append(true).open(filler).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
}

/// Makes the head of each page nonsense on which a text lies.
fn damage(store: &Path, text: &str) {
    let mut file = OpenOptions::new().read(true).write(true).open(store).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let found = bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text.as_bytes());
    let pages: std::collections::BTreeSet<_> = found.map(|(at, _)| at as u64 / PAGE * PAGE).collect();
    assert!(!pages.is_empty());
    for page in pages {
        file.seek(SeekFrom::Start(page)).unwrap();
        file.write_all(&[0xFF; 64]).unwrap();
    }
}
