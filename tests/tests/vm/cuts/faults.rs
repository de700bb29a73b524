//! Kinds of steps that need a virtual machine, and their possible faults: the cells of the matrix
//! (`agent/tests/machine/apply/matrix`) that loop devices cannot show. `scripts/test --matrix` runs them, and
//! `scripts/test --storage` those of volumes.

use super::{KERNEL, LONG, MAC, VOLUMES, judge, old_disks, order, spec};
use burin::protocol::{Control, Receipt};
use burin_tests::controller::{Controller, Observation};
use burin_tests::deploy::{Image, Netboot, built, built_for_storage, start_controller_as};
use burin_tests::vm::nbd::{self, Told, Verdict};
use burin_tests::vm::{DiskFile, Machine, Slot};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

const KINDS: [&str; 4] = ["create-raid", "write-mdadm-conf", "install-boot", "boot-entry"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Fault {
    None,
    /// Each request takes long enough for a word of the controller to arrive meanwhile.
    Cancelled,
    Killed,
    Hangs,
    WriteError,
    ReadError,
    Gone,
}

impl Fault {
    const ALL: [Self; 6] = [Self::Cancelled, Self::Killed, Self::Hangs, Self::WriteError, Self::ReadError, Self::Gone];

    fn strikes(fault: u8, told: &Told) -> Verdict {
        let is = |other: Self| fault == other as u8;
        let writes = matches!(told, Told::Write { .. } | Told::Flush);
        if is(Self::Cancelled) {
            std::thread::sleep(Duration::from_millis(50));
        }
        while is(Self::Hangs) && writes {
            std::thread::park();
        }
        let fails = is(Self::Gone) || is(Self::WriteError) && writes || is(Self::ReadError) && !writes;
        if fails { Verdict::Fails } else { Verdict::Done }
    }
}

struct Bench<'a> {
    dir: &'a Path,
    netboot: &'a Netboot,
    controller: Controller,
    seen: Receiver<Observation>,
    tree: Image,
    files: Vec<DiskFile>,
    old: Vec<Vec<u8>>,
    machines: usize,
    order: fn(&str, &str, &Image) -> Value,
    has: fn(&DiskFile, &str),
}

#[test]
#[ignore = "half an hour: scripts/test --matrix"]
fn each_kind_of_machines_and_each_fault() {
    match built() {
        Ok((netboot, _)) => each(&netboot, &KINDS, order, has_system),
        Err(reason) => burin_skip::skip!("{reason}"),
    }
}

#[test]
#[ignore = "an hour: scripts/test --storage"]
fn each_kind_of_volumes_and_each_fault() {
    match built_for_storage() {
        Ok((netboot, _)) => each(&netboot, &VOLUMES, order_of_volumes, has_system),
        Err(reason) => burin_skip::skip!("{reason}"),
    }
}

/// `create-raid` once more: members without a table, whose first MiB is withheld like that of any disk.
#[test]
#[ignore = "on demand: scripts/test --storage"]
fn an_array_of_whole_disks_and_each_fault() {
    match built() {
        Ok((netboot, _)) => each(&netboot, &["create-raid"], order_of_whole_disks, has_member),
        Err(reason) => burin_skip::skip!("{reason}"),
    }
}

fn order_of_whole_disks(id: &str, _: &str, _: &Image) -> Value {
    json!({
        "version": "order/v1", "id": id,
        "layouts": [{
            "name": "whole",
            "disks": { "os": { "match": { "serial": { "glob": "MIRROR-*" } }, "count": 2, "on_existing": "destroy" } },
            "raid": { "data": { "level": "raid1", "members": { "disks": "os" }, "filesystem": { "type": "ext4" } } },
        }],
        "policies": { "finish": "hold" },
    })
}

fn has_system(file: &DiskFile, what: &str) {
    file.verify_table().unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let names: Vec<String> = file.partitions().unwrap().into_iter().map(|part| part.name).collect();
    assert_eq!(names, ["esp", "root"], "{what}");
}

/// Superblock 1.2 (linux/raid/md_p.h): its magic is 4 KiB behind the start. Nothing of an unfinished order is left.
fn has_member(file: &DiskFile, what: &str) {
    assert_eq!(file.read(4096, 4).unwrap(), 0xa92b_4efc_u32.to_le_bytes(), "{what}");
    assert_eq!(file.read(0, 512).unwrap(), [0; 512], "{what}");
}

/// LVM on LUKS on the mirror, and the root on that.
pub fn order_of_volumes(id: &str, url: &str, tree: &Image) -> Value {
    let mut order = order(id, url, tree);
    let layout = &mut order["layouts"][0];
    let root = layout["raid"]["root"].as_object_mut().expect("a mirror");
    let (filesystem, mount) = (root.remove("filesystem"), root.remove("mount"));
    layout["luks"] = json!({ "crypt": {
        "on": { "raid": "root" }, "unlock": [{ "passphrase": "correct horse" }], "pbkdf_memory": "32MiB",
    } });
    layout["lvm"] = json!({ "vg": {
        "on": { "luks": "crypt" }, "extent": "1MiB", "volumes": { "root": { "filesystem": filesystem, "mount": mount } },
    } });
    order
}

