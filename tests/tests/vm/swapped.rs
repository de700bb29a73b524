//! Disks that are swapped for others while an order is running: one machine, four orders. Each ends with a code that
//! says so, and not a byte is written to the new disks, whatever serial number or name they have.

use burin::protocol::{Control, Receipt};
use burin_tests::controller::{Controller, ImageFault, Observation};
use burin_tests::deploy::{Image, Netboot, Watch, built, start_controller};
use burin_tests::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, Machine, MachineSpec, Nic, NicModel, Slot};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const MAC: &str = "52:54:00:b0:00:12";
/// The size of every disk, so that size does not distinguish them.
const SIZE: u64 = 128 * MIB;
/// Long enough for a word of the controller to arrive meanwhile.
const PAUSE: Duration = Duration::from_secs(10);
/// The kernel's message about a new disk.
const NVME: &str = "default/read/poll queues";
const SCSI: &str = "Attached SCSI disk";

/// Numbers in the machine, and serial numbers.
const DISKS: [(&str, Bus); 4] =
    [("FIRST", Bus::Nvme), ("SECOND", Bus::Nvme), ("LEFT", Bus::VirtioScsi), ("RIGHT", Bus::VirtioScsi)];
/// The new disks.
const NEW: [&str; 3] = ["nvme", "border", "scsi"];

struct Bench {
    machine: Machine,
    controller: Controller,
    watch: Watch,
    disks: Vec<Kept>,
    new: Vec<Kept>,
    images: [Image; 2],
    /// The controller's name for the machine.
    name: String,
}

/// A disk and its previous contents.
struct Kept {
    file: DiskFile,
    before: String,
}

impl Kept {
    fn new(dir: &Path, name: &str, seed: u64) -> Self {
        let file = DiskFile::new(dir.join(format!("{name}.raw")));
        Dirt::new(SIZE, 8 * MIB, seed).create(&file).unwrap();
        Self { before: file.digest().unwrap(), file }
    }

    fn is_untouched(&self) {
        assert_eq!(self.file.digest().unwrap(), self.before, "{} was written to", self.file.path().display());
    }

    fn is_unfinished(&self) {
        assert!(self.file.is_unfinished().unwrap(), "{}", self.file.path().display());
        assert!(self.file.partitions().unwrap().is_empty(), "{}", self.file.path().display());
    }
}

#[test]
fn disks_exchanged_while_an_order_is_at_work() {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::start(dir.path(), &netboot);
    bench.a_second_nvme_while_the_first_is_written();
    bench.two_scsi_disks_that_come_back_exchanged();
    bench.between_two_steps(0, "nvme", &bench.new[1], NVME);
    bench.between_two_steps(2, "scsi", &bench.new[2], SCSI);
}

impl Bench {
    fn start(dir: &Path, netboot: &Netboot) -> Self {
        let folder = dir.join("images");
        std::fs::create_dir_all(&folder).unwrap();
        let images = ["one.raw.zst", "two.raw.zst"].map(|name| Image::small(&folder, name, 64 * MIB).unwrap());
        let disks: Vec<Kept> = (91..).zip(DISKS).map(|(seed, (name, _))| Kept::new(dir, name, seed)).collect();
        let new: Vec<Kept> = (81..).zip(NEW).map(|(seed, name)| Kept::new(dir, &format!("new-{name}"), seed)).collect();
        let controller = start_controller(dir, netboot, &folder).unwrap();
        let seen = controller.subscribe();
        let url = controller.public_url();
        let boot = Boot::Kernel {
            kernel: netboot.kernel(),
            initrd: netboot.initramfs(),
            // The kernel reports new disks at a log level that the console normally hides.
            cmdline: format!(
                "console=ttyS0,115200 ignore_loglevel burin.controller={url} BOOTIF=01-{}",
                MAC.replace(':', "-")
            ),
        };
        let mut spec = MachineSpec::new(dir, Firmware::Bios)
            .identity("b0b0b0b0-0000-4000-8000-000000000012", "SWAPPED-1")
            .nic(Nic::new(NicModel::Virtio, MAC))
            .boot(boot);
        for ((serial, bus), kept) in DISKS.iter().zip(&disks) {
            let disk = Disk::new(*bus, kept.file.path(), serial);
            spec = spec.disk(if *bus == Bus::Nvme { disk.in_a_slot() } else { disk });
        }
        let machine = spec.start().unwrap();
        let watch = Watch::new(seen, &machine);
        let mut name = String::new();
        watch.observe("hello", |seen| {
            if let Observation::Hello { machine, .. } = seen {
                name.clone_from(machine);
            }
            !name.is_empty()
        });
        Self { machine, controller, watch, disks, new, images, name }
    }

    /// The new disk has the serial number, size and slot of the planned one.
    fn a_second_nvme_while_the_first_is_written(&self) {
        let sets = json!({ "a": imaged("FIRST", "one"), "b": imaged("SECOND", "two") });
        let receipt = self.while_the_first_is_written("nvme", sets, || self.exchange(1, &self.new[0], NVME));
        assert_other(&receipt, "nvme");
        self.new[0].is_untouched();
        self.disks[1].is_untouched();
        self.disks[0].is_unfinished();
    }

