//! Programs that run beside the service, and the shell, through which a line of the operator's runs.

use std::ffi::OsStr;
use std::process::Command;

/// Variables that may hold credentials: no child gets them.
const SECRET: [&str; 3] = ["HIVEKEEP_TOKEN", "HIVEKEEP_KEY", "HIVEKEEP_FAILURE_URL"];

/// A program, about to run without the credentials of this one.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    for variable in SECRET {
        command.env_remove(variable);
    }
    command
}

/// That line, about to run.
#[cfg(unix)]
pub(crate) fn shell(line: &str) -> Command {
    let mut shell = program("sh");
    shell.args(["-c", line]);
    shell
}

/// That line, about to run.
#[cfg(not(unix))]
pub(crate) fn shell(line: &str) -> Command {
    let mut shell = program("cmd");
    shell.args(["/C", line]);
    shell
}
