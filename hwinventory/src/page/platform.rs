//! The rest of the page: firmware, TPM, BMC and buses, then the findings and what could not be read.

use super::{Cell, Page, painted, plain, words};
use crate::model::{Inventory, Problem, Severity, Status};

pub fn platform(inventory: &Inventory, page: &mut Page) {
    page.head("Platform", &inventory.pci);
    page.line("pci", format!("{} devices", inventory.pci.data.len()));
    for gpu in inventory.pci.data.iter().filter(|d| d.gpu) {
        page.line("gpu", words(&[Some(gpu.address.as_str()), gpu.vendor.as_deref(), gpu.device.as_deref()]));
    }
    for controller in &inventory.storage_controllers.data {
        let driver = controller.driver.as_deref().map(|d| format!("({d})"));
        let hides = match controller.hidden_drive_count {
            Some(count) if controller.hides_drives => Some(format!("hides {count} drives")),
            _ if controller.hides_drives => Some("hides its drives".to_owned()),
            _ => None,
        };
        page.line(
            "storage",
            words(&[
                controller.pci_address.as_deref(),
                controller.vendor.as_deref(),
                controller.model.as_deref(),
                driver.as_deref(),
                hides.as_deref(),
            ]),
        );
    }
    for tpm in &inventory.tpm.data {
        page.line("tpm", words(&[tpm.version.as_deref(), tpm.manufacturer.as_deref(), tpm.firmware.as_deref()]));
        for key in &tpm.endorsement_keys {
            let hash = key.public_sha256.as_deref().or(key.certificate_sha256.as_deref());
            page.line("", words(&[Some("endorsement key"), Some(&key.algorithm), hash]));
        }
    }
    bmc(inventory, page);
    for watchdog in &inventory.watchdogs.data {
        page.line("watchdog", words(&[watchdog.identity.as_deref().or(Some(&watchdog.name))]));
    }
}

fn bmc(inventory: &Inventory, page: &mut Page) {
    let bmc = &inventory.bmc.data;
    if inventory.bmc.status == Status::Absent {
        return;
    }
    let firmware = bmc.firmware.as_deref().map(|f| format!("firmware {f}"));
    page.line(
        "bmc",
        words(&[
            bmc.manufacturer.as_deref().or(bmc.interface.as_deref()),
            firmware.as_deref(),
            bmc.address.as_deref(),
            bmc.mac.as_deref(),
        ]),
    );
    for six in &bmc.ipv6_addresses {
        page.line("", words(&[Some(&six.address), six.source.as_deref()]));
    }
    for other in bmc.channels.iter().skip(1) {
        let channel = format!("channel {}", other.channel);
        let address = other.address.as_deref().or(Some("no address"));
        page.line("", words(&[Some(&channel), address, other.mac.as_deref()]));
    }
}

pub fn findings(inventory: &Inventory, page: &mut Page) {
    if inventory.findings.is_empty() {
        return;
    }
    page.title("Findings");
    let rows: Vec<Vec<Cell>> = inventory
        .findings
        .iter()
        .map(|f| {
            let severity = match f.severity {
                Severity::Critical => painted("critical", "1;31"),
                Severity::Warning => painted("warning", "33"),
                Severity::Info => painted("info", "2"),
            };
            vec![severity, plain(&f.code), plain(&f.message), painted(&f.subject, "2")]
        })
        .collect();
    page.table(&rows);
}

/// Nobody should take for absent what was there and could not be read.
pub fn unread(inventory: &Inventory, page: &mut Page) {
    const MOST: usize = 24;
    let sections: [(&str, &[Problem]); 23] = [
        ("system", &inventory.system.problems),
        ("firmware", &inventory.firmware.problems),
        ("cpu", &inventory.cpu.problems),
        ("numa", &inventory.numa.problems),
        ("memory", &inventory.memory.problems),
        ("storage", &inventory.storage_controllers.problems),
        ("pci", &inventory.pci.problems),
        ("usb", &inventory.usb.problems),
        ("tpm", &inventory.tpm.problems),
        ("bmc", &inventory.bmc.problems),
        ("watchdogs", &inventory.watchdogs.problems),
        ("kernel", &inventory.kernel.problems),
        ("disks", &inventory.disks.problems),
        ("network", &inventory.nics.problems),
        ("memory devices", &inventory.memory_devices.problems),
        ("enclosures", &inventory.enclosures.problems),
        ("fibre channel", &inventory.fibre_channel.problems),
        ("fabrics", &inventory.fabrics.problems),
        ("rdma", &inventory.rdma.problems),
        ("bmc records", &inventory.bmc_records.problems),
        ("sensors", &inventory.sensors.problems),
        ("clock", &inventory.clock.problems),
        ("unclaimed", &inventory.unclaimed.problems),
    ];
    let own = |name: &str| {
        let disk = inventory.disks.data.iter().chain(&inventory.volumes.data).any(|d| d.name == name);
        disk || inventory.nics.data.iter().any(|n| n.name == name)
    };
    let disks = inventory.disks.data.iter().chain(&inventory.volumes.data).map(|d| (d.name.as_str(), &d.problems[..]));
    let nics = inventory.nics.data.iter().map(|n| (n.name.as_str(), &n.problems[..]));
    let all = sections.into_iter().chain(disks).chain(nics);
    let rows: Vec<Vec<Cell>> = all
        .flat_map(|(place, problems)| problems.iter().map(move |p| (place, p)))
        // The sections of devices only point to the devices' own problems.
        .filter(|(_, problem)| !own(&problem.what))
        .map(|(place, p)| vec![plain(place), painted(p.status.word(), "33"), plain(&p.what), painted(&p.message, "2")])
        .collect();
    if rows.is_empty() {
        return;
    }
    page.title("Not read");
    let more = rows.len().saturating_sub(MOST);
    page.table(rows.get(..MOST).unwrap_or(&rows));
    if more > 0 {
        page.text.push_str(&format!("  and {more} more: see the document (--json)\n"));
    }
}
