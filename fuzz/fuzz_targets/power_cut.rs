#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder for what is beside the store");
    hivekeep::fuzzing::power_cut(data, folder.path());
});
