//! One machine with a disk of every kind. Its inventory matches what QEMU was told. Images are written to each disk,
//! and the host then compares every byte of every disk. Disks with bad sectors, and disks that are removed while they
//! are written, fail their orders with a code, and nothing else.

mod inventory;
mod memory;

use burin::protocol::{Kind, Receipt};
use burin_tests::controller::{Controller, ImageFault, Observation};
use burin_tests::deploy::{Netboot, Patchwork, Watch, built, extents, start_controller};
use burin_tests::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, Machine, MachineSpec, Nic, NicModel, Slot};
use hwinventory::Inventory;
use memory::{Memory, PAGE};
use serde_json::{Value, json};
use std::ops::Range;
use std::path::Path;

const MIB: usize = 1 << 20;
/// All noise, including that of images, has distinct seeds, so that each block shows its origin.
const SEEDS: u64 = 4000;
const PACKED: u64 = SEEDS + 1;
const RAW: u64 = SEEDS + 2;
const FULL: u64 = SEEDS + 3;
/// Size of the images in bytes: not a multiple of a MiB, a sector or a block.
const LENGTH: usize = 17 * MIB + 3 * 512 + 77;
/// The disk in the machine's memory, in MiB.
const DEBUG: usize = 24;
/// Sectors of the partition in its first image.
const FULL_SECTORS: u32 = 41_000;
const MEMORY: u32 = 1024;

/// A disk with known contents.
struct Known {
    file: DiskFile,
    dirt: Dirt,
    /// Positions of the old partitions, in bytes.
    old: Vec<Range<usize>>,
    sector: usize,
}

struct Images {
    packed: Patchwork,
    raw: Patchwork,
    /// As large as the disk in the machine's memory, and without a hole.
    full: Patchwork,
}

struct Bench {
    machine: Machine,
    controller: Controller,
    watch: Watch,
    disks: Vec<Known>,
    images: Images,
    inventory: Inventory,
}

/// The purpose of each disk; the index is its number in the machine.
const DISKS: [(&str, Bus, u32); 13] = [
    ("nvme", Bus::NvmeNamespace, 512),
    ("nvme-4k", Bus::NvmeNamespace, 4096),
    ("sata", Bus::Sata, 512),
    ("virtio-blk", Bus::VirtioBlk, 512),
    ("virtio-scsi", Bus::VirtioScsi, 512),
    ("megaraid", Bus::MegaRaid, 512),
    ("sas", Bus::Sas, 512),
    ("usb", Bus::Usb, 512),
    ("cdrom", Bus::Cdrom, 512),
    ("bad-write", Bus::VirtioBlk, 512),
    ("bad-read", Bus::Nvme, 512),
    ("pulled-scsi", Bus::VirtioScsi, 512),
    ("pulled-pci", Bus::VirtioBlk, 512),
];
const BYSTANDERS: [&str; 4] = ["megaraid", "sas", "usb", "cdrom"];

#[test]
fn a_disk_of_every_kind() {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let manifest = std::fs::read_to_string(netboot.dir.join("manifest.json")).unwrap();
    assert!(manifest.contains("scsi_debug"), "the ramdisk was not built with --module scsi_debug");
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(dir.path(), &netboot);
    inventory::check(&bench.inventory);
    bench.writes_every_disk();
    bench.names_bad_sectors();
    bench.loses_a_disk("pulled-scsi");
    bench.loses_a_disk("pulled-pci");
    bench.overwrites_the_disk_in_memory(dir.path());
}

