//! Arrays of levels 0, 1, 5, 6 and 10 and NVMe namespaces with either sector size, each deployed over the remains of
//! the one before. RAID 5 over four disks and RAID 10 boot to login from a tree; a namespace formatted to 4096-byte
//! sectors boots an image made for them.

use burin::protocol::{Kind, Receipt};
use burin_tests::controller::{Controller, Observation};
use burin_tests::deploy::{SmallDebian, built_for_storage, start_controller};
use burin_tests::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, Machine, MachineSpec, Nic, NicModel, Slot};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const LONG: Duration = Duration::from_secs(900);
const MAC: &str = "52:54:00:b0:00:18";
const DISKS: usize = 4;

#[test]
#[ignore = "on demand: scripts/test --storage"]
fn parity_and_striped_mirrors_boot_over_each_other() {
    let Some(mut bench) = Bench::new() else { return };
    for (id, raid, mdstat) in [
        ("parity", json!({ "level": "raid5", "chunk": "64KiB" }), "active raid5"),
        ("mirrors", json!({ "level": "raid10" }), "active raid10"),
    ] {
        println!("-- {id}");
        let machine = bench.start(&[]);
        let receipt = bench.order(&machine, id, bench.tree_over(raid));
        machine.cut_power();
        let made = change(&receipt, "create-raid");
        let resync = (&made["resync"], &made["consistency"]);
        assert_eq!(resync, (&json!("pending"), &json!("bitmap")), "{made}");
        assert_eq!(made["members"].as_array().map(Vec::len), Some(DISKS));
        assert_eq!(change(&receipt, "unpack-tree")["verify"], "readback");
        bench.is_whole("root", made["level"].as_str().unwrap());
        let text = bench.boots(&[], id);
        let said = text.lines().find(|line| line.contains("tree-proof mdstat=")).unwrap_or_default();
        println!("   {said}");
        assert!(said.contains(mdstat) && said.contains("[4/4] [UUUU]"), "{said}");
    }
}

#[test]
#[ignore = "on demand: scripts/test --storage"]
fn a_namespace_gets_other_sectors() {
    let Some(mut bench) = Bench::new() else { return };
    let machine = bench.start(&[]);
    for (id, raid, whole, level) in [
        ("logged", json!({ "level": "raid5", "spares": 1, "consistency": "ppl" }), true, "raid5"),
        ("mirrored", json!({ "level": "raid1", "spares": 1, "metadata": "1.0" }), false, "raid1"),
        ("plain", json!({ "level": "raid10", "consistency": "resync" }), false, "raid10"),
        ("striped", json!({ "level": "raid0", "chunk": "1MiB" }), true, "raid0"),
    ] {
        println!("-- {id}");
        let receipt = bench.order(&machine, id, data_over(raid, whole, None));
        let made = change(&receipt, "create-raid");
        assert_eq!(made["level"], level);
        assert_eq!(made["resync"], if level == "raid0" { "none" } else { "pending" }, "{made}");
        if whole {
            bench.is_whole("data", level);
        }
    }

    println!("-- sectors of 4096 bytes on one of them, and an image for these");
    let receipt = bench.order(&machine, "four-k", bench.image_on_first());
    let formatted = change(&receipt, "format-namespace");
    assert_eq!((&formatted["sector_size"], &formatted["had"]), (&json!(4096), &json!(512)), "{formatted}");
    assert_eq!(receipt.images.len(), 1);

    println!("-- sectors of 512 bytes again, in an array with the others");
    let receipt = bench.order(&machine, "dual", data_over(json!({ "level": "raid6" }), true, Some(512)));
    let formats: Vec<_> = receipt.changes.iter().filter(|change| change.step == "format-namespace").collect();
    assert_eq!(formats.len(), 1, "the others have such sectors: {formats:?}");
    assert_eq!(formats[0].detail["had"], 4096);
    bench.is_whole("data", "raid6");

    println!("-- the image over that");
    bench.order(&machine, "four-k-again", bench.image_on_first());
    machine.cut_power();
    // QEMU does not remember how a namespace was formatted.
    let text = bench.boots(&[0], "four-k-again");
    let said = text.lines().find(|line| line.contains("tree-proof serial=")).unwrap_or_default();
    println!("   {said}");
    assert!(said.contains("serial=R-0 sector=4096"), "{said}");
}

