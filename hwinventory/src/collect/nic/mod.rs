//! Network interfaces with hardware of their own.

mod attributes;
mod probe;

use super::Options;
use super::isolate::{self, SectionTask};
use super::place;
use crate::model::{Nic, Status};
use crate::parse::cmdline;
use crate::parse::names::natural;
use std::time::Duration;

const CLASS: &str = "/sys/class/net";

pub fn start(options: &Options, limit: Duration) -> SectionTask<Vec<Nic>> {
    let seconds = u32::try_from(options.lldp_wait.as_secs()).unwrap_or(u32::MAX);
    let deadline = options.device_deadline + options.lldp_wait;
    isolate::section("nics", "sysfs, ethtool, netlink", &options.source, limit + options.lldp_wait, move |reader| {
        let names = reader.try_list(CLASS)?;
        let bootif = reader.text("/proc/cmdline").and_then(|line| cmdline::bootif(&line));
        let mut tasks = Vec::new();
        for name in names {
            let Some(real) = reader.follow(CLASS, &name) else { continue };
            // Bridges, bonds, tunnels and the loopback have no device behind them.
            let Some(device) = reader.follow(&real, "device") else { continue };
            let bootif = bootif.clone();
            let task = isolate::device(&name.clone(), deadline, reader.source(), {
                let name = name.clone();
                move |reader, publish| {
                    let mut nic = attributes::collect(reader, name, &real, &device, bootif.as_deref());
                    publish(&nic);
                    probe::collect(reader, &mut nic, seconds, publish);
                }
            });
            tasks.push((name, task));
        }
        let mut nics = Vec::new();
        for (name, task) in tasks {
            let (nic, status, problems) = task.wait().into_device();
            let nic = Nic { name, status, problems, ..nic.unwrap_or_default() };
            if nic.status != Status::Ok {
                reader.problem(&nic.name, nic.status, "see the interface's own problems");
            }
            nics.push(nic);
        }
        nics.sort_by(order);
        Some(nics)
    })
}

/// By place in the machine, then by address: never by name.
fn order(a: &Nic, b: &Nic) -> std::cmp::Ordering {
    let (place_a, place_b) = (place::sort_key(&a.by_path), place::sort_key(&b.by_path));
    natural(place_a, place_b).then_with(|| a.port.cmp(&b.port)).then_with(|| a.mac.cmp(&b.mac))
}
