//! Snapshots of QEMU machines (see tests/machines/README.md), replayed and checked value by value.

use crate::support;
use hwinventory::Inventory;
use hwinventory::model::{BootMode, Disk, DiskClass, HealthState, IdentityKind, Media, Status, Strength, Transport};
use std::path::Path;

fn replay(name: &str) -> Inventory {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines").join(name);
    support::collect(hwinventory::source::open(&path).expect("a snapshot"))
}

fn disk<'a>(inventory: &'a Inventory, by_path: &str) -> &'a Disk {
    let all: Vec<_> = inventory.disks.data.iter().map(|d| d.by_path.clone().unwrap_or_default()).collect();
    inventory
        .disks
        .data
        .iter()
        .find(|d| d.by_path.as_deref() == Some(by_path))
        .unwrap_or_else(|| panic!("{by_path} is not among {all:?}"))
}

#[test]
fn bios_machine_disks() {
    let machine = replay("q35-bios.tar.zst");
    assert_eq!(machine.disks.status, Status::Ok, "{:?}", machine.disks.problems);
    assert_eq!(machine.disks.data.len(), 8);

    let nvme = disk(&machine, "pci-0000:00:02.0-nvme-1");
    assert_eq!((nvme.class, nvme.transport, nvme.size), (DiskClass::Nvme, Transport::Nvme, 64 << 20));
    assert_eq!((nvme.identity.kind, nvme.identity.strength), (IdentityKind::Eui64, Strength::Strong));
    assert_eq!(nvme.health.as_ref().map(|h| (h.state, h.temperature)), Some((HealthState::Ok, Some(50))));
    assert_eq!(nvme.erase.as_ref().and_then(|e| e.nvme_format), Some(true));
    let signatures = nvme.signatures.as_deref().unwrap_or_default();
    assert_eq!(signatures.first().map(|s| (s.kind.as_str(), s.offset)), Some(("ext4", Some(1080))));
    assert_eq!(signatures.first().and_then(|s| s.label.as_deref()), Some("rootfs"));

    let native = disk(&machine, "pci-0000:00:02.0-nvme-2");
    assert_eq!((native.logical_block_size, native.size), (Some(4096), 1 << 30));
    assert_eq!(native.identity.kind, IdentityKind::Serial);
    assert!(native.identity.value.ends_with("_2"), "namespaces of one controller are told apart");
    assert_eq!(native.nvme.as_ref().map(|n| n.lba_formats.clone()), Some(vec![512, 4096]));

    let sata = disk(&machine, "pci-0000:00:1f.2-ata-1.0");
    assert_eq!((sata.class, sata.transport, sata.rotation_rate), (DiskClass::Hdd, Transport::Sata, Some(7200)));
    assert_eq!((sata.model.as_deref(), sata.identity.kind), (Some("BURINDISK"), IdentityKind::Naa));
    assert_eq!(sata.health.as_ref().map(|h| (h.state, h.temperature)), Some((HealthState::Ok, Some(31))));
    assert_eq!(sata.partition_table.as_deref(), Some("gpt"));
    let parts: Vec<_> = sata.partitions.iter().map(|p| (p.number, p.start, p.size, p.label.as_deref())).collect();
    assert_eq!(parts, [(1, 1 << 20, 20 << 20, Some("esp")), (2, 21 << 20, 20 << 20, Some("data"))]);
    assert_eq!(sata.partitions[0].kind.as_deref(), Some("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"));

    let cdrom = disk(&machine, "pci-0000:00:1f.2-ata-2.0");
    assert_eq!((cdrom.media, cdrom.removable, cdrom.read_only), (Media::Cdrom, true, true));

    let virtio = disk(&machine, "pci-0000:00:03.0");
    assert_eq!((virtio.class, virtio.transport), (DiskClass::Virtual, Transport::Virtio));
    assert_eq!(virtio.identity.strength, Strength::Strong);

    let scsi = disk(&machine, "pci-0000:00:04.0-scsi-0:0:0:0");
    assert_eq!((scsi.identity.kind, scsi.class), (IdentityKind::Naa, DiskClass::Virtual));
    assert_eq!(scsi.driver.as_deref(), Some("virtio_scsi"), "not that of the PCI function, which is virtio-pci");

    let raid = machine.storage_controllers.data.iter().find(|c| c.driver.as_deref() == Some("megaraid_sas"));
    assert!(raid.is_some_and(|c| c.hides_drives && c.disks.len() == 1), "{raid:?}");
    assert_eq!(disk(&machine, "pci-0000:00:05.0-scsi-0:2:0:0").driver.as_deref(), Some("megaraid_sas"));

    let usb = disk(&machine, "pci-0000:00:06.0-usb-0:1:1.0-scsi-0:0:0:0");
    assert_eq!((usb.transport, usb.removable), (Transport::Usb, true));
    assert!(usb.serial.is_some());
}

