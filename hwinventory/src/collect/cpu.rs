//! Processors: how many there are of what, and what they can do.

use super::{caches, threads};
use crate::model::{Cpu, CpuModel, Vulnerability};
use crate::parse::cpuinfo::{self, Processor};
use crate::parse::cpulist;
use crate::source::Reader;
use std::collections::BTreeSet;

const BASE: &str = "/sys/devices/system/cpu";

pub fn collect(reader: &Reader) -> Option<Cpu> {
    let text = reader.bytes("/proc/cpuinfo").map(text_of);
    let mut processors = cpuinfo::parse(text.as_deref().unwrap_or_default());
    let names = reader.list(BASE);
    let packages = super::dmi::with_table(reader, crate::parse::smbios::sockets).unwrap_or_default();
    if text.is_none() && names.is_empty() && packages.is_empty() {
        return None;
    }
    let list = |name: &str| reader.text(&format!("{BASE}/{name}"));
    let directories = || names.iter().filter_map(|n| n.strip_prefix("cpu")?.parse().ok()).collect();
    let present: BTreeSet<u32> = list("present").map_or_else(directories, |text| cpulist::parse(&text));
    let online_text = list("online");
    let online: BTreeSet<u32> = match &online_text {
        Some(text) => cpulist::parse(text),
        None => processors.iter().map(|p| p.number).collect(),
    };

    if processors.iter().any(|p| online.contains(&p.number)) {
        processors.retain(|p| online.contains(&p.number));
    }
    let topology = Topology::read(reader, present.intersection(&online));
    let found = caches::read(reader, present.intersection(&online));
    let mut cpu = Cpu {
        architecture: architecture(reader, &processors),
        sockets: topology.sockets(),
        dies: topology.dies(),
        cores: topology.cores(),
        threads: Some(online.len() as u64).filter(|&n| n > 0),
        threads_per_core: topology.threads_per_core(),
        online: Some(cpulist::format(&online)).filter(|t| !t.is_empty()),
        offline: offline(&present, &online),
        present: list("present"),
        possible: list("possible"),
        models: models(reader, &processors),
        packages,
        caches: caches::kinds(&found),
        topology: threads::of(reader, present.intersection(&online)),
        cache_instances: caches::instances(&found),
        flags: processors.first().map(|p| p.flags.to_vec()).unwrap_or_default(),
        vulnerabilities: vulnerabilities(reader),
        frequency_boost: reader.flag(&format!("{BASE}/cpufreq/boost")),
        ..Cpu::default()
    };
    threads::frequencies(&processors, &mut cpu);
    let has = |flag: &str| cpu.flags.iter().any(|f| f == flag);
    cpu.virtualization =
        [("vmx", "VT-x"), ("svm", "AMD-V")].iter().find(|(flag, _)| has(flag)).map(|(_, name)| (*name).to_owned());
    cpu.hypervisor = has("hypervisor").then(|| "present".to_owned());
    Some(cpu)
}

/// Hundreds of kilobytes on large machines: not copied where that can be helped.
fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The kernel's own list has all CPUs that the board could hold, those that nobody put in too.
fn offline(present: &BTreeSet<u32>, online: &BTreeSet<u32>) -> Option<String> {
    let absent = present.difference(online).copied().collect();
    Some(cpulist::format(&absent)).filter(|list| !list.is_empty() && !online.is_empty())
}

fn architecture(reader: &Reader, processors: &[Processor]) -> Option<String> {
    if let Some(arch) = reader.quiet_text("/proc/sys/kernel/arch") {
        return Some(arch);
    }
    let first = processors.first()?;
    let has = |flag: &str| first.flags.iter().any(|f| f == flag);
    let arch = if has("lm") {
        "x86_64"
    } else if first.family.is_some() {
        "i686"
    } else if has("zarch") {
        "s390x"
    } else if first.flags.iter().any(|f| f.starts_with("rv64")) {
        "riscv64"
    } else if has("asimd") || (has("fp") && has("cpuid")) {
        "aarch64"
    } else if has("vfp") || has("neon") {
        "armv7l"
    } else {
        return None;
    };
    Some(arch.to_owned())
}

/// Who shares a core, a die, a package. Sets of siblings count things: ids are only unique within the next larger one.
#[derive(Default)]
struct Topology {
    cores: BTreeSet<String>,
    dies: BTreeSet<String>,
    packages: BTreeSet<String>,
    most_threads: u64,
}

