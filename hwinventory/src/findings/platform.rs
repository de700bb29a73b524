//! Findings about PCI errors, paths to disks, enclosures, sensors, the BMC, optics, clocks, NVDIMMs, firmware updates and
//! missing drivers.

use super::{against, finding, subject};
use crate::model::{Finding, Inventory, PciDevice, SensorKind, Severity};

/// Single corrected errors are nothing: links are built for them.
const MANY_CORRECTED: u64 = 100;

pub fn findings(inventory: &Inventory, found: &mut Vec<Finding>) {
    inventory.pci.data.iter().for_each(|d| pci(d, found));
    paths(inventory, found);
    enclosures(inventory, found);
    sensors(inventory, found);
    bmc(inventory, found);
    optics(inventory, found);
    clock(inventory, found);
    firmware(inventory, found);
    drivers(inventory, found);
}

fn pci(device: &PciDevice, found: &mut Vec<Finding>) {
    let Some(errors) = &device.errors else { return };
    let name = device.device.as_deref().or(device.class.as_deref()).unwrap_or("device");
    let count = |kind: &str| errors.kinds.get(kind).copied().unwrap_or(0);
    let mut add = |code: &str, severity: Severity, text: String| {
        found.push(finding(code, severity, &device.address, format!("{name}: {text}")));
    };
    if errors.fatal > 0 {
        add("pci.fatal-errors", Severity::Critical, format!("{} fatal PCIe errors since boot", errors.fatal));
    }
    // Requests for what is not there: the kernel's own search for devices makes them.
    let non_fatal = errors.non_fatal.saturating_sub(count("UnsupReq"));
    if non_fatal > 0 {
        add("pci.uncorrected-errors", Severity::Warning, format!("{non_fatal} uncorrected PCIe errors since boot"));
    }
    // Four replays without an acknowledgement make the link train anew (PCI Express Base Specification 5.0, 3.6.2.1).
    let retrained = count("Rollover");
    if retrained > 0 {
        let text = format!("its PCIe link was trained anew {retrained} times because packets were not acknowledged");
        add("pci.link-retrained", Severity::Warning, text);
    } else if device.link_retrained == Some(true) && errors.correctable > 0 {
        let text = format!("its PCIe link was trained anew, and {} errors were corrected", errors.correctable);
        add("pci.link-retrained", Severity::Info, text);
    }
    if errors.correctable >= MANY_CORRECTED {
        let kinds: Vec<String> = errors.kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let text = format!("{} corrected PCIe errors since boot ({})", errors.correctable, kinds.join(", "));
        add("pci.corrected-errors", Severity::Warning, text);
    }
}

fn paths(inventory: &Inventory, found: &mut Vec<Finding>) {
    for disk in inventory.disks.data.iter().chain(&inventory.volumes.data) {
        let (severity, text) = match disk.path_state.as_deref() {
            Some("degraded") => (Severity::Warning, "some of its paths do not work"),
            Some("failed") => (Severity::Critical, "none of its paths works"),
            _ => continue,
        };
        let text = format!("{}: {text}", disk.name);
        found.push(finding("disk.path-failed", severity, &subject(disk), text));
    }
}

fn enclosures(inventory: &Inventory, found: &mut Vec<Finding>) {
    for enclosure in &inventory.enclosures.data {
        let name = enclosure.model.as_deref().unwrap_or("enclosure");
        let id = enclosure.logical_id.as_deref().or(enclosure.hctl.as_deref()).unwrap_or_default();
        let slots = enclosure
            .slots
            .iter()
            .map(|s| ("slot", s.name.clone().or(s.number.map(|n| n.to_string())), &s.status, s.fault));
        let elements = enclosure.elements.iter().map(|e| (e.kind.as_str(), e.name.clone(), &e.status, None));
        for (kind, label, status, fault) in slots.chain(elements) {
            let severity = match status.as_deref() {
                Some("critical" | "unrecoverable") => Severity::Critical,
                _ if fault == Some(true) => Severity::Critical,
                Some("non-critical") => Severity::Warning,
                _ => continue,
            };
            let word = if fault == Some(true) { "fault" } else { status.as_deref().unwrap_or_default() };
            let text = format!("{name}: {kind} {}: {word}", label.unwrap_or_default());
            found.push(finding("enclosure.element", severity, id, text));
        }
    }
}

fn sensors(inventory: &Inventory, found: &mut Vec<Finding>) {
    // Alarms of board chips are mostly inputs that nobody connected; a temperature beyond what its own chip calls critical
    // is none of those.
    for chip in &inventory.sensors.data.chips {
        for sensor in chip.sensors.iter().filter(|s| s.kind == SensorKind::Temperature && !s.fault) {
            let (Some(value), Some(critical)) = (sensor.value, sensor.critical) else { continue };
            if critical > 0.0 && value >= critical {
                let label = sensor.label.as_deref().unwrap_or(&sensor.name);
                let text = format!("{} {label}: {value} degrees of at most {critical}", chip.name);
                let place = chip.device.as_deref().unwrap_or(&chip.name);
                found.push(against(finding("sensor.hot", Severity::Critical, place, text), critical, value));
            }
        }
    }
}

