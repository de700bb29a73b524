//! The machine, its processors and its memory, on the page.

use super::{Cell, Page, bits, bytes, painted, plain, words};
use crate::model::{BootMode, CacheKind, CpuModel, Dimm, Inventory};

pub fn system(inventory: &Inventory, page: &mut Page) {
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

pub fn cpu_and_memory(inventory: &Inventory, page: &mut Page) {
    let cpu = &inventory.cpu.data;
    page.head("CPU and memory", &inventory.cpu);
    for model in &cpu.models {
        page.line("cpu", processor(model));
    }
    let count = |n: Option<u64>, word: &str| n.map(|n| format!("{n} {word}{}", if n == 1 { "" } else { "s" }));
    let parts = [count(cpu.sockets, "socket"), count(cpu.cores, "core"), count(cpu.threads, "thread")];
    let offline = cpu.offline.as_ref().filter(|o| !o.is_empty()).map(|o| format!("offline {o}"));
    page.line("topology", parts.into_iter().flatten().chain(offline).collect::<Vec<_>>().join(", "));
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
    let affected: Vec<&str> =
        cpu.vulnerabilities.iter().filter(|v| v.state.starts_with("Vulnerable")).map(|v| v.name.as_str()).collect();
    page.line("vulnerable", affected.join(", "));
    let nodes = inventory.numa.data.nodes.len();
    if nodes > 1 {
        page.line("numa", format!("{nodes} nodes"));
    }
    let memory = &inventory.memory.data;
    let physical = memory.physical.map(|n| format!("{} installed", bytes(n)));
    let usable = memory.usable.map(|n| format!("{} usable", bytes(n)));
    page.line("memory", physical.into_iter().chain(usable).collect::<Vec<_>>().join(", "));
    let rows = memory.dimms.iter().map(dimm).collect();
    page.listing(&["SLOT", "SIZE", "KIND", "SPEED", "", "MODULE"], rows);
}

fn processor(model: &CpuModel) -> String {
    let name = model.name.as_deref().or(model.vendor.as_deref()).unwrap_or("unknown");
    // Makers pad their names.
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let kind = model.core_type.as_deref().map(|kind| format!("{kind} cores"));
    let fastest = model.max_frequency.map(|hz| format!("up to {}", bits(hz).replace("bit/s", "Hz")));
    let threads = model.threads.map(|n| format!("{n} threads"));
    let details: Vec<String> = [kind, threads, fastest].into_iter().flatten().collect();
    words(&[Some(name.as_str()), Some(format!("({})", details.join(", ")).as_str()).filter(|d| *d != "()")])
}

fn dimm(dimm: &Dimm) -> Vec<Cell> {
    let slot = plain(words(&[dimm.bank.as_deref(), dimm.locator.as_deref()]));
    if !dimm.populated {
        return vec![slot, painted("empty", "2")];
    }
    let megatransfers = |speed: Option<u64>| speed.map(|s| s / 1_000_000);
    let (rated, configured) = (megatransfers(dimm.rated_speed), megatransfers(dimm.configured_speed));
    let speed = match (configured, rated) {
        (Some(is), Some(can)) if is < can => painted(format!("{is} of {can} MT/s"), "33"),
        (Some(speed), _) | (None, Some(speed)) => plain(format!("{speed} MT/s")),
        (None, None) => plain(""),
    };
    vec![
        slot,
        plain(dimm.size.map(bytes).unwrap_or_default()),
        plain(words(&[dimm.kind.as_deref()])),
        speed,
        plain(words(&[dimm.ecc.filter(|&e| e).map(|_| "ECC")])),
        painted(
            words(&[dimm.manufacturer.as_deref(), dimm.part_number.as_deref(), dimm.serial_number.as_deref()]),
            "2",
        ),
    ]
}
