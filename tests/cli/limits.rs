//! Few open files: every operation that needs more fails with an error that says so.

use std::process::{Command, Stdio};

use crate::util::Hive;

/// Runs the program with a limit of open files; returns its exit code and its messages.
fn run_with(hive: &Hive, files: u32, arguments: &[&str]) -> (Option<i32>, String) {
    let program = hive.command(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]);
    command.arg(program.get_program()).args(program.get_args());
    command.env("HIVEKEEP_STORE", hive.path()).stdin(Stdio::null());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[cfg(unix)]
#[test]
fn with_few_open_files_a_verb_works_or_names_the_limit_to_raise() {
    let hive = Hive::new();
    hive.ok(&["put", "config", "a", "1"]);
    let verbs: [&[&str]; 6] = [
        &["status"],
        &["put", "config", "a", "2"],
        &["check"],
        &["doctor"],
        &["point", "create"],
        &["serve", "--listen", "127.0.0.1:0"],
    ];
    for files in 4..12 {
        for verb in verbs {
            let (code, said) = run_with(&hive, files, verb);
            assert!(!said.contains("panicked"), "{verb:?} with {files} files: {said}");
            match code {
                Some(0 | 3) => assert_ne!(verb[0], "serve"),
                _ => assert!(said.contains("ulimit -n 1024"), "{verb:?} with {files} files: code={code:?} {said}"),
            }
        }
    }
}
