//! Arrays, multipath devices, and drives that their controllers hide.

use crate::support::{self, Machine};
use hwinventory::model::{Disk, Status};
use std::sync::Arc;

const SATA: &str = "/sys/devices/pci0000:00/0000:00:17.0";

fn sata(port: u32, name: &str) -> String {
    format!("{SATA}/ata{port}/host{port}/target{port}:0:0/{port}:0:0:0/block/{name}")
}

fn partition(machine: &mut Machine, port: u32, disk: &str, number: u32, holder: &str) {
    let real = format!("{}/{disk}{number}", sata(port, disk));
    machine.file(&format!("{real}/partition"), &format!("{number}\n")).file(&format!("{real}/start"), "2048\n");
    machine
        .file(&format!("{real}/size"), "2048\n")
        .file(&format!("{real}/dev"), &format!("8:{}\n", port * 16 + number));
    machine.link(&format!("{real}/holders/{holder}"), "../../x");
}

fn array(machine: &mut Machine, name: &str, degraded: u32, members: &[(&str, &str, &str)]) {
    let real = format!("/sys/devices/virtual/block/{name}");
    machine.link(&format!("/sys/block/{name}"), &format!("../devices/virtual/block/{name}"));
    machine.file(&format!("{real}/size"), "4096\n").file(&format!("{real}/dev"), "9:0\n");
    let md = format!("{real}/md");
    machine.file(&format!("{md}/level"), "raid1\n").file(&format!("{md}/array_state"), "clean\n");
    machine.file(&format!("{md}/raid_disks"), "2\n").file(&format!("{md}/degraded"), &format!("{degraded}\n"));
    machine.file(&format!("{md}/metadata_version"), "1.2\n").file(&format!("{md}/sync_action"), "idle\n");
    machine.file(&format!("{md}/chunk_size"), "524288\n");
    for (device, slot, state) in members {
        machine.file(&format!("{md}/dev-{device}/slot"), &format!("{slot}\n"));
        machine.file(&format!("{md}/dev-{device}/state"), &format!("{state}\n"));
        machine.file(&format!("{md}/dev-{device}/errors"), "0\n");
        machine.link(&format!("{real}/slaves/{device}"), "../../x");
    }
}

fn find<'a>(disks: &'a [Disk], name: &str) -> &'a Disk {
    disks.iter().find(|d| d.name == name).unwrap_or_else(|| panic!("{name} is not listed"))
}

/// Two arrays over the partitions of two disks, one of them with a failed member and a spare on a third.
#[test]
fn members_know_their_array_role_and_slot() {
    let mut machine = Machine::default();
    machine.sata("sda", 1, "FIRST001").sata("sdb", 2, "SECOND02").sata("sdc", 3, "THIRD003");
    for (port, disk) in [(1, "sda"), (2, "sdb")] {
        partition(&mut machine, port, disk, 1, "md0");
        partition(&mut machine, port, disk, 2, "md1");
    }
    array(&mut machine, "md0", 0, &[("sda1", "0", "in_sync"), ("sdb1", "1", "in_sync,write_mostly")]);
    array(&mut machine, "md1", 1, &[("sdc", "none", "spare"), ("sdb2", "none", "faulty"), ("sda2", "1", "in_sync")]);
    let inventory = support::collect(Arc::new(machine));

    let md1 = find(&inventory.volumes.data, "md1").md.clone().expect("an array");
    assert_eq!((md1.level.as_deref(), md1.raid_disks, md1.degraded), (Some("raid1"), Some(2), Some(1)));
    assert_eq!((md1.chunk_size, md1.sync_action.as_deref()), (Some(524_288), Some("idle")));
    let members: Vec<_> = md1.members.iter().map(|m| (m.device.as_str(), m.role.as_deref(), m.slot)).collect();
    assert_eq!(
        members,
        [("sda2", Some("active"), Some(1)), ("sdb2", Some("faulty"), None), ("sdc", Some("spare"), None)]
    );

    let sdb = find(&inventory.disks.data, "sdb");
    let of =
        |number: u64| sdb.partitions.iter().find(|p| p.number == number).and_then(|p| p.md.clone()).expect("a member");
    assert_eq!((of(1).array.as_deref(), of(1).role.as_deref(), of(1).slot), (Some("md0"), Some("active"), Some(1)));
    assert_eq!((of(2).array.as_deref(), of(2).role.as_deref(), of(2).degraded), (Some("md1"), Some("faulty"), Some(1)));
    assert_eq!(sdb.md.as_ref().and_then(|m| m.device.as_deref()), Some("sdb1"), "the first one");
    let spare = find(&inventory.disks.data, "sdc").md.clone().expect("a member as a whole");
    assert_eq!(
        (spare.array.as_deref(), spare.role.as_deref(), spare.device.as_deref()),
        (Some("md1"), Some("spare"), Some("sdc"))
    );

    let codes: Vec<&str> = inventory.findings.iter().map(|f| f.code.as_str()).collect();
    assert!(codes.contains(&"raid.degraded") && codes.contains(&"raid.member-faulty"), "{codes:?}");
}

