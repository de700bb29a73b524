//! SMBIOS tables, compared value by value with dmidecode: captured ones, and made ones that hold every word of every
//! enumeration.

use crate::support;
use hwinventory::Inventory;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Fields with words of SMBIOS 3.6 and later, which the dmidecode of Debian 12 (3.4) does not know: sockets from LGA1700
/// on, LoongArch and later families, HBM3, CAMM.
const NEWER: &[&str] = &["Upgrade", "Family", "Type", "Form Factor"];

/// One structure as dmidecode prints it: `Name: value`, and for a list its lines joined.
#[derive(Debug)]
struct Printed {
    context: String,
    fields: BTreeMap<String, String>,
}

/// The structures of one type, in the order of the table.
fn printed(context: &str, text: &str, kind: u8) -> Vec<Printed> {
    let marker = format!("DMI type {kind},");
    let blocks = text.split("\n\n").filter(|block| block.contains(&marker));
    blocks
        .map(|block| {
            let mut fields: BTreeMap<String, String> = BTreeMap::new();
            let mut last = String::new();
            for line in block.lines().filter_map(|l| l.strip_prefix('\t')) {
                if let Some(item) = line.strip_prefix('\t') {
                    let list = fields.entry(last.clone()).or_default();
                    list.push_str(if list.is_empty() { "" } else { "\n" });
                    list.push_str(item.trim());
                    // Records of type 42 are indented, and name their fields.
                    if let Some((name, value)) = item.split_once(": ") {
                        fields.entry(name.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
                    }
                } else if let Some((name, value)) = line.split_once(':') {
                    last = name.trim().to_owned();
                    fields.insert(last.clone(), value.trim().to_owned());
                }
            }
            Printed {
                context: format!("{context} type {kind} {}", fields.values().next().cloned().unwrap_or_default()),
                fields,
            }
        })
        .collect()
}

impl Printed {
    /// `None` where dmidecode says that there is nothing, or nothing that the specification knows.
    fn get(&self, name: &str) -> Option<&str> {
        const NOTHING: &[&str] = &[
            "",
            "Not Specified",
            "Unknown",
            "None",
            "Not Present",
            "Not Settable",
            "Not Provided",
            "Unspecified",
            "<OUT OF SPEC>",
            "Out Of Spec",
            "<BAD INDEX>",
        ];
        self.fields.get(name).map(|v| v.trim()).filter(|v| !NOTHING.contains(v))
    }

    /// The same, or left out because it is a placeholder.
    fn text(&self, name: &str, ours: Option<&str>) {
        match (ours, self.get(name)) {
            (None, Some(text)) => {
                assert!(hwinventory::fuzz::is_placeholder(text), "{} {name}: {text:?} was left out", self.context);
            }
            // Words that the specification has got since.
            (Some(_), None) if self.fields.get(name).is_some_and(|v| v.ends_with("<OUT OF SPEC>")) => {
                assert!(NEWER.contains(&name), "{} {name}: {ours:?} is unknown to dmidecode", self.context);
            }
            (ours, theirs) => assert_eq!(ours, theirs, "{} {name}", self.context),
        }
    }

    fn number(&self, name: &str, unit: &str, factor: u64, ours: Option<u64>) {
        let theirs = self.get(name).and_then(|v| v.strip_suffix(unit)?.trim().parse::<u64>().ok());
        assert_eq!(ours, theirs.map(|n| n * factor).filter(|&n| n != 0), "{} {name}", self.context);
    }

    /// `32 MB`
    fn size(&self, name: &str, ours: Option<u64>) {
        let theirs = self.get(name).and_then(|v| {
            let (number, unit) = v.split_once(' ')?;
            let shift = ["bytes", "kB", "MB", "GB", "TB"].iter().position(|u| *u == unit)? * 10;
            Some(number.parse::<u64>().ok()? << shift).filter(|&n| n != 0)
        });
        assert_eq!(ours, theirs, "{} {name}", self.context);
    }
}

fn volts(text: &str) -> Option<u64> {
    let volts: f64 = text.strip_suffix(" V")?.parse().ok()?;
    Some((volts * 1000.0).round() as u64)
}

fn dmidecode(dump: &Path) -> String {
    let output = Command::new("dmidecode").arg("--from-dump").arg(dump).output().expect("dmidecode runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn collect(dump: &[u8]) -> Inventory {
    let mut machine = support::Machine::default();
    machine.smbios(dump);
    support::collect(Arc::new(machine))
}

/// Every field that both have. What dmidecode prints otherwise: widths of slots stand before their type, interfaces and
/// type details are explained in brackets, voltages are in volts.
fn compare(context: &str, text: &str, inventory: &Inventory) -> usize {
    let mut compared = 0;
    let mut of = |kind: u8| {
        let found = printed(context, text, kind);
        compared += found.len();
        found
    };
    let system = &inventory.system.data;
    if let (Some(theirs), Some(ours)) = (of(0).first(), &system.bios) {
        theirs.text("Vendor", ours.vendor.as_deref());
        theirs.text("Version", ours.version.as_deref());
        theirs.text("Release Date", ours.date.as_deref());
        theirs.text("BIOS Revision", ours.release.as_deref());
        theirs.text("Firmware Revision", ours.embedded_controller_release.as_deref());
        theirs.size("ROM Size", ours.rom_size);
        let says = |word: &str| theirs.fields.get("Characteristics").is_some_and(|c| c.contains(word));
        assert_eq!(ours.uefi.unwrap_or(false), says("UEFI is supported"), "{context}");
        assert_eq!(ours.virtual_machine.unwrap_or(false), says("System is a virtual machine"), "{context}");
    }
    if let Some(theirs) = of(1).first() {
        theirs.text("Manufacturer", system.manufacturer.as_deref());
        theirs.text("Product Name", system.product_name.as_deref());
        theirs.text("Version", system.version.as_deref());
        theirs.text("Serial Number", system.serial_number.as_deref());
        theirs.text("UUID", system.uuid.as_deref());
        theirs.text("Wake-up Type", system.wake_up_type.as_deref());
        theirs.text("SKU Number", system.sku_number.as_deref());
        theirs.text("Family", system.family.as_deref());
    }
    let boards = of(2);
    assert_eq!(system.baseboards.len(), boards.len(), "{context}: boards");
    for (ours, theirs) in system.baseboards.iter().zip(&boards) {
        theirs.text("Manufacturer", ours.manufacturer.as_deref());
        theirs.text("Product Name", ours.product_name.as_deref());
        theirs.text("Version", ours.version.as_deref());
        theirs.text("Serial Number", ours.serial_number.as_deref());
        theirs.text("Asset Tag", ours.asset_tag.as_deref());
        theirs.text("Location In Chassis", ours.location.as_deref());
        theirs.text("Type", ours.kind.as_deref());
    }
    let cases = of(3);
    assert_eq!(system.chassis.len(), cases.len(), "{context}: chassis");
    for (ours, theirs) in system.chassis.iter().zip(&cases) {
        theirs.text("Manufacturer", ours.manufacturer.as_deref());
        theirs.text("Type", ours.kind.as_deref());
        theirs.text("Version", ours.version.as_deref());
        theirs.text("Serial Number", ours.serial_number.as_deref());
        theirs.text("Asset Tag", ours.asset_tag.as_deref());
        theirs.text("SKU Number", ours.sku_number.as_deref());
        theirs.number("Height", " U", 1, ours.height);
    }
    let packages = of(4);
    assert_eq!(inventory.cpu.data.packages.len(), packages.len(), "{context}: sockets");
    for (ours, theirs) in inventory.cpu.data.packages.iter().zip(&packages) {
        let status = match &ours.status {
            _ if !ours.populated => "Unpopulated".to_owned(),
            Some(status) => format!("Populated, {status}"),
            None => "Populated, Unknown".to_owned(),
        };
        if let Some(theirs) = theirs.get("Status").filter(|s| !s.contains("OUT OF SPEC")) {
            assert_eq!(status, theirs, "{context}");
        }
        theirs.text("Socket Designation", ours.designation.as_deref());
        theirs.text("Upgrade", ours.upgrade.as_deref().filter(|u| *u != "None"));
        if !ours.populated {
            continue;
        }
        theirs.text("Type", ours.kind.as_deref());
        theirs.text("Family", ours.family.as_deref());
        theirs.text("Manufacturer", ours.manufacturer.as_deref());
        theirs.text("Version", ours.version.as_deref());
        theirs.text("Serial Number", ours.serial_number.as_deref());
        theirs.text("Asset Tag", ours.asset_tag.as_deref());
        theirs.text("Part Number", ours.part_number.as_deref());
        let id =
            theirs.get("ID").map(|id| id.replace(' ', "").to_lowercase()).filter(|id| id.bytes().any(|b| b != b'0'));
        assert_eq!(ours.id, id, "{}", theirs.context);
        assert_eq!(ours.voltage, theirs.get("Voltage").and_then(volts).filter(|&v| v != 0), "{}", theirs.context);
        theirs.number("External Clock", " MHz", 1_000_000, ours.external_clock);
        theirs.number("Max Speed", " MHz", 1_000_000, ours.max_speed);
        theirs.number("Current Speed", " MHz", 1_000_000, ours.current_speed);
        theirs.number("Core Count", "", 1, ours.cores);
        theirs.number("Core Enabled", "", 1, ours.enabled_cores);
        theirs.number("Thread Count", "", 1, ours.threads);
        let list =
            theirs.get("Characteristics").map_or(0, |c| c.lines().filter(|l| !l.contains("OUT OF SPEC")).count());
        assert_eq!(ours.characteristics.len(), list, "{} characteristics", theirs.context);
    }
    let slots = of(9);
    assert_eq!(system.slots.len(), slots.len(), "{context}: slots");
    for (ours, theirs) in system.slots.iter().zip(&slots) {
        theirs.text("Designation", ours.designation.as_deref());
        let kind: Vec<&str> = [ours.width.as_deref(), ours.kind.as_deref()].into_iter().flatten().collect();
        // A width that the specification does not know stands before the type.
        let known =
            theirs.get("Type").map(|t| t.replace("<OUT OF SPEC>", "").trim().to_owned()).filter(|t| !t.is_empty());
        assert_eq!(Some(kind.join(" ")).filter(|k| !k.is_empty()), known, "{}", theirs.context);
        theirs.text("Current Usage", ours.usage.as_deref());
        theirs.text("Length", ours.length.as_deref());
        theirs.text("Bus Address", ours.pci_address.as_deref());
        // What the id means depends on the bus; dmidecode shows it for some only.
        if let Some(id) = theirs.get("ID").and_then(|id| id.parse::<u64>().ok()) {
            assert_eq!(ours.id, Some(id), "{}", theirs.context);
        }
    }
    let theirs: Vec<String> = of(11)
        .iter()
        .flat_map(|p| {
            p.fields.iter().filter(|(k, _)| k.starts_with("String ")).map(|(_, v)| v.clone()).collect::<Vec<_>>()
        })
        .collect();
    let mut ours = system.oem_strings.clone();
    let mut theirs: Vec<String> = theirs.into_iter().filter(|t| !t.is_empty()).collect();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs, "{context}: OEM strings");
    let arrays = of(16);
    assert_eq!(inventory.memory.data.arrays.len(), arrays.len(), "{context}: arrays");
    for (ours, theirs) in inventory.memory.data.arrays.iter().zip(&arrays) {
        theirs.text("Location", ours.location.as_deref());
        theirs.text("Use", ours.usage.as_deref());
        theirs.text("Error Correction Type", ours.error_correction.as_deref().filter(|w| *w != "None"));
        theirs.size("Maximum Capacity", ours.max_capacity);
        theirs.number("Number Of Devices", "", 1, ours.slots.filter(|&n| n != 0));
    }
    let dimms = of(17);
    assert_eq!(inventory.memory.data.dimms.len(), dimms.len(), "{context}: DIMM slots");
    for (ours, theirs) in inventory.memory.data.dimms.iter().zip(&dimms) {
        let empty = theirs.fields.get("Size").map(String::as_str) == Some("No Module Installed");
        assert_eq!(ours.populated, !empty, "{}", theirs.context);
        theirs.text("Locator", ours.locator.as_deref());
        theirs.text("Bank Locator", ours.bank.as_deref());
        if !ours.populated {
            continue;
        }
        theirs.size("Size", ours.size);
        theirs.text("Form Factor", ours.form_factor.as_deref());
        theirs.text("Type", ours.kind.as_deref());
        theirs.number("Speed", " MT/s", 1_000_000, ours.rated_speed);
        theirs.number("Configured Memory Speed", " MT/s", 1_000_000, ours.configured_speed);
        theirs.number("Rank", "", 1, ours.ranks);
        theirs.number("Total Width", " bits", 1, ours.total_width);
        theirs.number("Data Width", " bits", 1, ours.data_width);
        theirs.text("Manufacturer", ours.manufacturer.as_deref());
        theirs.text("Part Number", ours.part_number.as_deref());
        theirs.text("Serial Number", ours.serial_number.as_deref());
        theirs.text("Asset Tag", ours.asset_tag.as_deref());
        theirs.text("Memory Technology", ours.technology.as_deref());
        assert_eq!(ours.configured_voltage, theirs.get("Configured Voltage").and_then(volts), "{}", theirs.context);
    }
    if let Some(theirs) = of(38).first() {
        let ours = inventory.bmc.data.interface.as_deref();
        let word = theirs.get("Interface Type").map(|t| t.split(' ').next().unwrap_or_default());
        assert_eq!(ours, word, "{context}");
        theirs.text("Specification Version", inventory.bmc.data.ipmi_version.as_deref());
    }
    let supplies = of(39);
    assert_eq!(system.power_supplies.len(), supplies.len(), "{context}: power supplies");
    for (ours, theirs) in system.power_supplies.iter().zip(&supplies) {
        theirs.text("Location", ours.location.as_deref());
        theirs.text("Name", ours.name.as_deref());
        theirs.text("Manufacturer", ours.manufacturer.as_deref());
        theirs.text("Serial Number", ours.serial_number.as_deref());
        theirs.text("Asset Tag", ours.asset_tag.as_deref());
        theirs.text("Model Part Number", ours.part_number.as_deref());
        theirs.number("Max Power Capacity", " W", 1000, ours.max_power);
    }
    let devices = of(41);
    if !devices.is_empty() {
        assert_eq!(system.onboard_devices.len(), devices.len(), "{context}: onboard devices");
        for (ours, theirs) in system.onboard_devices.iter().zip(&devices) {
            theirs.text("Reference Designation", ours.designation.as_deref());
            theirs.text("Type", ours.kind.as_deref());
            let status = ours.enabled.map(|e| if e { "Enabled" } else { "Disabled" });
            theirs.text("Status", status);
            theirs.number("Type Instance", "", 1, ours.instance.filter(|&n| n != 0));
            theirs.text("Bus Address", ours.pci_address.as_deref());
        }
    }
    let interfaces = of(42);
    assert_eq!(inventory.bmc.data.host_interfaces.len(), interfaces.len(), "{context}: host interfaces");
    for (ours, theirs) in inventory.bmc.data.host_interfaces.iter().zip(&interfaces) {
        if let Some(kind) = theirs.get("Host Interface Type") {
            assert_eq!(ours.kind.as_deref().map(str::to_lowercase), Some(kind.to_lowercase()), "{}", theirs.context);
        }
        let Some(redfish) = &ours.redfish else { continue };
        theirs.text("Service UUID", redfish.uuid.as_deref());
        theirs.text("IPv4 Address", redfish.host_address.as_deref());
        theirs.text("IPv4 Redfish Service Address", redfish.address.as_deref());
        theirs.text("IPv4 Redfish Service Mask", redfish.netmask.as_deref());
        theirs.number("Redfish Service Port", "", 1, redfish.port);
        theirs.text("Redfish Service Hostname", redfish.hostname.as_deref());
    }
    compared
}

#[test]
fn captured_tables_are_as_dmidecode_reads_them() {
    if !support::has("dmidecode") {
        return;
    }
    for dump in support::archives("smbios") {
        let bytes = std::fs::read(&dump).expect("readable");
        let context = dump.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !bytes.starts_with(b"_SM") {
            println!("{context} is a bare table, which dmidecode does not read");
            continue;
        }
        let compared = compare(&context, &dmidecode(&dump), &collect(&bytes));
        assert!(compared > 5, "{context}: {compared} structures were compared");
    }
}

/// Type, what stands behind the header, and strings.
type Made = (u8, Vec<u8>, &'static [&'static str]);

