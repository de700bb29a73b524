//! A bounded run of the fuzz targets over their corpora and mutations of them.

use hwinventory::fuzz::TARGETS;
use std::path::Path;

/// Xorshift: the same mutations every time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

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
                let mut bytes = seed.clone();
                for _ in 0..1 + noise.next() % 4 {
                    if bytes.is_empty() {
                        break;
                    }
                    let at = noise.next() as usize % bytes.len();
                    bytes[at] = match noise.next() % 4 {
                        0 => 0,
                        1 => 0xff,
                        2 => bytes[at].wrapping_add(1),
                        _ => noise.next() as u8,
                    };
                }
                target(&bytes);
            }
        }
    }
}