impl Topology {
    fn read<'a>(reader: &Reader, cpus: impl Iterator<Item = &'a u32>) -> Topology {
        let mut topology = Topology::default();
        for cpu in cpus {
            let get = |names: &[&str]| {
                names.iter().find_map(|name| {
                    let text = reader.quiet_text(&format!("{BASE}/cpu{cpu}/topology/{name}"))?;
                    Some((text, name.ends_with("_list")))
                })
            };
            let core = get(&["core_cpus_list", "thread_siblings_list", "core_cpus", "thread_siblings"]);
            if let Some((core, is_list)) = core {
                let threads =
                    if is_list { cpulist::parse(&core).len() as u64 } else { cpulist::parse_mask(&core).len() as u64 };
                topology.most_threads = topology.most_threads.max(threads);
                topology.cores.insert(core);
            }
            // Where the kernel does not know the die (-1), versions 5.2 to 5.16 say that each CPU is one.
            if let Some((die, _)) = get(&["die_cpus_list", "die_cpus"])
                && get(&["die_id"]).is_none_or(|(id, _)| id != "-1")
            {
                topology.dies.insert(die);
            }
            let package = get(&["package_cpus_list", "core_siblings_list", "package_cpus", "core_siblings"]);
            if let Some((package, _)) = package {
                topology.packages.insert(package);
            }
        }
        topology
    }

    fn count(set: &BTreeSet<String>) -> Option<u64> {
        (!set.is_empty()).then_some(set.len() as u64)
    }

    fn cores(&self) -> Option<u64> {
        Topology::count(&self.cores)
    }

    fn dies(&self) -> Option<u64> {
        Topology::count(&self.dies)
    }

    fn sockets(&self) -> Option<u64> {
        Topology::count(&self.packages)
    }

    fn threads_per_core(&self) -> Option<u64> {
        (self.most_threads > 0).then_some(self.most_threads)
    }
}

fn models(reader: &Reader, processors: &[Processor]) -> Vec<CpuModel> {
    let kinds = core_types(reader);
    let mut groups: Vec<(CpuModel, BTreeSet<u32>)> = Vec::new();
    for processor in processors {
        let frequency = |name: &str| {
            let path = format!("{BASE}/cpu{}/cpufreq/{name}", processor.number);
            reader.quiet_number(&path).map(|khz| khz.saturating_mul(1000))
        };
        let model = CpuModel {
            vendor: processor.vendor.clone(),
            name: processor.name.clone(),
            family: processor.family,
            model: processor.model,
            stepping: processor.stepping.clone(),
            microcode: processor.microcode.clone(),
            core_type: core_type(&kinds, processor.number),
            min_frequency: frequency("cpuinfo_min_freq"),
            max_frequency: frequency("cpuinfo_max_freq"),
            base_frequency: frequency("base_frequency"),
            ..CpuModel::default()
        };
        match groups.iter_mut().find(|(known, _)| same_kind(known, &model)) {
            Some((known, cpus)) => {
                // Some cores of a kind are allowed to go a little faster than the others.
                known.max_frequency = known.max_frequency.max(model.max_frequency);
                known.min_frequency = [known.min_frequency, model.min_frequency].into_iter().flatten().min();
                cpus.insert(processor.number);
            }
            None => groups.push((model, BTreeSet::from([processor.number]))),
        }
    }
    groups
        .into_iter()
        .map(|(model, cpus)| CpuModel { threads: Some(cpus.len() as u64), cpus: Some(cpulist::format(&cpus)), ..model })
        .collect()
}

/// Everything but how fast the single core may go.
fn same_kind(a: &CpuModel, b: &CpuModel) -> bool {
    let kind = |m: &CpuModel| CpuModel { min_frequency: None, max_frequency: None, ..m.clone() };
    kind(a) == kind(b)
}

/// CPU lists of the kinds of cores that hybrid processors of Intel have.
fn core_types(reader: &Reader) -> Vec<(&'static str, BTreeSet<u32>)> {
    const KINDS: &[(&str, &str)] =
        &[("performance", "cpu_core"), ("efficiency", "cpu_atom"), ("low-power", "cpu_lowpower")];
    let read = |(kind, unit): &(&'static str, &str)| {
        let list = reader.quiet_text(&format!("/sys/devices/{unit}/cpus"))?;
        Some((*kind, cpulist::parse(&list)))
    };
    KINDS.iter().filter_map(read).collect()
}

fn core_type(kinds: &[(&'static str, BTreeSet<u32>)], number: u32) -> Option<String> {
    kinds.iter().find(|(_, cpus)| cpus.contains(&number)).map(|(kind, _)| (*kind).to_owned())
}

fn vulnerabilities(reader: &Reader) -> Vec<Vulnerability> {
    let directory = format!("{BASE}/vulnerabilities");
    reader
        .list(&directory)
        .into_iter()
        .filter_map(|name| {
            let state = reader.text(&format!("{directory}/{name}"))?;
            Some(Vulnerability { affected: state != "Not affected", name, state })
        })
        .collect()
}