/// A file of made structures, numbered from 1.
fn dump(version: (u8, u8), structures: &[Made]) -> Vec<u8> {
    let mut table = Vec::new();
    let end: Made = (127, Vec::new(), &[]);
    for ((kind, body, strings), handle) in structures.iter().chain([&end]).zip(1u16..) {
        table.extend([*kind, body.len() as u8 + 4]);
        table.extend(handle.to_le_bytes());
        table.extend(body);
        for text in *strings {
            table.extend(text.as_bytes());
            table.push(0);
        }
        if strings.is_empty() {
            table.push(0);
        }
        table.push(0);
    }
    let mut entry = b"_SM3_\0\x18".to_vec();
    entry.extend([version.0, version.1, 0, 1, 0]);
    entry.extend((table.len() as u32).to_le_bytes());
    entry.extend(32u64.to_le_bytes());
    entry[5] = entry.iter().fold(0u8, |sum, b| sum.wrapping_sub(*b));
    entry.resize(32, 0);
    [entry, table].concat()
}

/// A body of `length` bytes of a structure, with bytes at their offsets in the structure.
fn body(length: usize, values: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = vec![0; length - 4];
    values.iter().for_each(|(at, value)| bytes[at - 4] = *value);
    bytes
}

/// Type, length of the structure, offset of the field, and what makes dmidecode show the field at all.
type Enumeration = (u8, usize, usize, &'static [(usize, u8)]);

const ENUMERATIONS: &[Enumeration] = &[
    (2, 0x0f, 0x0d, &[]),
    (3, 0x16, 0x05, &[]),
    (4, 0x30, 0x05, &[(0x18, 0x41)]),
    (4, 0x30, 0x06, &[(0x18, 0x41), (0x04, 1), (0x07, 2)]),
    (4, 0x30, 0x11, &[(0x18, 0x41)]),
    (4, 0x30, 0x18, &[]),
    (4, 0x30, 0x19, &[(0x18, 0x41)]),
    (4, 0x30, 0x26, &[(0x18, 0x41)]),
    (9, 0x11, 0x05, &[(0x06, 2)]),
    (9, 0x11, 0x06, &[(0x05, 0xa5)]),
    (9, 0x11, 0x07, &[(0x05, 0xa5), (0x06, 2)]),
    (9, 0x11, 0x08, &[(0x05, 0xa5), (0x06, 2)]),
    (16, 0x17, 0x04, &[]),
    (16, 0x17, 0x05, &[]),
    (16, 0x17, 0x06, &[]),
    (17, 0x5c, 0x0e, &[(0x0d, 4)]),
    (17, 0x5c, 0x12, &[(0x0d, 4)]),
    (17, 0x5c, 0x1b, &[(0x0d, 4)]),
    (17, 0x5c, 0x28, &[(0x0d, 4)]),
    (41, 0x0b, 0x05, &[]),
];

#[test]
fn every_word_is_as_dmidecode_has_it() {
    if !support::has("dmidecode") {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("dump");
    let check = |context: &str, bytes: &[u8]| {
        std::fs::write(&file, bytes).expect("a file");
        compare(context, &dmidecode(&file), &collect(bytes))
    };
    for (kind, length, at, others) in ENUMERATIONS {
        let structure =
            |value: u8| -> Made { (*kind, body(*length, &[others, &[(*at, value)][..]].concat()), &["name", "Intel"]) };
        // 0xfe of a processor's family refers to another field.
        let values = (0..=255).filter(|v| (*kind, *at, *v) != (4, 0x06, 0xfe));
        let structures: Vec<Made> = values.map(structure).collect();
        let compared = check(&format!("offset 0x{at:02x}"), &dump((3, 5), &structures));
        assert!(compared >= structures.len(), "type {kind}");
    }
    // Families of two bytes.
    let wide = |value: u16| -> Made {
        let [low, high] = value.to_le_bytes();
        let values = [(0x18, 0x41), (0x04, 1), (0x06, 0xfe), (0x28, low), (0x29, high)];
        (4, body(0x30, &values), &["name", "Intel"])
    };
    check("wide family", &dump((3, 5), &(0x100..0x280).map(wide).collect::<Vec<_>>()));
    // There is one system.
    for value in 0..12 {
        check("wake-up", &dump((3, 5), &[(1, body(0x1b, &[(0x18, value)]), &[])]));
    }
    for value in 0..8 {
        check("ipmi", &dump((3, 5), &[(38, body(0x12, &[(0x04, value), (0x05, 0x20)]), &[])]));
    }
}

/// Numbers at the ends of their ranges, and those that refer to wider fields.
#[test]
fn numbers_are_as_dmidecode_reads_them() {
    if !support::has("dmidecode") {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("dump");
    let dimm = |values: &[(usize, u8)]| -> Made { (17, body(0x5c, values), &["DIMM_A1", "BANK 0"]) };
    let structures: [Made; 14] = [
        (
            0,
            body(0x1a, &[(0x09, 0xff), (0x18, 0x20), (0x14, 1), (0x15, 9), (0x16, 0xff), (0x17, 0xff)]),
            &[] as &[&str],
        ),
        (1, body(0x1b, &(0..16).map(|i| (0x08 + i, i as u8 * i as u8 + 1)).collect::<Vec<_>>()), &[]),
        (3, body(0x19, &[(0x05, 0x97), (0x11, 2), (0x13, 1), (0x14, 3), (0x18, 1)]), &["SKU7"]),
        // 64 GiB by the extended size, 5600 MT/s by the extended speed.
        dimm(&[(0x0c, 0xff), (0x0d, 0x7f), (0x1d, 0), (0x1e, 1), (0x10, 1), (0x11, 2)]),
        dimm(&[(0x0d, 4), (0x15, 0xff), (0x16, 0xff), (0x54, 0xe0), (0x55, 0x15), (0x20, 0xc0), (0x21, 0x12)]),
        dimm(&[(0x0c, 0x00), (0x0d, 0x82), (0x08, 72), (0x0a, 64), (0x1b, 2), (0x26, 0xb0), (0x27, 4)]),
        dimm(&[(0x0c, 0xff), (0x0d, 0xff)]),
        dimm(&[(0x10, 1)]),
        (16, body(0x17, &[(0x04, 3), (0x05, 3), (0x0a, 0x80), (0x14, 1), (0x0d, 8)]), &[]),
        (
            4,
            body(
                0x30,
                &[
                    (0x18, 0x41),
                    (0x23, 0xff),
                    (0x24, 0xff),
                    (0x25, 0xff),
                    (0x2b, 1),
                    (0x2c, 96),
                    (0x2e, 192),
                    (0x12, 100),
                ],
            ),
            &[],
        ),
        (39, body(0x16, &[(0x05, 1), (0x06, 2), (0x0c, 0x20), (0x0d, 3), (0x0e, 2)]), &["left", "PSU800"]),
        (41, body(0x0b, &[(0x05, 0x85), (0x06, 2), (0x09, 4), (0x0a, 0x09)]), &[]),
        (41, body(0x0b, &[(0x05, 0x05), (0x07, 0xff), (0x08, 0xff), (0x09, 0xff), (0x0a, 0xff)]), &[]),
        (11, body(0x05, &[(0x04, 2)]), &["one", "two"]),
    ];
    let bytes = dump((3, 5), &structures);
    std::fs::write(&file, &bytes).expect("a file");
    let inventory = collect(&bytes);
    compare("numbers", &dmidecode(&file), &inventory);
    let memory = &inventory.memory.data;
    assert_eq!(memory.dimms[0].size, Some(64 << 30));
    assert_eq!(memory.dimms[1].rated_speed, Some(5_600_000_000));
    assert_eq!(inventory.cpu.data.packages[0].cores, Some(256));
    assert_eq!(inventory.system.data.bios.as_ref().and_then(|b| b.rom_size), Some(32 << 20));
    assert_eq!(inventory.system.data.power_supplies[0].max_power, Some(800_000));
}

/// A BMC's network interface for the host, with Redfish behind it (DSP0270).
#[test]
fn host_interfaces_are_as_dmidecode_reads_them() {
    if !support::has("dmidecode") {
        return;
    }
    let address = |bytes: [u8; 4]| {
        let mut wide = bytes.to_vec();
        wide.resize(16, 0);
        wide
    };
    let mut redfish: Vec<u8> = (1..=16).map(|n: u8| n.wrapping_mul(n)).collect();
    redfish.extend([1, 1]);
    redfish.extend(address([169, 254, 0, 2]));
    redfish.extend(address([255, 255, 0, 0]));
    redfish.extend([1, 1]);
    redfish.extend(address([169, 254, 0, 1]));
    redfish.extend(address([255, 255, 0, 0]));
    redfish.extend(443u16.to_le_bytes());
    redfish.extend(0u32.to_le_bytes());
    redfish.extend(b"\x04bmc1");
    let interface = |device: &[u8]| -> Made {
        let mut body = vec![0x40, device.len() as u8];
        body.extend(device);
        body.extend([1, 4, redfish.len() as u8]);
        body.extend(&redfish);
        (42, body, &[])
    };
    let structures: [Made; 4] = [
        interface(&[2, 0x6b, 0x04, 0x01, 0xff, 6, 1, b'A', 0, b'B', 0]),
        interface(&[3, 0x86, 0x80, 0x33, 0x15, 0xd9, 0x15, 0x33, 0x15]),
        interface(&[5, 16, 0x86, 0x80, 0x33, 0x15, 0xd9, 0x15, 0x33, 0x15, 2, 0, 0, 0, 0, 1]),
        (42, vec![2, 0, 1, 2, 0], &[]),
    ];
    let bytes = dump((3, 5), &structures);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("dump");
    std::fs::write(&file, &bytes).expect("a file");
    let inventory = collect(&bytes);
    let text = dmidecode(&file);
    compare("host interfaces", &text, &inventory);
    let found = &inventory.bmc.data.host_interfaces;
    let theirs = printed("", &text, 42);
    assert_eq!((theirs[0].get("idVendor"), theirs[0].get("idProduct")), (Some("0x046b"), Some("0xff01")));
    let ids = |at: usize| (found[at].vendor_id.as_deref(), found[at].product_id.as_deref());
    assert_eq!((found[0].device.as_deref(), ids(0)), (Some("usb"), (Some("046b"), Some("ff01"))));
    assert_eq!((found[1].device.as_deref(), ids(1)), (Some("pci"), (Some("8086"), Some("1533"))));
    // Of the later kinds dmidecode 3.4 knows nothing.
    assert_eq!((found[2].device.as_deref(), ids(2)), (Some("pci"), (Some("8086"), Some("1533"))));
    assert_eq!(found[2].mac.as_deref(), Some("02:00:00:00:00:01"));
    assert_eq!((found[3].kind.as_deref(), found[3].protocols.as_slice()), (Some("KCS"), &["IPMI".to_owned()][..]));
    let service = found[0].redfish.as_ref().expect("Redfish");
    assert_eq!((service.address.as_deref(), service.port), (Some("169.254.0.1"), Some(443)));
    assert_eq!((service.host_address_source.as_deref(), service.hostname.as_deref()), (Some("static"), Some("bmc1")));
}
