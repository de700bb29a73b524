//! What only shows when sections are seen together: mounts, holders' mounts, shared identities, the boot medium.

use super::disk::mark_duplicates;
use super::{Options, membership};
use crate::model::{Disk, Inventory, Mount};
use crate::parse::cmdline;
use crate::parse::mounts::{self, MountLine};
use crate::source::Reader;
use std::collections::BTreeSet;

pub fn all(options: &Options, inventory: &mut Inventory) {
    let reader = Reader::new(options.source.clone());
    mounts(&reader, inventory);
    membership::all(inventory);
    mark_duplicates(&mut inventory.disks.data);
    membership::settle(&mut inventory.disks.data);
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

fn mounts(reader: &Reader, inventory: &mut Inventory) {
    let text = reader.text("/proc/self/mountinfo").or_else(|| reader.text("/proc/1/mountinfo"));
    let lines = match text {
        Some(text) => mounts::mountinfo(&text),
        None => match reader.text("/proc/self/mounts").or_else(|| reader.text("/proc/mounts")) {
            Some(text) => mounts::mounts(&text),
            None => return,
        },
    };
    let swaps = reader.text("/proc/swaps").map(|t| mounts::swaps(&t)).unwrap_or_default();
    // Who is built on whom, by kernel name.
    let volumes: Vec<(String, Vec<String>, BTreeSet<String>, Names)> = inventory
        .volumes
        .data
        .iter()
        .map(|v| (v.name.clone(), v.holders.clone(), v.slaves.iter().cloned().collect(), Names::of(v)))
        .collect();
    let all = inventory.disks.data.iter_mut().chain(inventory.volumes.data.iter_mut());
    for disk in all {
        let mut names = vec![Names::of(disk)];
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut queue: Vec<String> = disk.holders.clone();
        let own: BTreeSet<String> = disk.partitions.iter().map(|p| p.name.clone()).chain([disk.name.clone()]).collect();
        queue.extend(volumes.iter().filter(|(_, _, slaves, _)| !slaves.is_disjoint(&own)).map(|v| v.0.clone()));
        while let Some(name) = queue.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            if let Some((_, holders, _, volume_names)) = volumes.iter().find(|v| v.0 == name) {
                names.push(volume_names.clone());
                queue.extend(holders.iter().cloned());
                queue.extend(volumes.iter().filter(|v| v.2.contains(&name)).map(|v| v.0.clone()));
            }
        }
        disk.mounts = Some(on(&names, &lines, &swaps));
    }
}

/// The ways in which the mount table may name a device and its partitions.
#[derive(Debug, Clone, Default)]
struct Names {
    /// Device number or path, and the kernel name.
    known: Vec<(String, String)>,
}

impl Names {
    fn of(disk: &Disk) -> Names {
        let mut known = vec![(disk.path.clone(), disk.name.clone())];
        known.extend(disk.device_number.clone().map(|number| (number, disk.name.clone())));
        known.extend(disk.dm_name.as_ref().map(|name| (format!("/dev/mapper/{name}"), disk.name.clone())));
        for partition in &disk.partitions {
            known.push((super::disk::node(&partition.name), partition.name.clone()));
            known.extend(partition.device_number.clone().map(|number| (number, partition.name.clone())));
        }
        Names { known }
    }

    fn name_for(&self, key: &str) -> Option<&str> {
        self.known.iter().find(|(known, _)| known == key).map(|(_, name)| name.as_str())
    }
}

fn on(names: &[Names], lines: &[MountLine], swaps: &[String]) -> Vec<Mount> {
    let find = |key: &str| names.iter().find_map(|n| n.name_for(key)).map(str::to_owned);
    let mut mounts: Vec<Mount> = lines
        .iter()
        .filter_map(|line| {
            // btrfs and overlay mounts have a device number of their own; then the source tells.
            let device = find(&line.device_number).or_else(|| find(&line.source))?;
            Some(Mount {
                device,
                mountpoint: line.mountpoint.clone(),
                filesystem: Some(line.filesystem.clone()),
                read_only: line.read_only,
            })
        })
        .collect();
    mounts.extend(swaps.iter().filter_map(|path| {
        let device = find(path)?;
        Some(Mount { device, mountpoint: "[SWAP]".to_owned(), filesystem: Some("swap".to_owned()), read_only: false })
    }));
    mounts
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
