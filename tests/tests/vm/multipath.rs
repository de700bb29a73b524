//! Two paths are one disk: one file behind two SCSI adapters. The path that is written by is pulled in the middle of an image,
//! comes back, and one is pulled again while a tree is unpacked onto filesystems that are mounted. Both orders end with
//! everything read back, and say which path has failed.

use burin::protocol::{Kind, Receipt};
use burin_tests::controller::{Controller, Observation};
use burin_tests::deploy::{Image, built, start_controller};
use burin_tests::vm::{Boot, Dirt, DiskFile, Firmware, Machine, MachineSpec, Nic, NicModel, Qmp, Slot};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const MAC: &str = "52:54:00:b0:00:20";
const SERIAL: &str = "LUN-1";
const WWN: u64 = 0x5000_c500_dead_beef;
const LONG: Duration = Duration::from_secs(600);
/// Names in QEMU of the adapters, and of the disk behind each.
const PATHS: [(&str, &str); 2] = [("left", "dev8"), ("right", "dev9")];
/// Bytes a second that a path takes, and after how many it is pulled: in the middle of what is written.
const SLOW: u64 = 2 * MIB;
const MIDDLE: u64 = 6 * MIB;

struct Bench {
    disk: DiskFile,
    controller: Controller,
    seen: Receiver<Observation>,
    machine: Machine,
}

#[test]
#[ignore = "on demand: scripts/test --storage"]
fn a_path_is_pulled_while_its_disk_is_written() {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let folder = dir.join("images");
    std::fs::create_dir_all(&folder).unwrap();
    let image = Image::small(&folder, "image.raw.zst", 64 * MIB).unwrap();
    let tree = Image::small_tree(&folder, "tree.tar", 24 << 20).unwrap();
    let disk = DiskFile::new(dir.join("lun.raw"));
    Dirt::new(256 * MIB, 8 * MIB, 120).create(&disk).unwrap();
    let controller = start_controller(dir, &netboot, &folder).unwrap();
    let seen = controller.subscribe();
    let url = controller.public_url();
    let boot = Boot::Kernel {
        kernel: netboot.kernel(),
        initrd: netboot.initramfs(),
        cmdline: format!(
            "console=ttyS0,115200 ignore_loglevel burin.controller={url} BOOTIF=01-{}",
            MAC.replace(':', "-")
        ),
    };
    let machine = with_paths(MachineSpec::new(dir, Firmware::Uefi), disk.path())
        .identity("b0b0b0b0-0000-4000-8000-000000000020", "PATHS-1")
        .nic(Nic::new(NicModel::Virtio, MAC))
        .boot(boot)
        .start()
        .unwrap();
    let bench = Bench { disk, controller, seen, machine };

    println!("-- an image");
    let set = json!({ "image": "image" });
    let (receipt, pulled) = bench.runs("paths-image", &image, set, &Value::Null, "write-image: started");
    assert_eq!(receipt.images.len(), 1, "{receipt:?}");
    assert!(receipt.images[0].verified_bytes >= receipt.images[0].image_bytes, "{receipt:?}");
    bench.disk.verify_table().unwrap();

    println!("-- the path comes back");
    let position = bench.machine.console().position();
    bench.put_back(pulled);
    bench.machine.console().wait_for_after(position, "Attached SCSI disk", LONG).unwrap();

    println!("-- a tree, on filesystems that are mounted");
    let set = json!({ "partitions": [
        { "name": "esp", "type": "esp", "size": "64MiB", "filesystem": { "type": "vfat" }, "mount": "/boot/efi" },
        { "name": "root", "type": "root", "filesystem": { "type": "ext4" }, "mount": "/" },
    ] });
    let boots = json!({ "image": "image", "bootloader": "systemd-boot" });
    let (receipt, _) = bench.runs("paths-tree", &tree, set, &boots, "unpack-tree: started");
    let lacks = receipt.changes.iter().find(|change| change.detail.get("lacks").is_some());
    assert_eq!(lacks.map(|change| &change.detail), Some(&json!({ "lacks": ["multipath-tools"] })), "{receipt:?}");
    bench.disk.verify_table().unwrap();
    let partitions = bench.disk.partitions().unwrap();
    assert_eq!(partitions.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["esp", "root"]);
    let root = bench.disk.extract(&partitions[1].extent(), &dir.join("root")).unwrap();
    let checked = Command::new("/usr/sbin/e2fsck").args(["-f", "-n"]).arg(root.path()).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    bench.machine.cut_power();
}

