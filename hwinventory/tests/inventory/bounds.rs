//! Trees that are built to take long, or to reach out of themselves.

use crate::builder;
use crate::support::{self, Machine};
use hwinventory::model::Status;
use hwinventory::source::{FsSource, Source};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::path::Path;
use std::sync::Arc;

/// Every volume on every other: no machine has it, a damaged copy may. Each has a mount.
#[test]
fn four_hundred_cross_linked_volumes() {
    let mut machine = Machine::default();
    let mut table = String::new();
    for n in 0..400 {
        let base = builder::disk(&mut machine, "/sys/devices/virtual/block", &format!("dm-{n}"), &[]);
        machine.file(&format!("{base}/dev"), &format!("253:{n}\n"));
        table += &format!("{n} 0 253:{n} / /srv/{n} rw - xfs /dev/mapper/v{n} rw\n");
    }
    let machine = CrossLinked(machine, table);
    let inventory = support::collect(Arc::new(machine));
    assert_eq!(inventory.volumes.data.len(), 400);
    assert!(inventory.disks.problems.is_empty(), "{:?}", inventory.disks.problems);
    for volume in &inventory.volumes.data {
        let mounts = volume.mounts.as_ref().expect("the table was read");
        assert_eq!(mounts.len(), 400, "{}", volume.name);
        assert_eq!(mounts[7].mountpoint, "/srv/7", "in the order of the table");
    }
}

struct CrossLinked(Machine, String);

impl Source for CrossLinked {
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        if path == "/proc/self/mountinfo" {
            return Ok(self.1.clone().into_bytes());
        }
        self.0.files.get(path).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        if path == "/sys/block" || path.ends_with("/holders") || path.ends_with("/slaves") {
            return Ok((0..400).map(|n| format!("dm-{n}")).collect());
        }
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn link(&self, path: &str) -> std::io::Result<String> {
        self.0.links.get(path).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    fn query(&self, _: &hwinventory::source::Query) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// More disks than any machine has, with the same name each: in turns, by a bounded number of threads.
struct Thousands(usize);

impl Source for Thousands {
    fn read(&self, path: &str) -> std::io::Result<Vec<u8>> {
        match path.rsplit('/').next() {
            Some("size") => Ok(b"2048\n".to_vec()),
            Some("vendor" | "model") => Ok(b"MADEUP\n".to_vec()),
            Some("wwid") => Ok(b"naa.5000c500a1b2c3d4\n".to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        match path {
            "/sys/block" => Ok((0..self.0).map(|n| format!("sd{n}")).collect()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    fn link(&self, path: &str) -> std::io::Result<String> {
        if path.ends_with("/device") {
            return Ok("../..".to_owned());
        }
        let name = path.strip_prefix("/sys/block/").ok_or(std::io::ErrorKind::NotFound)?;
        let lun = name.trim_start_matches("sd");
        Ok(format!("../devices/pci0000:00/0000:00:02.0/host0/target0:0:0/0:0:0:{lun}/block/{name}"))
    }

    fn query(&self, _: &hwinventory::source::Query) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

#[test]
fn five_thousand_disks() {
    let inventory = support::collect(Arc::new(Thousands(5000)));
    assert_eq!(inventory.disks.data.len(), 5000);
    let bad = inventory.disks.data.iter().find(|d| matches!(d.status, Status::Timeout | Status::Error));
    assert!(bad.is_none(), "{bad:?}");
}

/// A copied tree with device nodes and FIFOs in it: opening one would ask a device of this machine, or wait for ever.
#[test]
fn what_is_no_file_is_never_opened() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let make = |path: &str, kind: SFlag, device: u64| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("writable");
        mknod(&path, kind, Mode::from_bits_truncate(0o666), device).is_ok()
    };
    assert!(make("proc/cmdline", SFlag::S_IFIFO, 0));
    assert!(make("sys/block/sda/size", SFlag::S_IFSOCK, 0));
    // /dev/zero, which would never end, if it were opened.
    let device = make("proc/meminfo", SFlag::S_IFCHR, makedev(1, 5));
    if !device {
        burin_skip::skip!("only root may make device nodes");
    }
    std::os::unix::fs::symlink("/proc/meminfo", root.path().join("proc/cpuinfo")).expect("writable");
    std::fs::write(root.path().join("proc/version"), "Linux version 6.1.0 (made up)\n").expect("writable");
    let source = FsSource::directory(root.path()).expect("a directory");
    for path in ["/proc/cmdline", "/sys/block/sda/size"].into_iter().chain(device.then_some("/proc/cpuinfo")) {
        let error = source.read(path).expect_err(path);
        assert_eq!(error.to_string(), "not a regular file", "{path}");
    }
    assert!(source.read("/proc/version").is_ok());
    let inventory = support::collect_directory(Path::new(root.path()));
    assert_eq!(inventory.memory.data.usable, None);
    assert_eq!(inventory.disks.data[0].size, 0);
}