#[test]
fn paths_know_their_map_and_the_map_its_paths() {
    let mut machine = Machine::default();
    machine.sata("sda", 1, "SAME0001").sata("sdb", 2, "SAME0001").sata("sdc", 3, "OTHER002");
    for (port, disk, state) in [(1, "sda", "active/optimized"), (2, "sdb", "active/non-optimized")] {
        let device = sata(port, disk).rsplitn(3, '/').nth(2).unwrap_or_default().to_owned();
        machine.file(&format!("{device}/access_state"), &format!("{state}\n"));
        machine.file(&format!("{device}/preferred_path"), if port == 1 { "1\n" } else { "0\n" });
        machine.file(&format!("{device}/state"), "running\n");
    }
    let map = "/sys/devices/virtual/block/dm-0";
    machine.link("/sys/block/dm-0", "../devices/virtual/block/dm-0");
    machine.file(&format!("{map}/size"), "4096\n").file(&format!("{map}/dm/name"), "mpatha\n");
    machine.file(&format!("{map}/dm/uuid"), "mpath-35000c500a1b2c3d4\n");
    machine.link(&format!("{map}/slaves/sda"), "../../x").link(&format!("{map}/slaves/sdb"), "../../x");
    let inventory = support::collect(Arc::new(machine));

    let path = find(&inventory.disks.data, "sdb");
    assert!(path.multipath_member);
    let multipath = path.multipath.clone().expect("a path");
    assert_eq!((multipath.map.as_deref(), multipath.name.as_deref()), (Some("dm-0"), Some("mpatha")));
    assert_eq!(multipath.uuid.as_deref(), Some("mpath-35000c500a1b2c3d4"));
    assert_eq!((multipath.access_state.as_deref(), multipath.preferred), (Some("active/non-optimized"), Some(false)));
    let other = find(&inventory.disks.data, "sdc");
    assert!(!other.multipath_member && other.multipath.is_none());

    let paths = &find(&inventory.volumes.data, "dm-0").paths;
    let paths: Vec<_> = paths
        .iter()
        .map(|p| (p.name.as_str(), p.through.as_deref(), p.state.as_deref(), p.access_state.as_deref()))
        .collect();
    assert_eq!(
        paths,
        [
            ("sda", Some("1:0:0:0"), Some("running"), Some("active/optimized")),
            ("sdb", Some("2:0:0:0"), Some("running"), Some("active/non-optimized")),
        ]
    );
}

