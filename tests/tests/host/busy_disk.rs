//! A disk in use: `burin write` says why it cannot be written, exits with 1, and changes nothing. Nothing in the
//! ramdisk holds disks (it has no LVM and assembles no arrays), so this is tested on the host, with loop devices.

use crate::support::host::has_loops;
use crate::support::program::{agent, run};
use burin_tests::vm::{Dirt, DiskFile};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Loop(String);

impl Loop {
    fn attach(file: &Path, more: &[&str]) -> Self {
        Self(run(Command::new("/usr/sbin/losetup").args(["--find", "--show"]).args(more).arg(file)))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("/usr/sbin/losetup").args(["--detach", &self.0]).status();
    }
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// The agent, if it can be tested here.
fn ready() -> Option<PathBuf> {
    if has_loops() { agent() } else { None }
}

fn write(agent: &Path, dir: &Path, device: &str) -> Output {
    let image = dir.join("image.raw");
    std::fs::write(&image, vec![7; 4 << 20]).unwrap();
    Command::new(agent).arg("write").arg(image).arg(device).output().unwrap()
}

fn refused(output: &Output, code: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("[{code}]")), "{text}");
}

#[test]
fn a_read_only_disk_is_refused() {
    let Some(agent) = ready() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = DiskFile::new(dir.path().join("disk.raw"));
    Dirt::new(128 << 20, 8 << 20, 41).create(&file).unwrap();
    let before = file.digest().unwrap();
    let disk = Loop::attach(file.path(), &["--read-only"]);
    refused(&write(&agent, dir.path(), &disk.0), "disk.read_only");
    assert_eq!(file.digest().unwrap(), before);
}

#[test]
fn a_mounted_disk_is_refused() {
    let Some(agent) = ready() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = DiskFile::new(dir.path().join("disk.raw"));
    std::fs::File::create(file.path()).unwrap().set_len(32 << 20).unwrap();
    run(Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-F"]).arg(file.path()));
    let disk = Loop::attach(file.path(), &[]);
    let point = dir.path().join("mounted");
    std::fs::create_dir(&point).unwrap();
    // Read-only, or the file system itself would change bytes.
    run(Command::new("mount").args(["-o", "ro,noload", &disk.0]).arg(&point));
    let mounted = Mounted(&point);
    let before = file.digest().unwrap();
    refused(&write(&agent, dir.path(), &disk.0), "disk.held");
    assert_eq!(file.digest().unwrap(), before);

    drop(mounted);
    let output = write(&agent, dir.path(), &disk.0);
    assert!(output.status.success(), "free again, and still refused: {output:?}");
}
