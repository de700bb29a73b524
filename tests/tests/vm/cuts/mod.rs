//! Power cuts at every moment of an order for a mirror (RAID 1). The servers behind the machine's disks record all
//! requests, and the judge from `agent/tests/machine` examines every state that a cut can leave. This order has the
//! kinds of steps that need md, FAT or firmware, and one like it has those of LVM and LUKS; [`faults`] tests other faults.
//!
//! `BURIN_CUTS=1000` examines this many subsets of each epoch, instead of 50.

mod faults;
#[path = "../../../../agent/tests/machine/support/cuts.rs"]
#[expect(dead_code, reason = "the orders of agent/tests/machine need more of it")]
mod judge;
#[path = "../../../../agent/tests/machine/support/tape.rs"]
#[expect(dead_code, reason = "the orders of agent/tests/machine need more of it")]
mod tape;

use burin_tests::controller::Observation;
use burin_tests::deploy::{Image, Netboot, built, built_for_storage, start_controller};
use burin_tests::vm::nbd::{self, Told, Verdict};
use burin_tests::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, MachineSpec, Nic, NicModel, Slot};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tape::{Event, Tape};

const MIB: u64 = 1 << 20;
const MAC: &str = "52:54:00:b0:00:13";
const ORDER: &str = "cuts";
const SIZE: u64 = 128 * MIB;
const KERNEL: usize = 1 << 20;
const LONG: Duration = Duration::from_secs(600);
const SUBSETS: usize = 50;
/// Steps that other tests of cuts do not meet.
const KINDS: [&str; 5] = ["create-raid", "write-mdadm-conf", "install-boot", "boot-entry", "stop-arrays"];
const VOLUMES: [&str; 5] = ["create-luks", "create-group", "create-volume", "check-tree", "write-crypttab"];

#[test]
fn a_mirror_cut_at_every_moment() {
    match built() {
        Ok((netboot, _)) => cut_at_every_moment("mirror", &netboot, order, &KINDS),
        Err(reason) => burin_skip::skip!("{reason}"),
    }
}

#[test]
#[ignore = "on demand: scripts/test --storage"]
fn volumes_cut_at_every_moment() {
    match built_for_storage() {
        Ok((netboot, _)) => cut_at_every_moment("volumes", &netboot, faults::order_of_volumes, &VOLUMES),
        Err(reason) => burin_skip::skip!("{reason}"),
    }
}

fn cut_at_every_moment(what: &str, netboot: &Netboot, order: fn(&str, &str, &Image) -> Value, kinds: &[&str]) {
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let images = dir.join("images");
    std::fs::create_dir_all(&images).unwrap();
    let tree = Image::small_tree(&images, "tree.tar", KERNEL).unwrap();
    let files = old_disks(dir);
    let old: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file.path()).unwrap()).collect();
    let tape = Arc::new(Tape::default());
    let sockets: Vec<PathBuf> = (0..).zip(&files).map(|(number, file)| recorded(dir, number, file, &tape)).collect();

    let controller = start_controller(dir, netboot, &images).unwrap();
    let url = controller.public_url();
    controller.put_order(MAC, order(ORDER, &url, &tree).to_string()).unwrap();
    let seen = controller.subscribe();
    let machine = spec(dir, netboot, &url, &sockets).start().unwrap();
    let receipt = loop {
        match seen.recv_timeout(LONG) {
            Ok(Observation::Receipt { receipt, .. }) => break receipt,
            Ok(_) => {}
            Err(_) => panic!("no receipt; the console:\n{}", machine.console().tail(60)),
        }
    };
    machine.cut_power();
    assert_eq!(receipt.problem, None, "{receipt:?}");
    for kind in kinds {
        assert!(receipt.changes.iter().any(|change| change.step == *kind), "no {kind}: {:?}", receipt.changes);
    }
    judge(what, &tape.take(), &old, &files);
}

