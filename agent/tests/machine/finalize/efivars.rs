//! Firmware variables that cannot simply be written: immutable, read-only, full. A small tmpfs stands in for the NVRAM.
//! Skipped without root.

use burin::error::Coded;
use burin::finalize::uefi::variables::Variables;
use nix::mount::{MsFlags, mount, umount};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// A tmpfs of a few pages, unmounted when dropped.
struct Nvram(tempfile::TempDir);

impl Nvram {
    fn new() -> Option<Self> {
        if fs::metadata("/proc/self").map_or(true, |metadata| metadata.uid() != 0) {
            burin_skip::skip!("needs root");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        mount(Some("nvram"), directory.path(), Some("tmpfs"), MsFlags::empty(), Some("size=16k")).expect("mounts");
        fs::write(directory.path().join(format!("BootOrder-{GLOBAL}")), [7, 0, 0, 0, 1, 0]).expect("a variable");
        Some(Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Nvram {
    fn drop(&mut self) {
        let _ = umount(self.path());
    }
}

#[test]
fn an_immutable_variable_is_unlocked_and_set() {
    let Some(nvram) = Nvram::new() else { return };
    let file = nvram.path().join(format!("BootOrder-{GLOBAL}"));
    let locked = Command::new("chattr").arg("+i").arg(&file).status().expect("chattr");
    if !locked.success() {
        burin_skip::skip!("no inode flags on this kernel's tmpfs");
        return;
    }
    assert!(fs::write(&file, "x").is_err(), "the flag holds");
    let variables = Variables::open(nvram.path()).expect("variables");
    assert!(variables.set("BootOrder", &[2, 0, 1, 0]).expect("sets"));
    assert_eq!(fs::read(&file).expect("reads"), [7, 0, 0, 0, 2, 0, 1, 0]);
    assert!(!variables.set("BootOrder", &[2, 0, 1, 0]).expect("nothing to do"));
    assert!(Command::new("chattr").arg("+i").arg(&file).status().expect("chattr").success());
    variables.delete("BootOrder").expect("deletes");
    assert!(!file.exists());
    variables.delete("BootOrder").expect("nothing to delete");
}

#[test]
fn a_full_nvram_is_a_refusal() {
    let Some(nvram) = Nvram::new() else { return };
    // Whatever is left of it.
    let _ = fs::write(nvram.path().join("filler"), [0; 64 << 10]);
    let variables = Variables::open(nvram.path()).expect("variables");
    let error = variables.set("Boot0000", &[0; 64]).expect_err("no room");
    assert_eq!(error.code(), "finalize.nvram_full");
    assert!(error.is_refusal() && error.hint().is_some());
    assert_eq!(variables.get("BootOrder").expect("reads").as_deref(), Some(&[1, 0][..]));
}

#[test]
fn read_only_variables_are_a_refusal() {
    let Some(nvram) = Nvram::new() else { return };
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, nvram.path(), None::<&str>, flags, None::<&str>).expect("remounts");
    let variables = Variables::open(nvram.path()).expect("variables");
    for error in [variables.set("BootOrder", &[9, 0]), variables.delete("BootOrder").map(|()| true)] {
        let error = error.expect_err("read-only");
        assert_eq!(error.code(), "finalize.nvram_read_only");
        assert!(error.is_refusal());
    }
    assert!(!variables.set("BootOrder", &[1, 0]).expect("what is there already needs no writing"));
}
