//! The folders of this crate depend on each other in one direction only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Which room uses which, by `crate::ROOM` outside of tests.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files(&root) {
        let inside = file.strip_prefix(&root).unwrap();
        let room = inside.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
        if matches!(room.as_str(), "lib" | "fuzz") || inside.to_string_lossy().contains("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for used in code.split("crate::").skip(1) {
            let name: String = used.chars().take_while(|char| char.is_ascii_lowercase() || *char == '_').collect();
            if name != room && !name.is_empty() {
                edges.entry(room.clone()).or_default().insert(name);
            }
        }
    }
    edges
}

#[test]
fn no_room_uses_one_that_uses_it() {
    let edges = edges();
    assert!(edges.len() > 8, "{edges:?}");
    for start in edges.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(room) = next.pop() {
            for used in edges.get(room).into_iter().flatten() {
                assert_ne!(used, start, "{room} leads back to {start}: {edges:#?}");
                if seen.insert(used) {
                    next.push(used);
                }
            }
        }
    }
}
