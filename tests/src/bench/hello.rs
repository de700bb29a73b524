//! Measures the time from PID 1's first line to hello at the controller, for two ramdisks in turns.

use super::{BenchError, Result, Series};
use crate::controller::Observation;
use crate::deploy::{Netboot, start_controller};
use crate::vm::{Boot, Bus, Dirt, Disk, DiskFile, Firmware, MachineSpec, Nic, NicModel};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// The first line of PID 1.
const FIRST_LINE: &str = "init: burin ";
/// A machine that takes longer is broken, not slow.
const PATIENCE: Duration = Duration::from_secs(300);

/// Boots each of the directories `runs` times, one after the other, and returns the medians.
pub fn hello(work: &Path, netboots: &[&Path], runs: usize) -> Result<String> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); netboots.len()];
    for run in 1..=runs {
        for (directory, times) in netboots.iter().zip(&mut times) {
            let time = once(work, directory)?.as_secs_f64();
            eprintln!("run {run}, {}: {time:.2} s", directory.display());
            times.push(time);
        }
    }
    let mut table = String::from("| ramdisk | seconds from PID 1 to hello |\n|---|---|\n");
    for (directory, times) in netboots.iter().zip(times) {
        let _ = writeln!(table, "| {} | {} |", directory.display(), times.into_iter().collect::<Series>());
    }
    Ok(table)
}

fn once(work: &Path, directory: &Path) -> Result<Duration> {
    let failed = |error: &dyn std::fmt::Display| BenchError::Machine { why: error.to_string() };
    let place = tempfile::tempdir_in(work).map_err(BenchError::file("make a directory in", work))?;
    let place = place.path();
    let netboot = Netboot::open(directory).map_err(|error| failed(&error))?;
    let controller = start_controller(place, &netboot, place).map_err(|error| failed(&error))?;
    let disk = DiskFile::new(place.join("disk.raw"));
    Dirt::new(64 << 20, 1 << 20, 73).create(&disk).map_err(|error| failed(&error))?;
    let seen = controller.subscribe();
    let machine = MachineSpec::new(place, Firmware::Bios)
        .identity("b0b0b0b0-0000-4000-8000-0000000000be", "BENCH-1")
        .disk(Disk::new(Bus::VirtioBlk, disk.path(), "DISK"))
        .nic(Nic::new(NicModel::Virtio, "52:54:00:b0:00:be"))
        .boot(Boot::Kernel {
            kernel: netboot.kernel(),
            initrd: netboot.initramfs(),
            cmdline: format!("console=ttyS0,115200 quiet burin.controller={}", controller.public_url()),
        })
        .start()
        .map_err(|error| failed(&error))?;
    let lines = machine.console().lines();
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match seen.recv_timeout(left) {
            Ok(Observation::Hello { .. }) => break,
            Ok(_) => {}
            Err(_) => return Err(failed(&format!("no hello; the console:\n{}", machine.console().tail(40)))),
        }
    }
    let said = Instant::now();
    let first = lines.try_iter().find(|line| line.text.contains(FIRST_LINE));
    let first = first.ok_or_else(|| failed(&format!("PID 1 did not say \"{FIRST_LINE}\"")))?;
    Ok(said.saturating_duration_since(first.at))
}
