//! Machines that are as they should be: nothing in them is worth a warning. And names that tell no machine.

use crate::builder::{self, codes, cpus, dimm, smbios, socket, system};
use crate::support::{self, Machine};
use hwinventory::Inventory;
use hwinventory::model::{Severity, Strength};
use std::path::Path;
use std::sync::Arc;

fn collect(machine: Machine) -> Inventory {
    support::collect(Arc::new(machine))
}

fn no_warning(context: &str, inventory: &Inventory) {
    let told: Vec<_> = inventory.findings.iter().filter(|f| f.severity > Severity::Info).collect();
    assert!(told.is_empty(), "{context}: {told:?}");
}

/// Card readers, and a BMC's virtual floppy: media that are not in.
#[test]
fn empty_drives() {
    let mut machine = Machine::default();
    let names = [["Generic-", "SD/MMC", "1.00"], ["iDRAC", "Virtual Floppy", "1.00"], ["AMI", "Virtual HDisk0", "1"]];
    for (n, names) in names.into_iter().enumerate() {
        let usb = format!("/sys/devices/pci0000:00/0000:00:14.0/usb1/1-{}", n + 3);
        let real = format!("{usb}/1-{}:1.0/host{n}/target{n}:0:0/{n}:0:0:0", n + 3);
        let removable = if names[0] == "AMI" { "0" } else { "1" };
        let name = format!("sd{n}");
        builder::scsi(&mut machine, &real, &name, names, &[("size", "0"), ("removable", removable)]);
    }
    let inventory = collect(machine);
    assert_eq!(inventory.disks.data.len(), 3);
    assert!(codes(&inventory).is_empty(), "{:?}", inventory.findings);
}

#[test]
fn a_disk_without_a_size_is_told() {
    let mut machine = Machine::default();
    let real = "/sys/devices/pci0000:00/0000:00:17.0/host0/target0:0:0/0:0:0:0";
    builder::scsi(&mut machine, real, "sda", ["MADEUP", "DISK", "1"], &[("size", "0"), ("removable", "0")]);
    assert!(codes(&collect(machine)).contains(&"disk.size-zero"));
}

/// Two paths to one disk, assembled or not, have one name on purpose.
#[test]
fn paths_of_a_multipath_disk() {
    for assembled in [false, true] {
        let mut machine = Machine::default();
        for n in 0..2 {
            let real = format!("/sys/devices/pci0000:00/0000:00:0{n}.0/host{n}/target{n}:0:0/{n}:0:0:0");
            let base = builder::scsi(&mut machine, &real, &format!("sd{n}"), ["MADEUP", "LUN", "1"], &[]);
            machine.file(&format!("{real}/wwid"), "naa.6005076300000000000000000000cafe\n");
            let mut page = vec![0, 0x80, 0, 8];
            page.extend(b"SERIAL01");
            machine.files.insert(format!("{real}/vpd_pg80"), page);
            if assembled {
                machine.link(&format!("/sys/devices/virtual/block/dm-0/slaves/sd{n}"), &base);
            }
        }
        if assembled {
            let wwid = "mpath-36005076300000000000000000000cafe";
            let map = [("dm/name", "mpatha"), ("dm/uuid", wwid)];
            builder::disk(&mut machine, "/sys/devices/virtual/block", "dm-0", &map);
        }
        let inventory = collect(machine);
        assert!(inventory.disks.data.iter().all(|d| d.multipath_member), "{assembled}");
        let standing: Vec<_> = inventory.disks.data.iter().filter(|d| !d.paths.is_empty()).collect();
        assert_eq!(standing.len(), usize::from(!assembled));
        for disk in standing {
            assert_eq!((disk.name.as_str(), disk.paths.len(), disk.path_state.as_deref()), ("sd0", 2, Some("optimal")));
            assert_eq!(disk.identity.value, "6005076300000000000000000000cafe");
            assert_eq!(disk.identity.strength, Strength::Strong);
        }
        assert!(codes(&inventory).is_empty(), "{assembled}: {:?}", inventory.findings);
    }
}

