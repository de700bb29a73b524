#![no_main]

// The first byte chooses the reader: filesystems, ramdisks, programs, tables. Its bounded run is in inspect/tests/check.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let targets = burin_inspect::fuzz::TARGETS;
    if let [first, rest @ ..] = bytes {
        targets[usize::from(*first) % targets.len()].1(rest);
    }
});
