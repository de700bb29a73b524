//! Fills in what needs several sections: mounts, shared identities, the boot medium, the disks of each controller.

use super::disk::mark_duplicates;
use super::{Options, membership, mounts, multipaths};
use crate::model::Inventory;
use crate::parse::cmdline;
use std::collections::BTreeSet;
use std::time::Duration;

/// What is mounted from whom is found out in milliseconds, unless a tree is built to take long.
const LIMIT: Duration = Duration::from_secs(5);

pub fn all(options: &Options, inventory: &mut Inventory) {
    mounts::all(&options.source, options.device_deadline + LIMIT, inventory);
    membership::all(inventory);
    mark_duplicates(&mut inventory.disks.data);
    membership::settle(&mut inventory.disks.data);
    multipaths::heads(&mut inventory.disks.data);
    boot_medium(inventory);
    controllers(inventory);
}

/// Names of PCI devices where their users stand, and disks below their controllers.
fn controllers(inventory: &mut Inventory) {
    for controller in &mut inventory.storage_controllers.data {
        let pci = inventory.pci.data.iter().find(|d| Some(&d.address) == controller.pci_address.as_ref());
        controller.vendor = pci.and_then(|d| d.vendor.clone());
        // Base class 01h, subclass 04h: a RAID controller, whatever its driver.
        controller.hides_drives |= pci.is_some_and(|d| d.class_id.starts_with("0104"));
        if controller.model.is_none() {
            controller.model = pci.and_then(|d| d.subsystem.clone().or_else(|| d.device.clone()));
        }
        if controller.kind.as_deref() == Some("scsi") {
            controller.kind = pci.and_then(|d| d.class.clone()).or(controller.kind.take());
        }
        let listed = std::mem::take(&mut controller.disks);
        let disks = inventory.disks.data.iter().filter(|d| match (&d.nvme, &d.hctl) {
            (Some(nvme), _) => {
                // Two controllers of one subsystem lead to the same disk.
                let leads = |name: &str| controller.hosts.iter().any(|host| host == name);
                listed.contains(&d.name)
                    || nvme.controller.as_deref().is_some_and(leads)
                    || d.paths.iter().any(|path| path.through.as_deref().is_some_and(leads))
            }
            (_, Some(hctl)) => controller.hosts.iter().any(|h| h.strip_prefix("host") == hctl.split(':').next()),
            _ => false,
        });
        controller.disks = disks.map(|d| d.name.clone()).collect();
    }
    for nic in &mut inventory.nics.data {
        let pci = inventory.pci.data.iter().find(|d| Some(&d.address) == nic.pci_address.as_ref());
        nic.vendor = pci.and_then(|d| d.vendor.clone());
        nic.model = pci.and_then(|d| d.device.clone());
    }
}

/// The disk that firmware says it started from, or that the kernel command line calls root.
fn boot_medium(inventory: &mut Inventory) {
    let firmware = &inventory.firmware.data;
    let mut wanted: BTreeSet<String> = firmware
        .boot_entries
        .iter()
        .filter(|e| Some(&e.id) == firmware.boot_current.as_ref())
        .filter_map(|e| e.partition_uuid.clone())
        .collect();
    let words = firmware.cmdline.as_deref().map(cmdline::words).unwrap_or_default();
    let roots: Vec<&str> = words.iter().filter_map(|w| w.strip_prefix("root=")).collect();
    for root in &roots {
        wanted.extend(root.strip_prefix("PARTUUID=").map(str::to_ascii_lowercase));
    }
    for disk in &mut inventory.disks.data {
        let by_uuid = disk.partitions.iter().any(|p| p.uuid.as_deref().is_some_and(|u| wanted.contains(u)));
        let is_root = disk.mounts.iter().flatten().any(|m| m.mountpoint == "/");
        disk.boot_medium = by_uuid || is_root;
    }
}
