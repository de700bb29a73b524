//! Stacked layers, whiteouts, and whiteouts that try to reach outside.

use super::*;
use crate::error::Coded;
use crate::finalize::root::Root;
use crate::tree::TreeManifest;
use crate::tree::unpack::Unpacked;
use crate::tree::unpack::tests::{Made, is_root};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use tar::EntryType;

trait Entries {
    fn directory(self, path: &str) -> Self;
    fn link(self, path: &str, to: &str) -> Self;
    fn hard(self, path: &str, to: &str) -> Self;
}

impl Entries for Made {
    fn directory(self, path: &str) -> Self {
        self.add(EntryType::Directory, path, "", 0o755, b"")
    }

    fn link(self, path: &str, to: &str) -> Self {
        self.add(EntryType::Symlink, path, to, 0o777, b"")
    }

    fn hard(self, path: &str, to: &str) -> Self {
        self.add(EntryType::Link, path, to, 0, b"")
    }
}

fn unpack(root: &Path, layers: Vec<Made>) -> Result<Unpacked, TreeError> {
    let layers: Vec<Vec<u8>> = layers.into_iter().map(Made::bytes).collect();
    unpack_bytes(root, &layers)
}

/// Unpacked, and verified against the manifest.
fn unpack_bytes(root: &Path, layers: &[Vec<u8>]) -> Result<Unpacked, TreeError> {
    let (root, mut manifest) = (Root::open(root).expect("root"), TreeManifest::default());
    let stopped = || false;
    let mut unpacker = Unpacker::new(&root, Some(&mut manifest), &stopped);
    for (index, layer) in layers.iter().enumerate() {
        unpacker.layer(&mut layer.as_slice(), index == 0)?;
    }
    let done = unpacker.finish()?;
    manifest.verify(&root, &stopped)?;
    Ok(done)
}

