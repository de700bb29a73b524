//! `/proc/cpuinfo` of x86 and arm64.

use std::collections::BTreeMap;

/// The fields of one logical CPU that tell what it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Processor {
    pub number: u32,
    pub vendor: Option<String>,
    pub name: Option<String>,
    pub family: Option<u64>,
    pub model: Option<u64>,
    pub stepping: Option<String>,
    pub microcode: Option<String>,
    pub flags: Vec<String>,
}

/// One entry per `processor` block.
pub fn parse(text: &str) -> Vec<Processor> {
    let mut processors = Vec::new();
    // Old arm kernels write what is common to all CPUs after the last block.
    let mut common = BTreeMap::new();
    for block in text.split("\n\n") {
        let fields: BTreeMap<&str, &str> =
            block.lines().filter_map(|l| l.split_once(':')).map(|(k, v)| (k.trim(), v.trim())).collect();
        if fields.contains_key("processor") {
            processors.push(fields);
        } else {
            common.extend(fields);
        }
    }
    processors
        .into_iter()
        .enumerate()
        .map(|(index, fields)| processor(index as u32, |key| fields.get(key).or_else(|| common.get(key)).copied()))
        .collect()
}

fn processor<'a>(index: u32, get: impl Fn(&str) -> Option<&'a str>) -> Processor {
    let text = |key: &str| get(key).filter(|v| !v.is_empty()).map(str::to_owned);
    let mut flags: Vec<String> =
        get("flags").or_else(|| get("Features")).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    flags.sort();
    flags.dedup();
    let number = get("processor").and_then(|v| v.parse().ok()).unwrap_or(index);
    match get("CPU implementer").and_then(number_of) {
        Some(implementer) => {
            let part = get("CPU part").and_then(number_of);
            let variant = get("CPU variant").and_then(number_of);
            let revision = get("CPU revision").and_then(number_of);
            let (vendor, name) = super::armcpu::names(implementer, part);
            Processor {
                number,
                vendor: Some(vendor.map_or_else(|| format!("0x{implementer:02x}"), str::to_owned)),
                name: name.map(str::to_owned).or_else(|| text("model name")),
                family: None,
                model: part,
                stepping: variant.zip(revision).map(|(v, r)| format!("r{v}p{r}")),
                microcode: None,
                flags,
            }
        }
        None => Processor {
            number,
            vendor: text("vendor_id"),
            // POWER calls it `cpu`.
            name: text("model name").or_else(|| text("cpu")),
            family: get("cpu family").and_then(|v| v.parse().ok()),
            model: get("model").and_then(|v| v.parse().ok()),
            stepping: text("stepping"),
            microcode: text("microcode"),
            flags,
        },
    }
}

fn number_of(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x86() {
        let cpus = parse(
            "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: Xeon\n\
             stepping\t: 7\nmicrocode\t: 0x5003604\nflags\t\t: vmx fpu\n\nprocessor\t: 1\nvendor_id\t: GenuineIntel\n\n",
        );
        assert_eq!(cpus.len(), 2);
        assert_eq!((cpus[0].family, cpus[0].model), (Some(6), Some(85)));
        assert_eq!(cpus[0].flags, ["fpu", "vmx"]);
        assert_eq!(cpus[1].number, 1);
    }

    #[test]
    fn arm64() {
        let cpus = parse(
            "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\n\
             CPU part\t: 0xd0c\nCPU revision\t: 1\n\n",
        );
        assert_eq!(cpus[0].name.as_deref(), Some("Neoverse-N1"));
        assert_eq!(cpus[0].vendor.as_deref(), Some("ARM"));
        assert_eq!(cpus[0].stepping.as_deref(), Some("r3p1"));
    }
}
