//! A bounded run of the fuzz targets over their corpora and mutations of them.

#[path = "../../fuzz/noise.rs"]
mod noise;

use hwinventory::fuzz::TARGETS;
use noise::Noise;
use std::path::Path;

#[test]
fn no_input_stops_a_parser() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for (name, target) in TARGETS {
        let entries = std::fs::read_dir(corpora.join(name)).unwrap_or_else(|e| panic!("corpus of {name}: {e}"));
        let mut seeds: Vec<Vec<u8>> = entries.flatten().map(|e| std::fs::read(e.path()).expect("readable")).collect();
        assert!(!seeds.is_empty(), "corpus of {name} is empty");
        seeds.sort();
        for seed in &seeds {
            target(seed);
            for end in (0..seed.len()).step_by(1 + seed.len() / 256) {
                target(&seed[..end]);
            }
            for _ in 0..400 {
                let other = noise.below(seeds.len());
                target(&noise.mutate(seed, &seeds[other]));
            }
        }
    }
}

/// cargo-fuzz has a binary for each target.
#[test]
fn every_target_has_its_binary() {
    let manifest =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).expect("a file");
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/fuzz_targets/{name}.rs"));
        assert!(std::fs::read_to_string(source).expect("a file").contains(&format!("run(\"{name}\"")), "{name}");
    }
}
