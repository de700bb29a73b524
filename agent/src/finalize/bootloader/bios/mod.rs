//! Installs GRUB for BIOS from the modules in a tree. No program of the tree is run: the core image is built here
//! ([`core_image`]), and the modules are copied to where it looks for them.

mod core_image;

pub use core_image::{Fault, SECTOR, boot_sector, place};

use super::{BootError, BootFile, System, grub, kernels};
use crate::protocol::order::FsType;
use core_image::Parts;
use std::collections::{BTreeMap, BTreeSet};

/// Directories of GRUB's parts in Debian and Ubuntu (grub-pc-bin), Fedora and openSUSE (grub2-i386-pc).
const PLACES: [&str; 3] = ["usr/lib/grub/i386-pc", "usr/share/grub2/i386-pc", "boot/grub/i386-pc"];
/// Larger than any part or module.
const LIMIT: u64 = 4 << 20;
/// No dependency chain of modules is this long.
const DEEPEST: usize = 32;
/// A core image has no room for more modules.
const MOST_MODULES: usize = 256;
const MOST_BYTES: usize = 8 << 20;

/// What is needed to find the rest of GRUB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct On {
    /// Of the filesystem with /boot/grub.
    pub filesystem: FsType,
    /// Whether it lies on an array.
    pub array: bool,
    pub volume: bool,
}

/// The files that make the tree bootable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Version of the kernel that it boots.
    pub kernel: String,
    pub tree: Vec<BootFile>,
    /// To be positioned on each disk with [`place`].
    pub core: Vec<u8>,
    /// boot.img, for [`boot_sector`].
    pub boot: Vec<u8>,
}

/// The tree's directory for GRUB's modules and configuration.
pub fn directory(system: System<'_>) -> Result<&'static str, BootError> {
    grub::directory(system)
}

pub fn prepare(system: System<'_>, on: On) -> Result<Installation, BootError> {
    let from = PLACES.into_iter().map(|place| Ok((place, system.has(&format!("{place}/kernel.img"))?)));
    let from = from.collect::<Result<Vec<_>, BootError>>()?.into_iter().find(|(_, has)| *has);
    let missing = || BootError::NoLoader { what: "GRUB for BIOS", looked: PLACES.join(", ") };
    let (from, _) = from.ok_or_else(missing)?;
    let read = |name: &str| {
        let path = format!("{from}/{name}");
        system.tree.read(&path, LIMIT).map_err(|source| BootError::Io { path, source })
    };
    let kernels = kernels::find(system)?;
    let newest = kernels.first().ok_or(BootError::NoKernel)?.version.clone();

    let own = directory(system)?;
    let (uuid, place) = system.location(own);
    let mut wanted = vec!["biosdisk", "part_gpt", filesystem(on.filesystem), "search_fs_uuid"];
    if on.array {
        wanted.extend(["mdraid09", "mdraid1x"]);
    }
    if on.volume {
        wanted.push("lvm");
    }
    let dependencies = String::from_utf8_lossy(&read("moddep.lst")?).into_owned();
    let names = resolve(&dependencies, &wanted);
    let bad = |source| BootError::BadGrub { path: from.to_owned(), source };
    let (mut modules, mut total) = (Vec::new(), 0);
    for name in &names {
        let module = read(&format!("{name}.mod"))?;
        total += module.len();
        if total > MOST_BYTES {
            return Err(bad(Fault::TooLarge { have: total, most: MOST_BYTES }));
        }
        modules.push(module);
    }
    let config = format!("search.fs_uuid {uuid} root\nset prefix=($root){}\n", grub::quoted(&place));
    let (diskboot, decompressor, kernel) = (read("diskboot.img")?, read("lzma_decompress.img")?, read("kernel.img")?);
    let parts = Parts {
        diskboot: &diskboot,
        decompressor: &decompressor,
        kernel: &kernel,
        modules: &modules,
        config: &config,
        prefix: &place,
    };
    let core = core_image::build(parts).map_err(bad)?;
    let boot = read("boot.img")?;
    boot_sector(&boot, &[0; SECTOR], 0).map_err(bad)?;

    let mut tree = Vec::new();
    let to = format!("{own}/i386-pc");
    for name in system.list(from)?.into_iter().filter(|name| name.ends_with(".mod") || name.ends_with(".lst")) {
        tree.push(BootFile::copy(&to, &name, &format!("{from}/{name}")));
    }
    tree.extend(grub::configuration(system, &kernels)?);
    Ok(Installation { kernel: newest, tree, core, boot })
}

/// The module for a filesystem.
fn filesystem(kind: FsType) -> &'static str {
    match kind {
        FsType::Ext4 => "ext2",
        FsType::Xfs => "xfs",
        FsType::Btrfs => "btrfs",
        FsType::Vfat | FsType::Swap => "fat",
    }
}

/// The modules with their dependencies, each after its own. Same order as grub-mkimage: of a line in moddep.lst (`NAME:
/// NEEDED ...`) the last comes first.
fn resolve(dependencies: &str, wanted: &[&str]) -> Vec<String> {
    fn add<'a>(
        lines: &BTreeMap<&'a str, &'a str>,
        name: &'a str,
        depth: usize,
        seen: &mut BTreeSet<&'a str>,
        found: &mut Vec<String>,
    ) {
        // Recorded before its dependencies: a tree may contain anything, and each module is visited once.
        if depth > DEEPEST || seen.len() >= MOST_MODULES || !seen.insert(name) {
            return;
        }
        let needed = lines.get(name).map(|needed| needed.split_whitespace().rev()).into_iter().flatten();
        needed.for_each(|needed| add(lines, needed, depth + 1, seen, found));
        found.push(name.to_owned());
    }
    let mut lines = BTreeMap::new();
    for (name, needed) in dependencies.lines().filter_map(|line| line.split_once(':')) {
        lines.entry(name).or_insert(needed);
    }
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    wanted.iter().for_each(|name| add(&lines, name, 0, &mut seen, &mut found));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_behind_what_they_need_and_circles_end() {
        let dependencies = "ext2: fshelp\nfshelp:\na: b c\nb: a\nc:\nmdraid1x: diskfilter\ndiskfilter:\n";
        assert_eq!(resolve(dependencies, &["ext2", "mdraid1x", "ext2"]), ["fshelp", "ext2", "diskfilter", "mdraid1x"]);
        let circle = resolve(dependencies, &["a"]);
        assert_eq!(circle.iter().map(String::as_str).collect::<BTreeSet<_>>(), ["a", "b", "c"].into());
        assert_eq!(resolve("", &["unknown"]), ["unknown"]);
        assert_eq!(resolve("ext2: ext2 ext2\n", &["ext2"]), ["ext2"]);
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_tree_says_it_ends(text in "([a-d]{1,2}:( [a-d]{1,2}){0,6}\n){0,12}") {
            let found = resolve(&text, &["a", "b"]);
            proptest::prop_assert!(found.len() <= MOST_MODULES && found.contains(&"a".to_owned()));
        }
    }
}