impl Bench {
    fn start(dir: &Path, netboot: &Netboot) -> Self {
        let folder = dir.join("images");
        std::fs::create_dir_all(&folder).unwrap();
        let images = Images {
            packed: Patchwork::create(&folder, "packed.raw.zst", LENGTH, PACKED, 512).unwrap(),
            raw: Patchwork::create(&folder, "plain.raw", LENGTH, RAW, 512).unwrap(),
            // Its partition ends behind the next image, whose write must erase the end.
            full: Patchwork::dense(&folder, "full.raw.zst", DEBUG * MIB, FULL, FULL_SECTORS).unwrap(),
        };
        let disks: Vec<Known> = (0..).zip(DISKS).map(|(number, disk)| Known::new(dir, number, disk)).collect();
        let controller = start_controller(dir, netboot, &folder).unwrap();
        let seen = controller.subscribe();
        let debug = format!(
            "modules_load=scsi_debug scsi_debug.dev_size_mb={DEBUG} scsi_debug.delay=0 scsi_debug.lbpu=1 \
             scsi_debug.lbpws=1 scsi_debug.lbpws10=1 scsi_debug.lbprz=0"
        );
        let boot = Boot::Kernel {
            kernel: netboot.kernel(),
            initrd: netboot.initramfs(),
            // Pages are zeroed when they are freed, so whatever is found in memory is in use.
            cmdline: format!(
                "console=ttyS0,115200 init_on_free=1 burin.controller={} BOOTIF=01-{} {debug}",
                controller.public_url(),
                inventory::BOOT_MAC.replace(':', "-")
            ),
        };
        let mut spec = MachineSpec::new(dir, Firmware::Bios)
            .memory_mib(MEMORY)
            .sockets(2)
            .tpm()
            .identity(inventory::UUID, inventory::SERIAL)
            .nic(Nic::new(NicModel::Virtio, inventory::BOOT_MAC))
            .nic(Nic::new(NicModel::Virtio, inventory::DARK_MAC).unplugged())
            .nic(Nic::new(NicModel::E1000e, inventory::E1000E_MAC))
            .nic(Nic::new(NicModel::Vmxnet3, inventory::VMXNET3_MAC))
            .boot(boot);
        for ((name, bus, sector), known) in DISKS.iter().zip(&disks) {
            let mut disk = Disk::new(*bus, known.file.path(), &inventory::serial(name));
            disk.sector = *sector;
            spec = spec.disk(inventory::dress(name, disk));
        }
        let machine = inventory::platform(spec).start().unwrap();
        let watch = Watch::new(seen, &machine);
        let mut bench = Self { machine, controller, watch, disks, images, inventory: Inventory::default() };
        bench.inventory = bench.hello();
        bench
    }

    fn hello(&self) -> Inventory {
        let mut inventory = None;
        self.watch.observe("hello", |seen| {
            if let Observation::Hello { hello, .. } = seen {
                inventory = Some(serde_json::from_value(hello.inventory.clone()).unwrap());
            }
            inventory.is_some()
        });
        inventory.unwrap_or_default()
    }

    fn writes_every_disk(&self) {
        let sets = json!({
            "system": imaged(json!({ "class": "nvme", "serial": inventory::serial("nvme"), "logical_block_size": 512 }), "packed"),
            "b": imaged(json!({ "class": "nvme", "logical_block_size": 4096 }), "plain-4k"),
            "c": imaged(by_serial("sata"), "packed"),
            "d": imaged(by_serial("virtio-blk"), "plain"),
            "e": imaged(by_serial("virtio-scsi"), "packed"),
            "f": imaged(debug(), "full"),
        });
        let receipt = self.order("matrix", sets);
        assert_eq!(receipt.problem, None);
        assert_eq!(receipt.images.len(), 6, "{receipt:?}");
        for image in &receipt.images {
            let wanted = [&self.images.packed, &self.images.raw, &self.images.full]
                .into_iter()
                .find(|wanted| image.url.ends_with(&wanted.image.file))
                .unwrap_or_else(|| panic!("{} was not ordered", image.url));
            assert_eq!(image.digest.content.as_ref(), Some(&wanted.image.content), "{}", image.device);
            assert_eq!(image.image_bytes, wanted.image.size);
            // The bootable parts, a MiB at either end, are read back with the order's last write.
            assert!(image.verified_bytes >= wanted.image.size, "{} of {}", image.verified_bytes, image.device);
        }
        for (name, image) in [
            ("nvme", &self.images.packed),
            ("nvme-4k", &self.images.raw),
            ("sata", &self.images.packed),
            ("virtio-blk", &self.images.raw),
            ("virtio-scsi", &self.images.packed),
        ] {
            self.disk(name).holds(image, name);
        }
        self.bystanders_are_untouched();
    }