/// Filled with noise, so that remains of it show.
fn old_disks(dir: &Path) -> Vec<DiskFile> {
    let make = |(seed, name)| {
        let file = DiskFile::new(dir.join(name));
        Dirt::new(SIZE, SIZE, seed).create(&file).unwrap();
        file
    };
    (70..).zip(["a.raw", "b.raw"]).map(make).collect()
}

/// A machine with both disks, which are served at these sockets.
fn spec(dir: &Path, netboot: &Netboot, url: &str, sockets: &[PathBuf]) -> MachineSpec {
    let mac = MAC.replace(':', "-");
    let boot = Boot::Kernel {
        kernel: netboot.kernel(),
        initrd: netboot.initramfs(),
        cmdline: format!("console=ttyS0,115200 sysrq_always_enabled burin.controller={url} BOOTIF=01-{mac}"),
    };
    let spec = MachineSpec::new(dir, Firmware::Uefi)
        .identity("b0b0b0b0-0000-4000-8000-000000000013", "CUTS-1")
        .nic(Nic::new(NicModel::Virtio, MAC))
        .boot(boot);
    let disks = [(Bus::Nvme, "MIRROR-A"), (Bus::VirtioBlk, "MIRROR-B")];
    let served = |spec: MachineSpec, ((bus, serial), socket): (&(Bus, &str), &PathBuf)| {
        spec.disk(Disk::new(*bus, socket, serial).served())
    };
    disks.iter().zip(sockets).fold(spec, served)
}

fn judge(what: &str, events: &[Event], old: &[Vec<u8>], files: &[DiskFile]) {
    let began = std::time::Instant::now();
    let end = files.iter().map(|file| std::fs::read(file.path()).unwrap());
    let mut disks: Vec<judge::Disk> =
        old.iter().cloned().zip(end).map(|(old, end)| judge::Disk::new(old, end)).collect();
    let subsets = std::env::var("BURIN_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(SUBSETS);
    let judged = judge::judge(&mut disks, events, ORDER, subsets);
    let counts = judged.unwrap_or_else(|wrong| panic!("wrong after a power cut:\n{}", wrong.join("\n")));
    println!("{what}: {} requests, {counts:?}, 0 wrong, in {:?}", events.len(), began.elapsed());
    assert!(counts.epochs > 20 && counts.whole > 0 && counts.prefixes > counts.whole, "{counts:?}");
}

/// The socket of a disk whose requests are recorded.
fn recorded(dir: &Path, number: usize, file: &DiskFile, tape: &Arc<Tape>) -> PathBuf {
    let (socket, tape) = (dir.join(format!("disk{number}.sock")), tape.clone());
    let tell = move |told: &Told| {
        match told {
            Told::Read => {}
            Told::Write { offset, bytes } => {
                tape.add(Event::Write { disk: number, offset: *offset, bytes: bytes.clone() })
            }
            Told::Flush => tape.add(Event::Flush { disk: number }),
        }
        Verdict::Done
    };
    nbd::serve(&socket, file.path(), tell).unwrap();
    socket
}

fn order(id: &str, url: &str, tree: &Image) -> Value {
    json!({
        "version": "order/v1", "id": id,
        "images": { "tree": {
            "urls": [format!("{url}/images/{}", tree.file)], "digest": { "wire": tree.wire }, "format": "tar",
        } },
        "layouts": [{
            "name": "mirror",
            "disks": { "os": {
                "match": { "serial": { "glob": "MIRROR-*" } }, "count": 2, "on_existing": "destroy",
                "partitions": [
                    { "name": "esp", "type": "esp", "size": "40MiB", "filesystem": { "type": "vfat" }, "mount": "/boot/efi" },
                    { "name": "root", "type": "raid" },
                ],
            } },
            "raid": { "root": {
                "level": "raid1", "members": { "partition": "os/root" }, "filesystem": { "type": "ext4" }, "mount": "/",
            } },
            "tree": { "image": "tree", "bootloader": "systemd-boot" },
        }],
        "seed": { "hostname": "mirrored" },
        "policies": { "finish": "hold" },
    })
}
