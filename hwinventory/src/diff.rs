//! Typed drift between the machine as it should be and as it is.

use crate::findings::subject;
use crate::model::{Dimm, Disk, Inventory, Nic};
use crate::page::harmless;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Expected, not there.
    Missing,
    /// There, not expected.
    Added,
    /// Another thing in the same place.
    Replaced,
    #[default]
    Changed,
}

/// One difference.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Stable dotted code, e.g. `memory.dimm.missing`.
    pub code: String,
    pub change: Change,
    /// Which thing: a slot, a place, an identity.
    pub subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
}

/// What differs, in a fixed order. What either side could not read is no drift.
pub fn diff(expected: &Inventory, actual: &Inventory) -> Vec<Drift> {
    let mut found = Found::default();
    system(expected, actual, &mut found);
    dimms(expected, actual, &mut found);
    disks(expected, actual, &mut found);
    nics(expected, actual, &mut found);
    pci(expected, actual, &mut found);
    found.0
}

#[derive(Default)]
struct Found(Vec<Drift>);

impl Found {
    fn add(&mut self, code: &str, change: Change, subject: &str, expected: Option<String>, actual: Option<String>) {
        self.0.push(Drift { code: code.to_owned(), change, subject: subject.to_owned(), expected, actual });
    }

    /// A value that both sides know and tell differently.
    fn value<T: PartialEq + ToString>(&mut self, code: &str, subject: &str, expected: &Option<T>, actual: &Option<T>) {
        if let (Some(e), Some(a)) = (expected, actual)
            && e != a
        {
            self.add(code, Change::Changed, subject, Some(e.to_string()), Some(a.to_string()));
        }
    }
}

fn system(expected: &Inventory, actual: &Inventory, found: &mut Found) {
    let (e, a) = (&expected.system.data, &actual.system.data);
    found.value("system.serial", "system", &e.serial_number, &a.serial_number);
    found.value("system.uuid", "system", &e.uuid, &a.uuid);
    found.value("system.product", "system", &e.product_name, &a.product_name);
    let bios = |i: &Inventory| i.system.data.bios.as_ref().and_then(|b| b.version.clone());
    found.value("system.firmware", "bios", &bios(expected), &bios(actual));
    let boot =
        |i: &Inventory| Some(format!("{:?}", i.firmware.data.boot_mode).to_lowercase()).filter(|m| m != "unknown");
    found.value("firmware.boot-mode", "firmware", &boot(expected), &boot(actual));
    found.value(
        "firmware.secure-boot",
        "firmware",
        &expected.firmware.data.secure_boot,
        &actual.firmware.data.secure_boot,
    );
    found.value("cpu.sockets", "cpu", &expected.cpu.data.sockets, &actual.cpu.data.sockets);
    found.value("cpu.cores", "cpu", &expected.cpu.data.cores, &actual.cpu.data.cores);
    found.value("cpu.threads", "cpu", &expected.cpu.data.threads, &actual.cpu.data.threads);
    let model = |i: &Inventory| i.cpu.data.models.first().and_then(|m| m.name.clone());
    found.value("cpu.model", "cpu", &model(expected), &model(actual));
    let microcode = |i: &Inventory| i.cpu.data.models.first().and_then(|m| m.microcode.clone());
    found.value("cpu.microcode", "cpu", &microcode(expected), &microcode(actual));
    found.value("memory.physical", "memory", &expected.memory.data.physical, &actual.memory.data.physical);
    found.value("bmc.firmware", "bmc", &expected.bmc.data.firmware, &actual.bmc.data.firmware);
    found.value("bmc.address", "bmc", &expected.bmc.data.address, &actual.bmc.data.address);
    found.value("bmc.mac", "bmc", &expected.bmc.data.mac, &actual.bmc.data.mac);
    let keys = |i: &Inventory| i.tpm.data.iter().flat_map(|t| t.endorsement_keys.clone()).collect::<Vec<_>>();
    let now = keys(actual);
    // Another key is another TPM, whatever else is the same.
    for key in keys(expected) {
        let same_kind = now.iter().find(|k| k.algorithm == key.algorithm);
        let hash = same_kind.and_then(|k| k.public_sha256.clone());
        found.value("tpm.endorsement-key", &key.algorithm, &key.public_sha256, &hash);
    }
}

/// By slot. Boards that call all slots alike are told apart by the bank, and then by order.
fn dimms(expected: &Inventory, actual: &Inventory, found: &mut Found) {
    fn by_slot(inventory: &Inventory) -> BTreeMap<String, &Dimm> {
        let mut slots = BTreeMap::new();
        for dimm in &inventory.memory.data.dimms {
            let names = [dimm.locator.as_deref(), dimm.bank.as_deref()];
            let mut slot = names.iter().flatten().copied().collect::<Vec<_>>().join(" ");
            while slots.contains_key(&slot) {
                slot.push('\'');
            }
            slots.insert(slot, dimm);
        }
        slots
    }
    let describe = |d: &Dimm| {
        let part = [d.manufacturer.as_deref(), d.part_number.as_deref(), d.serial_number.as_deref()];
        let size = d.size.map(crate::page::bytes);
        size.into_iter().chain(part.iter().flatten().map(|s| (*s).to_owned())).collect::<Vec<_>>().join(" ")
    };
    let (e, a) = (by_slot(expected), by_slot(actual));
    if e.is_empty() || a.is_empty() {
        return;
    }
    for (slot, dimm) in &e {
        match (dimm.populated, a.get(slot).filter(|d| d.populated)) {
            (true, None) => found.add("memory.dimm.missing", Change::Missing, slot, Some(describe(dimm)), None),
            (true, Some(now)) => {
                let known = |d: &Dimm| d.serial_number.is_some() || d.part_number.is_some();
                let same = (&dimm.size, &dimm.part_number, &dimm.serial_number)
                    == (&now.size, &now.part_number, &now.serial_number);
                if !same && (dimm.size != now.size || (known(dimm) && known(now))) {
                    found.add(
                        "memory.dimm.replaced",
                        Change::Replaced,
                        slot,
                        Some(describe(dimm)),
                        Some(describe(now)),
                    );
                }
                found.value("memory.dimm.speed", slot, &dimm.configured_speed, &now.configured_speed);
            }
            (false, Some(now)) => found.add("memory.dimm.added", Change::Added, slot, None, Some(describe(now))),
            (false, None) => {}
        }
    }
    for (slot, now) in a.iter().filter(|(slot, d)| d.populated && !e.contains_key(*slot)) {
        found.add("memory.dimm.added", Change::Added, slot, None, Some(describe(now)));
    }
}

