//! Opens the page in the browser of the person at the terminal.

use std::io::{self, IsTerminal};
use std::process::{Command, Stdio};

use crate::face::cli::printing::output::Output;
use crate::service::shell;

/// Opens an address, or says it where there is nobody to see a browser: without a terminal, or without a display.
pub(super) fn open(out: &mut Output, address: &str) {
    let opened = if io::stderr().is_terminal() && has_display() { start(address) } else { Ok(false) };
    match opened {
        Ok(true) => {}
        Ok(false) => out.message(format_args!("no browser can be seen from here; open this address in one: {address}")),
        Err(error) => out.message(format_args!("no browser was opened ({error}); open this address in one: {address}")),
    }
}

/// Starts the program of the system that opens addresses. Nobody waits for its end, but it is noticed, so that no dead
/// process stays.
fn start(address: &str) -> io::Result<bool> {
    let mut opener = opener();
    let mut child = opener.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let ends = std::thread::Builder::new().name("hivekeep-open".into()).spawn(move || drop(child.wait()));
    ends.map(|_| true)
}

#[cfg(target_os = "macos")]
fn opener() -> Command {
    shell::program("open")
}

#[cfg(windows)]
fn opener() -> Command {
    let mut command = shell::program("rundll32");
    command.arg("url.dll,FileProtocolHandler");
    command
}

#[cfg(not(any(target_os = "macos", windows)))]
fn opener() -> Command {
    shell::program("xdg-open")
}

/// Whether a window could appear before this person.
#[cfg(any(target_os = "macos", windows))]
fn has_display() -> bool {
    std::env::var_os("SSH_CONNECTION").is_none()
}

/// Whether a window could appear before this person.
#[cfg(not(any(target_os = "macos", windows)))]
fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}
