//! Devices that the kernel has stacked on a disk: `holders` in sysfs of the disk, of its partitions, and of the devices
//! found there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// More layers than anybody stacks.
const LAYERS: usize = 32;

/// A device on top of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The kernel's name.
    pub name: String,
    /// `/sys/class/block/NAME`.
    pub sysfs: PathBuf,
}

/// Names in a sysfs directory; none if it is missing.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// These devices and their partitions.
pub fn parts(devices: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = devices.to_vec();
    for device in devices {
        let inside = names(device).into_iter().map(|name| device.join(name));
        found.extend(inside.filter(|path| path.join("partition").exists()));
    }
    found
}

/// All devices above these, directly or indirectly; the highest come first.
pub fn above(devices: &[PathBuf], sys: &Path) -> Vec<Held> {
    let mut found: Vec<Held> = Vec::new();
    let mut layer = devices.to_vec();
    // A device cannot be above itself; a sysfs that claims so is not followed for ever.
    for _ in 0..LAYERS {
        let standing: BTreeSet<String> = parts(&layer).iter().flat_map(|one| names(&one.join("holders"))).collect();
        layer = Vec::new();
        for name in standing {
            let sysfs = sys.join("class/block").join(&name);
            layer.push(sysfs.clone());
            // It was found again further up, where it belongs.
            found.retain(|held| held.name != name);
            found.push(Held { name, sysfs });
        }
    }
    found.reverse();
    found
}

/// Whether another device is on top of it.
pub fn is_held(held: &Held) -> bool {
    parts(std::slice::from_ref(&held.sysfs)).iter().any(|one| !names(&one.join("holders")).is_empty())
}

/// `MAJOR:MINOR` of these devices, their partitions, and everything above them.
pub fn numbers(devices: &[PathBuf], sys: &Path) -> BTreeSet<String> {
    let mut all = devices.to_vec();
    all.extend(above(devices, sys).into_iter().map(|held| held.sysfs));
    let dev = |path: PathBuf| fs::read_to_string(path.join("dev")).ok().map(|text| text.trim().to_owned());
    parts(&all).into_iter().filter_map(dev).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sda1 - md0 - dm-0 (crypt) - dm-1; sda2 - dm-1 too.
    pub fn stack(sys: &Path) -> PathBuf {
        let (disk, class) = (sys.join("dev/block/8:0"), sys.join("class/block"));
        for (path, number) in [(disk.clone(), "8:0"), (disk.join("sda1"), "8:1"), (disk.join("sda2"), "8:2")] {
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("dev"), number).unwrap();
        }
        for partition in ["sda1", "sda2"] {
            fs::write(disk.join(partition).join("partition"), "1").unwrap();
        }
        for (below, holder) in [
            (disk.join("sda1"), "md0"),
            (class.join("md0"), "dm-0"),
            (class.join("dm-0"), "dm-1"),
            (disk.join("sda2"), "dm-1"),
        ] {
            fs::create_dir_all(below.join("holders").join(holder)).unwrap();
        }
        fs::create_dir_all(class.join("dm-1")).unwrap();
        for (name, number) in [("md0", "9:0"), ("dm-0", "253:0"), ("dm-1", "253:1")] {
            fs::write(class.join(name).join("dev"), number).unwrap();
        }
        disk
    }

    #[test]
    fn what_stands_highest_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let disk = stack(dir.path());
        let found = above(std::slice::from_ref(&disk), dir.path());
        assert_eq!(found.iter().map(|held| held.name.as_str()).collect::<Vec<_>>(), ["dm-1", "dm-0", "md0"]);
        assert_eq!(found.iter().map(is_held).collect::<Vec<_>>(), [false, true, true]);
        let numbers = numbers(&[disk], dir.path());
        assert_eq!(numbers.into_iter().collect::<Vec<_>>(), ["253:0", "253:1", "8:0", "8:1", "8:2", "9:0"]);
        assert!(above(&[dir.path().join("nothing")], dir.path()).is_empty());
    }

    #[test]
    fn a_circle_ends() {
        let dir = tempfile::tempdir().unwrap();
        let class = dir.path().join("class/block");
        for (one, other) in [("a", "b"), ("b", "a")] {
            fs::create_dir_all(class.join(one).join("holders").join(other)).unwrap();
        }
        assert!(above(&[class.join("a")], dir.path()).len() <= 2);
    }
}
