//! Names of disks by place and by identity, as udev's rules and `path_id` make them.

use crate::builder::{self, codes};
use crate::support::{self, Machine};
use crate::udev;
use hwinventory::Inventory;
use hwinventory::model::Disk;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Collects, and compares all places with udev's where it is installed.
fn collect(machine: Machine) -> Inventory {
    let machine = Arc::new(machine);
    let inventory = support::collect(machine.clone());
    let disks = || inventory.disks.data.iter().filter(|d| !d.name.contains("boot"));
    let names: Vec<String> = disks().map(|d| d.name.clone()).collect();
    if let Some(theirs) = udev::places(&machine, &names) {
        let ours: Vec<Option<String>> = disks().map(|d| d.by_path.clone()).collect();
        assert_eq!(ours, theirs, "{names:?}: udev has other names");
    }
    inventory
}

fn places(inventory: &Inventory) -> Vec<&str> {
    inventory.disks.data.iter().map(|d| d.by_path.as_deref().unwrap_or("-")).collect()
}

const DISK: [&str; 3] = ["MADEUP", "MODEL", "1"];

/// hpsa, and wide ports: where not exactly one phy leads to the disk, its address is its place.
#[test]
fn sas_disks_by_phy_and_by_address() {
    let mut machine = Machine::default();
    let mut put = |n: u32, phys: &str, phy: &str, above: &str| {
        let port = format!("/sys/devices/pci0000:00/0000:00:02.0/0000:03:00.0/host0{above}/port-0:{n}");
        machine.file(&format!("{port}/sas_port/port-0:{n}/num_phys"), phys);
        let class = format!("{port}/end_device-0:{n}/sas_device/end_device-0:{n}");
        machine.file(&format!("{class}/sas_address"), &format!("0x500000000000000{n}\n"));
        machine.file(&format!("{class}/phy_identifier"), phy);
        let real = format!("{port}/end_device-0:{n}/target0:0:{n}/0:0:{n}:0");
        builder::scsi(&mut machine, &real, &format!("sd{n}"), DISK, &[]);
    };
    put(2, "0\n", "0\n", "");
    put(3, "0\n", "0\n", "");
    put(4, "1\n", "7\n", "");
    put(5, "1\n", "9\n", "/port-0:1/expander-0:0");
    put(6, "4\n", "0\n", "/port-0:1/expander-0:0");
    let expander = "/sys/devices/pci0000:00/0000:00:02.0/0000:03:00.0/host0/port-0:1/expander-0:0";
    machine.file(&format!("{expander}/sas_device/expander-0:0/sas_address"), "0x50000000000000ff\n");
    let inventory = collect(machine);
    let mut found = places(&inventory);
    found.sort_unstable();
    let at = "pci-0000:03:00.0-sas";
    assert_eq!(
        found,
        [
            format!("{at}-0x5000000000000002-lun-0"),
            format!("{at}-0x5000000000000003-lun-0"),
            format!("{at}-0x5000000000000006-lun-0"),
            format!("{at}-exp0x50000000000000ff-phy9-lun-0"),
            format!("{at}-phy7-lun-0"),
        ]
    );
    assert!(!codes(&inventory).contains(&"disk.same-place"));
}

