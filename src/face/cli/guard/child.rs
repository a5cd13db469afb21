//! A program that runs while this one waits: signals are passed on to it, and it may have a deadline.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use crate::face::cli::signals::{Signals, code_of};

/// Between two looks whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A child that was asked to end has this long to do so.
const GRACE: Duration = Duration::from_secs(10);

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself, and well.
    Well,
    /// By itself, with that exit code, or 128 and the signal that killed it.
    Failed(u8),
    /// This program got that signal, which the child got too.
    Interrupted(i32),
    /// It was killed at its deadline.
    TooLate,
}

/// Runs a child to its end.
pub(super) fn run(command: &mut Command, signals: &Signals, deadline: Option<Instant>) -> io::Result<Ended> {
    let mut child = command.spawn()?;
    let ended = watch(&mut child, signals, deadline);
    if ended.is_err() {
        // Nobody would wait for it any more.
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

/// Gives the child the signal that this program got. A terminal has given it Ctrl-C already.
#[cfg(unix)]
fn pass_on(child: &Child, signal: i32) {
    use std::io::IsTerminal;

    use rustix::process::{Pid, Signal, kill_process};
    if signal == signal_hook::consts::SIGINT && io::stdin().is_terminal() {
        return;
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(signal)) {
        // It may have ended just now, which is what was wanted.
        let _ = kill_process(pid, signal);
    }
}

/// A console gives Ctrl-C to all of its programs.
#[cfg(not(unix))]
fn pass_on(_child: &Child, _signal: i32) {}
