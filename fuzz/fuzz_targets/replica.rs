#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder for the copies");
    hivekeep::fuzzing::replica(data, folder.path());
});
