//! Anomalies, derived from the inventory alone: pure.

use crate::model::{Disk, Finding, HealthState, Inventory, Severity, Status, Strength};

pub fn findings(inventory: &Inventory) -> Vec<Finding> {
    let mut found = Vec::new();
    links(inventory, &mut found);
    memory(inventory, &mut found);
    disks(inventory, &mut found);
    sources(inventory, &mut found);
    found.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then_with(|| a.code.cmp(&b.code)).then_with(|| a.subject.cmp(&b.subject))
    });
    found
}

fn finding(code: &str, severity: Severity, subject: &str, message: String) -> Finding {
    Finding { code: code.to_owned(), severity, subject: subject.to_owned(), message, ..Finding::default() }
}

fn against(mut finding: Finding, expected: impl ToString, actual: impl ToString) -> Finding {
    (finding.expected, finding.actual) = (Some(expected.to_string()), Some(actual.to_string()));
    finding
}

/// How a disk is called in findings: by what survives a reboot.
pub fn subject(disk: &Disk) -> String {
    if disk.identity.strength == Strength::Strong {
        return disk.identity.value.clone();
    }
    disk.by_path.clone().unwrap_or_else(|| disk.name.clone())
}

fn links(inventory: &Inventory, found: &mut Vec<Finding>) {
    for device in &inventory.pci.data {
        let Some(link) = &device.link else { continue };
        let name = device.device.as_deref().unwrap_or("device");
        if let (Some(width), Some(max)) = (link.width, link.max_width)
            && width < max
        {
            let text = format!("{name}: PCIe link has {width} of {max} lanes");
            found.push(against(finding("pci.link-width", Severity::Warning, &device.address, text), max, width));
        }
        if let (Some(speed), Some(max)) = (link.speed, link.max_speed)
            && speed < max
        {
            // Graphics and idle devices lower the speed to save power.
            let severity = if device.gpu { Severity::Info } else { Severity::Warning };
            let text = format!("{name}: PCIe link runs at {} of {} GT/s", giga(speed), giga(max));
            found.push(against(finding("pci.link-speed", severity, &device.address, text), max, speed));
        }
    }
}

fn giga(bits: u64) -> String {
    format!("{}.{}", bits / 1_000_000_000, bits / 100_000_000 % 10)
}

fn memory(inventory: &Inventory, found: &mut Vec<Finding>) {
    let memory = &inventory.memory.data;
    let populated: Vec<_> = memory.dimms.iter().filter(|d| d.populated).collect();
    for dimm in &populated {
        let slot = dimm.locator.as_deref().unwrap_or("?");
        if let (Some(rated), Some(configured)) = (dimm.rated_speed, dimm.configured_speed)
            && configured < rated
        {
            let text = format!("DIMM {slot} runs at {} of {} MT/s", configured / 1_000_000, rated / 1_000_000);
            found.push(against(finding("memory.dimm-slow", Severity::Info, slot, text), rated, configured));
        }
        if dimm.uncorrected_errors.is_some_and(|n| n > 0) {
            found.push(finding(
                "memory.uncorrected-errors",
                Severity::Critical,
                slot,
                format!("DIMM {slot} has uncorrected errors"),
            ));
        }
        if dimm.corrected_errors.is_some_and(|n| n > 0) {
            found.push(finding(
                "memory.corrected-errors",
                Severity::Warning,
                slot,
                format!("DIMM {slot} has corrected errors"),
            ));
        }
    }
    // A bank that holds memory on some machines' boards names its slots alike: an empty slot beside a full one whose name
    // differs only in the last character is worth a look.
    for dimm in memory.dimms.iter().filter(|d| !d.populated) {
        let Some(slot) = dimm.locator.as_deref() else { continue };
        let same_bank = populated.iter().filter(|p| p.bank.is_some() && p.bank == dimm.bank).count();
        let all_in_bank = memory.dimms.iter().filter(|d| d.bank.is_some() && d.bank == dimm.bank).count();
        if same_bank > 0 && all_in_bank > 1 {
            let bank = dimm.bank.as_deref().unwrap_or_default();
            found.push(finding(
                "memory.dimm-missing",
                Severity::Info,
                slot,
                format!("slot {slot} is empty in bank {bank}, which holds memory"),
            ));
        }
    }
    let sizes: std::collections::BTreeSet<u64> = populated.iter().filter_map(|d| d.size).collect();
    if sizes.len() > 1 {
        found.push(finding(
            "memory.dimm-mixed",
            Severity::Info,
            "memory",
            "DIMMs of different sizes are mixed".to_owned(),
        ));
    }
    if let (Some(physical), Some(usable)) = (memory.physical, memory.usable)
        && !memory.dimms.is_empty()
    {
        if usable > physical {
            let text =
                "the kernel has more memory than SMBIOS says is installed; the kernel's number is the one to trust"
                    .to_owned();
            found.push(against(
                finding("memory.sources-disagree", Severity::Warning, "memory", text),
                physical,
                usable,
            ));
        } else if usable < physical / 8 * 7 && physical > 4 << 30 {
            let text = "the kernel can use much less memory than is installed".to_owned();
            found.push(against(finding("memory.unusable", Severity::Warning, "memory", text), physical, usable));
        }
    }
}