/// A server with one of two processors, its slots filled as its maker says, flash chip and virtual media and all.
#[test]
fn a_server_with_one_processor() {
    let mut machine = Machine::default();
    let mut table = vec![system(&["Made Up", "Server"], *b"made-up-machine!"), socket(0x41, 4, "CPU1")];
    table.push(socket(0, 0, "CPU2"));
    for (bank, size) in [('A', 16384), ('B', 0)] {
        table.extend((1..=8).map(|n| dimm(size, 0x1a, 9, &format!("{bank}{n}"))));
    }
    table.push(dimm(32, 9, 5, "SYSTEM ROM"));
    smbios(&mut machine, (3, 2), &table);
    builder::memory(&mut machine, (8 * 16) << 20);
    cpus(&mut machine, 4, 64, &[]);
    machine.sata("sda", 1, "SERIAL01").sata("sdb", 2, "SERIAL02");
    no_warning("one processor", &collect(machine));
}

/// Virtual machines of this project, captured as they ran.
#[test]
fn captured_virtual_machines() {
    for name in ["q35-bios", "q35-uefi", "sas-bios", "sas-uefi", "ibft", "rack"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines").join(format!("{name}.tar.zst"));
        no_warning(name, &support::collect(hwinventory::source::open(&path).expect("a snapshot")));
    }
}

#[test]
fn captured_machines() {
    for archive in ["ghw", "hwloc", "lsblk", "lscpu"].iter().flat_map(|kind| support::archives(kind)) {
        let Some(root) = support::unpack(&archive) else { continue };
        no_warning(&archive.display().to_string(), &support::collect_directory(&root));
    }
}

/// What AMI's firmware ships unfilled is on thousands of machines; it may come in either byte order, and by either way.
#[test]
fn uuids_that_nobody_filled_in() {
    let ami = [0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9];
    let mut machine = Machine::default();
    smbios(&mut machine, (3, 1), &[system(&["Made Up", "Board"], ami)]);
    assert_eq!(collect(machine).system.data.uuid, None);
    let mut machine = Machine::default();
    smbios(&mut machine, (2, 4), &[system(&["Made Up", "Board"], ami)]);
    assert_eq!(collect(machine).system.data.uuid, None, "before 2.6 the bytes stand as they are written");
    let mut machine = Machine::default();
    machine.file("/sys/class/dmi/id/product_uuid", "03000200-0400-0500-0006-000700080009\n");
    machine.file("/sys/class/dmi/id/product_name", "Board\n");
    let system = collect(machine).system.data;
    assert_eq!((system.uuid, system.product_name.as_deref()), (None, Some("Board")));
}

/// A line feed inside a name that firmware gives is a space, wherever the name comes from.
#[test]
fn names_are_one_line() {
    let mut machine = Machine::default();
    smbios(&mut machine, (3, 1), &[system(&["Made\nUp", "Big\r\nBoard"], *b"made-up-machine!")]);
    let real = "/sys/devices/pci0000:00/0000:00:17.0/host0/target0:0:0/0:0:0:0";
    builder::scsi(&mut machine, real, "sda", ["MADE\nUP", "DISK\tX", "1"], &[]);
    let nvme = "/sys/devices/pci0000:00/0000:00:18.0/nvme/nvme0";
    machine.file(&format!("{nvme}/model"), "MADE\nUP\n").file(&format!("{nvme}/serial"), "S 1\n");
    builder::disk(&mut machine, nvme, "nvme0n1", &[("nsid", "1")]);
    let usb = "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-3";
    machine.link("/sys/bus/usb/devices/1-3", usb);
    for (file, value) in [("idVendor", "1234"), ("idProduct", "5678"), ("product", "A\nB"), ("manufacturer", "C\nD")] {
        machine.file(&format!("{usb}/{file}"), &format!("{value}\n"));
    }
    let inventory = collect(machine);
    let document = serde_json::to_string(&inventory).expect("JSON");
    assert!(!document.contains("\\n") && !document.contains("\\t") && !document.contains("\\r"), "{document}");
    for name in ["Made Up", "Big  Board", "MADE UP", "DISK X", "A B", "C D"] {
        assert!(document.contains(&format!("\"{name}\"")), "{name}: {document}");
    }
    let mut board = Machine::default();
    board.file("/sys/firmware/devicetree/base/model", "Made\nUp Board\0");
    assert_eq!(collect(board).system.data.product_name.as_deref(), Some("Made Up Board"));
}
