//! The plain driver, for where nightly Rust and cargo-fuzz are missing:
//! `cargo run -p hwinventory --example fuzz -- TARGET SECONDS`, or `all` for every target in turn. Mutates the checked-in
//! corpus, keeps what stops a parser in `fuzz/artifacts/TARGET`, and exits 1 when there was something.

mod noise;

use hwinventory::fuzz::{TARGETS, Target};
use noise::Noise;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A parser that takes longer than this for one input is stuck for all that it matters.
const SLOW: Duration = Duration::from_secs(2);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder().join("corpus").join(name)).expect("a corpus");
    let mut seeds: Vec<Vec<u8>> = entries.flatten().map(|e| std::fs::read(e.path()).expect("readable")).collect();
    seeds.sort();
    seeds
}

fn run(name: &str, target: Target, time: Duration) -> usize {
    let seeds = seeds(name);
    let mut noise = Noise(0x2545_f491_4f6c_dd1d);
    let (mut executions, mut found) = (0u64, 0);
    let started = Instant::now();
    while started.elapsed() < time {
        for _ in 0..64 {
            let (seed, other) = (noise.below(seeds.len()), noise.below(seeds.len()));
            let input = noise.mutate(&seeds[seed], &seeds[other]);
            let one = Instant::now();
            let result = catch_unwind(|| target(&input));
            executions += 1;
            if result.is_err() || one.elapsed() > SLOW {
                found += 1;
                let file = folder().join("artifacts").join(name).join(format!("{found}"));
                std::fs::create_dir_all(file.parent().expect("a folder")).expect("artifacts can be kept");
                std::fs::write(&file, &input).expect("artifacts can be kept");
                println!("{name}: {}", file.display());
            }
        }
    }
    println!("{name}: {executions} executions in {} s, {found} findings", started.elapsed().as_secs());
    found
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [wanted, seconds] = arguments.as_slice() else {
        eprintln!(
            "fuzz TARGET SECONDS, TARGET being `all` or one of {:?}",
            TARGETS.iter().map(|t| t.0).collect::<Vec<_>>()
        );
        std::process::exit(2);
    };
    let time = Duration::from_secs(seconds.parse().expect("seconds"));
    let targets = TARGETS.iter().filter(|(name, _)| wanted == "all" || wanted == name);
    let found: usize = targets.map(|(name, target)| run(name, *target, time)).sum();
    std::process::exit(i32::from(found > 0));
}
