//! The main job with real input, under both kinds of firmware: netboot, image, reboot, and Debian runs from that disk.
//! `Deployment::finish` verifies: login prompt with the injected hostname, the key's fingerprint, the root on the
//! ordered disk, a valid GPT to the end of that disk, a receipt of read-back, the other disk unchanged.

use burin_tests::deploy::{Proof, Scene, built};
use burin_tests::vm::{Firmware, OLD_MARK, Slot};
use hwinventory::Inventory;
use hwinventory::model::{BootMode, DiskClass, Transport};

/// Runs the job and returns its proof, with all console output.
fn main_job(firmware: Firmware) -> Option<(Proof, String, String)> {
    let (netboot, image) = match built() {
        Ok(both) => both,
        Err(reason) => {
            burin_skip::skip!("{reason}");
            return None;
        }
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let scene = Scene::build(dir.path(), firmware, &netboot, &image).unwrap();
    let deployment = scene.start().unwrap();
    let console = deployment.machine().console().clone();
    let proof = deployment.finish(|_| {}).unwrap_or_else(|error| panic!("{error}\n{}", console.tail(80)));

    said_no_secret(&scene, &console.text());
    let receipt = &proof.receipt.images[0];
    assert_eq!(receipt.digest.content.as_deref(), Some(image.content.as_str()));
    assert_eq!(receipt.digest.wire.as_deref(), Some(image.wire.as_str()));
    assert_eq!(receipt.wire_bytes, image.wire_size);
    assert_eq!(receipt.image_bytes, image.size);
    // More than the image: the erased area behind it is read back too.
    assert!(receipt.verified_bytes >= image.size, "{} bytes were read back", receipt.verified_bytes);
    let survivor = scene.target.find(OLD_MARK, 4096, 0, image.size).unwrap();
    assert_eq!(survivor, None, "old data survived below the image");
    let numbers: Vec<_> = scene.target.partitions().unwrap().iter().map(|part| part.number()).collect();
    assert_eq!(numbers, [Some(14), Some(15), Some(1)], "the image's numbers are kept");
    let size = scene.target.size().unwrap();
    assert!(proof.root_bytes > size - (64 << 20), "the root partition grew to {} of {size}", proof.root_bytes);
    assert!(proof.filesystem_bytes > size * 9 / 10, "its filesystem grew to {} of {size}", proof.filesystem_bytes);
    said_of_itself(&scene);
    Some((proof, console.text(), scene.order_id))
}

/// No secret on the machine's consoles, from firmware to login prompt, in what it sent, or in what the controller
/// stored.
fn said_no_secret(scene: &Scene, console: &str) {
    let controller = &scene.controller;
    let machine = controller.machines().remove(0);
    let view = controller.machine(&machine).unwrap();
    let said = serde_json::to_string(&(view.events().collect::<Vec<_>>(), &view.hello, &view.receipts)).unwrap();
    assert!(console.contains("burin.controller="), "the kernel's echo of its command line is part of it");
    let token = controller.token(&machine).unwrap().reveal().to_owned();
    for secret in scene.secrets.iter().chain([&token]) {
        assert!(!console.contains(secret.as_str()), "a console has the secret {secret}");
        assert!(!said.contains(secret.as_str()), "an event, hello or receipt has the secret {secret}");
    }
}

/// The inventory that reached the controller matches what QEMU was told.
fn said_of_itself(scene: &Scene) {
    let machines = scene.controller.machines();
    let [machine] = machines.as_slice() else { panic!("one machine, not {machines:?}") };
    let hello = scene.controller.machine(machine).and_then(|view| view.hello).unwrap();
    let machine: Inventory = serde_json::from_value(hello.inventory).unwrap();
    let disks: Vec<_> = (machine.disks.data.iter())
        .map(|disk| (disk.serial.as_deref().unwrap_or_default(), disk.size, disk.transport, disk.class))
        .collect();
    assert!(disks.contains(&("NVME-TARGET-01", 4 << 30, Transport::Nvme, DiskClass::Nvme)), "{disks:?}");
    assert!(disks.contains(&("SATA-DATA-02", 3 << 30, Transport::Sata, DiskClass::Virtual)), "{disks:?}");
    assert_eq!(disks.len(), 2, "{disks:?}");
    let nics: Vec<_> = machine
        .nics
        .data
        .iter()
        .map(|nic| (nic.mac.as_deref(), nic.driver.as_deref(), nic.carrier, nic.bootif))
        .collect();
    assert_eq!(nics, [(Some("52:54:00:b0:00:01"), Some("virtio_net"), Some(true), true)]);
    assert!(machine.tpm.data.is_empty() && machine.bmc.data.device.is_none(), "it has neither");
    let firmware = &machine.firmware.data;
    match scene.firmware {
        Firmware::Bios => {
            assert_eq!(firmware.boot_mode, BootMode::Bios);
            assert!(firmware.boot_entries.is_empty() && firmware.boot_order.is_empty());
        }
        Firmware::Uefi => {
            assert_eq!((firmware.boot_mode, firmware.bitness), (BootMode::Uefi, Some(64)));
            // Debian's OVMF without enrolled keys.
            assert_eq!((firmware.secure_boot, firmware.setup_mode), (Some(false), Some(true)));
            let started = firmware.boot_entries.iter().find(|entry| Some(&entry.id) == firmware.boot_current.as_ref());
            let path = started.and_then(|entry| entry.device_path.clone()).unwrap_or_default();
            assert!(path.contains("MAC(525400b00001"), "it was started from its NIC, not from {started:?}");
        }
    }
}

#[test]
fn uefi() {
    let Some((_, console, order)) = main_job(Firmware::Uefi) else { return };
    // The boot entry has the order's id, and the firmware chose it.
    let started = console.lines().any(|line| line.contains("BdsDxe: starting Boot") && line.contains(&order));
    assert!(started, "the firmware did not start the entry {order}\n{console}");
}

#[test]
fn bios() {
    let Some((_, console, _)) = main_job(Firmware::Bios) else { return };
    // The network stays first: the controller must send the machine on to its disk.
    assert!(console.contains("booting from disk"), "iPXE was not sent to the disk\n{console}");
}