    /// An EIO in the middle of the image, and another when it is read back.
    fn names_bad_sectors(&self) {
        for (name, said) in [("bad-write", "write failed"), ("bad-read", "read back failed")] {
            let receipt = self.order(name, json!({ "system": imaged(by_serial(name), "packed") }));
            let problem = receipt.problem.unwrap();
            assert_eq!(problem.code, "disk.io", "{problem:?}");
            assert!(problem.causes.iter().any(|cause| cause.contains(said)), "{problem:?}");
            assert!(problem.hint.is_some_and(|hint| hint.contains("medium")), "what to do about it");
            self.disk(name).is_unbootable(name);
        }
        self.bystanders_are_untouched();
    }

    /// A disk that disappears in the middle of its image.
    fn loses_a_disk(&self, name: &str) {
        let image = &self.images.packed.image;
        let position = self.machine.console().position();
        self.controller.faults().set_image(&image.file, ImageFault::Cut(image.wire_size / 2), 1);
        self.put(name, json!({ "system": imaged(by_serial(name), "packed") }));
        let path = format!("/images/{}", image.file);
        self.watch
            .observe("the download", |seen| matches!(seen, Observation::File { path: asked, .. } if *asked == path));
        self.controller.faults().refuse_all();
        self.watch.console("; trying again", position);
        let number = DISKS.iter().position(|(disk, ..)| *disk == name).unwrap();
        self.machine.qmp().unwrap().unplug(number).unwrap();
        self.controller.faults().heal();
        let problem = self.receipt(name).problem.unwrap();
        assert_eq!(problem.code, "disk.gone", "{problem:?}");
        // On a slow machine it disappears before the first write.
        let disk = self.disk(name);
        if disk.first_difference(&disk.before()).is_some() {
            disk.is_unbootable(name);
        }
    }

    /// The agent still works: one more order. Its disk exists only in the machine's memory, which is searched for the
    /// pages with the first image, and examined again afterwards.
    fn overwrites_the_disk_in_memory(&mut self, dir: &Path) {
        let first = self.memory(&dir.join("memory"));
        let pages = first.blocks(FULL).unwrap();
        let receipt = self.order(
            "again",
            json!({
                "system": imaged(debug(), "packed"),
                "rest": { "match": { "transport": { "in": ["nvme", "sata"] } }, "min": 3, "on_existing": "preserve" },
            }),
        );
        assert_eq!(receipt.problem, None);
        assert_eq!(receipt.images[0].digest.content.as_ref(), Some(&self.images.packed.image.content));
        let preserved = receipt.changes.iter().filter(|change| change.step == "preserve").count();
        assert!(preserved >= 3, "{:?}", receipt.changes);
        for (name, image) in
            [("nvme", &self.images.packed), ("nvme-4k", &self.images.raw), ("sata", &self.images.packed)]
        {
            self.disk(name).holds(image, name);
        }
        self.bystanders_are_untouched();

        let second = self.memory(&dir.join("memory"));
        let partition = 256 * 512..(256 + FULL_SECTORS as usize) * 512;
        let expected = self.images.packed.over(&self.images.full.bytes, &[partition], 512);
        let mut single = 0;
        for (at, block) in (0..).step_by(PAGE).zip(expected.chunks(PAGE)) {
            let found = pages.get(&at).unwrap_or_else(|| panic!("block {at} of the first image was not in memory"));
            single += usize::from(found.len() == 1);
            let right = found.iter().any(|address| second.page(*address).unwrap() == block);
            assert!(right, "block {at} is not what it must be");
        }
        // Buffers contain a few blocks as well; if a block has two pages, a correct one proves less.
        assert!(single * 2 > expected.len() / PAGE, "only {single} blocks were in memory once");
    }

    fn memory(&self, file: &Path) -> Memory {
        self.machine.qmp().unwrap().save_memory(u64::from(MEMORY) << 20, file).unwrap();
        let memory = Memory::open(file).unwrap();
        // It stays readable until it is closed, and its space is freed then.
        std::fs::remove_file(file).unwrap();
        memory
    }

