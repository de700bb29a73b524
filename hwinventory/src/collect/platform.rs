//! Watchdogs and the kernel.

use crate::model::{Kernel, Watchdog};
use crate::source::Reader;

pub fn watchdogs(reader: &Reader) -> Option<Vec<Watchdog>> {
    let base = "/sys/class/watchdog";
    let names = reader.try_list(base)?;
    let found: Vec<Watchdog> = names
        .into_iter()
        .map(|name| {
            let text = |attribute: &str| reader.quiet_text(&format!("{base}/{name}/{attribute}"));
            let number = |attribute: &str| text(attribute).and_then(|t| t.parse().ok());
            Watchdog {
                identity: text("identity"),
                timeout: number("timeout"),
                max_timeout: number("max_timeout"),
                state: text("state"),
                nowayout: number("nowayout").map(|n: u64| n != 0),
                name,
            }
        })
        .collect();
    (!found.is_empty()).then_some(found)
}

pub fn kernel(reader: &Reader) -> Option<Kernel> {
    let sysctl = |name: &str| reader.quiet_text(&format!("/proc/sys/kernel/{name}"));
    let banner = reader.quiet_text("/proc/version");
    let release = sysctl("osrelease").or_else(|| banner.as_deref()?.split_whitespace().nth(2).map(str::to_owned));
    let modules = reader.quiet_text("/proc/modules");
    let mut modules: Vec<String> =
        modules.iter().flat_map(|t| t.lines()).filter_map(|l| l.split(' ').next()).map(str::to_owned).collect();
    modules.sort();
    let lockdown = reader
        .quiet_text("/sys/kernel/security/lockdown")
        .and_then(|t| Some(t.split_once('[')?.1.split_once(']')?.0.to_owned()));
    let kernel = Kernel {
        version: sysctl("version").or(banner),
        architecture: sysctl("arch"),
        hostname: sysctl("hostname"),
        tainted: sysctl("tainted").and_then(|t| t.parse().ok()),
        iommu: reader.source().list("/sys/kernel/iommu_groups").ok().map(|groups| !groups.is_empty()),
        release,
        modules,
        lockdown,
    };
    (kernel.release.is_some() || kernel.version.is_some()).then_some(kernel)
}
