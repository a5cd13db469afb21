//! The shell, through which a line of the operator's runs.

use std::process::Command;

/// That line, about to run.
#[cfg(unix)]
pub(crate) fn shell(line: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]);
    shell
}

/// That line, about to run.
#[cfg(not(unix))]
pub(crate) fn shell(line: &str) -> Command {
    let mut shell = Command::new("cmd");
    shell.args(["/C", line]);
    shell
}