struct Bench {
    dir: tempfile::TempDir,
    controller: Controller,
    seen: Receiver<Observation>,
    boot: Boot,
    debian: SmallDebian,
    disks: Vec<DiskFile>,
    _slot: Slot,
}

impl Bench {
    fn new() -> Option<Self> {
        let (netboot, debian) = match built_for_storage() {
            Ok(built) => built,
            Err(reason) => {
                burin_skip::skip!("{reason}");
                return None;
            }
        };
        let slot = Slot::wait().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let disk = |number: usize| {
            let file = DiskFile::new(dir.path().join(format!("disk{number}.raw")));
            Dirt::new(2048 * MIB, 16 * MIB, 180 + number as u64).create(&file).unwrap();
            file
        };
        let disks = (0..DISKS).map(disk).collect();
        let controller = start_controller(dir.path(), &netboot, &debian.tree.dir).unwrap();
        let seen = controller.subscribe();
        let cmdline = format!(
            "console=ttyS0,115200 burin.controller={} BOOTIF=01-{}",
            controller.public_url(),
            MAC.replace(':', "-")
        );
        let boot = Boot::Kernel { kernel: netboot.kernel(), initrd: netboot.initramfs(), cmdline };
        Some(Self { dir, controller, seen, boot, debian, disks, _slot: slot })
    }

    /// With 4096-byte sectors on these disks.
    fn spec(&self, four_k: &[usize]) -> MachineSpec {
        let spec = MachineSpec::new(self.dir.path(), Firmware::Uefi)
            .identity("b0b0b0b0-0000-4000-8000-000000000018", "REDEPLOY-1");
        self.disks.iter().enumerate().fold(spec, |spec, (number, file)| {
            let disk = Disk::new(Bus::Nvme, file.path(), &format!("R-{number}"));
            spec.disk(if four_k.contains(&number) { disk.four_k() } else { disk })
        })
    }

    fn start(&self, four_k: &[usize]) -> Machine {
        self.spec(four_k).nic(Nic::new(NicModel::Virtio, MAC)).boot(self.boot.clone()).start().unwrap()
    }

    /// Carries out an order and returns its receipt.
    fn order(&mut self, machine: &Machine, id: &str, layout: Value) -> Receipt {
        let tree = &self.debian.tree;
        let image = |image: &burin_tests::deploy::Image| {
            let url = format!("{}/images/{}", self.controller.public_url(), image.file);
            json!({ "urls": [url], "digest": { "wire": image.wire } })
        };
        let mut images = json!({ "tree": image(tree), "disk": image(&self.debian.disk) });
        images["tree"]["format"] = json!("tar");
        images["disk"]["sector_size"] = json!(4096);
        let order = json!({ "version": "order/v1", "id": id, "images": images, "layouts": [layout],
            "policies": { "finish": "hold" } });
        self.controller.put_order(MAC, order.to_string()).unwrap();
        loop {
            match self.seen.recv_timeout(LONG) {
                Ok(Observation::Receipt { receipt, .. }) if receipt.order == id => {
                    assert_eq!(receipt.problem, None, "{id}:\n{}", machine.console().tail(60));
                    return *receipt;
                }
                Ok(Observation::Event { event, .. }) => {
                    if let Some(Kind::StageFailed(failed)) = event.kind() {
                        println!("   {failed:?}");
                    }
                }
                Ok(_) => {}
                Err(_) => panic!("no receipt of {id}; the console:\n{}", machine.console().tail(60)),
            }
        }
    }

