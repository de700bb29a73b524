//! Fabrics, enclosures, sensors, the BMC's log, memory devices and devices without a driver, on the page.

use super::{Page, decimal, words};
use crate::model::{Inventory, SensorKind};

pub fn attached(inventory: &Inventory, page: &mut Page) {
    fabrics(inventory, page);
    for device in &inventory.rdma.data {
        for port in &device.ports {
            let rate = port.rate.map(|r| format!("{} Gbit/s", r / 1_000_000_000));
            let name = format!("{} port {}", device.name, port.port);
            page.line(
                "rdma",
                words(&[Some(&name), port.link_layer.as_deref(), port.state.as_deref(), rate.as_deref()]),
            );
        }
    }
    for enclosure in &inventory.enclosures.data {
        let used = enclosure.slots.iter().filter(|s| s.disk.is_some()).count();
        let slots = format!("{used} of {} slots with disks", enclosure.slots.len());
        let parts =
            [enclosure.vendor.as_deref(), enclosure.model.as_deref(), enclosure.status.as_deref(), Some(&slots)];
        page.line("enclosure", words(&parts));
    }
    memory(inventory, page);
    sensors(inventory, page);
    bmc(inventory, page);
    for rtc in inventory.clock.data.rtcs.iter().filter(|r| r.sets_clock != Some(false)) {
        let offset = rtc.offset.map(|s| format!("{s:+} s from the kernel's clock"));
        page.line("clock", words(&[rtc.time.as_deref(), offset.as_deref()]));
    }
    if let Some(console) = &inventory.firmware.data.console {
        let word = console.console.as_deref().or(console.address.as_deref());
        page.line("console", words(&[console.interface.as_deref(), word]));
    }
    for device in &inventory.unclaimed.data {
        let modules = match device.modules.as_slice() {
            [] => "no module for it".to_owned(),
            modules => format!("module {}", modules.join(", ")),
        };
        let name = device.name.as_deref().or(Some(device.modalias.as_str()));
        page.line("no driver", words(&[Some(&device.device), name, Some(&modules)]));
    }
}

fn fabrics(inventory: &Inventory, page: &mut Page) {
    for port in &inventory.fibre_channel.data {
        let speed = port.speed.map(|s| format!("{} Gbit/s", s / 1_000_000_000));
        let name = port.port_name.as_deref();
        page.line(
            "fc",
            words(&[Some(&port.host), port.model.as_deref(), name, port.state.as_deref(), speed.as_deref()]),
        );
    }
    let fabrics = &inventory.fabrics.data;
    page.line("iscsi", fabrics.iscsi_initiator.as_ref().map(|n| n.name.as_str()).unwrap_or_default());
    page.line("nvme-of", fabrics.nvme_host_nqn.as_ref().map(|n| n.name.as_str()).unwrap_or_default());
}

fn memory(inventory: &Inventory, page: &mut Page) {
    let devices = &inventory.memory_devices.data;
    for region in &devices.nvdimm_regions {
        let size = region.size.map(decimal);
        page.line("nvdimm", words(&[Some(&region.name), region.kind.as_deref(), size.as_deref()]));
    }
    for memory in &devices.cxl_memories {
        let size = memory.volatile_size.unwrap_or(0).saturating_add(memory.persistent_size.unwrap_or(0));
        page.line("cxl", words(&[Some(&memory.name), memory.pci_address.as_deref(), Some(&decimal(size))]));
    }
}

/// The warmest of each chip: whoever wants all of them reads the document.
fn sensors(inventory: &Inventory, page: &mut Page) {
    let warmest = inventory.sensors.data.chips.iter().filter_map(|chip| {
        let values = chip.sensors.iter().filter(|s| s.kind == SensorKind::Temperature && !s.fault);
        let highest = values.filter_map(|s| s.value).fold(f64::NEG_INFINITY, f64::max);
        highest.is_finite().then(|| format!("{} {highest:.0} °C", chip.name))
    });
    let all: Vec<String> = warmest.collect();
    page.line("sensors", words(&[Some(&all.join(", "))]));
}

fn bmc(inventory: &Inventory, page: &mut Page) {
    let records = &inventory.bmc_records.data;
    if let Some(log) = &records.event_log {
        let last = records.events.last().and_then(|e| {
            let parts = [e.sensor_name.as_deref().or(e.sensed.as_deref()), e.event.as_deref()];
            Some(words(&parts)).filter(|t| !t.is_empty())
        });
        let last = last.map(|text| format!("the last: {text}"));
        page.line("bmc events", words(&[Some(&log.entries.to_string()), last.as_deref()]));
    }
}
