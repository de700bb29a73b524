//! Reduces an inventory to facts that equal machines share: parts, firmware versions, links and speeds, by place. Serial
//! numbers, addresses, counters, temperatures and times are left out.

use crate::findings::giga;
use crate::model::{Dimm, Disk, HealthState, Inventory, Nic, PciDevice};
use std::collections::BTreeMap;

type Facts = BTreeMap<String, String>;

pub fn facts(inventory: &Inventory) -> Facts {
    let mut facts = Facts::new();
    machine(inventory, &mut facts);
    processors(inventory, &mut facts);
    memory(inventory, &mut facts);
    inventory.disks.data.iter().for_each(|d| disk(d, &mut facts));
    inventory.nics.data.iter().for_each(|n| nic(n, &mut facts));
    inventory.pci.data.iter().for_each(|d| pci(d, &mut facts));
    others(inventory, &mut facts);
    // Where a thing is wrong, the machine is odd even if nothing else differs.
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for finding in &inventory.findings {
        *counts.entry(&finding.code).or_default() += 1;
    }
    facts.extend(counts.into_iter().map(|(code, count)| (format!("finding {code}"), count.to_string())));
    facts
}

fn add(facts: &mut Facts, name: impl Into<String>, value: Option<impl ToString>) {
    if let Some(value) = value {
        facts.insert(name.into(), value.to_string());
    }
}

