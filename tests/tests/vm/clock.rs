//! A machine whose clock says 2001, and a controller that accepts only TLS, with a current certificate.

use burin_tests::controller::Observation;
use burin_tests::deploy::{Image, OrderBuilder, Pki, SMALL_MARK, built, start_controller_with};
use burin_tests::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, HOST_FROM_GUEST, MachineSpec, Nic, NicModel, Slot};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const MIB: u64 = 1 << 20;
const MAC: &str = "52:54:00:b0:00:03";

#[test]
fn a_clock_in_2001_does_not_break_tls() {
    let netboot = match built() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let pki = Pki::new(HOST_FROM_GUEST).unwrap();
    let images = dir.join("images");
    std::fs::create_dir_all(&images).unwrap();
    let image = Image::small(&images, "small.raw.zst", 64 * MIB).unwrap();
    let disk = DiskFile::new(dir.join("disk.raw"));
    Dirt::new(256 * MIB, 96 * MIB, 31).create(&disk).unwrap();

    let controller = start_controller_with(dir, &netboot, &images, Some(pki.server.clone())).unwrap();
    let url = format!("https://{HOST_FROM_GUEST}:{}", controller.address().port());
    let order = OrderBuilder::new("late", "nobody", &format!("{url}/images"), &image)
        .set("/layouts/0/disks/system/match", json!({ "serial": "ORDERED" }))
        .set("/layouts/0/disks/system/grow", Value::Null)
        .set("/seed", Value::Null)
        .set("/policies/finish", json!("hold"));
    controller.put_order(MAC, order.json()).unwrap();
    let seen = controller.subscribe();
    let machine = MachineSpec::new(dir, Firmware::Bios)
        .identity("b0b0b0b0-0000-4000-8000-000000000003", "CLOCK-1")
        .disk(Disk::new(Bus::VirtioBlk, disk.path(), "ORDERED"))
        .nic(Nic::new(NicModel::Virtio, MAC))
        .extra(["-rtc", "base=2001-01-01"])
        .boot(Boot::Kernel {
            kernel: netboot.kernel(),
            initrd: with_ca(dir, &netboot.initramfs(), &pki.ca),
            cmdline: format!("console=ttyS0,115200 burin.controller={url} BOOTIF=01-{}", MAC.replace(':', "-")),
        })
        .start()
        .unwrap();

    let receipt = loop {
        match seen.recv_timeout(Duration::from_secs(300)) {
            Ok(Observation::Receipt { receipt, .. }) => break receipt,
            Ok(_) => {}
            Err(_) => panic!("no receipt; the console:\n{}", machine.console().tail(60)),
        }
    };
    assert_eq!(receipt.problem, None);
    assert_eq!(receipt.images[0].digest.content.as_ref(), Some(&image.content));
    assert_eq!(disk.partitions().unwrap()[0].name, SMALL_MARK);
    // What the firmware told the kernel, to make sure that the test tests what it claims.
    let told = machine.console().text();
    assert!(told.contains("setting system clock to 2001-01-01") || told.contains("2001-01-01T"), "{told}");
}

/// The ramdisk, preceded by a site's CA: the kernel unpacks several archives in sequence.
fn with_ca(dir: &Path, initramfs: &Path, ca: &str) -> PathBuf {
    let root = dir.join("site");
    std::fs::create_dir_all(root.join("etc/burin")).unwrap();
    std::fs::write(root.join("etc/burin/ca.pem"), ca).unwrap();
    let mut cpio = Command::new("cpio")
        .args(["--quiet", "-o", "-H", "newc"])
        .current_dir(&root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cpio; scripts/setup installs it");
    cpio.stdin.take().unwrap().write_all(b"etc\netc/burin\netc/burin/ca.pem\n").unwrap();
    let mut bytes = cpio.wait_with_output().unwrap().stdout;
    assert!(bytes.starts_with(b"070701"));
    bytes.extend(std::fs::read(initramfs).unwrap());
    let path = dir.join("with-ca.img");
    std::fs::write(&path, bytes).unwrap();
    path
}
