#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| burin::image::fuzz::run("sniff", bytes));