    fn two_scsi_disks_that_come_back_exchanged(&self) {
        let sets = json!({ "a": imaged("FIRST", "one"), "b": imaged("LEFT", "two"), "c": imaged("RIGHT", "two") });
        let receipt = self.while_the_first_is_written("scsi", sets, || {
            let mut qmp = self.machine.qmp().unwrap();
            qmp.unplug(2).unwrap();
            qmp.unplug(3).unwrap();
            for number in [3, 2] {
                let position = self.machine.console().position();
                let (serial, bus) = DISKS[number];
                qmp.plug(number, &Disk::new(bus, self.disks[number].file.path(), serial)).unwrap();
                self.watch.console(SCSI, position);
            }
        });
        assert_other(&receipt, "scsi");
        self.disks[2].is_untouched();
        self.disks[3].is_untouched();
        self.disks[0].is_unfinished();
    }

    /// After write-image, before relocate-backup-gpt: the controller holds the order there.
    fn between_two_steps(&self, number: usize, id: &str, new: &Kept, seen: &str) {
        let id = format!("border-{id}");
        let image = &self.images[0];
        self.controller.faults().set_image(&image.file, ImageFault::Stall(image.wire_size / 2, PAUSE), 1);
        let position = self.machine.console().position();
        self.put(&id, json!({ "a": imaged(DISKS[number].0, "one") }));
        self.download(image);
        self.controller.control(&self.name, Control::Hold);
        self.watch.console("held by the controller", position);
        self.exchange(number, new, seen);
        self.controller.control(&self.name, Control::Continue);
        let receipt = self.receipt(&id);
        assert_other(&receipt, &id);
        assert_eq!(receipt.images.len(), 1, "the image was written: {receipt:?}");
        assert!(receipt.changes.iter().all(|change| change.step != "relocate-backup-gpt"), "{receipt:?}");
        new.is_untouched();
        self.disks[number].is_unfinished();
    }

    /// `change` is called in the middle of the first disk's image.
    fn while_the_first_is_written(&self, id: &str, sets: Value, change: impl FnOnce()) -> Receipt {
        let image = &self.images[0];
        let position = self.machine.console().position();
        self.controller.faults().set_image(&image.file, ImageFault::Cut(image.wire_size / 2), 1);
        self.put(id, sets);
        self.download(image);
        self.controller.faults().refuse_all();
        self.watch.console("; trying again", position);
        change();
        self.controller.faults().heal();
        self.receipt(id)
    }

    fn exchange(&self, number: usize, new: &Kept, seen: &str) {
        let mut qmp = self.machine.qmp().unwrap();
        qmp.unplug(number).unwrap();
        let position = self.machine.console().position();
        let (serial, bus) = DISKS[number];
        let disk = Disk::new(bus, new.file.path(), serial);
        qmp.plug(number, &if bus == Bus::Nvme { disk.in_a_slot() } else { disk }).unwrap();
        self.watch.console(seen, position);
    }

    fn download(&self, image: &Image) {
        let path = format!("/images/{}", image.file);
        self.watch
            .observe("the download", |seen| matches!(seen, Observation::File { path: asked, .. } if *asked == path));
    }

    fn put(&self, id: &str, sets: Value) {
        println!("-- {id}");
        let image = |image: &Image| {
            let url = format!("{}/images/{}", self.controller.public_url(), image.file);
            json!({ "urls": [url], "digest": { "wire": image.wire, "content": image.content } })
        };
        let order = json!({
            "version": "order/v1", "id": id,
            "images": { "one": image(&self.images[0]), "two": image(&self.images[1]) },
            "layouts": [{ "name": "disks", "disks": sets, "boot": { "set": "a" } }],
            // Both images are the same, so that old and new disks have the same contents.
            "policies": { "finish": "hold", "collisions": "warn" },
        });
        self.controller.put_order(MAC, order.to_string()).unwrap();
    }

    fn receipt(&self, id: &str) -> Receipt {
        let mut found = None;
        self.watch.observe("receipt", |seen| {
            if let Observation::Receipt { receipt, .. } = seen
                && receipt.order == id
            {
                found = Some((**receipt).clone());
            }
            found.is_some()
        });
        found.unwrap_or_else(|| unreachable!("observed"))
    }
}

fn imaged(serial: &str, image: &str) -> Value {
    json!({ "match": { "serial": serial }, "on_existing": "destroy", "image": image })
}

fn assert_other(receipt: &Receipt, what: &str) {
    let problem = receipt.problem.as_ref().unwrap_or_else(|| panic!("{what}: {receipt:?}"));
    println!("{what}: {}: {}", problem.code, problem.message);
    assert!(["apply.other_disk", "disk.gone"].contains(&problem.code.as_str()), "{what}: {problem:?}");
}
