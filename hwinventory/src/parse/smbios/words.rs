//! The enumerations of DSP0134, in dmidecode's words where it has them.

pub fn word(table: &[&str], first: u8, value: u8) -> Option<String> {
    let index = usize::from(value.checked_sub(first)?);
    table.get(index).filter(|w| !matches!(**w, "" | "Unknown")).map(|w| (*w).to_owned())
}

/// 7.4.1, bit 7 says that the chassis can be locked.
pub fn chassis(value: u8) -> Option<String> {
    const WORDS: &[&str] = &[
        "Other",
        "Unknown",
        "Desktop",
        "Low Profile Desktop",
        "Pizza Box",
        "Mini Tower",
        "Tower",
        "Portable",
        "Laptop",
        "Notebook",
        "Hand Held",
        "Docking Station",
        "All In One",
        "Sub Notebook",
        "Space-saving",
        "Lunch Box",
        "Main Server Chassis",
        "Expansion Chassis",
        "Sub Chassis",
        "Bus Expansion Chassis",
        "Peripheral Chassis",
        "RAID Chassis",
        "Rack Mount Chassis",
        "Sealed-case PC",
        "Multi-system",
        "CompactPCI",
        "AdvancedTCA",
        "Blade",
        "Blade Enclosing",
        "Tablet",
        "Convertible",
        "Detachable",
        "IoT Gateway",
        "Embedded PC",
        "Mini PC",
        "Stick PC",
    ];
    word(WORDS, 1, value & 0x7f)
}

/// 7.2.2
pub fn wake_up(value: u8) -> Option<String> {
    const WORDS: &[&str] = &[
        "Reserved",
        "Other",
        "Unknown",
        "APM Timer",
        "Modem Ring",
        "LAN Remote",
        "Power Switch",
        "PCI PME#",
        "AC Power Restored",
    ];
    word(WORDS, 0, value)
}

/// 7.18.1
pub fn form_factor(value: u8) -> Option<String> {
    const WORDS: &[&str] = &[
        "Other",
        "Unknown",
        "SIMM",
        "SIP",
        "Chip",
        "DIP",
        "ZIP",
        "Proprietary Card",
        "DIMM",
        "TSOP",
        "Row Of Chips",
        "RIMM",
        "SODIMM",
        "SRIMM",
        "FB-DIMM",
        "Die",
        "CAMM",
    ];
    word(WORDS, 1, value)
}

/// 7.18.2
pub fn memory_kind(value: u8) -> Option<String> {
    const WORDS: &[&str] = &[
        "Other",
        "Unknown",
        "DRAM",
        "EDRAM",
        "VRAM",
        "SRAM",
        "RAM",
        "ROM",
        "Flash",
        "EEPROM",
        "FEPROM",
        "EPROM",
        "CDRAM",
        "3DRAM",
        "SDRAM",
        "SGRAM",
        "RDRAM",
        "DDR",
        "DDR2",
        "DDR2 FB-DIMM",
        "Reserved",
        "Reserved",
        "Reserved",
        "DDR3",
        "FBD2",
        "DDR4",
        "LPDDR",
        "LPDDR2",
        "LPDDR3",
        "LPDDR4",
        "Logical non-volatile device",
        "HBM",
        "HBM2",
        "DDR5",
        "LPDDR5",
        "HBM3",
    ];
    word(WORDS, 1, value)
}

/// 7.18.3, bits 1 to 15.
pub fn memory_detail(bits: u16) -> Vec<String> {
    const WORDS: &[&str] = &[
        "other",
        "",
        "fast-paged",
        "static-column",
        "pseudo-static",
        "rambus",
        "synchronous",
        "cmos",
        "edo",
        "window-dram",
        "cache-dram",
        "non-volatile",
        "registered",
        "unbuffered",
        "lrdimm",
    ];
    WORDS
        .iter()
        .enumerate()
        .filter(|(i, w)| !w.is_empty() && bits & (2 << i) != 0)
        .map(|(_, w)| (*w).to_owned())
        .collect()
}

