//! Ctrl-C in every verb except the service: the program exits at once with code 130. The store survives that.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_shutdown;

/// The exit code that a shell shows for Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Makes SIGINT end the program. By default the first process of a container would ignore it, and other processes would
/// have no exit code of their own. This needs no thread and no file descriptor, since none may be left.
pub(super) fn ends_the_program() {
    let always = Arc::new(AtomicBool::new(true));
    if let Err(error) = register_conditional_shutdown(SIGINT, INTERRUPTED, always) {
        tracing::debug!(%error, "the default action of SIGINT stays in place");
    }
}