/// Every bus above a disk: one disk a machine, by its device directory.
#[test]
fn every_bus_says_its_part() {
    let vmbus = "LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00/f8b3781a-1e82-4818-a1c3-63d806ec15bb";
    let cases = [
        (
            "pci0000:b2/0000:b2:05.5/pci10000:00/10000:00:02.0/10000:01:00.0/nvme/nvme0",
            "nvme0n1",
            "pci-0000:b2:05.5-pci-10000:01:00.0-nvme-1",
        ),
        (
            "platform/soc/fd500000.pcie/pci0000:00/0000:00:00.0/0000:01:00.0/nvme/nvme0",
            "nvme0n1",
            "platform-fd500000.pcie-pci-0000:01:00.0-nvme-1",
        ),
        (
            "pci0000:00/0000:00:14.0/usb1/1-1/1-1.4/1-1.4:1.0/host6/target6:0:0/6:0:0:0",
            "sda",
            "pci-0000:00:14.0-usb-0:1.4:1.0-scsi-0:0:0:0",
        ),
        (
            "platform/soc/3f980000.usb/xhci-hcd.0.auto/usb1/1-1/1-1:1.0/host0/target0:0:0/0:0:0:0",
            "sda",
            "platform-xhci-hcd.0.auto-usb-0:1:1.0-scsi-0:0:0:0",
        ),
        ("pci0000:00/0000:00:05.0/virtio2/host0/target0:0:3/0:0:3:0", "sda", "pci-0000:00:05.0-scsi-0:0:3:0"),
        ("pci0000:00/0000:00:06.0/virtio3", "vda", "pci-0000:00:06.0"),
        ("platform/a003e00.virtio_mmio/virtio0", "vda", "platform-a003e00.virtio_mmio"),
        ("css0/0.0.0019/0.0.1234", "dasda", "ccw-0.0.1234"),
        ("css0/0.0.0000/0.0.0001/virtio1", "vda", "ccw-0.0.0001"),
        ("pci0000:00/0000:00:03.0/0000:05:00.0/cciss0/c0d1", "cciss!c0d1", "pci-0000:05:00.0-cciss-disk1"),
        (
            "platform/host2/session1/target2:0:0/2:0:0:1",
            "sda",
            "ip-192.0.2.7:3260-iscsi-iqn.2001-05.com.example:one-lun-1",
        ),
        (
            "pci0000:00/0000:00:07.0/host2/session1/target2:0:0/2:0:0:1",
            "sda",
            "pci-0000:00:07.0-ip-192.0.2.7:3260-iscsi-iqn.2001-05.com.example:one-lun-1",
        ),
        (
            &format!("{vmbus}/host0/target0:0:0/0:0:0:0"),
            "sda",
            "acpi-VMBUS:00-vmbus-f8b3781a1e824818a1c363d806ec15bb-lun-0",
        ),
        ("platform/80860F14:00/mmc_host/mmc0/mmc0:0001", "mmcblk0", "platform-80860F14:00"),
        // Names that tell nothing apart are none.
        ("vbd-51712", "xvda", "-"),
        ("pci0000:00/0000:00:1a.0/mmc_host/mmc0/mmc0:0001", "mmcblk0", "-"),
    ];
    for (device, name, expected) in cases {
        let mut machine = Machine::default();
        let real = format!("/sys/devices/{device}");
        builder::disk(&mut machine, &real, name, &[("nsid", "1")]);
        machine.file(&format!("/sys/devices/{vmbus}/device_id"), "{f8b3781a-1e82-4818-a1c3-63d806ec15bb}\n");
        for host in ["platform/host2", "pci0000:00/0000:00:07.0/host2"] {
            let session = format!("/sys/devices/{host}/session1");
            machine.file(&format!("{session}/iscsi_session/session1/targetname"), "iqn.2001-05.com.example:one\n");
            let connection = format!("{session}/connection1:0/iscsi_connection/connection1:0");
            machine.file(&format!("{connection}/persistent_address"), "192.0.2.7\n");
            machine.file(&format!("{connection}/persistent_port"), "3260\n");
        }
        assert_eq!(places(&collect(machine)), [expected], "{device}");
    }
}

/// The platform device nearest to the disk, not the bus that it sits on.
#[test]
fn two_controllers_of_one_soc() {
    let mut machine = Machine::default();
    for (n, at) in ["fe310000.mmc", "fe340000.mmc"].iter().enumerate() {
        let real = format!("/sys/devices/platform/soc/{at}/mmc_host/mmc{n}/mmc{n}:0001");
        machine.file(&format!("{real}/name"), "MADEUP\n").file(&format!("{real}/serial"), &format!("0x0000000{n}\n"));
        let disk = builder::disk(&mut machine, &real, &format!("mmcblk{n}"), &[]);
        let boot = format!("{disk}/mmcblk{n}boot1");
        machine.file(&format!("{boot}/size"), "8192\n").link(&format!("/sys/block/mmcblk{n}boot1"), &boot);
    }
    let inventory = collect(machine);
    let mut found = places(&inventory);
    found.sort_unstable();
    let expected = ["fe310000.mmc", "fe310000.mmc-boot1", "fe340000.mmc", "fe340000.mmc-boot1"];
    assert_eq!(found, expected.map(|place| format!("platform-{place}")));
    assert!(!codes(&inventory).contains(&"disk.same-place"));
}

#[test]
fn units_of_a_fibre_channel_port() {
    let mut machine = Machine::default();
    let port = "/sys/devices/pci0000:00/0000:00:03.0/host1/rport-1:0-0";
    let target = format!("{port}/target1:0:0/fc_transport/target1:0:0");
    machine.file(&format!("{target}/port_name"), "0x5000000000000001\n");
    for (letter, lun) in ["a", "b", "c", "d"].iter().zip(["1", "256", "16640", "1074151460"]) {
        builder::scsi(&mut machine, &format!("{port}/target1:0:0/1:0:0:{lun}"), &format!("sd{letter}"), DISK, &[]);
    }
    let inventory = collect(machine);
    let mut found = places(&inventory);
    found.sort_unstable();
    let luns = ["0x0100000000000000", "0x4024400600000000", "0x4100000000000000", "1"];
    assert_eq!(found, luns.map(|lun| format!("pci-0000:00:03.0-fc-0x5000000000000001-lun-{lun}")));
}

