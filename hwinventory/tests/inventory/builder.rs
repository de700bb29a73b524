//! Parts of made-up machines: block devices, SMBIOS structures, processors.

use crate::support::Machine;

/// A block device below the device directory `real`, linked as the kernel does. `attributes` are files below it.
pub fn disk(machine: &mut Machine, real: &str, name: &str, attributes: &[(&str, &str)]) -> String {
    let direct = ["nvme", "md", "dm"].iter().any(|p| name.starts_with(p));
    let base = if direct { format!("{real}/{name}") } else { format!("{real}/block/{name}") };
    machine.file(&format!("{base}/size"), "1000\n").file(&format!("{base}/dev"), "8:0\n");
    for (attribute, value) in attributes {
        machine.file(&format!("{base}/{attribute}"), &format!("{value}\n"));
    }
    machine.link(&format!("/sys/block/{name}"), &base);
    if !base.contains("/virtual/") {
        machine.link(&format!("{base}/device"), real);
    }
    base
}

/// A SCSI disk: `real` ends with `host:channel:target:lun`.
pub fn scsi(machine: &mut Machine, real: &str, name: &str, names: [&str; 3], attributes: &[(&str, &str)]) -> String {
    for (file, value) in ["vendor", "model", "rev"].iter().zip(names) {
        machine.file(&format!("{real}/{file}"), &format!("{value}\n"));
    }
    disk(machine, real, name, attributes)
}

/// The formatted area of an SMBIOS structure, of zeros until set.
pub struct Structure {
    kind: u8,
    body: Vec<u8>,
    strings: Vec<String>,
}

impl Structure {
    /// `length` with its header, as the specification counts.
    pub fn new(kind: u8, length: usize, strings: &[&str]) -> Structure {
        Structure { kind, body: vec![0; length - 4], strings: strings.iter().map(|s| (*s).to_owned()).collect() }
    }

    /// `at` as the specification counts.
    pub fn set(mut self, at: usize, bytes: &[u8]) -> Structure {
        self.body[at - 4..at - 4 + bytes.len()].copy_from_slice(bytes);
        self
    }
}

/// A table with an entry point of this version; handles count from 0.
pub fn smbios(machine: &mut Machine, version: (u8, u8), structures: &[Structure]) {
    let end = Structure::new(127, 4, &[]);
    let mut table = Vec::new();
    for (handle, s) in structures.iter().chain([&end]).enumerate() {
        table.extend([s.kind, 4 + s.body.len() as u8]);
        table.extend((handle as u16).to_le_bytes());
        table.extend(&s.body);
        for string in &s.strings {
            table.extend(string.bytes());
            table.push(0);
        }
        table.extend(if s.strings.is_empty() { &[0, 0][..] } else { &[0] });
    }
    let length = (table.len() as u32).to_le_bytes();
    let entry = if version.0 >= 3 {
        [b"_SM3_\0\x18", &[version.0, version.1][..], b"\0\x01\0", &length, &32u64.to_le_bytes()].concat()
    } else {
        let head = [b"_SM_\0\x1f", &[version.0, version.1][..], &[0; 8], b"_DMI_\0", &length[..2]].concat();
        [&head[..], &32u32.to_le_bytes(), &[structures.len() as u8 + 1, 0, version.0 << 4 | version.1]].concat()
    };
    machine.files.insert("/sys/firmware/dmi/tables/DMI".into(), table);
    machine.files.insert("/sys/firmware/dmi/tables/smbios_entry_point".into(), entry);
}

/// Type 1 with this UUID, in the byte order of version 2.6 and later.
pub fn system(names: &[&str], uuid: [u8; 16]) -> Structure {
    let numbers: Vec<u8> = (1..=4).map(|n| if n <= names.len() { n as u8 } else { 0 }).collect();
    Structure::new(1, 0x1b, names).set(4, &numbers).set(8, &uuid)
}

/// Type 17: size in MiB, kind and form factor by their numbers.
pub fn dimm(mib: u16, kind: u8, form_factor: u8, locator: &str) -> Structure {
    let dimm = Structure::new(17, 0x54, &[locator]);
    dimm.set(0x0c, &mib.to_le_bytes()).set(0x0e, &[form_factor]).set(0x10, &[1]).set(0x12, &[kind])
}

/// Type 4. Status 0x41: populated and enabled; 0x43: disabled by the firmware.
pub fn socket(status: u8, cores: u8, designation: &str) -> Structure {
    let socket = Structure::new(4, 0x30, &[designation]).set(4, &[1, 3]);
    socket.set(0x18, &[status, 1]).set(0x23, &[cores, cores, cores])
}

/// `online` CPUs of one package, of `possible`; `topology` adds files, `{}` in their values being the CPU's number.
pub fn cpus(machine: &mut Machine, online: u32, possible: u32, topology: &[(&str, &str)]) {
    let base = "/sys/devices/system/cpu";
    let list = |n: u32| format!("0-{}\n", n - 1);
    machine.file(&format!("{base}/online"), &list(online)).file(&format!("{base}/present"), &list(online));
    machine.file(&format!("{base}/possible"), &list(possible));
    let absent = if possible > online { format!("{online}-{}\n", possible - 1) } else { "\n".to_owned() };
    machine.file(&format!("{base}/offline"), &absent);
    let mut cpuinfo = String::new();
    for cpu in 0..online {
        let number = cpu.to_string();
        let mut put = |name: &str, value: &str| {
            machine.file(&format!("{base}/cpu{cpu}/topology/{name}"), &format!("{}\n", value.replace("{}", &number)));
        };
        put("core_cpus_list", "{}");
        put("package_cpus_list", list(online).trim());
        topology.iter().for_each(|(name, value)| put(name, value));
        cpuinfo += &format!("processor\t: {cpu}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\n");
        cpuinfo += "model name\t: Made Up\nflags\t\t: fpu lm\n\n";
    }
    machine.file("/proc/cpuinfo", &cpuinfo);
}

pub fn memory(machine: &mut Machine, kib: u64) {
    machine.file("/proc/meminfo", &format!("MemTotal: {kib} kB\n"));
}

pub fn codes(inventory: &hwinventory::Inventory) -> Vec<&str> {
    inventory.findings.iter().map(|f| f.code.as_str()).collect()
}
