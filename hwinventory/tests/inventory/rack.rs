//! A virtual machine with two of everything, compared with what other programs have said in the same guest
//! (tests/machines/oracles.sh). What differs has its reason where it is compared.

use crate::{oracles, smbios, support};
use hwinventory::Inventory;
use hwinventory::model::Severity;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn machines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines")
}

fn inventory() -> Inventory {
    support::collect(hwinventory::source::open(&machines().join("rack.tar.zst")).expect("a snapshot"))
}

/// What a program said.
fn said(name: &str) -> String {
    let folder = support::unpack_flat(&machines().join("rack.oracles.tar.zst")).expect("tar unpacks it");
    std::fs::read_to_string(folder.join(name)).expect("an oracle's words")
}

fn json(name: &str) -> Value {
    serde_json::from_str(&said(name)).expect("JSON")
}

/// `Name : value` lines.
fn fields(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

#[test]
fn nvme_cli_sees_the_same_subsystem() {
    let inventory = inventory();
    let ours = &inventory.fabrics.data.nvme_subsystems;
    let theirs = json("nvme-subsystems.json");
    let theirs = theirs[0]["Subsystems"].as_array().expect("a list");
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!((Some(ours.name.as_str()), ours.nqn.as_deref()), (theirs["Name"].as_str(), theirs["NQN"].as_str()));
        let paths = theirs["Paths"].as_array().expect("a list");
        assert_eq!(ours.controllers.len(), paths.len());
        for path in paths {
            let ours = ours.controllers.iter().find(|c| path["Name"] == c.name).expect("the controller");
            let words = [&ours.transport, &ours.address, &ours.state].map(|word| word.as_deref());
            assert_eq!(words, ["Transport", "Address", "State"].map(|word| path[word].as_str()), "{}", ours.name);
            let identify = json(&format!("id-ctrl-{}.json", ours.name));
            assert_eq!(ours.controller_id, identify["cntlid"].as_u64(), "{}", ours.name);
            // Each controller lists the disk, though the kernel hangs it below one.
            let address = ours.address.as_deref();
            let own = inventory.storage_controllers.data.iter().find(|c| c.pci_address.as_deref() == address);
            assert_eq!(own.map(|c| c.disks.len()), Some(1), "{address:?}");
        }
    }
    let list = json("nvme-list.json");
    let theirs = &list["Devices"][0]["Subsystems"][0];
    let space = &theirs["Namespaces"][0];
    let disk = inventory.disks.data.iter().find(|d| space["NameSpace"] == d.name).expect("the namespace");
    assert_eq!(
        (Some(disk.size), disk.logical_block_size),
        (space["PhysicalSize"].as_u64(), space["SectorSize"].as_u64())
    );
    let nvme = disk.nvme.as_ref().expect("of a namespace");
    assert_eq!(nvme.namespace_id, space["NSID"].as_u64());
    // Whichever path the kernel has taken to ask the disk: the number is that of the controller that is named.
    let named = ours.iter().flat_map(|s| &s.controllers).find(|c| Some(&c.name) == nvme.controller.as_ref());
    assert_eq!(nvme.controller_id, named.and_then(|c| c.controller_id));
    let controller = &theirs["Controllers"][0];
    let names = [&disk.serial, &disk.model, &disk.firmware].map(|name| name.as_deref());
    assert_eq!(names, ["SerialNumber", "ModelNumber", "Firmware"].map(|name| controller[name].as_str()));
    let mut paths: Vec<&str> = disk.paths.iter().map(|path| path.name.as_str()).collect();
    let controllers = theirs["Controllers"].as_array().into_iter().flatten();
    let mut known: Vec<&str> = controllers.filter_map(|c| c["Paths"][0]["Path"].as_str()).collect();
    paths.sort_unstable();
    known.sort_unstable();
    assert_eq!(paths, known);
}

#[test]
fn ipmitool_reads_the_same_from_the_bmc() {
    let inventory = inventory();
    let (bmc, records) = (&inventory.bmc.data, &inventory.bmc_records.data);
    let mc = fields(&said("mc.txt"));
    // ipmitool fills the minor part of the version to two digits.
    let version = |text: &str| text.split('.').filter_map(|part| part.parse::<u32>().ok()).collect::<Vec<_>>();
    assert_eq!(bmc.firmware.as_deref().map(version), Some(version(&mc["Firmware Revision"])));
    let sel = fields(&said("sel-info.txt"));
    let log = records.event_log.as_ref().expect("a log");
    assert_eq!(log.entries.to_string(), sel["Entries"]);
    let free = log.free.map(|bytes| format!("{bytes} bytes"));
    assert_eq!(
        (free.as_deref(), log.overflow.to_string()),
        (Some(sel["Free Space"].as_str()), sel["Overflow"].clone())
    );
    events(&inventory);
    // `Watchdog | 00h | ok | 35.1 |`: name, number, state, entity (35 is the operating system).
    let sensors = said("sensors.txt");
    let theirs: Vec<Vec<&str>> = sensors.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    let ours: Vec<_> = records.sensors.iter().map(|s| (s.name.as_str(), format!("{:02x}h", s.number))).collect();
    assert_eq!(ours, theirs.iter().map(|s| (s[0], s[1].to_ascii_lowercase())).collect::<Vec<_>>());
    assert_eq!(records.sensors[0].entity.as_deref(), Some("operating system 1"));
}