fn disks(expected: &Inventory, actual: &Inventory, found: &mut Found) {
    let describe = |d: &Disk| {
        let words = [d.model.as_deref(), d.serial.as_deref()];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        format!("{} {}", crate::page::decimal(d.size), words.join(" ")).trim().to_owned()
    };
    let mut left: Vec<&Disk> = actual.disks.data.iter().collect();
    let mut missing = Vec::new();
    for disk in &expected.disks.data {
        match left.iter().position(|now| subject(now) == subject(disk)) {
            Some(at) => {
                let now = left.remove(at);
                let name = subject(disk);
                found.value("disk.firmware", &name, &disk.firmware, &now.firmware);
                found.value("disk.size", &name, &Some(disk.size), &Some(now.size));
                found.value("disk.block-size", &name, &disk.logical_block_size, &now.logical_block_size);
                found.value("disk.place", &name, &disk.by_path, &now.by_path);
            }
            None => missing.push(disk),
        }
    }
    for disk in missing {
        match left.iter().position(|now| now.by_path.is_some() && now.by_path == disk.by_path) {
            Some(at) => {
                let now = left.remove(at);
                let place = disk.by_path.clone().unwrap_or_default();
                found.add("disk.replaced", Change::Replaced, &place, Some(describe(disk)), Some(describe(now)));
            }
            None => found.add("disk.missing", Change::Missing, &subject(disk), Some(describe(disk)), None),
        }
    }
    for now in left {
        found.add("disk.added", Change::Added, &subject(now), None, Some(describe(now)));
    }
}

fn nics(expected: &Inventory, actual: &Inventory, found: &mut Found) {
    let address = |n: &Nic| n.permanent_mac.clone().or_else(|| n.mac.clone()).unwrap_or_else(|| n.name.clone());
    let mut left: Vec<&Nic> = actual.nics.data.iter().collect();
    for nic in &expected.nics.data {
        let name = address(nic);
        let Some(at) = left.iter().position(|now| address(now) == name) else {
            found.add("nic.missing", Change::Missing, &name, nic.model.clone().or(nic.driver.clone()), None);
            continue;
        };
        let now = left.remove(at);
        found.value("nic.firmware", &name, &nic.firmware, &now.firmware);
        found.value("nic.speed", &name, &nic.speed, &now.speed);
        found.value("nic.carrier", &name, &nic.carrier, &now.carrier);
        found.value("nic.place", &name, &nic.by_path, &now.by_path);
        let port = |n: &Nic| {
            n.lldp.first().map(|l| format!("{} {}", l.system_name.as_deref().unwrap_or(&l.chassis_id), l.port_id))
        };
        found.value("nic.switch-port", &name, &port(nic), &port(now));
    }
    for now in left {
        found.add("nic.added", Change::Added, &address(now), None, now.model.clone().or(now.driver.clone()));
    }
}

fn pci(expected: &Inventory, actual: &Inventory, found: &mut Found) {
    let index = |i: &Inventory| -> BTreeMap<String, String> {
        let devices = i.pci.data.iter();
        devices
            .map(|d| {
                let name = format!("{}:{} {}", d.vendor_id, d.device_id, d.device.as_deref().unwrap_or_default());
                (d.address.clone(), name.trim().to_owned())
            })
            .collect()
    };
    let (e, a) = (index(expected), index(actual));
    if e.is_empty() || a.is_empty() {
        return;
    }
    for (address, device) in &e {
        match a.get(address) {
            None => found.add("pci.missing", Change::Missing, address, Some(device.clone()), None),
            Some(now) if now.get(..9) != device.get(..9) => {
                found.add("pci.replaced", Change::Replaced, address, Some(device.clone()), Some(now.clone()));
            }
            Some(_) => {}
        }
    }
    for (address, now) in a.iter().filter(|(address, _)| !e.contains_key(*address)) {
        found.add("pci.added", Change::Added, address, None, Some(now.clone()));
    }
}

/// One line for each, for people.
pub fn render(drift: &[Drift], colour: bool) -> String {
    if drift.is_empty() {
        return "no drift\n".to_owned();
    }
    let paint = |code: &str, text: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let mut text = String::new();
    for d in drift {
        let d = &*harmless(d);
        let (mark, what) = match d.change {
            Change::Missing => (paint("31", "-"), d.expected.clone().unwrap_or_default()),
            Change::Added => (paint("32", "+"), d.actual.clone().unwrap_or_default()),
            Change::Replaced | Change::Changed => {
                let (e, a) = (d.expected.as_deref().unwrap_or("?"), d.actual.as_deref().unwrap_or("?"));
                (paint("33", "~"), format!("{e} -> {a}"))
            }
        };
        text.push_str(&format!("{mark} {} {}: {what}\n", paint("1", &d.code), d.subject));
    }
    text
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
