//! The hardware that QEMU is given, and the inventory expected from it.

use burin_tests::vm::{BadSector, Disk, MachineSpec};
use hwinventory::Inventory;
use hwinventory::model::{
    BootMode, DiskClass, IdentityKind, Media, Nic, Status, StorageController, Strength, Transport,
};

const MIB: u64 = 1 << 20;

pub const UUID: &str = "b0b0b0b0-0000-4000-8000-000000000004";
pub const SERIAL: &str = "STORAGE-1";
pub const BOOT_MAC: &str = "52:54:00:b0:04:01";
/// Its cable is not connected.
pub const DARK_MAC: &str = "52:54:00:b0:04:02";
pub const E1000E_MAC: &str = "52:54:00:b0:04:03";
pub const VMXNET3_MAC: &str = "52:54:00:b0:04:04";

/// The serial number of a disk, by its name in the test.
pub fn serial(name: &str) -> String {
    format!("S-{}", name.to_uppercase())
}

/// All sizes differ. In bytes.
pub fn size(number: usize) -> u64 {
    (40 + number as u64) * MIB
}

/// A disk's properties besides its serial number, or its faults.
pub fn dress(name: &str, disk: Disk) -> Disk {
    // In data, behind the largest hole of the images.
    const BAD: u64 = 11 * MIB;
    match name {
        "nvme" => disk.with("eui64=0x0025385981b12345"),
        "sata" => disk.with("wwn=0x5000c500a1b2c3d4,rotation_rate=7200,model=EXAMPLE-7200,ver=FW12"),
        "virtio-blk" => disk.with("discard=off,write-zeroes=off"),
        "virtio-scsi" => disk.with("wwn=0x5000c500deadbeef,rotation_rate=1,vendor=EXAMPLE,product=SOLID,ver=0042"),
        "sas" => disk.with("wwn=0x5000c50012345678"),
        "usb" => disk.with("removable=on"),
        "bad-write" => disk.bad(BadSector::Write(BAD)),
        "bad-read" => disk.bad(BadSector::Read(BAD)),
        "pulled-pci" => disk.in_a_slot(),
        _ => disk,
    }
}

/// Everything but disks and NICs.
pub fn platform(spec: MachineSpec) -> MachineSpec {
    let bmc = "ipmi-bmc-sim,id=bmc,fwrev1=3,fwrev2=0x17,mfg_id=10876,product_id=0x0b2d";
    spec.extra(["-device", bmc, "-device", "isa-ipmi-kcs,bmc=bmc"])
        .extra(["-smbios", "type=0,vendor=Example BIOS,version=1.2.3,date=01/02/2026,release=4.5"])
        .extra(["-smbios", "type=2,manufacturer=Example,product=Board-9,version=B,serial=BOARD-1,asset=A-2"])
        .extra(["-smbios", "type=3,manufacturer=Example,version=C,serial=CHASSIS-1,asset=A-3,sku=SKU-3"])
        .extra(["-smbios", "type=11,value=burin.attr.rack=r12,value=second string"])
        .extra([
            "-smbios",
            "type=17,loc_pfx=DIMM_A,bank=BANK_1,manufacturer=Micron,serial=DIMM-1,asset=A-17,part=PN-1,speed=3200",
        ])
}

pub fn check(machine: &Inventory) {
    disks(machine);
    controllers(&machine.storage_controllers.data);
    nics(&machine.nics.data);
    platform_values(machine);
}

