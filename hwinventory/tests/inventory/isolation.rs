//! One sick device costs only its own record.

use crate::support::{self, Machine};
use hwinventory::model::Status;
use hwinventory::{Options, collect};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn machine() -> Machine {
    let mut machine = Machine::default();
    for port in 1..=24u32 {
        let letter = char::from(b'a' + port as u8 - 1);
        machine.sata(&format!("sd{letter}"), port, &format!("SERIAL{port:04}"));
    }
    machine
}

#[test]
fn a_hung_disk_costs_only_itself() {
    let mut machine = machine();
    machine.hung.push(("sdf".into(), Duration::from_secs(120)));
    let started = Instant::now();
    let options = Options { source: Arc::new(machine), device_deadline: Duration::from_secs(10), ..Options::default() };
    let inventory = collect(&options);
    // The proof is that nobody waited for the disk, not how fast this machine is.
    assert!(started.elapsed() < Duration::from_secs(100));
    assert_eq!(inventory.disks.data.len(), 24);
    for disk in &inventory.disks.data {
        let expected = if disk.name == "sdf" { Status::Timeout } else { Status::Ok };
        assert_eq!(disk.status, expected, "{}: {:?}", disk.name, disk.problems);
        // What sysfs knew was kept all the same.
        assert_eq!(disk.size, 2_000_409_264 * 512);
        assert!(disk.serial.is_some());
    }
    assert_eq!(inventory.disks.status, Status::Partial);
    assert!(inventory.findings.iter().any(|f| f.code == "disk.hung"));
}

#[test]
fn a_panic_costs_only_its_own_disk() {
    let mut machine = machine();
    machine.broken.push("sdc".into());
    let inventory = support::collect(Arc::new(machine));
    let broken = inventory.disks.data.iter().find(|d| d.name == "sdc").expect("still listed");
    assert_eq!(broken.status, Status::Error);
    assert!(broken.problems[0].message.contains("a bug in a parser"));
    assert_eq!(inventory.disks.data.iter().filter(|d| d.status == Status::Ok).count(), 23);
}

/// The order of disks follows their place, so renaming changes nothing.
#[test]
fn order_survives_renaming() {
    let (mut straight, mut crossed) = (Machine::default(), Machine::default());
    straight.sata("sda", 1, "FIRST001").sata("sdb", 2, "SECOND02").sata("sdc", 10, "THIRD003");
    crossed.sata("sdc", 1, "FIRST001").sata("sda", 2, "SECOND02").sata("sdb", 10, "THIRD003");
    let serials = |machine: Machine| -> Vec<Option<String>> {
        support::collect(Arc::new(machine)).disks.data.into_iter().map(|d| d.serial).collect()
    };
    let serials = (serials(straight), serials(crossed));
    assert_eq!(serials.0, serials.1);
    assert_eq!(serials.0[2].as_deref(), Some("THIRD003"));
}

#[test]
fn a_machine_of_nothing_is_absent() {
    let inventory = support::collect(Arc::new(Machine::default()));
    for status in [
        inventory.system.status,
        inventory.cpu.status,
        inventory.memory.status,
        inventory.disks.status,
        inventory.nics.status,
        inventory.pci.status,
        inventory.tpm.status,
        inventory.bmc.status,
    ] {
        assert_eq!(status, Status::Absent);
    }
}
