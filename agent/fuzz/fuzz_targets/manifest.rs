#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| burin_image::fuzz::run("manifest", bytes));