fn disks(machine: &Inventory) {
    let all = &machine.disks.data;
    let seen: Vec<_> = all.iter().map(|disk| (&disk.serial, disk.size, disk.by_path.as_deref())).collect();
    let by_size = |number| {
        let found: Vec<_> = all.iter().filter(|disk| disk.size == size(number)).collect();
        assert_eq!(found.len(), 1, "one disk of {} bytes among {seen:?}", size(number));
        found[0]
    };
    assert_eq!(machine.disks.status, Status::Ok, "{:?}", machine.disks.problems);
    assert_eq!(all.len(), 14, "{seen:?}");

    let nvme = by_size(0);
    assert_eq!((nvme.class, nvme.transport, nvme.logical_block_size), (DiskClass::Nvme, Transport::Nvme, Some(512)));
    assert_eq!(nvme.serial.as_deref(), Some("S-NVME"));
    assert_eq!((nvme.identity.kind, nvme.identity.value.as_str()), (IdentityKind::Eui64, "0025385981b12345"));
    assert_eq!(nvme.identity.strength, Strength::Strong);
    let namespace = nvme.nvme.as_ref().unwrap();
    assert_eq!((namespace.namespace_id, namespace.eui64.as_deref()), (Some(1), Some("0025385981b12345")));
    let native = by_size(1);
    assert_eq!((native.logical_block_size, native.physical_block_size), (Some(4096), Some(4096)));
    assert_eq!(native.serial.as_deref(), Some("S-NVME"), "the controller's");
    let namespace = native.nvme.as_ref().unwrap();
    assert_eq!((namespace.namespace_id, native.identity.kind), (Some(2), IdentityKind::Serial));
    assert!(native.identity.value.ends_with("S-NVME_2"), "namespaces are told apart: {:?}", native.identity);

    let sata = by_size(2);
    assert_eq!((sata.class, sata.transport, sata.rotation_rate), (DiskClass::Hdd, Transport::Sata, Some(7200)));
    assert_eq!((sata.serial.as_deref(), sata.model.as_deref()), (Some("S-SATA"), Some("EXAMPLE-7200")));
    assert_eq!(sata.firmware.as_deref(), Some("FW12"));
    assert_eq!((sata.identity.kind, sata.identity.value.as_str()), (IdentityKind::Naa, "5000c500a1b2c3d4"));
    assert_eq!(sata.partition_table.as_deref(), Some("gpt"));
    let parts: Vec<_> = sata.partitions.iter().map(|p| (p.number, p.start, p.label.as_deref())).collect();
    assert_eq!(parts, [(1, MIB, Some("old-esp")), (2, 33 * MIB, Some("old-data"))]);

    let virtio = by_size(3);
    assert_eq!((virtio.class, virtio.transport), (DiskClass::Virtual, Transport::Virtio));
    assert_eq!(virtio.serial.as_deref(), Some("S-VIRTIO-BLK"));
    assert_eq!(virtio.erase.as_ref().map(|erase| erase.discard), Some(false), "discard=off");
    assert_eq!(virtio.write_zeroes_max_bytes, Some(0), "write-zeroes=off");

    let scsi = by_size(4);
    assert_eq!((scsi.vendor.as_deref(), scsi.model.as_deref()), (Some("EXAMPLE"), Some("SOLID")));
    assert_eq!((scsi.serial.as_deref(), scsi.firmware.as_deref()), (Some("S-VIRTIO-SCSI"), Some("0042")));
    assert_eq!((scsi.identity.kind, scsi.identity.value.as_str()), (IdentityKind::Naa, "5000c500deadbeef"));
    assert_eq!((scsi.rotational, scsi.driver.as_deref()), (Some(false), Some("virtio_scsi")));

    let raid = by_size(5);
    assert_eq!((raid.driver.as_deref(), raid.serial.as_deref()), (Some("megaraid_sas"), Some("S-MEGARAID")));
    let sas = by_size(6);
    assert_eq!((sas.driver.as_deref(), sas.transport), (Some("mptsas"), Transport::Sas));
    assert_eq!((sas.identity.kind, sas.identity.value.as_str()), (IdentityKind::Naa, "5000c50012345678"));
    let usb = by_size(7);
    assert_eq!((usb.transport, usb.removable, usb.serial.as_deref()), (Transport::Usb, true, Some("S-USB")));
    let cdrom = by_size(8);
    assert_eq!((cdrom.media, cdrom.read_only, cdrom.transport), (Media::Cdrom, true, Transport::Sata));
    for (number, serial) in [(9, "S-BAD-WRITE"), (10, "S-BAD-READ"), (11, "S-PULLED-SCSI"), (12, "S-PULLED-PCI")] {
        assert_eq!(by_size(number).serial.as_deref(), Some(serial));
    }

    let debug = all.iter().find(|disk| disk.vendor.as_deref() == Some("Linux")).unwrap();
    assert_eq!(
        (debug.size, debug.driver.as_deref()),
        (24 * MIB, Some("scsi_debug")),
        "its parameter reached the module"
    );
    let erase = debug.erase.as_ref().unwrap();
    assert_eq!((erase.discard, erase.discard_zeroes), (true, Some(false)), "lbprz=0: a discard leaves what was there");
}

fn controllers(all: &[StorageController]) {
    let by_driver = |driver: &str| {
        let found: Vec<_> = all.iter().filter(|one| one.driver.as_deref() == Some(driver)).collect();
        assert!(!found.is_empty(), "no controller of {driver} among {all:?}");
        found
    };
    let mut nvme: Vec<_> = by_driver("nvme").iter().map(|one| (one.serial.as_deref(), one.disks.len())).collect();
    nvme.sort_unstable();
    assert_eq!(nvme, [(Some("S-BAD-READ"), 1), (Some("S-NVME"), 2)]);
    assert_eq!(by_driver("ahci")[0].disks.len(), 2, "disk and CD-ROM");
    assert_eq!(by_driver("virtio_scsi")[0].disks.len(), 2);
    let raid = by_driver("megaraid_sas")[0];
    assert_eq!((raid.hides_drives, raid.disks.len()), (true, 1));
    assert_eq!(by_driver("mptsas")[0].disks.len(), 1);
}