    fn bystanders_are_untouched(&self) {
        for name in BYSTANDERS {
            let known = self.disk(name);
            assert_eq!(known.first_difference(&known.before()), None, "{name}");
        }
    }

    fn disk(&self, name: &str) -> &Known {
        let number = DISKS.iter().position(|(disk, ..)| *disk == name);
        &self.disks[number.unwrap_or_else(|| panic!("no disk {name}"))]
    }

    /// `sets` by name; firmware must boot from the set `system`.
    fn order(&self, id: &str, sets: Value) -> Receipt {
        self.put(id, sets);
        self.receipt(id)
    }

    fn put(&self, id: &str, sets: Value) {
        println!("-- {id}");
        let image = |image: &Patchwork| {
            let url = format!("{}/images/{}", self.controller.public_url(), image.image.file);
            json!({ "urls": [url], "digest": { "wire": image.image.wire, "content": image.image.content } })
        };
        // It has an MBR, which does not show the sector size.
        let mut for_4k = image(&self.images.raw);
        for_4k["sector_size"] = json!(4096);
        let order = json!({
            "version": "order/v1",
            "id": id,
            "images": {
                "packed": image(&self.images.packed),
                "plain": image(&self.images.raw),
                "plain-4k": for_4k,
                "full": image(&self.images.full),
            },
            "layouts": [{ "name": "disks", "disks": sets, "boot": { "set": "system" } }],
            "policies": { "finish": "hold" },
        });
        self.controller.put_order(inventory::BOOT_MAC, order.to_string()).unwrap();
    }

    fn receipt(&self, id: &str) -> Receipt {
        let mut found = None;
        self.watch.observe("receipt", |seen| {
            match seen {
                Observation::Receipt { receipt, .. } if receipt.order == id => found = Some((**receipt).clone()),
                Observation::Event { event, .. } => {
                    if let Some(Kind::OrderRefused(refused)) = event.kind() {
                        panic!("{id}: {:?}", refused.problem);
                    }
                }
                _ => {}
            }
            found.is_some()
        });
        found.unwrap_or_else(|| unreachable!("observed"))
    }
}

impl Known {
    fn new(dir: &Path, number: usize, (name, _, sector): (&str, Bus, u32)) -> Self {
        let file = DiskFile::new(dir.join(format!("{name}.raw")));
        let size = inventory::size(number);
        // Noise wherever an image goes, and in some MiB elsewhere; less of it on disks that are not written.
        let dense = if BYSTANDERS.contains(&name) { 2 << 20 } else { size };
        let dirt = Dirt { size, dense, stride: 8 << 20, seed: SEEDS + 100 + number as u64 };
        if BYSTANDERS.contains(&name) {
            // No partition table, so that the same bytes can be generated again.
            std::fs::write(file.path(), dirt.contents()).unwrap();
        } else {
            dirt.create(&file).unwrap();
        }
        let old = extents(&file.partitions().unwrap());
        Self { file, dirt, old, sector: sector as usize }
    }

    fn before(&self) -> Vec<u8> {
        self.dirt.contents()
    }

    /// The image is on the disk, remains that could be mistaken for something are gone, and everything else is
    /// unchanged.
    fn holds(&self, image: &Patchwork, name: &str) {
        let expected = image.over(&self.before(), &self.old, self.sector);
        assert_eq!(self.first_difference(&expected), None, "{name} differs at this byte");
    }

    fn is_unbootable(&self, name: &str) {
        assert!(self.file.is_unfinished().unwrap(), "{name}: something is in the first MiB");
        assert!(self.file.partitions().unwrap().is_empty(), "{name} has a partition table");
    }

    fn first_difference(&self, expected: &[u8]) -> Option<usize> {
        let found = std::fs::read(self.file.path()).unwrap();
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).position(|(a, b)| a != b)
    }
}

fn imaged(rule: Value, image: &str) -> Value {
    json!({ "match": rule, "on_existing": "destroy", "image": image })
}

fn by_serial(name: &str) -> Value {
    json!({ "serial": inventory::serial(name) })
}

/// The disk in the machine's memory.
fn debug() -> Value {
    json!({ "vendor": "Linux" })
}
