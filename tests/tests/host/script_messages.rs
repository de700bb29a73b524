//! What `scripts/demo` prints if it cannot run: the missing packages, with nothing done.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// Exit status and standard error of the demo in a system with only `bin`.
fn demo(bin: &Path, os_release: &str) -> (Option<i32>, String) {
    let release = bin.join("os-release");
    fs::write(&release, os_release).unwrap();
    for name in ["bash", "dirname", "sort", "grep", "find", "awk", "cut", "mktemp", "tail", "rm"] {
        let at = ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(name)).into_iter().find(|path| path.exists());
        symlink(at.unwrap(), bin.join(name)).unwrap();
    }
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/demo"))
        .env_clear()
        .env("PATH", bin)
        .env("HOME", bin)
        .env("BURIN_OS_RELEASE", release)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!bin.join("apt-get.called").exists(), "packages were asked for: {output:?}");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn program(bin: &Path, name: &str, script: &str) {
    let path = bin.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// A system with apt but no packages installed.
fn apt(bin: &Path, user: u32) {
    program(bin, "dpkg-query", "exit 1");
    program(bin, "apt-get", "touch \"$HOME/apt-get.called\"");
    program(bin, "id", &format!("echo {user}"));
}

#[test]
fn without_apt_it_names_what_to_install() {
    let bin = tempfile::tempdir().unwrap();
    let (status, said) = demo(bin.path(), "ID=fedora\n");
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("this is not Debian") && said.contains("qemu-system-x86"), "{said}");
}

#[test]
fn a_plain_user_is_told_what_to_run() {
    let bin = tempfile::tempdir().unwrap();
    apt(bin.path(), 1000);
    let (status, said) = demo(bin.path(), "ID=debian\n");
    assert_eq!(status, Some(1), "{said}");
    let line = said.lines().find(|line| line.contains("sudo apt-get install")).unwrap_or_default();
    assert!(said.contains("not root") && line.contains("mmdebstrap") && line.contains("ovmf"), "{said}");
}

#[test]
fn apt_alone_is_no_debian() {
    let bin = tempfile::tempdir().unwrap();
    apt(bin.path(), 0);
    let (status, said) = demo(bin.path(), "ID=altlinux\n");
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("is not Debian") && said.contains("libblkid-dev"), "{said}");
}
