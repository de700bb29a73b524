//! Processors of made-up machines, and what SMBIOS says of them.

use crate::builder::{self, codes, cpus, smbios, socket, system};
use crate::support::{self, Machine};
use hwinventory::Inventory;
use std::sync::Arc;

fn collect(machine: Machine) -> Inventory {
    support::collect(Arc::new(machine))
}

/// The kernel lists what the board could hold as offline; what is not there cannot be the reason for a difference.
#[test]
fn absent_processors_are_not_offline() {
    let mut machine = Machine::default();
    cpus(&mut machine, 4, 16, &[]);
    smbios(&mut machine, (3, 1), &[socket(0x41, 4, "CPU1"), socket(0x41, 4, "CPU2")]);
    let inventory = collect(machine);
    assert_eq!(inventory.cpu.data.offline, None);
    assert_eq!(inventory.cpu.data.possible.as_deref(), Some("0-15"));
    assert_eq!(codes(&inventory), ["cpu.sources-disagree", "cpu.sources-disagree"]);
}

#[test]
fn processors_that_were_switched_off_are() {
    let mut machine = Machine::default();
    cpus(&mut machine, 4, 16, &[]);
    machine.file("/sys/devices/system/cpu/present", "0-7\n");
    smbios(&mut machine, (3, 1), &[socket(0x41, 8, "CPU1")]);
    let inventory = collect(machine);
    assert_eq!(inventory.cpu.data.offline.as_deref(), Some("4-7"));
    assert!(codes(&inventory).is_empty(), "the kernel counts only what is online");
}

/// Linux 5.2 to 5.16 give a `die_cpus` of one CPU each where `die_id` is -1.
#[test]
fn dies_that_the_kernel_does_not_know() {
    let dies = |topology: &[(&str, &str)]| {
        let mut machine = Machine::default();
        cpus(&mut machine, 4, 4, topology);
        collect(machine).cpu.data.dies
    };
    assert_eq!(dies(&[("die_id", "-1"), ("die_cpus_list", "{}")]), None);
    assert_eq!(dies(&[]), None, "older kernels");
    assert_eq!(dies(&[("die_id", "0"), ("die_cpus_list", "0-3")]), Some(1));
    assert_eq!(dies(&[("die_cpus_list", "{}")]), Some(4));
}

/// VMware has a socket, populated and disabled, for every processor that a guest could be given.
#[test]
fn sockets_of_a_guest_are_no_processors_that_somebody_disabled() {
    let mut machine = Machine::default();
    let mut table = vec![system(&["VMware, Inc.", "VMware Virtual Platform"], [0; 16]), socket(0x41, 1, "CPU #000")];
    table.extend((1..128).map(|n| socket(0x43, 1, &format!("CPU #{n:03}"))));
    smbios(&mut machine, (2, 7), &table);
    cpus(&mut machine, 1, 128, &[]);
    assert!(codes(&collect(machine)).is_empty());

    // A guest that was given the names of another machine: its processor says it.
    let mut machine = Machine::default();
    let table = [system(&["Made Up", "Cloud"], [7; 16]), socket(0x41, 1, "CPU 0"), socket(0x43, 1, "CPU 1")];
    smbios(&mut machine, (3, 1), &table);
    cpus(&mut machine, 1, 1, &[]);
    machine.file("/proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu hypervisor lm\n");
    assert!(codes(&collect(machine)).is_empty());
}

/// On a real machine it is worth a word, one for all of them.
#[test]
fn disabled_processors_make_one_finding() {
    let mut machine = Machine::default();
    let mut table = vec![system(&["Made Up", "Server"], [7; 16]), socket(0x41, 4, "CPU1")];
    table.extend((2..=4).map(|n| socket(0x42, 4, &format!("CPU{n}"))));
    smbios(&mut machine, (3, 1), &table);
    builder::memory(&mut machine, 1 << 20);
    cpus(&mut machine, 4, 4, &[]);
    let inventory = collect(machine);
    let found: Vec<_> = inventory.findings.iter().filter(|f| f.code == "cpu.disabled").collect();
    assert_eq!(found.len(), 1, "{:?}", inventory.findings);
    assert!(found[0].message.contains("CPU2, CPU3, CPU4"), "{:?}", found[0]);
}
