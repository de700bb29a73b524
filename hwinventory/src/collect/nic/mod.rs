//! Network interfaces with hardware of their own.

mod attributes;
mod optics;
mod probe;

use super::Options;
use super::isolate::{self, SectionTask};
use super::place;
use super::pool::{self, Limits, SPARE};
use crate::model::{Nic, Status};
use crate::parse::cmdline;
use std::time::Duration;

const CLASS: &str = "/sys/class/net";
const LISTENING_AT_ONCE: usize = 1024;

pub fn start(options: &Options, limit: Duration) -> SectionTask<Vec<Nic>> {
    let seconds = u32::try_from(options.lldp_wait.as_secs()).unwrap_or(u32::MAX);
    let listening = probe::Listening { seconds, agent_off: options.lldp_agent_off };
    // Switching an agent off and on again resets some cards: seconds that are not the device's fault.
    let switching = if options.lldp_agent_off { Duration::from_secs(10) } else { Duration::ZERO };
    let limit = limit + options.lldp_wait + switching;
    let mut limits = Limits::new(options.device_deadline + options.lldp_wait + switching, limit);
    if seconds > 0 {
        // They listen for half a minute, all at the same time.
        limits.at_once = LISTENING_AT_ONCE;
    }
    isolate::section("nics", "sysfs, ethtool, netlink", &options.source, limit + SPARE, move |reader| {
        let names = reader.try_list(CLASS)?;
        let bootif = reader.text("/proc/cmdline").and_then(|line| cmdline::bootif(&line));
        let mut jobs = Vec::new();
        for name in names {
            let Some(real) = reader.follow(CLASS, &name) else { continue };
            // Bridges, bonds, tunnels and the loopback have no device behind them.
            let Some(device) = reader.follow(&real, "device") else { continue };
            jobs.push((name.clone(), (name, real, device)));
        }
        let names: Vec<String> = jobs.iter().map(|(name, _)| name.clone()).collect();
        let outcomes = pool::devices(jobs, &limits, reader.source(), move |reader, (name, real, device), publish| {
            let mut nic = attributes::collect(reader, name, &real, &device, bootif.as_deref());
            publish(&nic);
            probe::collect(reader, &mut nic, listening, publish);
        });
        let mut nics = Vec::new();
        for (name, outcome) in names.into_iter().zip(outcomes) {
            let (nic, status, problems) = outcome.into_device();
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
    place::order(a.by_path.as_deref(), b.by_path.as_deref())
        .then_with(|| a.port.cmp(&b.port))
        .then_with(|| a.mac.cmp(&b.mac))
}
