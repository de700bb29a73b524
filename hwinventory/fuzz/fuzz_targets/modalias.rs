#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hwinventory::fuzz::run("modalias", bytes));
