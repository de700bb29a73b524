//! Arrangements of disks that QEMU's machines do not have.

use crate::support::{self, Machine};
use hwinventory::model::{DiskClass, Transport};
use std::sync::Arc;

/// With native multipath the kernel hangs namespaces below the subsystem and hides the paths.
#[test]
fn nvme_behind_native_multipath() {
    let mut machine = Machine::default();
    let subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0";
    let controller = "/sys/devices/pci0000:80/0000:80:01.1/0000:81:00.0/nvme/nvme0";
    machine.link("/sys/block/nvme0n1", "../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1");
    machine.link("/sys/block/nvme0c0n1", &format!("../..{controller}/nvme0c0n1"));
    machine.link(&format!("{subsystem}/nvme0n1/device"), "../../nvme-subsys0");
    machine.link(&format!("{subsystem}/nvme0"), &format!("../../../..{}", controller.trim_start_matches("/sys")));
    machine.file(&format!("{subsystem}/model"), "KIOXIA KCD8\n").file(&format!("{subsystem}/serial"), "9DK0A0B1\n");
    machine.file(&format!("{subsystem}/nvme0n1/size"), "2048\n").file(&format!("{subsystem}/nvme0n1/nsid"), "1\n");
    machine.file(&format!("{subsystem}/nvme0n1/nguid"), "36434630-5260-1234-0025-384500000001\n");
    machine.file(&format!("{controller}/nvme0c0n1/hidden"), "1\n").file(&format!("{controller}/state"), "live\n");
    let inventory = support::collect(Arc::new(machine));
    assert_eq!(inventory.disks.data.len(), 1, "the hidden path is no disk");
    let disk = &inventory.disks.data[0];
    assert_eq!((disk.class, disk.transport), (DiskClass::Nvme, Transport::Nvme));
    assert_eq!(disk.by_path.as_deref(), Some("pci-0000:81:00.0-nvme-1"));
    assert_eq!(disk.identity.value, "36434630526012340025384500000001");
    assert_eq!(disk.nvme.as_ref().and_then(|n| n.controller.as_deref()), Some("nvme0"));
    assert_eq!(disk.state.as_deref(), Some("live"));
}

/// Two controllers, in two PCI functions, lead to one disk: both say so.
#[test]
fn both_controllers_of_a_dual_port_disk_list_it() {
    let mut machine = Machine::default();
    let subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0";
    machine.link("/sys/block/nvme0n1", &format!("{subsystem}/nvme0n1"));
    machine.link(&format!("{subsystem}/nvme0n1/device"), subsystem);
    machine.file(&format!("{subsystem}/nvme0n1/size"), "2048\n").file(&format!("{subsystem}/nvme0n1/nsid"), "1\n");
    for (n, function) in ["0000:81:00.0", "0000:c1:00.0"].iter().enumerate() {
        let controller = format!("/sys/devices/pci0000:80/{function}/nvme/nvme{n}");
        machine.file(&format!("{controller}/state"), "live\n");
        machine.file(&format!("{controller}/nvme0c{n}n1/hidden"), "1\n");
        machine.link(&format!("/sys/block/nvme0c{n}n1"), &format!("{controller}/nvme0c{n}n1"));
        machine.link(&format!("/sys/class/nvme/nvme{n}"), &controller);
        machine.link(&format!("{subsystem}/nvme{n}"), &controller);
    }
    let inventory = support::collect(Arc::new(machine));
    let controllers = &inventory.storage_controllers.data;
    let listed: Vec<_> = controllers.iter().map(|c| (c.hosts.clone(), c.disks.clone())).collect();
    let one = |host: &str| (vec![host.to_owned()], vec!["nvme0n1".to_owned()]);
    assert_eq!(listed, [one("nvme0"), one("nvme1")]);
    let paths: Vec<_> = inventory.disks.data[0].paths.iter().map(|p| p.through.as_deref()).collect();
    assert_eq!(paths, [Some("nvme0"), Some("nvme1")]);
}

/// Mounts of a volume count for the disks below it, through any number of layers.
#[test]
fn a_disk_below_a_mounted_volume_is_mounted() {
    let mut machine = Machine::default();
    machine.sata("sda", 1, "FIRST001").sata("sdb", 2, "SECOND02");
    let real = "/sys/devices/pci0000:00/0000:00:17.0/ata1/host1/target1:0:0/1:0:0:0/block/sda";
    machine.file(&format!("{real}/sda1/partition"), "1\n").file(&format!("{real}/sda1/start"), "2048\n");
    machine.file(&format!("{real}/sda1/size"), "2048\n").file(&format!("{real}/sda1/dev"), "8:17\n");
    machine.link(&format!("{real}/sda1/holders/dm-0"), "../../x");
    for (name, number) in [("dm-0", "253:0"), ("dm-1", "253:1")] {
        machine.link(&format!("/sys/block/{name}"), &format!("../devices/virtual/block/{name}"));
        machine.file(&format!("/sys/devices/virtual/block/{name}/size"), "2048\n");
        machine.file(&format!("/sys/devices/virtual/block/{name}/dev"), &format!("{number}\n"));
    }
    machine.link("/sys/devices/virtual/block/dm-0/holders/dm-1", "../../dm-1");
    machine.file("/proc/self/mountinfo", "1 0 253:1 / /srv rw - xfs /dev/mapper/data rw\n");
    let inventory = support::collect(Arc::new(machine));
    let mounts = |serial: &str| {
        let disk = inventory.disks.data.iter().find(|d| d.serial.as_deref() == Some(serial)).expect("listed");
        disk.mounts.clone().expect("the mount table was read")
    };
    assert_eq!(mounts("FIRST001").iter().map(|m| m.mountpoint.as_str()).collect::<Vec<_>>(), ["/srv"]);
    assert_eq!(mounts("SECOND02"), []);
}

/// Without a mount table nobody can say that a disk is not mounted.
#[test]
fn an_unread_mount_table_is_not_an_empty_one() {
    let mut machine = Machine::default();
    machine.sata("sda", 1, "FIRST001");
    let inventory = support::collect(Arc::new(machine));
    assert_eq!(inventory.disks.data[0].mounts, None);
}
