//! `cargo bench -p hwinventory`: a machine with 24 disks, healthy and with one disk that hangs for 30 seconds. Reports the
//! time of a collection and the peak of resident memory; fails when the goals are missed.

#[allow(dead_code)] // The tests use the rest.
#[path = "../tests/inventory/support.rs"]
mod support;

use hwinventory::{Options, collect};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::Machine;

/// Kilobytes, from `/proc/self/status`.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn machine(hung: bool) -> Machine {
    let mut machine = Machine::default();
    for port in 1..=24u32 {
        machine.sata(&format!("sd{}", char::from(b'a' + port as u8 - 1)), port, &format!("SERIAL{port:04}"));
    }
    for bus in 0..64 {
        let directory = format!("/sys/bus/pci/devices/0000:{bus:02x}:00.0");
        machine.file(&format!("{directory}/vendor"), "0x8086\n").file(&format!("{directory}/device"), "0x1533\n");
        machine.file(&format!("{directory}/class"), "0x020000\n");
    }
    if hung {
        machine.hung.push(("sdf".into(), Duration::from_secs(30)));
    }
    machine
}

fn main() {
    let mut missed = false;
    for (name, hung) in [("24 disks", false), ("24 disks, one hung", true)] {
        let options = Options { source: Arc::new(machine(hung)), ..Options::default() };
        let started = Instant::now();
        let inventory = collect(&options);
        let took = started.elapsed();
        println!("{name}: {} ms, peak {} KiB, {} disks", took.as_millis(), peak(), inventory.disks.data.len());
        missed |= took >= Duration::from_secs(2) || peak() > 10 << 10;
    }
    if missed {
        println!("goal missed: under 2000 ms and 10240 KiB");
        std::process::exit(1);
    }
}
