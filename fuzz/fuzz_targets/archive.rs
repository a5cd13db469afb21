#![no_main]

use hivekeep_fuzz::archive;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| archive::run(data));
