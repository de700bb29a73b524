//! Storage controllers, and the drives that they keep to themselves.

use super::{by_path, place};
use crate::model::{HiddenDrive, StorageController};
use crate::parse::names::natural;
use crate::parse::scsi;
use crate::source::Reader;
use std::collections::BTreeMap;

/// SCSI hosts and NVMe controllers, grouped by the PCI function they belong to.
pub fn collect(reader: &Reader) -> Option<Vec<StorageController>> {
    let mut found: BTreeMap<String, StorageController> = BTreeMap::new();
    let hosts = reader.try_list("/sys/class/scsi_host");
    let nvmes = reader.try_list("/sys/class/nvme");
    if hosts.is_none() && nvmes.is_none() {
        return None;
    }
    for name in hosts.unwrap_or_default() {
        let Some(real) = reader.follow("/sys/class/scsi_host", &name) else { continue };
        let key = place::pci(&real).map(|(address, _)| address.to_owned());
        let key = key.or_else(|| by_path::of_device(reader, &real)).unwrap_or_else(|| name.clone());
        let controller = found.entry(key).or_insert_with(|| pci_controller(reader, &real));
        let driver = reader.quiet_text(&format!("{real}/proc_name")).filter(|d| d != "<NULL>" && d != "(null)");
        controller.driver = controller.driver.take().filter(|d| d != "virtio-pci").or(driver);
        controller.kind.get_or_insert_with(|| "scsi".to_owned());
        let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
        controller.firmware =
            controller.firmware.take().or_else(|| text("version_fw")).or_else(|| text("firmware_revision"));
        controller.model = controller.model.take().or_else(|| text("board_name"));
        controller.hosts.push(name);
    }
    for name in nvmes.unwrap_or_default() {
        let Some(real) = reader.follow("/sys/class/nvme", &name) else { continue };
        let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
        let mut controller = pci_controller(reader, &real);
        controller.kind = Some("nvme".to_owned());
        controller.model = text("model");
        controller.serial = text("serial");
        controller.firmware = text("firmware_rev");
        controller.state = text("state");
        controller.disks = namespaces(reader, &real);
        let key = format!("{}-{name}", controller.pci_address.clone().unwrap_or_default());
        controller.hosts.push(name);
        found.insert(key, controller);
    }
    let mut controllers: Vec<StorageController> = found.into_values().collect();
    let unclaimed = unclaimed_drives(reader);
    for controller in &mut controllers {
        hidden(reader, controller, &unclaimed);
    }
    controllers.sort_by(|a, b| {
        let key = |c: &StorageController| c.pci_address.clone().unwrap_or_default();
        place::pci_order(&key(a), &key(b)).then_with(|| a.serial.cmp(&b.serial))
    });
    Some(controllers)
}

/// Disks that an NVMe controller leads to. With native multipath they hang below the subsystem, and the controller has only a
/// hidden path `nvmeScCnN` to the namespace `nvmeSnN`.
fn namespaces(reader: &Reader, real: &str) -> Vec<String> {
    let names = reader.source().list(real).unwrap_or_default();
    let mut disks: Vec<String> = names.iter().filter_map(|name| namespace(name)).collect();
    disks.sort_by(|a, b| natural(a, b));
    disks.dedup();
    disks
}

fn namespace(name: &str) -> Option<String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (controller, number) = name.strip_prefix("nvme")?.split_once('n')?;
    let subsystem =
        controller.split_once('c').map_or(controller, |(subsystem, path)| if is_number(path) { subsystem } else { "" });
    (is_number(subsystem) && is_number(number)).then(|| format!("nvme{subsystem}n{number}"))
}

/// Drivers whose controllers present volumes instead of drives. Those that say so pass their drives on to the SCSI layer
/// without a disk driver, so that the kernel can count them; of the others only the maker's own ioctls know.
const HIDING: &[(&str, bool)] = &[
    ("hpsa", true),
    ("smartpqi", true),
    ("aacraid", true),
    ("mpi3mr", true),
    ("megaraid_sas", false),
    ("arcmsr", false),
    ("3w-9xxx", false),
    ("3w-sas", false),
    ("3w-xxxx", false),
    ("ips", false),
    ("gdth", false),
    ("cciss", false),
    ("hptiop", false),
    ("mvumi", false),
    ("megaraid_mbox", false),
];

