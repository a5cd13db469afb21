#![no_main]

use std::panic;
use std::sync::Mutex;

use libfuzzer_sys::fuzz_target;

/// What the last panic said, for when it escapes.
static LAST: Mutex<String> = Mutex::new(String::new());

fuzz_target!(init: let_panics_unwind(), |data: &[u8]| {
    if panic::catch_unwind(|| hivekeep_fuzz::open_file::run(data)).is_err() {
        eprintln!("escaped: {}", LAST.lock().map(|last| last.clone()).unwrap_or_default());
        std::process::abort();
    }
});

/// Damaged pages make redb panic, which the engine contains. The fuzzer's own hook would abort at once.
fn let_panics_unwind() {
    panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = LAST.lock() {
            *last = info.to_string();
        }
    }));
}