fn with_paths(spec: MachineSpec, file: &Path) -> MachineSpec {
    PATHS.iter().fold(spec, |spec, (adapter, device)| {
        let file = format!("file.driver=file,file.locking=off,file.filename={}", file.display());
        let node = format!("driver=raw,node-name=lun-{adapter},discard=unmap,{file}");
        let disk =
            format!("scsi-hd,bus={adapter}.0,drive=lun-{adapter},id={device},serial={SERIAL},wwn={WWN:#x},share-rw=on");
        spec.extra(["-device", &format!("virtio-scsi-pci,id={adapter}"), "-blockdev", &node, "-device", &disk])
    })
}

impl Bench {
    /// Carries an order out while the path that it writes by is pulled, in the middle of what begins with this line. The receipt,
    /// and which path it was.
    fn runs(&self, id: &str, image: &Image, set: Value, tree: &Value, begins: &str) -> (Receipt, usize) {
        let mut set = set;
        set["match"] = json!({ "serial": SERIAL });
        set["on_existing"] = json!("destroy");
        let url = format!("{}/images/{}", self.controller.public_url(), image.file);
        let mut spec = json!({ "urls": [url], "digest": { "wire": image.wire } });
        let mut layout = json!({ "name": "one", "disks": { "os": set } });
        if !tree.is_null() {
            spec["format"] = json!("tar");
            layout["tree"] = tree.clone();
        }
        let order = json!({
            "version": "order/v1", "id": id, "images": { "image": spec }, "layouts": [layout],
            "policies": { "finish": "hold", "boot_order": "keep" },
        });
        let mut qmp = self.machine.qmp().unwrap();
        PATHS.iter().for_each(|(_, device)| throttle(&mut qmp, device));
        let position = self.machine.console().position();
        self.controller.put_order(MAC, order.to_string()).unwrap();
        let begun = self.machine.console().wait_for_after(position, begins, LONG);
        begun.unwrap_or_else(|error| panic!("{id}: {error}"));
        let pulled = pull_in_the_middle(&mut qmp);
        println!("   {} was pulled", PATHS[pulled].0);
        let (receipt, told) = self.receipt(id);
        assert_eq!(receipt.problem, None, "{}", self.machine.console().tail(60));
        let [disk] = receipt.disks.as_slice() else { panic!("two paths are two disks: {receipt:?}") };
        assert_eq!(disk.paths.iter().map(|path| path.failed).collect::<Vec<_>>(), [true, false], "{disk:?}");
        assert!(told.iter().any(|code| code == "disk.path_failed"), "{told:?}");
        println!("   {disk:?}");
        (receipt, pulled)
    }

    /// With the codes of what was told meanwhile.
    fn receipt(&self, id: &str) -> (Receipt, Vec<String>) {
        let mut told = Vec::new();
        loop {
            match self.seen.recv_timeout(LONG) {
                Ok(Observation::Receipt { receipt, .. }) if receipt.order == id => return (*receipt, told),
                Ok(Observation::Event { event, .. }) => {
                    if let Some(Kind::Anomaly(anomaly)) = event.kind() {
                        told.push(anomaly.problem.code.clone());
                    }
                }
                Ok(_) => {}
                Err(_) => panic!("{id}: no receipt; the console:\n{}", self.machine.console().tail(60)),
            }
        }
    }

    fn put_back(&self, path: usize) {
        let (adapter, device) = PATHS[path];
        let device = json!({
            "driver": "scsi-hd", "bus": format!("{adapter}.0"), "drive": format!("lun-{adapter}"), "id": device,
            "serial": SERIAL, "wwn": WWN, "share-rw": true,
        });
        self.machine.qmp().unwrap().execute("device_add", device).unwrap();
    }
}

fn throttle(qmp: &mut Qmp, device: &str) {
    let mut limits = json!({ "id": device, "bps_wr": SLOW });
    for other in ["bps", "bps_rd", "iops", "iops_rd", "iops_wr"] {
        limits[other] = json!(0);
    }
    qmp.execute("block_set_io_throttle", limits).unwrap();
}

/// Bytes written by each path.
fn written(qmp: &mut Qmp) -> [u64; 2] {
    let all = qmp.execute("query-blockstats", json!({})).unwrap();
    PATHS.map(|(_, device)| {
        let one = all.as_array().unwrap().iter().find(|one| one["qdev"] == *device);
        one.and_then(|one| one["stats"]["wr_bytes"].as_u64()).unwrap_or_else(|| panic!("no {device} in {all}"))
    })
}

/// Pulls the path that is written by; the other one was not written by.
fn pull_in_the_middle(qmp: &mut Qmp) -> usize {
    let before = written(qmp);
    loop {
        let now = written(qmp);
        let grown = [now[0] - before[0], now[1] - before[1]];
        if let Some(path) = grown.iter().position(|bytes| *bytes >= MIDDLE) {
            assert_eq!(grown[1 - path], 0, "both are written by");
            let number = PATHS[path].1.trim_start_matches("dev").parse().unwrap();
            qmp.unplug(number).unwrap();
            return path;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