fn hidden(reader: &Reader, controller: &mut StorageController, unclaimed: &[(String, HiddenDrive)]) {
    let known = HIDING.iter().find(|(driver, _)| controller.driver.as_deref() == Some(*driver));
    let own = unclaimed.iter().filter(|(host, _)| controller.hosts.contains(host));
    controller.hidden_drives = own.map(|(_, drive)| drive.clone()).collect();
    // Members of a volume that the driver keeps from `sd` (mpt3sas with integrated RAID).
    controller.hides_drives = known.is_some() || !controller.hidden_drives.is_empty();
    if known.is_some_and(|(_, passed_on)| *passed_on) || !controller.hidden_drives.is_empty() {
        controller.hidden_drive_count = Some(controller.hidden_drives.len() as u64);
    }
    // Intel's AHCI in "RAID mode" swallows NVMe drives: the driver counts them.
    let address = controller.pci_address.clone().unwrap_or_default();
    let remapped = reader.quiet_number(&format!("/sys/bus/pci/devices/{address}/remapped_nvme"));
    if let Some(count) = remapped.filter(|&n| n > 0) {
        controller.hides_drives = true;
        controller.hidden_drive_count = Some(controller.hidden_drive_count.unwrap_or(0).saturating_add(count));
    }
}

/// SCSI disks without a block device, by the host they are behind.
fn unclaimed_drives(reader: &Reader) -> Vec<(String, HiddenDrive)> {
    const BASE: &str = "/sys/bus/scsi/devices";
    let names = reader.source().list(BASE).unwrap_or_default();
    let mut names: Vec<&String> = names.iter().filter(|n| n.split(':').count() == 4).collect();
    names.sort_by(|a, b| natural(a, b));
    let mut disk_driver = reader.has_directory("/sys/bus/scsi/drivers/sd");
    let mut found = Vec::new();
    for name in names {
        let Some(real) = reader.follow(BASE, name) else { continue };
        let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
        // Direct access, and its zoned kind (SPC-5 6.6.2).
        if !matches!(text("type").as_deref(), Some("0" | "20")) {
            continue;
        }
        if reader.has_directory(&format!("{real}/block")) {
            disk_driver = true;
            continue;
        }
        let host = name.split(':').next().unwrap_or_default();
        let serial = reader.source().read(&format!("{real}/vpd_pg80")).ok().and_then(|page| scsi::serial(&page));
        let drive = HiddenDrive {
            hctl: name.clone(),
            vendor: text("vendor"),
            model: text("model"),
            firmware: text("rev"),
            serial,
            wwn: text("wwid"),
            state: text("state"),
            visible: false,
        };
        found.push((format!("host{host}"), drive));
    }
    // Where nothing has the disk driver, it is the driver that is missing.
    if disk_driver { found } else { Vec::new() }
}

fn pci_controller(reader: &Reader, real: &str) -> StorageController {
    StorageController {
        pci_address: place::pci(real).map(|(address, _)| address.to_owned()),
        driver: place::driver(reader, real),
        numa_node: place::numa_node(reader, real),
        ..StorageController::default()
    }
}

#[cfg(test)]
mod tests {
    use super::namespace;

    #[test]
    fn namespaces_of_controllers() {
        for (name, disk) in [
            ("nvme0n1", Some("nvme0n1")),
            ("nvme0c1n1", Some("nvme0n1")),
            ("nvme12c3n10", Some("nvme12n10")),
            ("nvme0", None),
            ("nvme0cxn1", None),
            ("hwmon3", None),
            ("ng0n1", None),
            ("nvme0n1p1", None),
        ] {
            assert_eq!(namespace(name).as_deref(), disk, "{name}");
        }
    }
}
