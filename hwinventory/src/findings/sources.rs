//! Findings about sources that contradict each other: which one the inventory trusts, and why.

use super::{against, finding, giga};
use crate::model::{CpuSocket, Finding, Inventory, Memory, Severity};

pub fn findings(inventory: &Inventory, found: &mut Vec<Finding>) {
    memory(inventory, found);
    processors(inventory, found);
    nics(inventory, found);
}

fn disagree(code: &str, severity: Severity, subject: &str, trusted: &str, message: &str) -> Finding {
    Finding { trusted: Some(trusted.to_owned()), ..finding(code, severity, subject, message.to_owned()) }
}

fn memory(inventory: &Inventory, found: &mut Vec<Finding>) {
    let memory = &inventory.memory.data;
    let (Some(physical), Some(usable)) = (memory.physical, memory.usable) else { return };
    if memory.dimms.is_empty() {
        return;
    }
    if usable > physical {
        let text = "the kernel has more memory than SMBIOS says is installed; the kernel's number counts: it uses it";
        let finding = disagree("memory.sources-disagree", Severity::Warning, "memory", "kernel", text);
        found.push(against(finding, physical, usable));
    } else if usable < reachable(memory, physical) / 8 * least(inventory) && physical > 4 << 30 {
        let text = "the kernel can use much less memory than is installed".to_owned();
        found.push(against(finding("memory.unusable", Severity::Warning, "memory", text), physical, usable));
    }
}

/// How many eighths of what is installed the kernel has at least. Graphics on the processor may take two.
fn least(inventory: &Inventory) -> u64 {
    const MAKERS: [&str; 2] = ["1002", "8086"];
    let shares = inventory.pci.data.iter().any(|d| d.gpu && MAKERS.contains(&d.vendor_id.as_str()));
    if shares { 5 } else { 7 }
}

/// In memory mode persistent modules are the main memory, and DRAM is their cache.
fn reachable(memory: &Memory, physical: u64) -> u64 {
    let persistent = memory.dimms.iter().filter(|d| d.technology.as_deref().is_some_and(|t| t.contains("Optane")));
    let in_memory_mode: u64 = persistent.filter_map(|d| d.volatile_size).sum();
    if in_memory_mode > 0 { in_memory_mode } else { physical }
}

fn processors(inventory: &Inventory, found: &mut Vec<Finding>) {
    let cpu = &inventory.cpu.data;
    let present: Vec<_> = cpu.packages.iter().filter(|p| p.populated).collect();
    let is_disabled = |p: &&&CpuSocket| p.status.as_deref().is_some_and(|s| s.starts_with("Disabled"));
    let guest = super::is_guest(inventory);
    let disabled: Vec<&str> =
        present.iter().filter(is_disabled).map(|p| p.designation.as_deref().unwrap_or("cpu")).collect();
    // A hypervisor lists the sockets that a guest could be given as populated and disabled.
    if let Some(first) = disabled.first().filter(|_| !guest) {
        let subject = if disabled.len() == 1 { first } else { "cpu" };
        let text = format!("processor {} is there, but disabled by the firmware", disabled.join(", "));
        found.push(finding("cpu.disabled", Severity::Warning, subject, text));
    }
    // With CPUs offline the kernel does not count what is on them.
    let offline = cpu.offline.as_deref().is_some_and(|o| !o.is_empty());
    if present.is_empty() || offline {
        return;
    }
    let enabled = present.iter().filter(|p| !is_disabled(p));
    let severity = if guest { Severity::Info } else { Severity::Warning };
    let sockets = enabled.clone().count() as u64;
    if cpu.sockets.is_some_and(|n| n != sockets) {
        let text = "SMBIOS and the kernel count processors differently; the kernel's number counts: it runs on them";
        let finding = disagree("cpu.sources-disagree", severity, "sockets", "kernel", text);
        found.push(against(finding, sockets, cpu.sockets.unwrap_or(0)));
    }
    let cores: Option<u64> = enabled.map(|p| p.enabled_cores.or(p.cores)).sum();
    if let (Some(told), Some(seen)) = (cores, cpu.cores)
        && told != seen
    {
        let text = "SMBIOS and the kernel count cores differently; the kernel's number counts: it runs on them";
        let finding = disagree("cpu.sources-disagree", Severity::Info, "cores", "kernel", text);
        found.push(against(finding, told, seen));
    }
}

fn nics(inventory: &Inventory, found: &mut Vec<Finding>) {
    for nic in &inventory.nics.data {
        let subject = nic.permanent_mac.as_deref().or(nic.mac.as_deref()).unwrap_or(&nic.name);
        if let (Some(mac), Some(permanent)) = (&nic.mac, &nic.permanent_mac)
            && mac != permanent
        {
            let text =
                format!("{}: the address in use is not the card's own; the own one stays with the card", nic.name);
            let finding = disagree("nic.mac-changed", Severity::Info, permanent, "permanent address", &text);
            found.push(against(finding, permanent, mac));
        }
        if let (Some(speed), Some(max)) = (nic.speed, nic.max_speed)
            && speed < max
            && nic.carrier == Some(true)
        {
            let text = format!("{}: link runs at {} of {} Gbit/s", nic.name, giga(speed), giga(max));
            found.push(against(finding("nic.link-speed", Severity::Info, subject, text), max, speed));
        }
        if nic.lldp_agent == Some(true) && nic.lldp.is_empty() {
            let text = format!("{}: the card's own LLDP agent is on; no neighbour is heard behind it", nic.name);
            found.push(finding("nic.lldp-agent", Severity::Info, subject, text));
        }
    }
    let firmware = &inventory.firmware.data;
    if let Some(bootif) = &firmware.bootif
        && !inventory.nics.data.is_empty()
        && !inventory.nics.data.iter().any(|n| n.bootif)
    {
        let text = "no interface has the address that the boot loader says the machine booted from";
        found.push(disagree("nic.bootif-missing", Severity::Warning, bootif, "kernel", text));
    }
}
