//! The service on a machine whose clock is set to a year that no date of HTTP has. The program is lied to about the
//! time by a library that stands before the system's own; where it cannot be built, there is no such test.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::service::Service;
use crate::util::Hive;

/// Adds seconds to the time.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, clock, time);
    const char *offset = getenv("CLOCK_OFFSET");
    if (!failed && clock == CLOCK_REALTIME && offset) time->tv_sec += atoll(offset);
    return failed;
}
"#;

#[test]
fn a_service_with_an_impossible_date_says_so_and_stops_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let Some(shim) = build(folder.path()) else {
        eprintln!("skipped: no library can be built here");
        return;
    };
    for offset in ["-2500000000", "253402300800"] {
        let hive = Hive::empty();
        let lies = [("LD_PRELOAD", shim.as_str()), ("CLOCK_OFFSET", offset)];
        let service = Service::with(&hive, &["--archive-every", "off"], &lies);
        for path in ["/livez", "/api/queue"] {
            let answer = service.unheld(path);
            assert!(answer.head.contains("x-frame-options: DENY"), "{answer}");
            assert_eq!(answer.refused(503), "the system clock of the service is before 1970 or after 9999; set it");
        }
        let (code, said) = service.stop("-TERM");
        assert_eq!((code, said.contains("panicked")), (Some(0), false), "{said}");
        // The service's own work of that time is recorded with the right time.
        let service = Service::start(&hive, &[]);
        service.put("/api/config/limit", json!(5)).with(200);
        assert_eq!(service.get("/readyz").ok()["status"], "ready");
    }
}

/// The library, if there is a compiler.
fn build(folder: &Path) -> Option<String> {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, SHIM).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).output();
    built.is_ok_and(|built| built.status.success()).then(|| library.to_str().unwrap().to_owned())
}