#[test]
fn bios_machine_platform() {
    let machine = replay("q35-bios.tar.zst");
    let system = &machine.system.data;
    assert_eq!((system.manufacturer.as_deref(), system.product_name.as_deref()), (Some("Burin"), Some("TestRig")));
    assert!(system.serial_number.is_some() && system.uuid.is_some());
    assert_eq!(system.hypervisor.as_deref(), Some("qemu"));
    assert_eq!(machine.firmware.data.boot_mode, BootMode::Bios);
    let cpu = &machine.cpu.data;
    assert_eq!((cpu.sockets, cpu.cores, cpu.threads), (Some(2), Some(4), Some(4)));
    let nodes: Vec<_> = machine.numa.data.nodes.iter().map(|n| (n.cpus.as_str(), n.distances.clone())).collect();
    assert_eq!(nodes, [("0-1", vec![10, 20]), ("2-3", vec![20, 10])]);
    let dimm = machine.memory.data.dimms.first().expect("one DIMM");
    assert_eq!((dimm.size, dimm.rated_speed), (Some(1 << 30), Some(3_200_000_000)));
    assert_eq!((dimm.manufacturer.as_deref(), dimm.part_number.as_deref()), (Some("Micron"), Some("PN-1")));

    let mut nics: Vec<_> = machine.nics.data.iter().collect();
    nics.sort_by_key(|nic| nic.pci_address.clone());
    let drivers: Vec<_> = nics.iter().map(|n| n.driver.as_deref().unwrap_or_default()).collect();
    assert_eq!(drivers, ["virtio_net", "virtio_net", "e1000e", "vmxnet3"]);
    let bootif: Vec<_> = nics.iter().map(|n| n.bootif).collect();
    assert_eq!(bootif, [true, false, false, false], "BOOTIF survives redaction");
    let carrier: Vec<_> = nics.iter().map(|n| n.carrier).collect();
    assert_eq!(carrier, [Some(true), Some(false), Some(true), Some(true)]);
    assert_eq!((nics[2].max_speed, nics[2].speed), (Some(1_000_000_000), Some(1_000_000_000)));
    // QEMU's vmxnet3 says so; it could do ten times that.
    assert_eq!((nics[3].max_speed, nics[3].speed), (Some(10_000_000_000), Some(1_000_000_000)));
    assert!(nics.iter().all(|n| n.permanent_mac == n.mac && n.mac.is_some()));

    assert_eq!((machine.bmc.status, machine.bmc.data.device_id), (Status::Ok, Some(0x20)));
    assert_eq!(machine.bmc.data.interface.as_deref(), Some("KCS"));
    assert_eq!(machine.tpm.status, Status::Absent);
    let ahci = machine.pci.data.iter().find(|d| d.driver.as_deref() == Some("ahci")).expect("q35 has AHCI");
    assert_eq!((ahci.vendor.as_deref(), ahci.class.as_deref()), (Some("Intel Corporation"), Some("SATA controller")));
}

#[test]
fn uefi_machine() {
    let machine = replay("sas-uefi.tar.zst");
    let firmware = &machine.firmware.data;
    assert_eq!((firmware.boot_mode, firmware.bitness), (BootMode::Uefi, Some(64)));
    assert_eq!((firmware.secure_boot, firmware.setup_mode), (Some(false), Some(true)));
    assert!(!firmware.boot_order.is_empty());
    for id in &firmware.boot_order {
        assert!(firmware.boot_entries.iter().any(|e| e.id == *id), "{id} has an entry");
    }
    let tpm = machine.tpm.data.first().expect("a TPM");
    assert_eq!(tpm.version.as_deref(), Some("2.0"));
    assert!(tpm.manufacturer.is_some() && tpm.firmware.is_some(), "{tpm:?}");
    assert!(tpm.banks.iter().any(|b| b.algorithm == "sha256" && b.pcrs.len() == 24), "{:?}", tpm.banks);
    let watchdog = machine.watchdogs.data.first().expect("a watchdog");
    assert!(watchdog.identity.is_some());

    let sas = machine.disks.data.iter().find(|d| d.driver.as_deref() == Some("mptsas")).expect("a SAS disk");
    assert_eq!((sas.transport, sas.identity.kind), (Transport::Sas, IdentityKind::Naa));
    let nic = machine.nics.data.first().expect("a NIC");
    assert_eq!(nic.driver.as_deref(), Some("e1000e"));
    // The speed it could have is known, the one it has is not.
    assert_eq!((nic.carrier, nic.speed, nic.max_speed), (Some(false), None, Some(1_000_000_000)));
}