    /// Boots by the order's entry to the login prompt.
    fn boots(&self, four_k: &[usize], id: &str) -> String {
        let machine = self.spec(four_k).boot(Boot::FirmwareOrder).start().unwrap();
        let console = machine.console();
        for text in ["login:", "tree-proof end"] {
            console.wait_for(text, LONG).unwrap_or_else(|error| panic!("{error}"));
        }
        let text = console.text();
        let started = text.lines().any(|line| line.contains("BdsDxe: starting Boot") && line.contains(id));
        assert!(started, "the firmware took another way than the order's entry:\n{}", console.tail(60));
        machine.cut_power();
        text
    }

    /// Checks every member with mdadm on the host.
    fn is_whole(&self, name: &str, level: &str) {
        let mut events = Vec::new();
        for disk in &self.disks {
            let partitions = disk.partitions().unwrap_or_default();
            let extent = match partitions.iter().find(|one| one.name == name) {
                Some(partition) => partition.extent(),
                None => 0..std::fs::metadata(disk.path()).unwrap().len(),
            };
            let member = disk.extract(&extent, &self.dir.path().join("member")).unwrap();
            let output = Command::new("/usr/sbin/mdadm").arg("--examine").arg(member.path()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let value = |key: &str| {
                let line = said.lines().find_map(|line| line.trim().strip_prefix(key)?.trim().strip_prefix(':'));
                line.unwrap_or_else(|| panic!("no {key}: {said}")).trim().to_owned()
            };
            assert_eq!(
                (value("Raid Level").as_str(), value("Name").starts_with(&format!("any:{name}"))),
                (level, true)
            );
            assert!(!value("Array State").split(' ').next().unwrap().contains('.'), "{said}");
            if value("Device Role") != "spare" {
                events.push(value("Events"));
            }
            std::fs::remove_file(member.path()).unwrap();
        }
        assert!(events.windows(2).all(|two| two[0] == two[1]), "{events:?}");
    }

    fn tree_over(&self, raid: Value) -> Value {
        let mut array = json!({ "members": { "partition": "os/root" },
            "filesystem": { "type": "ext4", "label": "root" }, "mount": "/" });
        array.as_object_mut().unwrap().extend(raid.as_object().cloned().unwrap());
        json!({
            "name": "tree",
            "disks": { "os": {
                "match": { "serial": { "glob": "R-*" } }, "count": DISKS, "on_existing": "destroy",
                "partitions": [
                    { "name": "esp", "type": "esp", "size": "160MiB", "filesystem": { "type": "vfat" }, "mount": "/boot/efi" },
                    { "name": "root", "type": "raid" },
                ],
            } },
            "raid": { "root": array },
            "tree": { "image": "tree", "bootloader": "systemd-boot", "cmdline": ["console=ttyS0,115200"] },
        })
    }

    fn image_on_first(&self) -> Value {
        json!({
            "name": "image",
            "disks": { "os": { "match": { "serial": "R-0" }, "on_existing": "destroy", "allow": ["split-array"],
                "sector_size": 4096, "image": "disk" } },
        })
    }
}

/// An array with a data filesystem, not bootable.
fn data_over(raid: Value, whole: bool, sector: Option<u32>) -> Value {
    let members = if whole { json!({ "disks": "data" }) } else { json!({ "partition": "data/data" }) };
    let mut array = json!({ "members": members, "filesystem": { "type": "ext4" } });
    array.as_object_mut().unwrap().extend(raid.as_object().cloned().unwrap());
    let mut set = json!({ "match": { "serial": { "glob": "R-*" } }, "count": DISKS, "on_existing": "destroy" });
    if !whole {
        set["partitions"] = json!([{ "name": "data", "type": "raid" }]);
    }
    if let Some(sector) = sector {
        set["sector_size"] = json!(sector);
    }
    json!({ "name": "data", "disks": { "data": set }, "raid": { "data": array } })
}

fn change(receipt: &Receipt, step: &str) -> Value {
    let found = receipt.changes.iter().find(|change| change.step == step);
    found.unwrap_or_else(|| panic!("no {step} in {:?}", receipt.changes)).detail.clone()
}