/// 7.18.6
pub fn memory_technology(value: u8) -> Option<String> {
    const WORDS: &[&str] =
        &["Other", "Unknown", "DRAM", "NVDIMM-N", "NVDIMM-F", "NVDIMM-P", "Intel Optane DC persistent memory"];
    word(WORDS, 1, value)
}

/// 7.17.1
pub fn array_location(value: u8) -> Option<String> {
    const LATER: &[&str] = &[
        "PC-98/C20 Add-on Card",
        "PC-98/C24 Add-on Card",
        "PC-98/E Add-on Card",
        "PC-98/Local Bus Add-on Card",
        "CXL Flexbus 1.0",
    ];
    const WORDS: &[&str] = &[
        "Other",
        "Unknown",
        "System Board Or Motherboard",
        "ISA Add-on Card",
        "EISA Add-on Card",
        "PCI Add-on Card",
        "MCA Add-on Card",
        "PCMCIA Add-on Card",
        "Proprietary Add-on Card",
        "NuBus",
    ];
    if value >= 0xa0 { word(LATER, 0xa0, value) } else { word(WORDS, 1, value) }
}

/// 7.17.2
pub fn array_use(value: u8) -> Option<String> {
    const WORDS: &[&str] =
        &["Other", "Unknown", "System Memory", "Video Memory", "Flash Memory", "Non-volatile RAM", "Cache Memory"];
    word(WORDS, 1, value)
}

/// 7.17.3
pub fn error_correction(value: u8) -> Option<String> {
    const WORDS: &[&str] = &["Other", "Unknown", "None", "Parity", "Single-bit ECC", "Multi-bit ECC", "CRC"];
    word(WORDS, 1, value)
}

/// Types of slots (7.10.1), from 01h on.
const SLOT_KINDS: &[&str] = &[
    "Other",
    "Unknown",
    "ISA",
    "MCA",
    "EISA",
    "PCI",
    "PC Card (PCMCIA)",
    "VLB",
    "Proprietary",
    "Processor Card",
    "Proprietary Memory Card",
    "I/O Riser Card",
    "NuBus",
    "PCI-66",
    "AGP",
    "AGP 2x",
    "AGP 4x",
    "PCI-X",
    "AGP 8x",
    "M.2 Socket 1-DP",
    "M.2 Socket 1-SD",
    "M.2 Socket 2",
    "M.2 Socket 3",
    "MXM Type I",
    "MXM Type II",
    "MXM Type III",
    "MXM Type III-HE",
    "MXM Type IV",
    "MXM 3.0 Type A",
    "MXM 3.0 Type B",
    "PCI Express 2 SFF-8639 (U.2)",
    "PCI Express 3 SFF-8639 (U.2)",
    "PCI Express Mini 52-pin with bottom-side keep-outs",
    "PCI Express Mini 52-pin without bottom-side keep-outs",
    "PCI Express Mini 76-pin",
    "PCI Express 4 SFF-8639 (U.2)",
    "PCI Express 5 SFF-8639 (U.2)",
    "OCP NIC 3.0 Small Form Factor (SFF)",
    "OCP NIC 3.0 Large Form Factor (LFF)",
    "OCP NIC Prior to 3.0",
];

/// Types of slots (7.10.1), from A0h on.
const SLOT_KINDS_FROM_A0: &[&str] = &[
    "PC-98/C20",
    "PC-98/C24",
    "PC-98/E",
    "PC-98/Local Bus",
    "PC-98/Card",
    "PCI Express",
    "PCI Express x1",
    "PCI Express x2",
    "PCI Express x4",
    "PCI Express x8",
    "PCI Express x16",
    "PCI Express 2",
    "PCI Express 2 x1",
    "PCI Express 2 x2",
    "PCI Express 2 x4",
    "PCI Express 2 x8",
    "PCI Express 2 x16",
    "PCI Express 3",
    "PCI Express 3 x1",
    "PCI Express 3 x2",
    "PCI Express 3 x4",
    "PCI Express 3 x8",
    "PCI Express 3 x16",
    "",
    "PCI Express 4",
    "PCI Express 4 x1",
    "PCI Express 4 x2",
    "PCI Express 4 x4",
    "PCI Express 4 x8",
    "PCI Express 4 x16",
    "PCI Express 5",
    "PCI Express 5 x1",
    "PCI Express 5 x2",
    "PCI Express 5 x4",
    "PCI Express 5 x8",
    "PCI Express 5 x16",
    "PCI Express 6+",
    "EDSFF E1",
    "EDSFF E3",
];