fn bmc(inventory: &Inventory, found: &mut Vec<Finding>) {
    for sensor in &inventory.bmc_records.data.sensors {
        if let Some(state @ ("critical" | "non-recoverable")) = sensor.state.as_deref() {
            let value = sensor.value.map(|v| format!(" at {v} {}", sensor.unit.as_deref().unwrap_or_default()));
            let text = format!("{}: {state}{}", sensor.name, value.unwrap_or_default());
            found.push(finding("bmc.sensor", Severity::Critical, &sensor.name, text));
        }
        for state in &sensor.states {
            let severity = match state.as_str() {
                "failure detected" | "drive fault" | "uncorrectable ECC" => Severity::Critical,
                "predictive failure" | "input lost" | "redundancy lost" => Severity::Warning,
                _ => continue,
            };
            let text = format!("{}: {state}", sensor.name);
            found.push(finding("bmc.sensor", severity, &sensor.name, text));
        }
    }
    if inventory.bmc_records.data.event_log.as_ref().is_some_and(|log| log.overflow) {
        let text = "the BMC's event log is full: later events were dropped".to_owned();
        found.push(finding("bmc.event-log-full", Severity::Warning, "event log", text));
    }
}

fn optics(inventory: &Inventory, found: &mut Vec<Finding>) {
    // Without light from the other side every module is alarmed.
    for nic in inventory.nics.data.iter().filter(|n| n.carrier == Some(true)) {
        let alarms = nic.transceiver.iter().flat_map(|t| &t.alarms).filter(|a| a.contains("alarm"));
        for alarm in alarms {
            let text = format!("{}: module reports {alarm}", nic.name);
            let place = nic.by_path.as_deref().unwrap_or(&nic.name);
            found.push(finding("nic.transceiver", Severity::Warning, place, text));
        }
    }
}

fn clock(inventory: &Inventory, found: &mut Vec<Finding>) {
    const YEAR_2020: i64 = 1_577_836_800;
    const DAY: i64 = 86_400;
    for rtc in &inventory.clock.data.rtcs {
        let name = rtc.time.as_deref().unwrap_or_default();
        let text = match (rtc.seconds, rtc.offset) {
            (Some(seconds), _) if seconds < YEAR_2020 => {
                format!("the hardware clock says {name}: its battery may be empty")
            }
            (_, Some(offset)) if offset.saturating_abs() > DAY => {
                format!("the hardware clock says {name}, {offset} s from the kernel's clock")
            }
            _ => continue,
        };
        found.push(finding("clock.wrong", Severity::Warning, &rtc.name, text));
    }
}

fn firmware(inventory: &Inventory, found: &mut Vec<Finding>) {
    for module in &inventory.memory_devices.data.nvdimms {
        const BAD: &[&str] = &["save_fail", "restore_fail", "flush_fail", "not_armed", "map_fail", "smart_notify"];
        for flag in module.flags.iter().filter(|f| BAD.contains(&f.as_str())) {
            let text = format!("{}: {flag}", module.name);
            found.push(finding("memory.nvdimm", Severity::Warning, &module.name, text));
        }
    }
    for resource in &inventory.firmware.data.resources {
        let failed = resource.last_attempt.as_deref().filter(|a| *a != "success");
        if let (Some(failed), Some(version)) = (failed, resource.last_attempt_version) {
            let text = format!("the last update, to version {version:#x}, failed: {failed}");
            found.push(finding("firmware.update-failed", Severity::Warning, &resource.class, text));
        }
    }
}

/// Storage and network controllers that nothing drives: disks and interfaces that cannot be seen.
fn drivers(inventory: &Inventory, found: &mut Vec<Finding>) {
    // A tree without any driver is a copy that left them out.
    if inventory.pci.data.iter().all(|d| d.driver.is_none()) {
        return;
    }
    for device in inventory.unclaimed.data.iter().filter(|d| d.bus == "pci") {
        let kind = match device.class_id.as_deref().and_then(|c| c.get(..2)) {
            Some("01") => "storage controller",
            Some("02") => "network controller",
            _ => continue,
        };
        let name = device.name.as_deref().unwrap_or(&device.modalias);
        let why = match device.modules.as_slice() {
            [] => "no module of this ramdisk is for it".to_owned(),
            modules if device.loaded.is_empty() => format!("{} is not loaded", modules.join(" or ")),
            modules => format!("{} did not take it", modules.join(" or ")),
        };
        let text = format!("{name}: {kind} without a driver: {why}");
        found.push(finding("device.no-driver", Severity::Warning, &device.device, text));
    }
}

#[cfg(test)]
#[path = "platform_tests.rs"]
mod tests;
