//! Panics that the engine contains must not stop the fuzzer; those that escape it must.

use std::panic;
use std::sync::Mutex;

/// What the last panic said, for when it escapes.
static LAST: Mutex<String> = Mutex::new(String::new());

/// Lets panics unwind without a word, instead of aborting as the fuzzer's own hook does.
pub fn quiet_panics() {
    panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = LAST.lock() {
            *last = info.to_string();
        }
    }));
}

/// Runs a body; a panic that escapes it is told, and goes on.
pub fn run(body: impl FnOnce()) {
    if let Err(escaped) = panic::catch_unwind(panic::AssertUnwindSafe(body)) {
        if let Ok(last) = LAST.lock() {
            eprintln!("escaped: {last}");
        }
        panic::resume_unwind(escaped);
    }
}