fn disks(inventory: &Inventory, found: &mut Vec<Finding>) {
    for disk in &inventory.disks.data {
        let name = subject(disk);
        if disk.status == Status::Timeout {
            found.push(finding("disk.hung", Severity::Critical, &name, format!("disk {} does not answer", disk.name)));
        }
        if let Some(health) = &disk.health {
            let reasons = health.reasons.join("; ");
            match health.state {
                HealthState::Failing => {
                    found.push(finding(
                        "disk.failing",
                        Severity::Critical,
                        &name,
                        format!("disk {} is failing: {reasons}", disk.name),
                    ));
                }
                HealthState::Warning => {
                    found.push(finding(
                        "disk.health",
                        Severity::Warning,
                        &name,
                        format!("disk {}: {reasons}", disk.name),
                    ));
                }
                _ => {}
            }
        }
        if disk.identity.strength == Strength::Weak && disk.media == crate::model::Media::Disk {
            let reason = disk.identity.reason.as_deref().unwrap_or("unknown");
            found.push(finding(
                "disk.weak-identity",
                Severity::Info,
                &name,
                format!("disk {} has no identity to rely on ({reason})", disk.name),
            ));
        }
        if disk.size == 0 && disk.media == crate::model::Media::Disk {
            found.push(finding("disk.size-zero", Severity::Warning, &name, format!("disk {} has size 0", disk.name)));
        }
        if let (Some(speed), Some(max)) = (disk.link_speed, disk.max_link_speed)
            && speed < max
        {
            let text = format!("disk {}: link runs at {} of {} Gbit/s", disk.name, giga(speed), giga(max));
            found.push(against(finding("disk.link-speed", Severity::Warning, &name, text), max, speed));
        }
        if disk.md.as_ref().and_then(|m| m.degraded).is_some_and(|n| n > 0) {
            found.push(finding("raid.degraded", Severity::Critical, &name, format!("array {} is degraded", disk.name)));
        }
    }
    for controller in inventory.storage_controllers.data.iter().filter(|c| c.hides_drives) {
        let name = controller.pci_address.as_deref().unwrap_or("controller");
        let text = "drives behind this controller are seen only as far as it passes them on".to_owned();
        found.push(finding("storage.hidden-drives", Severity::Info, name, text));
    }
}

/// Two sources that tell the same thing differently: which one the inventory follows.
fn sources(inventory: &Inventory, found: &mut Vec<Finding>) {
    for nic in &inventory.nics.data {
        if let (Some(mac), Some(permanent)) = (&nic.mac, &nic.permanent_mac)
            && mac != permanent
        {
            let text =
                format!("{}: address was changed from the permanent one; identify it by the permanent one", nic.name);
            found.push(against(finding("nic.mac-changed", Severity::Info, permanent, text), permanent, mac));
        }
        if let (Some(speed), Some(max)) = (nic.speed, nic.max_speed)
            && speed < max
            && nic.carrier == Some(true)
        {
            let text = format!("{}: link runs at {} of {} Gbit/s", nic.name, giga(speed), giga(max));
            found.push(against(
                finding("nic.link-speed", Severity::Info, nic.mac.as_deref().unwrap_or(&nic.name), text),
                max,
                speed,
            ));
        }
    }
    let firmware = &inventory.firmware.data;
    if let Some(bootif) = &firmware.bootif
        && !inventory.nics.data.is_empty()
        && !inventory.nics.data.iter().any(|n| n.bootif)
    {
        found.push(finding(
            "nic.bootif-missing",
            Severity::Warning,
            bootif,
            "no interface has the address the machine booted from".to_owned(),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Dimm, PciDevice, PciLink};

    #[test]
    fn a_narrow_link_and_a_slow_dimm() {
        let mut inventory = Inventory::default();
        let link = PciLink { width: Some(4), max_width: Some(8), ..PciLink::default() };
        inventory.pci.data.push(PciDevice { address: "0000:01:00.0".into(), link: Some(link), ..PciDevice::default() });
        inventory.memory.data.dimms.push(Dimm {
            locator: Some("A1".into()),
            populated: true,
            rated_speed: Some(3_200_000_000),
            configured_speed: Some(2_933_000_000),
            ..Dimm::default()
        });
        let found = findings(&inventory);
        let codes: Vec<&str> = found.iter().map(|f| f.code.as_str()).collect();
        assert_eq!(codes, ["pci.link-width", "memory.dimm-slow"]);
        assert_eq!((found[0].expected.as_deref(), found[0].actual.as_deref()), (Some("8"), Some("4")));
    }

    #[test]
    fn nothing_to_find() {
        assert_eq!(findings(&Inventory::default()), []);
    }
}
