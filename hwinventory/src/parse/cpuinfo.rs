//! `/proc/cpuinfo`, of x86 and arm64 as far as it goes, of other architectures what they have in common with these.

use std::collections::BTreeMap;
use std::rc::Rc;

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
    /// Sorted. Hundreds of CPUs have the same.
    pub flags: Rc<Vec<String>>,
    /// At the time of reading.
    pub hertz: Option<u64>,
}

impl Processor {
    /// What the maker wrote into the name: `Intel(R) Xeon(R) CPU E5-2650 v4 @ 2.20GHz`.
    pub fn nominal_hertz(&self) -> Option<u64> {
        let (_, rate) = self.name.as_deref()?.rsplit_once('@')?;
        let rate = rate.trim().to_ascii_lowercase();
        let (number, unit) =
            [("ghz", 9), ("mhz", 6)].iter().find_map(|(unit, power)| Some((rate.strip_suffix(unit)?, *power)))?;
        decimal(number.trim(), unit)
    }
}

/// A number with a fraction, times a power of ten.
fn decimal(text: &str, power: u32) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(power as usize).collect();
    let whole: u64 = whole.parse().ok()?;
    let hertz = whole.checked_mul(10u64.checked_pow(power)?)?.checked_add(digits.parse().ok()?)?;
    Some(hertz).filter(|&n| n > 0)
}

/// One entry per CPU. Every architecture has a format of its own; what is not in it is left out.
pub fn parse(text: &str) -> Vec<Processor> {
    let mut processors = Vec::new();
    // What is common to all CPUs stands in a block of its own: the last one on POWER and old arm, the first on s390 and
    // sparc.
    let mut common = BTreeMap::new();
    for block in text.split("\n\n") {
        let fields: BTreeMap<&str, &str> =
            block.lines().filter_map(|l| l.split_once(':')).map(|(k, v)| (k.trim(), v.trim())).collect();
        if fields.contains_key("processor") {
            processors.push(fields);
        } else {
            for (key, value) in fields {
                common.entry(key).or_insert(value);
            }
        }
    }
    if processors.is_empty() {
        return without_blocks(&common);
    }
    let mut lists = BTreeMap::new();
    processors
        .into_iter()
        .enumerate()
        .map(|(index, fields)| {
            let get = |key: &str| fields.get(key).or_else(|| common.get(key)).copied();
            processor(index as u32, get, &mut lists)
        })
        .collect()
}

/// s390 has one line for each CPU, sparc none: `processor 0: version = FF,  identification = 0133E8,  machine = 2964`.
fn without_blocks(common: &BTreeMap<&str, &str>) -> Vec<Processor> {
    let mut lists = BTreeMap::new();
    let mut found: Vec<Processor> = common
        .iter()
        .filter_map(|(key, value)| {
            let number = key.strip_prefix("processor ")?.trim().parse().ok()?;
            let machine = value.split(',').find_map(|part| part.trim().strip_prefix("machine = "));
            let all = processor(number, |key| common.get(key).copied(), &mut lists);
            Some(Processor { number, model: machine.and_then(|m| m.parse().ok()), ..all })
        })
        .collect();
    found.sort_by_key(|p| p.number);
    if found.is_empty() && (common.contains_key("cpu") || common.contains_key("cpu model")) {
        found.push(processor(0, |key| common.get(key).copied(), &mut lists));
    }
    found
}