/// Records of `ipmitool -v sel list`, each a block of its own.
fn events(inventory: &Inventory) {
    let text = said("sel.txt");
    let theirs: Vec<BTreeMap<String, String>> =
        text.split("\n\n").map(fields).filter(|one| one.contains_key("SEL Record ID")).collect();
    let ours = &inventory.bmc_records.data.events;
    assert_eq!(ours.len(), theirs.len(), "{text}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(format!("{:04x}", ours.id), theirs["SEL Record ID"]);
        // Events that only their maker knows have neither.
        if let Some(kind) = theirs.get("Sensor Type") {
            assert_eq!(ours.sensed.as_ref(), Some(kind), "{ours:?}");
            assert_eq!(ours.sensor.map(|number| format!("{number:02x}")).as_ref(), theirs.get("Sensor Number"));
            assert_eq!(ours.deasserted, theirs["Event Direction"].contains("Deassertion"));
        }
    }
}

#[test]
fn lspci_lists_the_same_functions() {
    let inventory = inventory();
    let text = said("lspci.txt");
    let mut compared = 0;
    for block in text.split("\n\n").filter(|block| block.starts_with("Slot:")) {
        let theirs: BTreeMap<&str, &str> = block.lines().filter_map(|line| line.split_once(":\t")).collect();
        let address = theirs["Slot"];
        let ours = inventory.pci.data.iter().find(|d| d.address == address).unwrap_or_else(|| panic!("{address}"));
        // `Red Hat, Inc. [1af4]`.
        let split = |name: &str| {
            theirs.get(name).and_then(|t| t.rsplit_once(" [")).map(|(t, id)| (t, id.trim_end_matches(']')))
        };
        let id = |name: &str| split(name).map(|(_, id)| id);
        assert_eq!(id("Class"), ours.class_id.get(..4), "{address}");
        assert_eq!(
            (id("Vendor"), id("Device")),
            (Some(ours.vendor_id.as_str()), Some(ours.device_id.as_str())),
            "{address}"
        );
        assert_eq!(ours.driver.as_deref(), theirs.get("Driver").copied(), "{address}");
        // Where lspci knows no name it says `Vendor` or `Device`, and we say nothing.
        let named = |name: &str, nothing: &str| split(name).map(|(text, _)| text).filter(|text| *text != nothing);
        assert_eq!(ours.vendor.as_deref(), named("Vendor", "Vendor"), "{address}");
        assert_eq!(ours.device.as_deref(), named("Device", "Device"), "{address}");
        compared += 1;
    }
    assert_eq!(compared, inventory.pci.data.len(), "and no others");
}

#[test]
fn lsblk_lscpu_and_dmidecode_agree() {
    let inventory = inventory();
    oracles::compare_cpu("rack", &json("lscpu.json"), &inventory);
    // Digits that somebody ran a finger along are no UUID for us.
    let text = said("dmidecode.txt");
    let table: String = text.split_inclusive('\n').filter(|line| !line.contains("UUID:")).collect();
    assert!(smbios::compare::compare("rack", &table, &inventory) > 5);
    assert_eq!(inventory.system.data.uuid, None);
    let blocks = json("lsblk.json");
    assert!(oracles::compare_blocks("rack", &blocks, &inventory) >= 5);
}

#[test]
fn two_paths_are_one_disk_and_nothing_is_wrong() {
    let inventory = inventory();
    let map = inventory.volumes.data.iter().find(|v| v.dm_name.as_deref() == Some("mpatha")).expect("the map");
    // `mpatha: 0 131072 multipath ... A 0 2 2 8:16 A 0 0 1 8:32 A 0 0 1`: both are active.
    assert_eq!(said("dmsetup.txt").matches(" A 0 ").count(), 1 + map.paths.len());
    assert_eq!(map.paths.len(), 2);
    assert!(map.by_id.contains(&"wwn-0x5000c500deadbe17".to_owned()), "{:?}", map.by_id);
    let members: Vec<_> = inventory.disks.data.iter().filter(|d| d.multipath_member).collect();
    assert!(members.len() == 2 && members.iter().all(|d| d.holders == [map.name.clone()]), "{members:?}");
    // ipmitool says nothing of this board's data; they are those of fru.py.
    let fru = &inventory.bmc_records.data.frus[0];
    let names = [&fru.chassis_serial_number, &fru.board_serial_number, &fru.product_serial_number];
    assert_eq!(names.map(|n| n.as_deref()), [Some("CH-SERIAL-17"), Some("BD-SERIAL-17"), Some("PR-SERIAL-17")]);
    let memory = &inventory.memory_devices.data;
    assert_eq!((memory.nvdimms.len(), memory.nvdimm_namespaces[0].size), (1, Some(128 << 20)));
    assert_eq!(memory.cxl_memories[0].persistent_size, Some(256 << 20));
    let told: Vec<_> = inventory.findings.iter().filter(|f| f.severity > Severity::Info).collect();
    assert!(told.is_empty(), "{told:?}");
}
