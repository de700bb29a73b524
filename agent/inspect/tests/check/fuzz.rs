//! A bounded run of the readers over small images and mutations of them.

use crate::support::{ALL, Planted, has, program, ramdisk, run};
use burin_inspect::fuzz::TARGETS;
use std::collections::BTreeMap;

const MUTATIONS: usize = 150;

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

/// Where something is: mutations of zeros hit nothing.
fn used(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len()).filter(|at| bytes[*at] != 0).collect()
}

fn seeds() -> BTreeMap<&'static str, Vec<u8>> {
    let image = Planted::clean();
    let file = |name: &str, size: u64| {
        let path = image.folder.path().join(name);
        std::fs::File::create(&path).unwrap().set_len(size << 20).unwrap();
        path
    };
    let root = image.root();
    let root = root.to_str().unwrap();
    let mut seeds = BTreeMap::from([("ramdisk", ramdisk(ALL)), ("pe", program())]);
    if has("mke2fs") {
        let path = file("ext4", 4);
        run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", root, path.to_str().unwrap()], None);
        seeds.insert("ext4", std::fs::read(path).unwrap());
    }
    if has("mformat") {
        let path = file("vfat", 2);
        run("mformat", &["-i", path.to_str().unwrap(), "-T", "4096", "::"], None);
        run(
            "mcopy",
            &["-s", "-i", path.to_str().unwrap(), image.folder.path().join("esp/EFI").to_str().unwrap(), "::"],
            None,
        );
        seeds.insert("vfat", std::fs::read(path).unwrap());
    }
    if has("sfdisk") {
        let path = file("table", 4);
        let script = "label: dos\nstart=1MiB, size=2MiB, type=5\nstart=1100KiB, size=100KiB, type=83\n";
        run("sfdisk", &["-q", path.to_str().unwrap()], Some(script));
        seeds.insert("volumes", std::fs::read(path).unwrap());
    }
    seeds
}

#[test]
fn no_damage_stops_a_reader() {
    let seeds = seeds();
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for (name, target) in TARGETS {
        target(&[]);
        target(&[0xff; 4096]);
        let Some(seed) = seeds.get(name) else { continue };
        target(seed);
        let used = used(seed);
        for _ in 0..MUTATIONS {
            let mut bytes = seed.clone();
            for _ in 0..1 + noise.next() % 6 {
                let at = used[noise.next() as usize % used.len()];
                bytes[at] = match noise.next() % 4 {
                    0 => 0,
                    1 => 0xff,
                    2 => bytes[at].wrapping_add(1),
                    _ => noise.next() as u8,
                };
            }
            if noise.next().is_multiple_of(8) {
                bytes.truncate(noise.next() as usize % bytes.len());
            }
            target(&bytes);
        }
    }
}