/// Paths below `root`, directories with a trailing slash.
fn paths(root: &Path) -> Vec<String> {
    let (mut found, mut queue) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = queue.pop() {
        for entry in fs::read_dir(directory).expect("reads") {
            let path = entry.expect("an entry").path();
            let directory = !path.is_symlink() && path.is_dir();
            let shown = path.strip_prefix(root).expect("below").display().to_string();
            found.push(if directory { format!("{shown}/") } else { shown });
            if directory {
                queue.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn marks_hide_what_is_below_and_nothing_of_their_own_layer() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let lower = Made::new().directory("d/").file("d/old", b"1").directory("d/sub/").file("d/sub/old", b"1");
    let lower = lower.directory("gone/").file("gone/a", b"1").directory("gone/b/").file("gone/b/c", b"1");
    let lower = lower.file("file", b"1").file("kept", b"1").file(".wh.none", b"").directory("o/").file("o/x", b"1");
    // Its own entries before and after the whiteouts.
    let upper =
        Made::new().file("d/sub/new", b"2").file("d/.wh..wh..opq", b"").file("d/new", b"2").file(".wh.gone", b"");
    let upper = upper.file("file", b"2").file(".wh.file", b"").file("o/.wh.x", b"").file("o/x/y", b"2");
    let upper = upper.file("nowhere/.wh.x", b"").file("kept/.wh.x", b"").file(".wh..wh.plnk", b"");
    unpack(dir.path(), vec![lower, upper]).expect("unpacks");
    let wanted = ["d/", "d/new", "d/sub/", "d/sub/new", "file", "kept", "o/", "o/x/", "o/x/y"];
    assert_eq!(paths(dir.path()), wanted);
    assert_eq!(fs::read(dir.path().join("file")).expect("reads"), b"2");
}

#[test]
fn what_lies_in_the_way_goes_whatever_it_is() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let lower =
        Made::new().directory("a/").file("a/x", b"1").file("b", b"1").link("c", "a").directory("d/").file("d/x", b"1");
    let lower = lower.directory("e/").file("e/x", b"1").file("f", b"1");
    let upper = Made::new().file("a", b"2").directory("b/").file("b/x", b"2").directory("c/").file("c/x", b"2");
    let upper = upper.link("d", "b").add(EntryType::Fifo, "e", "", 0o600, b"").hard("g", "f");
    let third = Made::new().file(".wh.f", b"").directory("e/");
    unpack(dir.path(), vec![lower, upper, third]).expect("unpacks");
    assert_eq!(paths(dir.path()), ["a", "b/", "b/x", "c/", "c/x", "d", "e/", "g"]);
    let meta = |path: &str| fs::symlink_metadata(dir.path().join(path)).expect("metadata");
    assert_eq!((meta("g").nlink(), meta("g").uid()), (1, 12));
    assert_eq!((meta("e").mode() & 0o7777, meta("c").mtime()), (0o755, 1_000_000_000));
}

/// A root with a sibling that a whiteout or link tries to reach.
fn surrounded() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root");
    fs::create_dir_all(&root).expect("root");
    fs::create_dir_all(dir.path().join("beside/deep")).expect("beside");
    fs::write(dir.path().join("beside/secret"), "s").expect("writes");
    (dir, root)
}

fn is_intact(dir: &Path) -> bool {
    fs::read(dir.join("beside/secret")).is_ok_and(|read| read == b"s")
        && dir.join("beside/deep").is_dir()
        && fs::symlink_metadata(dir.join("beside/secret")).is_ok_and(|meta| meta.nlink() == 1 && meta.uid() != 12)
        && fs::read_dir(dir.join("beside")).is_ok_and(|found| found.count() == 2)
        && fs::read_dir(dir).is_ok_and(|found| found.count() == 2)
}

#[test]
fn nothing_reaches_out_of_the_root() {
    if !is_root() {
        return;
    }
    let links = |dir: &Path| {
        let outside = dir.join("beside").display().to_string();
        Made::new().link("up", "../beside").link("far", "../../../../../..").link("abs", &outside).directory("in/")
    };
    let refused =
        [".wh...", "x/.wh...", ".wh.", "in/.wh..", "../.wh.beside", "in/../../.wh.beside", "../beside/.wh..wh..opq"];
    for path in refused {
        let (dir, root) = surrounded();
        let error = unpack(&root, vec![links(dir.path()), Made::new().file(path, b"")]).expect_err(path);
        assert_eq!(error.code(), "tree.escape", "{path}");
        assert!(is_intact(dir.path()), "{path}");
    }
    // Through links: they are resolved within the root, where the target does not exist.
    let through = [
        "up/.wh.secret",
        "up/.wh..wh..opq",
        "abs/.wh.secret",
        "abs/.wh..wh..opq",
        "far/.wh.beside",
        "in/.wh.secret",
        "up/.wh.deep",
        ".wh.up",
        ".wh.abs",
        "far/beside/.wh..wh..opq",
    ];
    for path in through {
        let (dir, root) = surrounded();
        unpack(&root, vec![links(dir.path()), Made::new().file(path, b"")]).unwrap_or_else(|e| panic!("{path}: {e:?}"));
        assert!(is_intact(dir.path()), "{path}");
    }
    // The link is removed, not its target; and no file name outside is ever created.
    for entry in [
        Made::new().directory("up/"),
        Made::new().hard("in/x", "up/secret"),
        Made::new().hard("in/x", "../beside/secret"),
        Made::new().file("up/secret", b"2"),
        Made::new().file("up", b"2"),
        Made::new().hard("in/x", "abs/secret"),
    ] {
        let (dir, root) = surrounded();
        let _ = unpack(&root, vec![links(dir.path()), entry]);
        assert!(is_intact(dir.path()));
    }
}

#[test]
fn directories_too_deep_are_told_and_not_followed() {
    if !is_root() {
        return;
    }
    let (dir, root) = surrounded();
    fs::create_dir_all(root.join("d/".repeat(DEEPEST + 10))).expect("directories");
    let error = unpack(&root, vec![Made::new(), Made::new().file(".wh.d", b"")]).expect_err("too deep");
    assert_eq!(error.code(), "tree.unsupported");
    fs::create_dir_all(root.join("e/".repeat(DEEPEST - 10))).expect("directories");
    unpack(&root, vec![Made::new(), Made::new().file(".wh.e", b"")]).expect("unpacks");
    assert!(is_intact(dir.path()) && !root.join("e").exists());
}

#[derive(Debug, Clone)]
enum Op {
    File(String),
    Directory(String),
    Hide(String),
    Opaque(String),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let path = prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..4).prop_map(|parts| parts.join("/"));
    let op = (path, 0..6u8).prop_map(|(path, kind)| match kind {
        0 | 1 => Op::File(path),
        2 | 3 => Op::Directory(path),
        4 => Op::Hide(path),
        _ => Op::Opaque(path),
    });
    prop::collection::vec(op, 0..6)
}

