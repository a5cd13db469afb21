//! Runs a program and waits for it: passes signals on to it, and may kill it at a deadline.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use crate::face::cli::signals::{Signals, code_of};

/// The interval at which the end of the child is polled.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The time that a child has to exit after it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It exited with code 0.
    Well,
    /// It exited with that code, or 128 plus the number of the signal that killed it.
    Failed(u8),
    /// This program received that signal and passed it on.
    Interrupted(i32),
    /// It was killed at its deadline.
    TooLate,
}

/// Runs a child until it ends.
pub(super) fn run(command: &mut Command, signals: &Signals, deadline: Option<Instant>) -> io::Result<Ended> {
    let mut child = command.spawn()?;
    let ended = watch(&mut child, signals, deadline);
    if ended.is_err() {
        // Without this process nobody would wait for the child.
        let _ = child.kill();
    }
    ended
}

fn watch(child: &mut Child, signals: &Signals, mut deadline: Option<Instant>) -> io::Result<Ended> {
    let mut interrupted = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(interrupted.map_or_else(|| of_status(status), Ended::Interrupted));
        }
        match signals.take() {
            Some(_) if interrupted.is_some() => child.kill()?,
            Some(signal) => {
                interrupted = Some(signal);
                deadline = Some(Instant::now() + GRACE);
                pass_on(child, signal);
            }
            None => {}
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            child.kill()?;
            child.wait()?;
            return Ok(interrupted.map_or(Ended::TooLate, Ended::Interrupted));
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn of_status(status: ExitStatus) -> Ended {
    match status.code() {
        Some(0) => Ended::Well,
        Some(code) => Ended::Failed(u8::try_from(code).unwrap_or(u8::MAX)),
        None => Ended::Failed(code_of(killed_by(status))),
    }
}

#[cfg(unix)]
fn killed_by(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.signal().unwrap_or_default()
}

#[cfg(not(unix))]
fn killed_by(_status: ExitStatus) -> i32 {
    0
}

/// Passes a signal on to the child. A terminal has sent Ctrl-C to it already.
#[cfg(unix)]
fn pass_on(child: &Child, signal: i32) {
    use std::io::IsTerminal;

    use rustix::process::{Pid, Signal, kill_process};
    if signal == signal_hook::consts::SIGINT && io::stdin().is_terminal() {
        return;
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(signal)) {
        // If it has ended meanwhile, nothing is left to do.
        let _ = kill_process(pid, signal);
    }
}

/// A console sends Ctrl-C to all of its programs.
#[cfg(not(unix))]
fn pass_on(_child: &Child, _signal: i32) {}