/// `lists` holds the flags of the CPUs before, by their text.
fn processor<'a>(
    index: u32,
    get: impl Fn(&str) -> Option<&'a str>,
    lists: &mut BTreeMap<&'a str, Rc<Vec<String>>>,
) -> Processor {
    let first = |keys: &[&str]| keys.iter().find_map(|key| get(key)).filter(|v| !v.is_empty());
    let text = |keys: &[&str]| first(keys).map(str::to_owned);
    // x86; arm and loongarch; s390 and ia64; riscv.
    let flags = first(&["flags", "Features", "features", "isa"]).unwrap_or_default();
    let flags = lists.entry(flags).or_insert_with(|| Rc::new(words(flags))).clone();
    let number = get("processor").and_then(|v| v.parse().ok()).unwrap_or(index);
    // x86 and loongarch; POWER (`3800.000000MHz`); s390.
    let hertz = first(&["cpu MHz", "CPU MHz", "clock", "cpu MHz dynamic"]).map(|v| v.trim_end_matches("MHz"));
    let hertz = hertz.and_then(|v| decimal(v, 6));
    match get("CPU implementer").and_then(number_of) {
        Some(implementer) => {
            let part = get("CPU part").and_then(number_of);
            let variant = get("CPU variant").and_then(number_of);
            let revision = get("CPU revision").and_then(number_of);
            let (vendor, name) = super::armcpu::names(implementer, part);
            Processor {
                number,
                vendor: Some(vendor.map_or_else(|| format!("0x{implementer:02x}"), str::to_owned)),
                name: name.map(str::to_owned).or_else(|| text(&["model name", "Processor"])),
                family: None,
                model: part,
                stepping: variant.zip(revision).map(|(v, r)| format!("r{v}p{r}")),
                microcode: None,
                flags,
                hertz,
            }
        }
        None => Processor {
            number,
            vendor: text(&["vendor_id", "vendor", "mvendorid"]),
            // loongarch, POWER and sparc, mips and alpha, riscv, old arm.
            name: text(&["model name", "Model Name", "cpu", "cpu model", "uarch", "Processor"]),
            family: first(&["cpu family", "CPU Family"]).and_then(|v| v.parse().ok()),
            model: get("model").and_then(|v| v.parse().ok()),
            // POWER and loongarch call it revision.
            stepping: text(&["stepping", "revision", "CPU Revision"]),
            microcode: text(&["microcode"]),
            flags,
            hertz,
        },
    }
}

fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = text.split([' ', '\t', ',']).filter(|w| !w.is_empty()).map(str::to_owned).collect();
    words.sort();
    words.dedup();
    words
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
        assert_eq!(*cpus[0].flags, ["fpu", "vmx"]);
        assert_eq!(cpus[1].number, 1);
    }

    #[test]
    fn clock_rates() {
        let text = "processor : 0\nmodel name : Intel(R) Xeon(R) CPU E5-2650 v4 @ 2.20GHz\ncpu MHz : 1199.978\n\n";
        let cpu = &parse(text)[0];
        assert_eq!((cpu.hertz, cpu.nominal_hertz()), (Some(1_199_978_000), Some(2_200_000_000)));
        let power = &parse("processor : 0\ncpu : POWER9\nclock : 3800.000000MHz\n\n")[0];
        assert_eq!((power.hertz, power.nominal_hertz()), (Some(3_800_000_000), None));
        assert_eq!(decimal("99999999999999999999", 9), None);
        assert_eq!(decimal("é", 6), None);
        assert_eq!(decimal("1.é", 6), None);
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

    #[test]
    fn s390x() {
        let cpus = parse(
            "vendor_id       : IBM/S390\n# processors    : 2\nfeatures\t: esan3 zarch stfle \nfacilities      : 0 1 2\n\
             processor 0: version = FF,  identification = 0133E8,  machine = 2964\n\
             processor 1: version = FF,  identification = 0133E8,  machine = 2964\n\ncpu number      : 0\n\n",
        );
        assert_eq!(cpus.iter().map(|c| c.number).collect::<Vec<_>>(), [0, 1]);
        assert_eq!((cpus[1].vendor.as_deref(), cpus[1].model), (Some("IBM/S390"), Some(2964)));
        assert_eq!(*cpus[0].flags, ["esan3", "stfle", "zarch"]);
    }

    #[test]
    fn power_riscv_and_sparc() {
        let power = parse(
            "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nrevision\t: 2.2 (pvr 004e 1202)\n\n\
             processor\t: 4\ncpu\t\t: POWER9, altivec supported\n\nplatform\t: PowerNV\nmodel\t\t: 9006-22P\n",
        );
        assert_eq!((power.len(), power[1].number), (2, 4));
        assert_eq!(power[0].name.as_deref(), Some("POWER9, altivec supported"));
        assert_eq!(power[0].stepping.as_deref(), Some("2.2 (pvr 004e 1202)"));
        let riscv =
            parse("processor\t: 0\nhart\t\t: 1\nisa\t\t: rv64imafdc\nmmu\t\t: sv39\nuarch\t\t: sifive,u74-mc\n\n");
        assert_eq!(
            (riscv[0].name.as_deref(), riscv[0].flags.as_slice()),
            (Some("sifive,u74-mc"), &["rv64imafdc".to_owned()][..])
        );
        let sparc = parse("cpu\t\t: UltraSparc T1 (Niagara)\ntype\t\t: sun4v\nncpus active\t: 24\n");
        assert_eq!(sparc[0].name.as_deref(), Some("UltraSparc T1 (Niagara)"));
        assert_eq!(parse(""), []);
    }
}
