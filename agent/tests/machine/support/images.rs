//! Images for tests: a table by sfdisk, filesystems with a few files, and orders for them.

use super::{Loop, MIB, apply_on, machine, paths, run, serve};
use burin::apply::Applied;
use burin::finalize::filesystem;
use burin::finalize::mount::{Access, Mounted};
use burin::protocol::order::Order;
use burin::protocol::{Control, Problem};
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Root of x86_64 (Discoverable Partitions Specification).
pub const ROOT: &str = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";
pub const VAR: &str = "4D21B016-B534-45C2-A9FB-5C16E091FD2D";

/// An image that is being made.
pub struct Maker(pub Loop);

impl Maker {
    /// With the table that this script of sfdisk(8) says.
    pub fn new(mib: u64, script: &str) -> Self {
        let disk = Loop::new(mib * MIB, 512);
        let file = disk.directory.path().join("script");
        fs::write(&file, script).expect("writes");
        run("sh", &["-c", &format!("sfdisk --quiet {} < {}", disk.node(), file.display())]);
        disk.sync();
        Self(disk)
    }

    pub fn node(&self, number: u32) -> String {
        self.0.partition(number).display().to_string()
    }

    /// A filesystem, filled while it is mounted. Its UUID.
    pub fn fill(&self, number: u32, kind: &str, options: &[&str], fill: impl FnOnce(&Path)) -> String {
        let force = if kind == "ext4" { "-F" } else { "-f" };
        run(&format!("mkfs.{kind}"), &[&["-q", force], options, &[&self.node(number)]].concat());
        self.visit(number, kind, fill);
        filesystem::probe(&self.0.partition(number)).expect("one").uuid.expect("a UUID")
    }

    pub fn visit(&self, number: u32, kind: &str, act: impl FnOnce(&Path)) {
        let mounted = Mounted::mount(&self.0.partition(number), kind, Access::ReadWrite, &paths(&self.0).mounts);
        let mounted = mounted.expect("mounts");
        act(mounted.path());
        mounted.unmount().expect("unmounts");
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.0.bytes as usize];
        fs::File::open(&self.0.node).and_then(|mut file| file.read_exact(&mut bytes)).expect("reads");
        bytes
    }
}

/// A file, and the directories that it needs.
pub fn put(root: &Path, path: &str, contents: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a directory")).and_then(|()| fs::write(path, contents)).expect("writes");
}

/// An order that writes the image to the disk S1; `set` and `order` have more.
pub fn order(image: &[u8], set: Value, more: Value) -> Order {
    let url = serve(image.to_vec());
    let mut value = json!({
        "version": "order/v1", "id": "images", "images": { "image": { "urls": [url] } },
        "policies": { "boot_order": "keep" },
        "layouts": [{ "name": "image", "disks": { "system": {
            "on_existing": "destroy", "match": { "serial": "S1" }, "image": "image"
        } } }]
    });
    merge(&mut value["layouts"][0]["disks"]["system"], set);
    merge(&mut value, more);
    burin::protocol::order::parse(&value.to_string()).expect("an order")
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

/// Carried out on a disk of its own.
pub struct Done {
    pub disk: Loop,
    pub applied: Applied,
    pub problem: Option<Problem>,
}

pub fn carry_out(order: &Order, mib: u64) -> Done {
    let disk = Loop::new(mib * MIB, 512);
    let inventory = machine(&[disk.described("S1")]);
    let (applied, result) = apply_on(order, &inventory, &paths(&disk), &|| Control::Continue);
    Done { disk, applied, problem: result.err().map(|failure| failure.problem) }
}

impl Done {
    pub fn well(self) -> Self {
        assert!(self.problem.is_none(), "{:?}", self.problem);
        self
    }

    /// The code of what went wrong. The disk does not boot.
    pub fn refused(&self) -> &str {
        let mut first = [0; 1024];
        fs::File::open(&self.disk.node).and_then(|mut file| file.read_exact(&mut first)).expect("reads");
        assert_ne!(first[510..512], [0x55, 0xaa]);
        assert!(!first[512..].starts_with(b"EFI PART"));
        &self.problem.as_ref().expect("a refusal").code
    }

    pub fn hint(&self) -> &str {
        self.problem.as_ref().and_then(|problem| problem.hint.as_deref()).expect("a hint")
    }

    /// Nothing at all was written.
    pub fn untouched(&self) -> bool {
        fs::read(&self.disk.node).expect("reads").iter().all(|byte| *byte == 0)
    }

    pub fn change(&self, step: &str) -> &Value {
        &self.applied.changes.iter().find(|change| change.step == step).expect("a change").detail
    }

    /// Looks into a partition.
    pub fn look<T>(&self, number: u32, kind: &str, look: impl FnOnce(&Path) -> T) -> T {
        self.disk.sync();
        let mounted = Mounted::mount(&self.disk.partition(number), kind, Access::ReadOnly, &paths(&self.disk).mounts);
        let mounted = mounted.expect("mounts");
        let seen = look(mounted.path());
        mounted.unmount().expect("unmounts");
        seen
    }

    /// Paths below the top of a partition that have this in them.
    pub fn find(&self, number: u32, kind: &str, part: &str) -> Vec<PathBuf> {
        self.look(number, kind, |root| {
            let (mut open, mut found) = (vec![root.to_owned()], Vec::new());
            while let Some(directory) = open.pop() {
                for entry in fs::read_dir(directory).expect("reads").map_while(Result::ok) {
                    let path = entry.path();
                    if entry.file_type().expect("a type").is_dir() {
                        open.push(path.clone());
                    }
                    if path.display().to_string().contains(part) && path.is_file() {
                        found.push(path.strip_prefix(root).expect("below").to_owned());
                    }
                }
            }
            found.sort();
            found
        })
    }
}
