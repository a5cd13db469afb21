//! Ctrl-C in a verb that is not the service: the program ends at once, with exit code 130. The store is made for that.

use std::process;
use std::thread;

/// What a shell shows for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Ends the program when it is interrupted. A program that is the first process of a container would not be ended
/// otherwise, and others would give no exit code of their own.
pub(super) fn ends_the_program() {
    // Without the thread the operating system's own way holds.
    let _ = thread::Builder::new().name("interrupt".to_owned()).spawn(wait);
}

fn wait() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
        process::exit(INTERRUPTED);
    }
}