/// Which firmware started the machine is told, and nothing else about it changes.
#[test]
fn the_same_machine_under_either_firmware() {
    for name in ["q35", "sas"] {
        let (bios, uefi) = (replay(&format!("{name}-bios.tar.zst")), replay(&format!("{name}-uefi.tar.zst")));
        assert_eq!((bios.firmware.data.boot_mode, uefi.firmware.data.boot_mode), (BootMode::Bios, BootMode::Uefi));
        assert!(bios.firmware.data.boot_entries.is_empty() && !uefi.firmware.data.boot_entries.is_empty());
        let disks = |machine: &Inventory| -> Vec<_> {
            let rows = machine.disks.data.iter().map(|d| {
                let traits = (d.class, d.transport, d.media, d.removable, d.rotation_rate, d.identity.kind);
                let content = (d.partition_table.clone(), d.partitions.len(), d.signatures.as_ref().map(Vec::len));
                (d.by_path.clone(), d.model.clone(), d.size, d.logical_block_size, d.driver.clone(), traits, content)
            });
            rows.collect()
        };
        assert_eq!(disks(&bios), disks(&uefi), "{name}");
        let nics = |machine: &Inventory| -> Vec<_> {
            let rows = machine.nics.data.iter().map(|n| {
                (n.pci_address.clone(), n.driver.clone(), n.carrier, n.speed, n.max_speed, n.duplex.clone(), n.bootif)
            });
            rows.collect()
        };
        assert_eq!(nics(&bios), nics(&uefi), "{name}");
        let pci = |machine: &Inventory| -> Vec<_> {
            let rows = machine.pci.data.iter().map(|p| (p.address.clone(), p.vendor_id.clone(), p.device_id.clone()));
            rows.collect()
        };
        assert_eq!(pci(&bios), pci(&uefi), "{name}");
        let cpu = |machine: &Inventory| (machine.cpu.data.sockets, machine.cpu.data.cores, machine.cpu.data.threads);
        assert_eq!(cpu(&bios), cpu(&uefi), "{name}");
        let dimms = |machine: &Inventory| -> Vec<_> {
            machine.memory.data.dimms.iter().map(|d| (d.locator.clone(), d.size, d.rated_speed)).collect()
        };
        assert_eq!(dimms(&bios), dimms(&uefi), "{name}");
        assert_eq!(bios.bmc.data.device_id, uefi.bmc.data.device_id, "{name}");
        assert_eq!(bios.tpm.data.len(), uefi.tpm.data.len(), "{name}");
    }
}

/// iPXE has hooked a disk over iSCSI and left the boot firmware table in memory, where the kernel's driver finds it.
#[test]
fn a_machine_that_booted_from_iscsi() {
    let machine = replay("ibft.tar.zst");
    let fabrics = &machine.fabrics.data;
    let table = fabrics.ibft.as_ref().expect("a table");
    let [nic] = table.nics.as_slice() else { panic!("{table:?}") };
    assert_eq!((nic.boot_selected, nic.origin.as_deref(), nic.vlan), (true, Some("dhcp"), None));
    assert_eq!((nic.address.as_deref(), nic.gateway.as_deref()), (Some("10.0.2.15/24"), Some("10.0.2.2")));
    assert_eq!((nic.dhcp_server.as_deref(), nic.name_servers.join(" ").as_str()), (Some("10.0.2.2"), "10.0.2.3"));
    let booted = machine.nics.data.iter().find(|n| n.mac == nic.mac).expect("the NIC");
    assert_eq!(booted.pci_address, nic.pci_address, "by the driver's link and by its address");
    let [target] = table.targets.as_slice() else { panic!("{table:?}") };
    assert_eq!((target.address.as_deref(), target.port, target.nic), (Some("10.0.2.2"), Some(3260), Some(0)));
    assert_eq!(target.name.as_deref(), Some("iqn.2026-11.example.burin:disk"));
    assert_eq!((target.lun.as_deref(), target.authentication.as_deref()), (Some("0001000000000000"), Some("chap")));
    let initiator = fabrics.iscsi_initiator.as_ref().expect("a name");
    assert_eq!(
        (Some(&initiator.name), initiator.source.as_str()),
        (table.initiator_name.as_ref(), "/sys/firmware/ibft")
    );
    assert!(machine.findings.is_empty(), "{:?}", machine.findings);
}