/// Where two disks have one name all the same, somebody has to know.
#[test]
fn a_shared_place_and_a_shared_name_are_told() {
    let mut machine = Machine::default();
    for name in ["sda", "sdb"] {
        let real = format!("/sys/devices/pci0000:00/0000:00:02.0/{name}/host0/target0:0:0/0:0:0:0");
        builder::scsi(&mut machine, &real, name, DISK, &[]);
        machine.file(&format!("{real}/wwid"), "naa.5000c500a1b2c3d4\n");
    }
    let inventory = support::collect(Arc::new(machine));
    let told = |code: &str| {
        let all = inventory.findings.iter().filter(|f| f.code == code);
        all.map(|f| (f.subject.as_str(), f.message.contains("sda, sdb"))).collect::<Vec<_>>()
    };
    assert_eq!(told("disk.same-place"), [("pci-0000:00:02.0-scsi-0:0:0:0", true)]);
    assert_eq!(told("disk.same-name"), [("scsi-35000c500a1b2c3d4", true), ("wwn-0x5000c500a1b2c3d4", true)]);
}

#[test]
fn names_of_arrays_and_maps() {
    let mut machine = Machine::default();
    let base = "/sys/devices/virtual/block";
    for (name, uuid) in
        [("md0", "26d43bb7-2b9b-b08e-6912-462ad6572672"), ("md127", "00000000-0000-0000-0000-000000000000")]
    {
        builder::disk(&mut machine, base, name, &[("md/uuid", uuid), ("md/level", "raid1")]);
    }
    for (name, label, wwid) in [
        ("dm-0", "mpatha", "36005076300000000000000000000cafe"),
        ("dm-1", "mpathb", "20025385b21404321"),
        ("dm-2", "mpathc", "SMADEUP_X_SERIAL 1"),
        ("dm-3", "mpathd", "eui.0025385b21404321"),
    ] {
        builder::disk(&mut machine, base, name, &[("dm/name", label), ("dm/uuid", &format!("mpath-{wwid}"))]);
    }
    let partition = "part2-mpath-36005076300000000000000000000cafe";
    builder::disk(&mut machine, base, "dm-4", &[("dm/name", "mpatha2"), ("dm/uuid", partition)]);
    let inventory = support::collect(Arc::new(machine));
    let names: BTreeMap<&str, Vec<&str>> = inventory
        .volumes
        .data
        .iter()
        .map(|v| (v.name.as_str(), v.by_id.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(names["md0"], ["md-uuid-26d43bb7:2b9bb08e:6912462a:d6572672"]);
    assert!(names["md127"].is_empty(), "{names:?}");
    let of = |name: &str| names[name].iter().filter(|n| !n.starts_with("dm-")).copied().collect::<Vec<_>>();
    assert_eq!(of("dm-0"), ["scsi-36005076300000000000000000000cafe", "wwn-0x6005076300000000000000000000cafe"]);
    assert_eq!(of("dm-1"), ["scsi-20025385b21404321", "wwn-0x0025385b21404321"]);
    assert_eq!(of("dm-2"), ["scsi-SMADEUP_X_SERIAL_1"]);
    assert!(of("dm-3").is_empty());
    let wwid = "6005076300000000000000000000cafe";
    assert_eq!(of("dm-4"), [format!("scsi-3{wwid}-part2"), format!("wwn-0x{wwid}-part2")]);
    let none = inventory.volumes.data.iter().find(|v| v.name == "md127").expect("listed");
    assert!(none.md.as_ref().is_some_and(|md| md.uuid.is_none()) && none.identities.is_empty(), "{none:?}");
}

/// What udev itself says of the disks and interfaces of captured machines, run below their `/sys`. Most copies lack the
/// links by which it knows a bus.
#[test]
fn places_of_captured_machines_are_as_udev_names_them() {
    if !support::has("udevadm") || !support::has("unshare") {
        return;
    }
    for archive in ["ghw", "hwloc", "lsblk", "lscpu"].iter().flat_map(|kind| support::archives(kind)) {
        let Some(root) = support::unpack(&archive) else { continue };
        let inventory = support::collect_directory(&root);
        let disks = inventory.disks.data.iter().map(|d: &Disk| (format!("block/{}", d.name), d.by_path.clone()));
        let nics = inventory.nics.data.iter().map(|n| (format!("class/net/{}", n.name), n.by_path.clone()));
        for (name, ours) in disks.chain(nics) {
            let link = std::fs::canonicalize(root.join("sys").join(&name));
            let Some(real) = link.ok().filter(|real| real.join("subsystem").exists()) else { continue };
            let device = Path::new("/sys").join(real.strip_prefix(root.join("sys")).expect("below it"));
            let Some(theirs) = udev::id_path(&root, &device.display().to_string()) else { return };
            assert_eq!(ours, theirs, "{} {name}", archive.display());
        }
    }
}