/// A RAID controller's volume is a disk; its drives are there for the SCSI layer only.
#[test]
fn hidden_drives_are_listed_as_not_visible() {
    let mut machine = Machine::default();
    machine.sata("sda", 1, "BOOT0001");
    let function = "/sys/devices/pci0000:80/0000:80:02.0/0000:81:00.0";
    machine.link(
        "/sys/class/scsi_host/host9",
        &format!("../..{}", function.replace("/sys", ""))
            .replace("/0000:81:00.0", "/0000:81:00.0/host9/scsi_host/host9"),
    );
    machine.file(&format!("{function}/host9/scsi_host/host9/proc_name"), "smartpqi\n");
    machine.link(&format!("{function}/driver"), "../../../bus/pci/drivers/smartpqi");
    machine.file("/sys/bus/scsi/drivers/sd/uevent", "");
    for (hctl, kind, model) in
        [("9:0:0:0", "0", "HUH721212AL5200"), ("9:0:1:0", "0", "HUH721212AL5200"), ("9:2:0:0", "12", "P408i-a")]
    {
        let device = format!("{function}/host9/target/{hctl}");
        machine.link(&format!("/sys/bus/scsi/devices/{hctl}"), &format!("../../..{}", device.replace("/sys", "")));
        machine
            .file(&format!("{device}/type"), &format!("{kind}\n"))
            .file(&format!("{device}/model"), &format!("{model}\n"));
        machine.file(&format!("{device}/vendor"), "HGST    \n").file(&format!("{device}/state"), "running\n");
    }
    let mut page = vec![0, 0x80, 0, 8];
    page.extend(b"8HJ1ABCD");
    machine.files.insert(format!("{function}/host9/target/9:0:1:0/vpd_pg80"), page);
    let inventory = support::collect(Arc::new(machine));
    assert_eq!(inventory.storage_controllers.status, Status::Ok);
    let raid =
        inventory.storage_controllers.data.iter().find(|c| c.driver.as_deref() == Some("smartpqi")).expect("listed");
    assert!(raid.hides_drives);
    assert_eq!(raid.hidden_drive_count, Some(2), "the controller itself is no drive");
    let drives: Vec<_> = raid.hidden_drives.iter().map(|d| (d.hctl.as_str(), d.serial.as_deref(), d.visible)).collect();
    assert_eq!(drives, [("9:0:0:0", None, false), ("9:0:1:0", Some("8HJ1ABCD"), false)]);
    assert_eq!(inventory.disks.data.len(), 1, "they are no disks");
}

#[test]
fn nvme_drives_that_ahci_swallows_are_counted() {
    let mut machine = Machine::default();
    machine.sata("sda", 1, "BOOT0001");
    machine.link("/sys/class/scsi_host/host1", "../../devices/pci0000:00/0000:00:17.0/ata1/host1/scsi_host/host1");
    machine.file(&format!("{SATA}/ata1/host1/scsi_host/host1/proc_name"), "ahci\n");
    machine.file("/sys/bus/pci/devices/0000:00:17.0/remapped_nvme", "2\n");
    let inventory = support::collect(Arc::new(machine));
    let ahci = inventory.storage_controllers.data.first().expect("a controller");
    assert_eq!((ahci.hides_drives, ahci.hidden_drive_count), (true, Some(2)));
}

/// Native multipath keeps the paths of a namespace as hidden devices.
#[test]
fn nvme_paths() {
    let mut machine = Machine::default();
    let head = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0";
    machine.link("/sys/block/nvme0n1", "../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1");
    machine.link(&format!("{head}/nvme0n1/device"), "../../nvme-subsys0");
    machine.file(&format!("{head}/nvme0n1/size"), "2048\n").file(&format!("{head}/nvme0n1/nsid"), "1\n");
    for (controller, state) in [(0, "optimized"), (1, "inaccessible")] {
        let up = format!(
            "/sys/devices/pci0000:80/0000:80:0{controller}.0/0000:8{}:00.0/nvme/nvme{controller}",
            controller + 1
        );
        let path = format!("nvme0c{controller}n1");
        machine.link(&format!("/sys/block/{path}"), &format!("../..{up}/{path}"));
        machine
            .file(&format!("{up}/{path}/hidden"), "1\n")
            .file(&format!("{up}/{path}/ana_state"), &format!("{state}\n"));
        machine
            .file(&format!("{up}/state"), "live\n")
            .file(&format!("{up}/address"), &format!("0000:8{}:00.0\n", controller + 1));
        machine.link(&format!("{head}/nvme{controller}"), &format!("../../../..{}", up.trim_start_matches("/sys")));
    }
    let inventory = support::collect(Arc::new(machine));
    let paths: Vec<_> = find(&inventory.disks.data, "nvme0n1")
        .paths
        .iter()
        .map(|p| (p.through.as_deref(), p.address.as_deref(), p.access_state.as_deref()))
        .collect();
    assert_eq!(
        paths,
        [
            (Some("nvme0"), Some("0000:81:00.0"), Some("optimized")),
            (Some("nvme1"), Some("0000:82:00.0"), Some("inaccessible")),
        ]
    );
}
