//! Ctrl-C in a verb that is not the service: the program ends at once, with exit code 130. The store is made for that.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_shutdown;

/// What a shell shows for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Ends the program when it is interrupted. A program that is the first process of a container would not be ended
/// otherwise, and others would give no exit code of their own. It takes no thread and opens no file, of which there may be none
/// left.
pub(super) fn ends_the_program() {
    let always = Arc::new(AtomicBool::new(true));
    if let Err(error) = register_conditional_shutdown(SIGINT, INTERRUPTED, always) {
        tracing::debug!(%error, "Ctrl-C ends the program in the way of the operating system");
    }
}
