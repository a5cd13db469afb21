#![no_main]

use std::panic;
use std::sync::Mutex;

use hivekeep_fuzz::open_file;
use libfuzzer_sys::{Corpus, fuzz_target};

/// Set to take files too that are opened without verifying their pages: over some of those redb aborts, which nothing
/// contains.
const UNVERIFIED: &str = "HIVEKEEP_FUZZ_UNVERIFIED";

/// The message of the last panic, printed when it escapes.
static LAST: Mutex<String> = Mutex::new(String::new());

fuzz_target!(init: let_panics_unwind(), |data: &[u8]| -> Corpus {
    if !open_file::verifies(data) && std::env::var_os(UNVERIFIED).is_none() {
        return Corpus::Reject;
    }
    if panic::catch_unwind(|| open_file::run(data)).is_err() {
        eprintln!("escaped: {}", LAST.lock().map(|last| last.clone()).unwrap_or_default());
        std::process::abort();
    }
    Corpus::Keep
});

/// Damaged pages make redb panic, which the engine contains. The fuzzer's own hook would abort at once.
fn let_panics_unwind() {
    panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = LAST.lock() {
            *last = info.to_string();
        }
    }));
}