fn nics(all: &[Nic]) {
    let by_mac = |mac: &str| {
        let found = all.iter().find(|nic| nic.mac.as_deref() == Some(mac));
        let nic = found.unwrap_or_else(|| panic!("no NIC {mac} among {all:?}"));
        assert_eq!(nic.permanent_mac.as_deref(), Some(mac));
        nic
    };
    assert_eq!(all.len(), 4);
    let boot = by_mac(BOOT_MAC);
    assert_eq!((boot.driver.as_deref(), boot.carrier, boot.bootif), (Some("virtio_net"), Some(true), true));
    assert!(boot.addresses.iter().any(|address| address.address == "10.0.2.15/24"), "{:?}", boot.addresses);
    let dark = by_mac(DARK_MAC);
    assert_eq!((dark.driver.as_deref(), dark.carrier, dark.bootif), (Some("virtio_net"), Some(false), false));
    assert!(dark.addresses.iter().all(|address| !address.address.starts_with("10.")), "{:?}", dark.addresses);
    let intel = by_mac(E1000E_MAC);
    assert_eq!((intel.driver.as_deref(), intel.max_speed), (Some("e1000e"), Some(1_000_000_000)));
    assert_eq!((intel.carrier, intel.speed, intel.duplex.as_deref()), (Some(true), Some(1_000_000_000), Some("full")));
    let vmware = by_mac(VMXNET3_MAC);
    assert_eq!((vmware.driver.as_deref(), vmware.carrier), (Some("vmxnet3"), Some(true)));
    // The value that QEMU reports; the real model could do ten times that.
    assert_eq!((vmware.speed, vmware.max_speed), (Some(1_000_000_000), Some(10_000_000_000)));
}

fn platform_values(machine: &Inventory) {
    let system = &machine.system.data;
    assert_eq!((system.uuid.as_deref(), system.serial_number.as_deref()), (Some(UUID), Some(SERIAL)));
    assert_eq!((system.manufacturer.as_deref(), system.product_name.as_deref()), (Some("Example"), Some("Server")));
    let bios = system.bios.as_ref().unwrap();
    assert_eq!((bios.vendor.as_deref(), bios.version.as_deref()), (Some("Example BIOS"), Some("1.2.3")));
    assert_eq!((bios.date.as_deref(), bios.release.as_deref()), (Some("01/02/2026"), Some("4.5")));
    let board = &system.baseboards[0];
    assert_eq!((board.product_name.as_deref(), board.serial_number.as_deref()), (Some("Board-9"), Some("BOARD-1")));
    let chassis = &system.chassis[0];
    assert_eq!((chassis.serial_number.as_deref(), chassis.sku_number.as_deref()), (Some("CHASSIS-1"), Some("SKU-3")));
    assert_eq!(system.oem_strings, ["burin.attr.rack=r12", "second string"]);
    assert_eq!(machine.firmware.data.boot_mode, BootMode::Bios);

    let cpu = &machine.cpu.data;
    assert_eq!((cpu.sockets, cpu.cores, cpu.threads), (Some(2), Some(2), Some(2)));
    let nodes: Vec<_> = machine.numa.data.nodes.iter().map(|n| (n.cpus.as_str(), n.distances.clone())).collect();
    assert_eq!(nodes, [("0", vec![10, 20]), ("1", vec![20, 10])]);
    assert_eq!(machine.memory.data.physical, Some(1 << 30));
    let dimm = &machine.memory.data.dimms[0];
    assert_eq!((dimm.locator.as_deref(), dimm.bank.as_deref()), (Some("DIMM_A 0"), Some("BANK_1")));
    assert_eq!((dimm.size, dimm.rated_speed), (Some(1 << 30), Some(3_200_000_000)));
    assert_eq!((dimm.manufacturer.as_deref(), dimm.part_number.as_deref()), (Some("Micron"), Some("PN-1")));
    assert_eq!((dimm.serial_number.as_deref(), dimm.asset_tag.as_deref()), (Some("DIMM-1"), Some("A-17")));

    let tpm = &machine.tpm.data[0];
    assert_eq!(tpm.version.as_deref(), Some("2.0"));
    let bank = tpm.banks.iter().find(|bank| bank.algorithm == "sha256").unwrap();
    assert_eq!(bank.pcrs.len(), 24);
    // After a reset registers 17 to 22 are all ones, by the TCG's PC Client profile.
    assert_eq!(bank.pcrs[17], "f".repeat(64));

    let bmc = &machine.bmc.data;
    // QEMU 7.2 reports 0x20 whatever it is told.
    assert_eq!((bmc.device_id, bmc.interface.as_deref()), (Some(0x20), Some("KCS")), "{bmc:?}");
    assert_eq!((bmc.manufacturer_id, bmc.product_id), (Some(10876), Some(0x0b2d)));
    assert_eq!((bmc.firmware.as_deref(), bmc.ipmi_version.as_deref()), (Some("3.17"), Some("2.0")));
}
