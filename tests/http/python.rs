//! The example for callers from Python, run as it stands.

use std::process::Command;

use crate::service::Service;
use crate::util::Hive;

#[test]
fn the_python_class_does_what_the_one_that_it_replaces_did() {
    let python = ["python3", "python"].into_iter().find(|name| Command::new(name).arg("--version").output().is_ok());
    let Some(python) = python else {
        eprintln!("skipped: there is no python3 to run examples/disaster_recovery.py with");
        return;
    };
    let hive = Hive::new();
    let service = Service::start(&hive, &[]);
    assert_eq!(run(python, &service), "everything came back\n");
    assert_eq!(run(python, &service), "everything came back\n", "the store is not new any more");
    // A write takes the mark of a clean shutdown back.
    service.put("/api/config/limit", 5).with(200);
    service.stop("-KILL");
    let service = Service::start(&hive, &[]);
    assert_eq!(run(python, &service), "there had been a crash before; everything came back\n");
}

/// Runs the example, and gives what it printed.
fn run(python: &str, service: &Service) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/disaster_recovery.py");
    let output = Command::new(python).args(["-B", script, &service.url()]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}
