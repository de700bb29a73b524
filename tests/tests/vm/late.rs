//! A machine on which everything appears late: the ordered disk and a console; and a NIC's firmware never does.

use burin::protocol::Kind;
use burin_tests::controller::Observation;
use burin_tests::deploy::{Image, OrderBuilder, SMALL_MARK, built, start_controller};
use burin_tests::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, MachineSpec, Nic, NicModel, Slot};
use serde_json::{Value, json};
use std::time::Duration;

const MIB: u64 = 1 << 20;
const MAC: &str = "52:54:00:b0:00:0c";

#[test]
fn the_smallest_disk_comes_after_the_order() {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let images = dir.join("images");
    std::fs::create_dir_all(&images).unwrap();
    let image = Image::small(&images, "small.raw.zst", 64 * MIB).unwrap();
    let (large, small) = (DiskFile::new(dir.join("large.raw")), DiskFile::new(dir.join("small.raw")));
    Dirt::new(1024 * MIB, 16 * MIB, 61).create(&large).unwrap();
    Dirt::new(512 * MIB, 96 * MIB, 62).create(&small).unwrap();
    let before = large.digest().unwrap();

    let controller = start_controller(dir, &netboot, &images).unwrap();
    let order = OrderBuilder::new("late", "nobody", &format!("{}/images", controller.public_url()), &image)
        .set("/layouts/0/disks/system/match", json!({ "size": { "ge": "256MiB" } }))
        .set("/layouts/0/disks/system/order_by", json!([{ "asc": "size" }]))
        .set("/layouts/0/disks/system/allow", json!(["removable"]))
        .set("/layouts/0/disks/system/grow", Value::Null)
        .set("/seed", Value::Null)
        .set("/policies/finish", json!("hold"));
    controller.put_order(MAC, order.json()).unwrap();
    let seen = controller.subscribe();
    let late_console = dir.join("hvc0.log");
    let chardev = format!("file,id=late,path={}", late_console.display());
    let machine = MachineSpec::new(dir, Firmware::Bios)
        .identity("b0b0b0b0-0000-4000-8000-00000000000c", "LATE-1")
        .disk(Disk::new(Bus::VirtioBlk, large.path(), "LARGE"))
        .disk(Disk::new(Bus::Usb, small.path(), "SMALL"))
        .nic(Nic::new(NicModel::Virtio, MAC))
        .extra(["-device", "virtio-serial-pci", "-chardev", &chardev, "-device", "virtconsole,chardev=late"])
        // A card whose driver loads its microcode when the link goes up.
        .extra(["-netdev", "user,id=dumb", "-device", "i82551,id=dumb,netdev=dumb,mac=52:54:00:b0:00:0d,romfile="])
        .boot(Boot::Kernel {
            kernel: netboot.kernel(),
            initrd: netboot.initramfs(),
            cmdline: format!(
                "console=ttyS0,115200 console=hvc0 usb-storage.delay_use=20 burin.controller={} BOOTIF=01-{}",
                controller.public_url(),
                MAC.replace(':', "-")
            ),
        })
        .start()
        .unwrap();

    let receipt = loop {
        match seen.recv_timeout(Duration::from_secs(600)) {
            Ok(Observation::Receipt { receipt, .. }) => break receipt,
            Ok(_) => {}
            Err(_) => panic!("no receipt; the console:\n{}", machine.console().tail(60)),
        }
    };
    let told = machine.console().text();
    assert_eq!(receipt.problem, None, "{told}");
    assert!(told.contains("has not shown its disk (delay_use is 20 s)"), "what is waited for is told:\n{told}");
    assert_eq!(small.partitions().unwrap()[0].name, SMALL_MARK);
    assert_eq!(large.digest().unwrap(), before, "the disk that was there first was not touched");

    let late = std::fs::read_to_string(&late_console).unwrap();
    assert!(late.contains("init: burin "), "the late console has the first line:\n{late}");

    let name = controller.machines().remove(0);
    let view = controller.machine(&name).unwrap();
    let missing: Vec<String> = view
        .events()
        .filter_map(|event| match event.kind() {
            Some(Kind::Anomaly(anomaly)) if anomaly.problem.code == "device.firmware_missing" => {
                Some(anomaly.problem.message)
            }
            _ => None,
        })
        .collect();
    let lines = told.matches("[device.firmware_missing]").count();
    assert!(lines <= 1, "one line for one file, however often the driver asks: {lines}");
    assert!(lines == 0 || missing.iter().all(|text| text.contains("e100/")), "{missing:?}");
    assert_eq!(lines == 1, told.contains("Direct firmware load for e100/"), "{told}");
}