fn words(parts: &[Option<String>]) -> Option<String> {
    let text = parts.iter().flatten().map(|p| p.trim()).filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

fn machine(inventory: &Inventory, facts: &mut Facts) {
    let system = &inventory.system.data;
    add(facts, "system version", system.version.as_ref());
    add(facts, "system sku", system.sku_number.as_ref());
    if let Some(bios) = &system.bios {
        add(facts, "bios version", bios.version.as_ref());
        add(facts, "bios date", bios.date.as_ref());
    }
    for (at, board) in system.baseboards.iter().enumerate() {
        add(facts, format!("board {at}"), words(&[board.product_name.clone(), board.version.clone()]));
    }
    let supplies = system.power_supplies.iter().filter(|p| p.present != Some(false));
    for (at, supply) in supplies.enumerate() {
        let name = supply.location.clone().unwrap_or_else(|| at.to_string());
        add(facts, format!("power supply {name}"), words(&[supply.name.clone(), supply.part_number.clone()]));
    }
    let firmware = &inventory.firmware.data;
    let mode = serde_json::to_value(firmware.boot_mode).ok();
    add(facts, "boot mode", mode.as_ref().and_then(|m| m.as_str()));
    add(facts, "secure boot", firmware.secure_boot);
    for resource in &firmware.resources {
        add(facts, format!("firmware {}", resource.class), resource.version);
    }
    let bmc = &inventory.bmc.data;
    add(facts, "bmc", words(&[bmc.manufacturer.clone(), bmc.product_id.map(|id| format!("{id:#x}"))]));
    add(facts, "bmc firmware", bmc.firmware.as_ref());
    for tpm in &inventory.tpm.data {
        let parts = [tpm.version.clone(), tpm.manufacturer.clone(), tpm.firmware.clone()];
        add(facts, format!("tpm {}", tpm.name), words(&parts));
    }
}

fn processors(inventory: &Inventory, facts: &mut Facts) {
    let cpu = &inventory.cpu.data;
    add(facts, "cpu sockets", cpu.sockets);
    add(facts, "cpu cores", cpu.cores);
    add(facts, "cpu threads", cpu.threads);
    add(facts, "cpu boost", cpu.frequency_boost);
    add(facts, "cpu virtualization", cpu.virtualization.as_ref());
    for (at, model) in cpu.models.iter().enumerate() {
        add(facts, format!("cpu model {at}"), words(&[model.name.clone(), model.stepping.clone()]));
        add(facts, format!("cpu microcode {at}"), model.microcode.as_ref());
        add(facts, format!("cpu top rate {at}"), model.max_frequency.map(|hz| format!("{} GHz", giga(hz))));
    }
    for socket in &cpu.packages {
        let name = socket.designation.as_deref().unwrap_or("?");
        let is = if socket.populated { socket.version.as_deref().unwrap_or("populated") } else { "empty" };
        add(facts, format!("cpu socket {name}"), Some(is.trim()));
    }
    add(facts, "numa nodes", Some(inventory.numa.data.nodes.len()).filter(|&n| n > 0));
}

fn memory(inventory: &Inventory, facts: &mut Facts) {
    let memory = &inventory.memory.data;
    memory.dimms.iter().enumerate().for_each(|(at, d)| dimm(at, d, facts));
    if memory.dimms.is_empty() {
        // Without SMBIOS. Kernels keep some of it to themselves, not always as much.
        const STEP: u64 = 256 << 20;
        let bytes = memory.physical.or(memory.usable).map(|bytes| (bytes + STEP / 2) / STEP * STEP);
        add(facts, "memory", bytes.map(|bytes| format!("{} MiB", bytes >> 20)));
    }
}

/// Slots may share a locator: then the bank tells them apart, and where that is the same, too, the order.
fn dimm(at: usize, dimm: &Dimm, facts: &mut Facts) {
    let slot = words(&[dimm.bank.clone(), dimm.locator.clone()]).unwrap_or_else(|| at.to_string());
    let slot = if facts.contains_key(&format!("memory {slot}")) { format!("{slot} ({at})") } else { slot };
    if !dimm.populated {
        add(facts, format!("memory {slot}"), Some("empty"));
        return;
    }
    let parts = [
        dimm.size.map(|bytes| format!("{} MiB", bytes >> 20)),
        dimm.kind.clone(),
        dimm.manufacturer.clone(),
        dimm.part_number.clone(),
    ];
    add(facts, format!("memory {slot}"), words(&parts).or_else(|| Some("populated".to_owned())));
    add(facts, format!("memory {slot} speed"), dimm.configured_speed.map(|rate| format!("{} MT/s", rate / 1_000_000)));
}

fn disk(disk: &Disk, facts: &mut Facts) {
    if disk.virtual_media || disk.media != crate::model::Media::Disk {
        return;
    }
    // Names that carry the disk's own address (SAS) are no places that another machine has.
    let bay = disk.bay.as_ref().and_then(|b| b.slot.map(|n| format!("bay {n}")).or_else(|| b.name.clone()));
    let place = disk.by_path.clone().filter(|p| !p.contains("0x"));
    // Persistent memory and the like have no place but their name.
    let place = bay.or(place).or_else(|| disk.hctl.clone()).unwrap_or_else(|| disk.name.clone());
    let name = format!("disk {place}");
    let model = [disk.vendor.clone(), disk.model.clone(), Some(format!("{} MB", disk.size / 1_000_000))];
    add(facts, name.clone(), words(&model));
    add(facts, format!("{name} firmware"), disk.firmware.as_ref());
    add(facts, format!("{name} block size"), disk.logical_block_size);
    add(facts, format!("{name} link"), disk.link_speed.map(|s| format!("{} Gbit/s", giga(s))));
    let health =
        disk.health.as_ref().map(|h| h.state).filter(|s| matches!(s, HealthState::Warning | HealthState::Failing));
    add(facts, format!("{name} health"), health.map(|s| if s == HealthState::Failing { "failing" } else { "warning" }));
    add(facts, format!("{name} paths"), disk.path_state.as_ref());
}

fn nic(nic: &Nic, facts: &mut Facts) {
    let place = nic.by_path.clone().or_else(|| nic.pci_address.clone()).unwrap_or_else(|| nic.name.clone());
    let place = nic.port.filter(|&p| p > 0).map_or_else(|| place.clone(), |port| format!("{place} port {port}"));
    let name = format!("nic {place}");
    add(facts, name.clone(), words(&[nic.vendor.clone(), nic.model.clone()]).or_else(|| nic.driver.clone()));
    add(facts, format!("{name} firmware"), nic.firmware.as_ref());
    add(facts, format!("{name} link"), nic.carrier.map(|up| if up { "up" } else { "down" }));
    add(facts, format!("{name} speed"), nic.speed.map(|s| format!("{} Gbit/s", giga(s))));
    if let Some(module) = &nic.transceiver {
        let parts = [module.kind.clone(), module.vendor.clone(), module.part_number.clone()];
        add(facts, format!("{name} module"), words(&parts));
    }
}

fn pci(device: &PciDevice, facts: &mut Facts) {
    let name = format!("pci {}", device.address);
    let ids = format!("{}:{}", device.vendor_id, device.device_id);
    add(facts, name.clone(), words(&[Some(ids), device.device.clone()]));
    if let Some(link) = &device.link {
        let speed = link.speed.map(|s| format!("{} GT/s", giga(s)));
        add(facts, format!("{name} link"), words(&[speed, link.width.map(|w| format!("x{w}"))]));
    }
    let part = device.vpd.as_ref().and_then(|v| v.part_number.clone());
    add(facts, format!("{name} part number"), part);
}

fn others(inventory: &Inventory, facts: &mut Facts) {
    for controller in &inventory.storage_controllers.data {
        // NVMe controllers are the disks themselves.
        if controller.kind.as_deref() == Some("nvme") {
            continue;
        }
        let Some(address) = &controller.pci_address else { continue };
        add(facts, format!("controller {address} firmware"), controller.firmware.as_ref());
    }
    for region in &inventory.memory_devices.data.nvdimm_regions {
        let parts = [region.kind.clone(), region.size.map(|bytes| format!("{} MiB", bytes >> 20))];
        add(facts, format!("nvdimm {}", region.name), words(&parts));
    }
    for memory in &inventory.memory_devices.data.cxl_memories {
        let place = memory.pci_address.clone().unwrap_or_else(|| memory.name.clone());
        let size = memory.volatile_size.unwrap_or(0) + memory.persistent_size.unwrap_or(0);
        add(facts, format!("cxl {place}"), words(&[Some(format!("{} MiB", size >> 20)), memory.firmware.clone()]));
    }
    for device in &inventory.rdma.data {
        let place = device.pci_address.clone().unwrap_or_else(|| device.name.clone());
        add(facts, format!("rdma {place}"), words(&[device.board_id.clone(), device.firmware.clone()]));
        for port in &device.ports {
            let rate = port.rate.map(|r| format!("{} Gbit/s", giga(r)));
            add(facts, format!("rdma {place} port {}", port.port), words(&[port.state.clone(), rate]));
        }
    }
    for port in &inventory.fibre_channel.data {
        let place = port.pci_address.clone().unwrap_or_else(|| port.host.clone());
        add(facts, format!("fibre channel {place}"), words(&[port.model.clone(), port.firmware.clone()]));
        let speed = port.speed.map(|s| format!("{} Gbit/s", giga(s)));
        add(facts, format!("fibre channel {place} link"), words(&[port.state.clone(), speed]));
    }
    for (at, enclosure) in inventory.enclosures.data.iter().enumerate() {
        let parts = [enclosure.vendor.clone(), enclosure.model.clone(), enclosure.firmware.clone()];
        add(facts, format!("enclosure {at}"), words(&parts));
    }
}
