//! Ctrl-C in every verb except the service: the program exits at once with code 130. The store survives that. And the
//! signal of a file that may not grow, which ends no verb.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_shutdown;

/// The exit code that a shell shows for Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Makes a write beyond the limit of a file's size (`ulimit -f`) an error, as a full disk is one. By default a signal
/// would end the program, and a bot could end the service with a long value. Programs that this one starts have the
/// default again.
pub(super) fn long_files_are_errors() {
    #[cfg(unix)]
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()) {
        tracing::debug!(%error, "the default action of SIGXFSZ stays in place");
    }
}

/// Makes SIGINT end the program. By default the first process of a container would ignore it, and other processes would
/// have no exit code of their own. This needs no thread and no file descriptor, since none may be left.
pub(super) fn ends_the_program() {
    let always = Arc::new(AtomicBool::new(true));
    if let Err(error) = register_conditional_shutdown(SIGINT, INTERRUPTED, always) {
        tracing::debug!(%error, "the default action of SIGINT stays in place");
    }
}
