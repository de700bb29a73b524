//! Loop devices as disks, plans for them and their application.

pub mod cuts;
pub mod images;
pub mod orders;
pub mod storage;
pub mod tape;

use burin::apply::{self, Applied, Bound, Context, Paths, Patience};
use burin::finalize::adjust::{self, TableChange};
use burin::finalize::device::Device;
use burin::finalize::kernel::KernelDisk;
use burin::image::Cancel;
use burin::plan;
use burin::protocol::Control;
use burin::protocol::order::Order;
use burin::protocol::plan::Plan;
use burin::report::Emitter;
use burin::stage::{Failure, Stages};
use hwinventory::Inventory;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

pub const MIB: u64 = 1 << 20;

pub fn skipped() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    let able = root && Path::new("/dev/loop-control").exists();
    if !able {
        burin_skip::skip!("needs root and loop devices");
    }
    !able
}

/// Growing ext4 takes CAP_SYS_RESOURCE (bit 24), which containers and sandboxes withhold even from root.
pub fn may_grow_ext4() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("our status");
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("capabilities");
    u64::from_str_radix(effective.trim(), 16).expect("a mask") & (1 << 24) != 0
}

pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{text}", output.status);
    text
}

/// A sparse file behind a loop device; both go away with it.
pub struct Loop {
    pub node: PathBuf,
    pub directory: tempfile::TempDir,
    pub bytes: u64,
    pub sector: u32,
}

impl Loop {
    pub fn new(bytes: u64, sector: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("disk");
        fs::File::create(&file).and_then(|file| file.set_len(bytes)).expect("a sparse file");
        Self::over(&file, directory, sector)
    }

    /// Over a file that is there, and stays where it is not in `directory`.
    pub fn over(file: &Path, directory: tempfile::TempDir, sector: u32) -> Self {
        let bytes = fs::metadata(file).expect("a file").len();
        let size = sector.to_string();
        let file = file.to_str().expect("UTF-8");
        let options = ["--find", "--show", "--partscan", "--direct-io=on", "--sector-size", &size, file];
        let node = PathBuf::from(run("losetup", &options).trim());
        // The flag outlives a loop device's last user.
        run("blockdev", &["--setrw", node.to_str().expect("UTF-8")]);
        Self { node, directory, bytes, sector }
    }

    pub fn node(&self) -> &str {
        self.node.to_str().expect("UTF-8")
    }

    pub fn partition(&self, number: u32) -> PathBuf {
        self.kernel().node(number).expect("a partition")
    }

    pub fn device(&self) -> Device {
        Device::open(&self.node).expect("the loop device")
    }

    /// Where its filesystems are mounted.
    pub fn mounts(&self) -> PathBuf {
        self.directory.path().join("mnt")
    }

    pub fn kernel(&self) -> KernelDisk {
        KernelDisk::open(&self.node, Path::new("/sys"), Path::new("/dev")).expect("a kernel disk")
    }

    /// Makes the partitions of its table known: not every kernel reads it by itself.
    pub fn sync(&self) {
        let receipt = adjust::adjust(&self.device(), &TableChange::default(), MIB).expect("a table");
        self.kernel().sync(&receipt.partitions).expect("the kernel takes it");
    }

    pub fn described(&self, serial: &str) -> Value {
        let identity = json!({ "kind": "serial", "value": serial, "strength": "strong" });
        json!({
            "name": self.node.file_name().map(|name| name.to_string_lossy()), "path": self.node, "status": "ok",
            "mounts": [], "signatures": [], "logical_block_size": self.sector, "class": "ssd", "size": self.bytes,
            "serial": serial, "identity": identity, "identities": [identity],
            "samples": { "looked_at_bytes": 2 * MIB, "blank": true }
        })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.node).status();
    }
}

pub fn machine(disks: &[Value]) -> Inventory {
    let section = |data: Value| json!({ "status": "ok", "data": data });
    let inventory = json!({
        "schema_version": "inventory/v1",
        "system": section(json!({})), "firmware": section(json!({ "boot_mode": "uefi" })),
        "cpu": section(json!({ "architecture": "x86_64" })), "disks": section(json!(disks)),
        "volumes": section(json!([])), "nics": section(json!([])), "pci": section(json!([])),
    });
    serde_json::from_value(inventory).expect("an inventory")
}

pub fn planned(order: &Order, disks: &[Value]) -> Plan {
    plan::plan(&machine(disks), order, &BTreeMap::new()).expect("a plan")
}

/// With the program that is started to look into images.
pub fn program() -> Paths {
    Paths { program: env!("CARGO_BIN_EXE_burin").into(), ..Paths::default() }
}

pub fn paths(disk: &Loop) -> Paths {
    Paths { mounts: disk.mounts(), ..program() }
}

pub fn apply(
    order: &Order,
    plan: &Plan,
    paths: &Paths,
    safe_point: &dyn Fn() -> Control,
) -> (Applied, Result<(), Failure>) {
    apply_in(order, plan, &Inventory::default(), None, paths, safe_point)
}

pub fn apply_in(
    order: &Order,
    plan: &Plan,
    inventory: &Inventory,
    seed: Option<plan::SeedFiles>,
    paths: &Paths,
    safe_point: &dyn Fn() -> Control,
) -> (Applied, Result<(), Failure>) {
    apply::check(plan, paths).expect("a plan that can be applied");
    let context = context(order, plan, inventory, seed, paths, safe_point);
    let mut done = Applied::default();
    let result = apply::apply(&context, &mut Stages::new(Emitter::disconnected()), &mut done);
    (done, result)
}

/// With the plan's disks bound.
pub fn context<'a>(
    order: &Order,
    plan: &Plan,
    inventory: &Inventory,
    seed: Option<plan::SeedFiles>,
    paths: &Paths,
    safe_point: &'a dyn Fn() -> Control,
) -> Context<'a> {
    Context {
        order: Arc::new(order.clone()),
        plan: Arc::new(plan.clone()),
        inventory: Arc::new(inventory.clone()),
        seed: seed.map(Arc::new),
        download: ureq::Agent::new_with_defaults(),
        cancel: Cancel::default(),
        safe_point,
        paths: paths.clone(),
        disks: Bound::new(plan, inventory, paths).expect("the plan's disks"),
        patience: Patience::default(),
    }
}

/// Plans for this machine and applies, seed and all.
pub fn apply_on(
    order: &Order,
    inventory: &Inventory,
    paths: &Paths,
    safe_point: &dyn Fn() -> Control,
) -> (Applied, Result<(), Failure>) {
    let plan = plan::plan(inventory, order, &BTreeMap::new()).expect("a plan");
    let seed = plan::seed(inventory, order, &BTreeMap::new()).expect("a seed");
    apply_in(order, &plan, inventory, seed, paths, safe_point)
}

/// Serves one body over HTTP on the loopback until the process ends.
pub fn serve(body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/tree.tar.gz", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    url
}
