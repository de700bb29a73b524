//! A bounded run of the fuzz targets over their corpora and mutations of them.

use burin::image::fuzz::TARGETS;
use std::path::Path;

/// Mutations of each file of a corpus, and ends that it is cut at.
const MUTATIONS: usize = 400;
const CUTS: usize = 256;

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

fn mutate(bytes: &mut [u8], noise: &mut Noise) {
    for _ in 0..1 + noise.next() % 4 {
        if bytes.is_empty() {
            return;
        }
        let at = noise.next() as usize % bytes.len();
        bytes[at] = match noise.next() % 4 {
            0 => 0,
            1 => 0xff,
            2 => bytes[at].wrapping_add(1),
            _ => noise.next() as u8,
        };
    }
}

#[test]
fn no_input_stops_a_reader() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for (name, target) in TARGETS {
        let entries = std::fs::read_dir(corpora.join(name)).unwrap_or_else(|e| panic!("corpus of {name}: {e}"));
        let mut seeds: Vec<Vec<u8>> = entries.flatten().map(|e| std::fs::read(e.path()).unwrap()).collect();
        assert!(!seeds.is_empty(), "corpus of {name} is empty");
        seeds.sort();
        // Threads and buffers make a trial of whole decoders costlier than one of a parser.
        let share = if *name == "decode" { 8 } else { 1 };
        for seed in &seeds {
            target(seed);
            for end in (0..seed.len()).step_by(1 + seed.len() * share / CUTS) {
                target(&seed[..end]);
            }
            for _ in 0..MUTATIONS / share {
                let mut bytes = seed.clone();
                mutate(&mut bytes, &mut noise);
                target(&bytes);
            }
        }
    }
}

#[test]
fn what_is_in_the_corpora_is_read() {
    // Otherwise mutations of it would prove nothing about what lies behind a header.
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let dir = tempfile::tempdir().unwrap();
    for (name, form) in
        [("plain", "qcow2"), ("deflate", "qcow2"), ("zstd", "qcow2"), ("old", "qcow2"), ("xz", "decode")]
    {
        let target = dir.path().join("target");
        std::fs::write(&target, vec![0xee; 1 << 20]).unwrap();
        let source = burin::image::Source::File(corpora.join(form).join(name));
        let opened = burin::disk::Target::open_file(&target).unwrap();
        let request = burin::image::WriteRequest::new(source);
        burin::image::write(request, &opened, &(), &burin::image::Cancel::default()).unwrap();
        assert!(std::fs::read(&target).unwrap().starts_with(b"words that compress well words"), "{name}");
    }
}
