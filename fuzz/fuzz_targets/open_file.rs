#![no_main]

use libfuzzer_sys::fuzz_target;

// Damaged pages make redb panic, which the engine contains. The fuzzer's own hook would abort at once.
fuzz_target!(init: hivekeep_fuzz::contained::quiet_panics(), |data: &[u8]| hivekeep_fuzz::open_file::run(data));