/// The expected result, with directories as true, computed from the rules without a filesystem; `None` if a file is in
/// the way.
fn model(layers: &[Vec<Op>]) -> Option<BTreeMap<String, bool>> {
    let mut state: BTreeMap<String, bool> = BTreeMap::new();
    for (index, layer) in layers.iter().enumerate() {
        let mut touched: Vec<String> = Vec::new();
        let below = |state: &BTreeMap<String, bool>, path: &str, itself: bool| -> Vec<String> {
            let inside = |known: &&String| known.starts_with(&format!("{path}/")) || itself && *known == path;
            state.keys().filter(inside).cloned().collect()
        };
        for op in layer {
            match op {
                Op::File(path) | Op::Directory(path) => {
                    let directory = matches!(op, Op::Directory(_));
                    let parents: Vec<&str> = path.match_indices('/').map(|(at, _)| &path[..at]).collect();
                    if parents.iter().any(|parent| state.get(*parent) == Some(&false)) {
                        return None;
                    }
                    for parent in &parents {
                        state.insert((*parent).to_owned(), true);
                    }
                    if state.get(path).is_some_and(|known| *known != directory) {
                        let inside = below(&state, path, false);
                        if touched.contains(path) && !inside.is_empty() || index == 0 && !inside.is_empty() {
                            return None;
                        }
                        for path in &inside {
                            state.remove(path);
                        }
                    }
                    state.insert(path.clone(), directory);
                    touched.extend(parents.into_iter().map(str::to_owned).chain([path.clone()]));
                }
                Op::Hide(path) | Op::Opaque(path) if index > 0 => {
                    for path in below(&state, path, matches!(op, Op::Hide(_))) {
                        if !touched.contains(&path) {
                            state.remove(&path);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    Some(state)
}

fn made(layer: &[Op]) -> Made {
    layer.iter().fold(Made::new(), |made, op| match op {
        Op::File(path) => made.file(path, b"x"),
        Op::Directory(path) => made.directory(&format!("{path}/")),
        Op::Hide(path) => match path.rsplit_once('/') {
            Some((directory, name)) => made.file(&format!("{directory}/.wh.{name}"), b""),
            None => made.file(&format!(".wh.{path}"), b""),
        },
        Op::Opaque(path) => made.file(&format!("{path}/.wh..wh..opq"), b""),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_layers_make_what_the_rules_say(layers in prop::collection::vec(ops(), 1..4)) {
        let dir = tempfile::tempdir().expect("a directory");
        if nix::unistd::geteuid().is_root() {
            let result = unpack(dir.path(), layers.iter().map(|layer| made(layer)).collect());
            match (model(&layers), result) {
                (Some(state), Ok(_)) => {
                    let wanted: Vec<String> =
                        state.into_iter().map(|(path, directory)| if directory { format!("{path}/") } else { path }).collect();
                    let mut found = paths(dir.path());
                    let mut wanted = wanted;
                    wanted.sort();
                    found.sort();
                    prop_assert_eq!(found, wanted);
                }
                (None, Err(_)) => {}
                (model, result) => prop_assert!(false, "{:?} {:?}", model, result),
            }
        }
    }

    #[test]
    fn damaged_layers_stay_inside(layers in prop::collection::vec(ops(), 2..4), flips in prop::collection::vec((0usize..8192, any::<u8>()), 1..6)) {
        let (dir, root) = surrounded();
        let links = Made::new().link("a", "../beside").link("b", "/").bytes();
        let mut all = vec![links];
        all.extend(layers.iter().map(|layer| made(layer).bytes()));
        for layer in all.iter_mut().skip(1) {
            for (at, value) in &flips {
                let at = at % layer.len();
                layer[at] = *value;
                // The checksum is corrected, so that what follows is read.
                let header = at / 512 * 512;
                if let Some(block) = layer.get_mut(header..header + 512) {
                    block[148..156].fill(b' ');
                    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                }
            }
        }
        let _ = unpack_bytes(&root, &all);
        prop_assert!(is_intact(dir.path()));
    }
}
