//! The inventory as a page that a person reads.

use crate::model::{
    BootMode, CacheKind, Disk, DiskClass, HealthState, Inventory, Nic, Section, Severity, Status, Strength,
};

/// Text with one paragraph a section; `colour` adds ANSI escapes.
pub fn render(inventory: &Inventory, colour: bool) -> String {
    let mut page = Page { text: String::new(), colour };
    system(inventory, &mut page);
    cpu_and_memory(inventory, &mut page);
    disks(inventory, &mut page);
    nics(inventory, &mut page);
    rest(inventory, &mut page);
    findings(inventory, &mut page);
    page.text
}

struct Page {
    text: String,
    colour: bool,
}

impl Page {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn head<T: Default>(&mut self, title: &str, section: &Section<T>) {
        let title = self.paint("1;36", title);
        let note = match section.status {
            Status::Ok => String::new(),
            Status::Absent | Status::Partial => self.paint("2", &format!("  ({})", section.status.word())),
            status => self.paint("31", &format!("  ({})", status.word())),
        };
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&format!("{title}{note}\n"));
    }

    fn line(&mut self, label: &str, value: impl AsRef<str>) {
        let value = value.as_ref().trim();
        if !value.is_empty() {
            let label = self.paint("2", &format!("{label:<12}"));
            self.text.push_str(&format!("  {label} {value}\n"));
        }
    }

    /// Columns as wide as their widest cell. Device strings may hold anything: control characters are shown as `?`.
    fn table(&mut self, rows: &[Vec<Cell>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |at: usize| rows.iter().filter_map(|r| r.get(at)).map(|c| c.text.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let mut line = String::from(" ");
            for (cell, width) in row.iter().zip(&widths) {
                let text = format!("{:<width$}", cell.text, width = *width);
                line.push(' ');
                line.push_str(&if cell.colour.is_empty() { text } else { self.paint(cell.colour, &text) });
            }
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }
}

struct Cell {
    text: String,
    colour: &'static str,
}

fn plain(text: impl AsRef<str>) -> Cell {
    painted(text, "")
}

fn painted(text: impl AsRef<str>, colour: &'static str) -> Cell {
    let text = text.as_ref().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Cell { text, colour }
}

fn words(parts: &[Option<&str>]) -> String {
    parts
        .iter()
        .flatten()
        .copied()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// In the unit that people say: `512 B`, `16.0 GiB`.
pub fn bytes(n: u64) -> String {
    scaled(n, 1024, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

/// As disks are sold: `960 GB`.
fn decimal(n: u64) -> String {
    scaled(n, 1000, &["B", "kB", "MB", "GB", "TB", "PB"])
}

fn bits(n: u64) -> String {
    scaled(n, 1000, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

fn scaled(n: u64, step: u64, units: &[&str]) -> String {
    let mut unit = 0;
    let mut divisor = 1u64;
    while n / divisor >= step && unit + 1 < units.len() {
        divisor = divisor.saturating_mul(step);
        unit += 1;
    }
    let (whole, tenths) = (n / divisor, (u128::from(n % divisor) * 10 / u128::from(divisor)) as u64);
    let unit = units.get(unit).copied().unwrap_or_default();
    if tenths == 0 { format!("{whole} {unit}") } else { format!("{whole}.{tenths} {unit}") }
}

fn system(inventory: &Inventory, page: &mut Page) {
    let system = &inventory.system.data;
    page.head("System", &inventory.system);
    page.line("machine", words(&[system.manufacturer.as_deref(), system.product_name.as_deref()]));
    page.line("serial", words(&[system.serial_number.as_deref()]));
    page.line("uuid", words(&[system.uuid.as_deref()]));
    page.line("hypervisor", words(&[system.hypervisor.as_deref()]));
    if let Some(bios) = &system.bios {
        page.line("firmware", words(&[bios.vendor.as_deref(), bios.version.as_deref(), bios.date.as_deref()]));
    }
    let firmware = &inventory.firmware.data;
    let mode = match firmware.boot_mode {
        BootMode::Uefi => "UEFI",
        BootMode::Bios => "BIOS",
        BootMode::Unknown => "",
    };
    let secure = firmware.secure_boot.map(|on| if on { "Secure Boot on" } else { "Secure Boot off" });
    page.line("boot", words(&[Some(mode), secure]));
    page.line("boot nic", words(&[firmware.bootif.as_deref()]));
    page.line(
        "kernel",
        words(&[inventory.kernel.data.release.as_deref(), inventory.kernel.data.architecture.as_deref()]),
    );
}

fn cpu_and_memory(inventory: &Inventory, page: &mut Page) {
    let cpu = &inventory.cpu.data;
    page.head("CPU and memory", &inventory.cpu);
    for model in &cpu.models {
        let threads = model.threads.map(|n| format!("({n} threads)"));
        page.line("cpu", words(&[model.vendor.as_deref(), model.name.as_deref(), threads.as_deref()]));
    }
    let count = |n: Option<u64>, word: &str| n.map(|n| format!("{n} {word}{}", if n == 1 { "" } else { "s" }));
    let parts = [count(cpu.sockets, "socket"), count(cpu.cores, "core"), count(cpu.threads, "thread")];
    page.line("topology", parts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    let caches: Vec<String> = cpu
        .caches
        .iter()
        .map(|c| {
            let kind = match c.kind {
                CacheKind::Data => "d",
                CacheKind::Instruction => "i",
                CacheKind::Unified => "",
            };
            format!("L{}{kind} {}", c.level, bytes(c.total_size))
        })
        .collect();
    page.line("caches", caches.join(", "));
    let nodes = inventory.numa.data.nodes.len();
    if nodes > 1 {
        page.line("numa", format!("{nodes} nodes"));
    }
    let memory = &inventory.memory.data;
    let physical = memory.physical.map(|n| format!("{} installed", bytes(n)));
    let usable = memory.usable.map(|n| format!("{} usable", bytes(n)));
    page.line("memory", physical.into_iter().chain(usable).collect::<Vec<_>>().join(", "));
    let rows: Vec<Vec<Cell>> = memory
        .dimms
        .iter()
        .map(|d| {
            let slot = plain(words(&[d.bank.as_deref(), d.locator.as_deref()]));
            if !d.populated {
                return vec![slot, painted("empty", "2")];
            }
            let speed = d.configured_speed.or(d.rated_speed).map(|s| format!("{} MT/s", s / 1_000_000));
            vec![
                slot,
                plain(d.size.map(bytes).unwrap_or_default()),
                plain(words(&[d.kind.as_deref(), speed.as_deref(), d.ecc.filter(|&e| e).map(|_| "ECC")])),
                painted(words(&[d.manufacturer.as_deref(), d.part_number.as_deref(), d.serial_number.as_deref()]), "2"),
            ]
        })
        .collect();
    page.table(&rows);
}

fn class(disk: &Disk) -> &'static str {
    match disk.class {
        DiskClass::Nvme => "nvme",
        DiskClass::Ssd => "ssd",
        DiskClass::Hdd => "hdd",
        DiskClass::Virtual => "virtual",
        DiskClass::RaidVolume => "raid",
        DiskClass::Unknown => "?",
    }
}

fn disks(inventory: &Inventory, page: &mut Page) {
    page.head("Disks", &inventory.disks);
    let rows: Vec<Vec<Cell>> = inventory.disks.data.iter().map(disk).collect();
    page.table(&rows);
}

fn disk(disk: &Disk) -> Vec<Cell> {
    let health = match disk.health.as_ref().map(|h| h.state) {
        Some(HealthState::Ok) => painted("healthy", "32"),
        Some(HealthState::Warning) => painted("worn", "33"),
        Some(HealthState::Failing) => painted("FAILING", "1;31"),
        _ => painted("-", "2"),
    };
    let identity = if disk.identity.strength == Strength::Strong {
        plain(&disk.identity.value)
    } else {
        painted(format!("weak: {}", disk.identity.reason.as_deref().unwrap_or("?")), "33")
    };
    let mut notes = Vec::new();
    let table = disk.partition_table.as_deref().map(|t| format!("{t}, {} partitions", disk.partitions.len()));
    notes.extend(table);
    notes.extend(
        disk.signatures
            .iter()
            .flatten()
            .filter(|s| s.usage.as_deref() != Some("partition-table"))
            .map(|s| s.kind.clone()),
    );
    for (on, word) in [
        (disk.read_only, "read-only"),
        (disk.removable, "removable"),
        (disk.remote, "remote"),
        (disk.virtual_media, "virtual medium"),
        (disk.boot_medium, "boot medium"),
        (disk.multipath_member, "multipath"),
        (disk.mounts.as_ref().is_some_and(|m| !m.is_empty()), "mounted"),
        (!disk.holders.is_empty(), "held"),
    ] {
        if on {
            notes.push(word.to_owned());
        }
    }
    let status = if disk.status == Status::Ok { String::new() } else { disk.status.word().to_owned() };
    vec![
        painted(&disk.name, "1"),
        plain(decimal(disk.size)),
        plain(class(disk)),
        plain(words(&[disk.vendor.as_deref().filter(|v| *v != "ATA"), disk.model.as_deref()])),
        identity,
        health,
        painted(notes.join(", "), "2"),
        painted(status, "31"),
    ]
}

fn nics(inventory: &Inventory, page: &mut Page) {
    page.head("Network", &inventory.nics);
    let rows: Vec<Vec<Cell>> = inventory.nics.data.iter().map(nic).collect();
    page.table(&rows);
}

fn nic(nic: &Nic) -> Vec<Cell> {
    let link = match (nic.carrier, nic.speed) {
        (Some(true), Some(speed)) => painted(bits(speed), "32"),
        (Some(true), None) => painted("up", "32"),
        (Some(false), _) => painted("no carrier", "33"),
        (None, _) => painted("down", "2"),
    };
    let addresses: Vec<&str> = nic.addresses.iter().map(|a| a.address.as_str()).collect();
    let neighbour =
        nic.lldp.first().map(|l| format!("-> {} {}", l.system_name.as_deref().unwrap_or(&l.chassis_id), l.port_id));
    vec![
        painted(&nic.name, "1"),
        plain(words(&[nic.permanent_mac.as_deref().or(nic.mac.as_deref())])),
        link,
        plain(words(&[nic.driver.as_deref()])),
        plain(words(&[nic.vendor.as_deref(), nic.model.as_deref()])),
        plain(words(&[nic.bootif.then_some("boot")])),
        painted(format!("{} {}", addresses.join(" "), neighbour.unwrap_or_default()).trim(), "2"),
    ]
}

fn rest(inventory: &Inventory, page: &mut Page) {
    page.head("Platform", &inventory.pci);
    page.line("pci", format!("{} devices", inventory.pci.data.len()));
    for gpu in inventory.pci.data.iter().filter(|d| d.gpu) {
        page.line("gpu", words(&[Some(gpu.address.as_str()), gpu.vendor.as_deref(), gpu.device.as_deref()]));
    }
    for controller in &inventory.storage_controllers.data {
        let driver = controller.driver.as_deref().map(|d| format!("({d})"));
        page.line(
            "storage",
            words(&[
                controller.pci_address.as_deref(),
                controller.vendor.as_deref(),
                controller.model.as_deref(),
                driver.as_deref(),
            ]),
        );
    }
    for tpm in &inventory.tpm.data {
        page.line("tpm", words(&[tpm.version.as_deref(), tpm.manufacturer.as_deref(), tpm.firmware.as_deref()]));
    }
    let bmc = &inventory.bmc.data;
    if inventory.bmc.status != Status::Absent {
        page.line(
            "bmc",
            words(&[bmc.manufacturer.as_deref(), bmc.firmware.as_deref(), bmc.address.as_deref(), bmc.mac.as_deref()]),
        );
    }
    for watchdog in &inventory.watchdogs.data {
        page.line("watchdog", words(&[watchdog.identity.as_deref().or(Some(&watchdog.name))]));
    }
}

fn findings(inventory: &Inventory, page: &mut Page) {
    if inventory.findings.is_empty() {
        return;
    }
    let title = page.paint("1;36", "Findings");
    page.text.push_str(&format!("\n{title}\n"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(16 << 30), "16 GiB");
        assert_eq!(decimal(960_197_124_096), "960.1 GB");
        assert_eq!(bits(25_000_000_000), "25 Gbit/s");
        assert_eq!(bytes(u64::MAX), "16383.9 PiB");
    }

    #[test]
    fn a_device_cannot_write_on_the_terminal() {
        let mut inventory = Inventory::default();
        inventory.disks.data.push(Disk { name: "sda".into(), model: Some("evil\x1b[2J".into()), ..Disk::default() });
        inventory.system.data.manufacturer = Some("a\x07b".into());
        let text = render(&inventory, false);
        assert!(!text.contains(['\x1b', '\x07']), "{text:?}");
        assert!(render(&inventory, true).contains("\x1b[1m"));
    }
}