/// 7.10.1
pub fn slot_kind(value: u8) -> Option<String> {
    match value {
        0x30 => Some("CXL FLexbus 1.0".to_owned()),
        0xa0.. => word(SLOT_KINDS_FROM_A0, 0xa0, value),
        _ => word(SLOT_KINDS, 1, value),
    }
}

/// 7.10.3
pub fn slot_use(value: u8) -> Option<String> {
    word(&["Other", "Unknown", "Available", "In Use", "Unavailable"], 1, value)
}

/// 7.10.2
pub fn slot_width(value: u8) -> Option<String> {
    const WORDS: &[&str] = &[
        "Other", "Unknown", "8-bit", "16-bit", "32-bit", "64-bit", "128-bit", "x1", "x2", "x4", "x8", "x12", "x16",
        "x32",
    ];
    word(WORDS, 1, value).filter(|w| w != "Other")
}

/// 7.10.4
pub fn slot_length(value: u8) -> Option<String> {
    const WORDS: &[&str] = &["Other", "Unknown", "Short", "Long", "2.5\" drive form factor", "3.5\" drive form factor"];
    word(WORDS, 1, value)
}

/// 7.3.2
pub fn board(value: u8) -> Option<String> {
    const WORDS: &[&str] = &[
        "Unknown",
        "Other",
        "Server Blade",
        "Connectivity Switch",
        "System Management Module",
        "Processor Module",
        "I/O Module",
        "Memory Module",
        "Daughter Board",
        "Motherboard",
        "Processor+Memory Module",
        "Processor+I/O Module",
        "Interconnect Board",
    ];
    word(WORDS, 1, value)
}

/// 7.42.2
pub fn onboard(value: u8) -> Option<String> {
    const WORDS: &[&str] = &[
        "Other",
        "Unknown",
        "Video",
        "SCSI Controller",
        "Ethernet",
        "Token Ring",
        "Sound",
        "PATA Controller",
        "SATA Controller",
        "SAS Controller",
        "Wireless LAN",
        "Bluetooth",
        "WWAN",
        "eMMC",
        "NVMe Controller",
        "UFS Controller",
    ];
    word(WORDS, 1, value)
}

/// 7.11.1: the first ten of the above.
pub fn onboard_obsolete(value: u8) -> Option<String> {
    (value <= 10).then(|| onboard(value)).flatten()
}

/// 7.43.1 (DSP0239)
pub fn host_interface(value: u8) -> Option<String> {
    match value {
        0x02 => Some("KCS".to_owned()),
        0x03 => Some("8250 UART".to_owned()),
        0x04 => Some("16450 UART".to_owned()),
        0x05 => Some("16550 UART".to_owned()),
        0x06 => Some("16650 UART".to_owned()),
        0x07 => Some("16750 UART".to_owned()),
        0x08 => Some("16850 UART".to_owned()),
        0x40 => Some("network".to_owned()),
        0xf0 => Some("OEM".to_owned()),
        _ => None,
    }
}

/// 7.43.2
pub fn host_protocol(value: u8) -> Option<String> {
    match value {
        0x02 => Some("IPMI".to_owned()),
        0x03 => Some("MCTP".to_owned()),
        0x04 => Some("Redfish over IP".to_owned()),
        0xf0 => Some("OEM".to_owned()),
        _ => None,
    }
}

/// 7.39.1
pub fn bmc_interface(value: u8) -> Option<String> {
    word(&["Unknown", "KCS", "SMIC", "BT", "SSIF"], 0, value)
}
