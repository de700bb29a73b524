//! Finds the users of a disk: device-mapper and md devices on top of it, and mounts or swap on it or its partitions.

use super::Roots;
use std::fs;
use std::path::Path;

/// A description of the first user found of the device `number` (MAJOR:MINOR) or of one of its partitions.
pub fn find(roots: &Roots, number: &str) -> Option<String> {
    let node = roots.sys.join("dev/block").join(number);
    let mut users = vec![node.clone()];
    let partitions = fs::read_dir(&node).into_iter().flatten().flatten();
    users.extend(partitions.map(|entry| entry.path()).filter(|path| path.join("partition").exists()));
    let mounts = fs::read_to_string(roots.proc.join("self/mountinfo")).unwrap_or_default();
    let swaps = fs::read_to_string(roots.proc.join("swaps")).unwrap_or_default();
    users.iter().find_map(|user| {
        let number = fs::read_to_string(user.join("dev")).unwrap_or_else(|_| number.to_owned());
        holder(user).or_else(|| mounted(&mounts, number.trim())).or_else(|| swapped(&swaps, &name(user)))
    })
}

fn name(node: &Path) -> String {
    let real = fs::canonicalize(node).unwrap_or_else(|_| node.to_owned());
    real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn holder(node: &Path) -> Option<String> {
    let first = fs::read_dir(node.join("holders")).ok()?.flatten().next()?;
    Some(format!("the device {}", first.file_name().to_string_lossy()))
}

/// proc(5): the third field of mountinfo is MAJOR:MINOR, the fifth the mount point.
fn mounted(mountinfo: &str, number: &str) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (device, point) = (fields.nth(2)?, fields.nth(1)?);
        (device == number).then(|| format!("the mount on {point}"))
    })
}

/// proc(5): the first field of swaps is the device.
fn swapped(swaps: &str, name: &str) -> Option<String> {
    let used = swaps
        .lines()
        .skip(1)
        .any(|line| line.split_ascii_whitespace().next().and_then(|path| path.strip_prefix("/dev/")) == Some(name));
    used.then(|| "swap".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n23 22 0:21 / /proc rw - proc proc rw\n";
    const SWAPS: &str = "Filename\tType\tSize\tUsed\tPriority\n/dev/sdb2 partition 1 0 -2\n";

    fn roots() -> (tempfile::TempDir, Roots) {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots { sys: dir.path().join("sys"), proc: dir.path().join("proc") };
        for (number, name, partitions) in
            [("8:0", "sda", vec!["sda1"]), ("8:16", "sdb", vec!["sdb1", "sdb2"]), ("8:32", "sdc", vec!["sdc1"])]
        {
            let node = roots.sys.join("block").join(name);
            fs::create_dir_all(node.join("holders")).unwrap();
            fs::write(node.join("dev"), format!("{number}\n")).unwrap();
            for (index, partition) in partitions.iter().enumerate() {
                let sub = node.join(partition);
                fs::create_dir_all(sub.join("holders")).unwrap();
                fs::write(sub.join("partition"), format!("{}\n", index + 1)).unwrap();
                let minor: usize = number[2..].parse::<usize>().unwrap() + index + 1;
                fs::write(sub.join("dev"), format!("8:{minor}\n")).unwrap();
            }
            fs::create_dir_all(roots.sys.join("dev/block")).unwrap();
            std::os::unix::fs::symlink(&node, roots.sys.join("dev/block").join(number)).unwrap();
        }
        fs::create_dir_all(roots.proc.join("self")).unwrap();
        fs::write(roots.proc.join("self/mountinfo"), MOUNTS).unwrap();
        fs::write(roots.proc.join("swaps"), SWAPS).unwrap();
        (dir, roots)
    }

    #[test]
    fn mounts_swap_and_holders_of_partitions_count() {
        let (_dir, roots) = roots();
        assert_eq!(find(&roots, "8:0").unwrap(), "the mount on /");
        assert_eq!(find(&roots, "8:16").unwrap(), "swap");
        assert_eq!(find(&roots, "8:32"), None);
        fs::create_dir_all(roots.sys.join("block/sdc/sdc1/holders/md127")).unwrap();
        assert_eq!(find(&roots, "8:32").unwrap(), "the device md127");
    }

    #[test]
    fn an_unknown_device_has_no_users() {
        let (_dir, roots) = roots();
        assert_eq!(find(&roots, "259:7"), None);
    }
}
