//! Parameters on virtual media: `parameters.txt` on the filesystem `ir-vfd-dev`, or on a device that a BMC presents.

use crate::finalize::filesystem::probe;
use crate::finalize::mount::{Access, Mounted};
use std::fs;
use std::path::{Path, PathBuf};

const LABEL: &str = "ir-vfd-dev";
const FILE: &str = "parameters.txt";
/// Size limit: the file has only words for the kernel command line.
const LIMIT: u64 = 64 << 10;

/// The file's contents, with words separated by newlines; `None` if there is no such medium.
pub fn parameters(root: &Path, mounts: &Path) -> Option<String> {
    let names = fs::read_dir(root.join("sys/class/block")).ok()?;
    let mut names: Vec<PathBuf> = names.flatten().map(|entry| entry.path()).collect();
    names.sort();
    let labelled = |path: &&PathBuf| label(root, path).is_some_and(|label| label.eq_ignore_ascii_case(LABEL));
    let virtual_media = |path: &&PathBuf| {
        let model = fs::read_to_string(path.join("device/model")).unwrap_or_default();
        model.to_ascii_lowercase().contains("virtual media")
    };
    let found = names.iter().filter(labelled).chain(names.iter().filter(virtual_media));
    found.filter_map(|path| read(&root.join("dev").join(path.file_name()?), mounts)).next()
}

fn label(root: &Path, path: &Path) -> Option<String> {
    probe(&root.join("dev").join(path.file_name()?)).ok()?.label
}

fn read(device: &Path, mounts: &Path) -> Option<String> {
    use std::io::Read;
    let kind = probe(device).ok()?.kind?;
    let mounted = match Mounted::mount(device, &kind, Access::ReadOnly, mounts) {
        Ok(mounted) => mounted,
        Err(error) => {
            log::warn!("{}: {error}", device.display());
            return None;
        }
    };
    let mut text = String::new();
    let file = fs::File::open(mounted.path().join(FILE));
    let read = file.and_then(|file| file.take(LIMIT).read_to_string(&mut text));
    if let Err(error) = mounted.unmount() {
        log::warn!("{error}");
    }
    read.ok().map(|_| text)
}