fn each(netboot: &Netboot, kinds: &[&str], order: fn(&str, &str, &Image) -> Value, has: fn(&DiskFile, &str)) {
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let images = dir.join("images");
    std::fs::create_dir_all(&images).unwrap();
    let tree = Image::small_tree(&images, "tree.tar", KERNEL).unwrap();
    let files = old_disks(dir);
    let old = files.iter().map(|file| std::fs::read(file.path()).unwrap()).collect();
    // An agent that is killed comes back with the second.
    let controller = start_controller_as(dir, netboot, &images, |options| options.max_attempts = 2).unwrap();
    let seen = controller.subscribe();
    let mut bench = Bench { dir, netboot, controller, seen, tree, files, old, machines: 0, order, has };
    for kind in kinds {
        for fault in Fault::ALL {
            bench.cell(kind, fault);
        }
    }
}

impl Bench<'_> {
    fn cell(&mut self, kind: &str, fault: Fault) {
        let what = format!("{kind} x {fault:?}");
        for (file, old) in self.files.iter().zip(&self.old) {
            std::fs::write(file.path(), old).unwrap();
        }
        let id = format!("{kind}-{}", fault as u8);
        let (mut machine, mode) = self.start();
        self.put(&id);
        let begun = machine.console().wait_for(&format!("{kind}: started"), LONG);
        begun.unwrap_or_else(|error| panic!("{what}: {error}"));
        match fault {
            Fault::Killed => machine.sysrq('f').unwrap(),
            Fault::Cancelled => {
                mode.store(fault as u8, Ordering::Release);
                self.controller.control(&self.controller.machines().remove(0), Control::Cancel);
            }
            fault => mode.store(fault as u8, Ordering::Release),
        }
        let receipt = self.receipt(&id, &machine);
        self.controller.control(&self.controller.machines().remove(0), Control::Continue);
        machine.cut_power();
        let code = receipt.problem.as_ref().map(|problem| problem.code.as_str());
        println!("{what}: {code:?}");
        match (fault, code) {
            // The next agent starts over, and ends well.
            (Fault::Killed, None) => return self.is_whole(&what),
            (Fault::Cancelled, Some("cancelled")) | (Fault::Hangs, Some("disk.hung")) => {}
            (Fault::WriteError | Fault::ReadError | Fault::Gone, Some(code)) if code != "cancelled" => {}
            // By then the data is in memory.
            (Fault::ReadError, None) => return self.is_whole(&what),
            _ => panic!("{what}: {receipt:?}"),
        }
        for (file, old) in self.files.iter().zip(&self.old) {
            let now = std::fs::read(file.path()).unwrap();
            assert_eq!(judge::unfinished(old, &now, &id), None, "{what}: {receipt:?}");
        }
        let (machine, _) = self.start();
        let again = format!("{id}-again");
        self.put(&again);
        let receipt = self.receipt(&again, &machine);
        machine.cut_power();
        assert_eq!(receipt.problem, None, "{what}, and again");
        self.is_whole(&what);
    }

    fn start(&mut self) -> (Machine, Arc<AtomicU8>) {
        self.machines += 1;
        let mode = Arc::new(AtomicU8::new(Fault::None as u8));
        let serve = |(number, file): (usize, &DiskFile)| -> PathBuf {
            let socket = self.dir.join(format!("m{}-{number}.sock", self.machines));
            let mode = mode.clone();
            nbd::serve(&socket, file.path(), move |told| Fault::strikes(mode.load(Ordering::Acquire), told)).unwrap();
            socket
        };
        let sockets: Vec<PathBuf> = self.files.iter().enumerate().map(serve).collect();
        (spec(self.dir, self.netboot, &self.controller.public_url(), &sockets).start().unwrap(), mode)
    }

    fn put(&self, id: &str) {
        let order = (self.order)(id, &self.controller.public_url(), &self.tree);
        self.controller.put_order(MAC, order.to_string()).unwrap();
    }

    fn receipt(&self, id: &str, machine: &Machine) -> Receipt {
        loop {
            match self.seen.recv_timeout(LONG) {
                Ok(Observation::Receipt { receipt, .. }) if receipt.order == id => return *receipt,
                Ok(_) => {}
                Err(_) => panic!("{id}: no receipt; the console:\n{}", machine.console().tail(60)),
            }
        }
    }

    fn is_whole(&self, what: &str) {
        self.files.iter().for_each(|file| (self.has)(file, what));
    }
}
