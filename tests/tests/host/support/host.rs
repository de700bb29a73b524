//! A machine on this host: one loop device, and an agent process that can be killed.

use super::program::{Child, is_root};
use burin_tests::vm::{Dirt, DiskFile};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;

/// Whether loop devices can be used here; if not, prints a message.
pub fn has_loops() -> bool {
    let able = is_root() && Path::new("/dev/loop-control").exists();
    if !able {
        burin_skip::skip!("loop devices are root's, and not everywhere");
    }
    able
}

/// A dirty disk behind a loop device, and the files of an agent's root.
pub struct Host {
    pub directory: tempfile::TempDir,
    pub disk: DiskFile,
    node: String,
}

impl Host {
    /// `words` are on the kernel command line.
    pub fn new(words: &str) -> Self {
        Self::with_disk(words, 64 * MIB)
    }

    /// With a disk of this size in bytes.
    pub fn with_disk(words: &str, size: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = DiskFile::new(directory.path().join("disk.raw"));
        Dirt::new(size, 48 * MIB, 71).create(&disk).unwrap();
        let mut losetup = Command::new("losetup");
        losetup.args(["--find", "--show", "--direct-io=on"]).arg(disk.path());
        let output = losetup.output().expect("losetup");
        assert!(output.status.success(), "{output:?}");
        let node = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let host = Self { directory, disk, node };
        std::fs::create_dir_all(host.root().join("proc/sys/kernel/random")).unwrap();
        std::fs::write(host.root().join("proc/cmdline"), words).unwrap();
        std::fs::write(host.machine(), host.inventory().to_string()).unwrap();
        host.reset(1);
        host
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    fn machine(&self) -> PathBuf {
        self.directory.path().join("machine.json")
    }

    fn inventory(&self) -> Value {
        let section = |data: Value| json!({ "status": "ok", "data": data });
        let identity = json!({ "kind": "serial", "value": "LOOP", "strength": "strong" });
        let disk = json!({
            "name": self.node.trim_start_matches("/dev/"), "path": self.node, "status": "ok", "mounts": [],
            "signatures": [], "logical_block_size": 512, "class": "ssd", "size": self.disk.size().unwrap(),
            "serial": "LOOP", "identity": identity, "identities": [identity],
        });
        json!({
            "schema_version": "inventory/v1",
            "system": section(json!({ "uuid": super::MACHINE })), "firmware": section(json!({ "boot_mode": "bios" })),
            "cpu": section(json!({ "architecture": "x86_64" })), "disks": section(json!([disk])),
            "volumes": section(json!([])), "nics": section(json!([{ "name": "eth0", "status": "ok", "mac": "52:54:00:12:34:56" }])), "pci": section(json!([])),
        })
    }

    /// Like the reset button: the next agent belongs to another boot, and finds no state of the last one.
    pub fn reset(&self, boot: u32) {
        let _ = std::fs::remove_dir_all(self.root().join("run"));
        let id = format!("00000000-0000-4000-8000-{boot:012}\n");
        std::fs::write(self.root().join("proc/sys/kernel/random/boot_id"), id).unwrap();
    }

    pub fn start(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host-agent"));
        command.arg("--root").arg(self.root()).arg("--machine").arg(self.machine());
        Child::spawn(command.stdin(Stdio::null()))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.node]).status();
    }
}
