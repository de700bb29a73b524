//! Words of IPMI 2.0: sensor types (table 42-3), generic events (42-2), units (43-15), entities (43-13).

/// What a sensor of that type senses.
pub fn sensor(kind: u8) -> Option<&'static str> {
    const WORDS: &[&str] = &[
        "",
        "Temperature",
        "Voltage",
        "Current",
        "Fan",
        "Physical Security",
        "Platform Security",
        "Processor",
        "Power Supply",
        "Power Unit",
        "Cooling Device",
        "Other Units",
        "Memory",
        "Drive Slot",
        "POST Memory Resize",
        "System Firmware Progress",
        "Event Logging",
        "Watchdog 1",
        "System Event",
        "Critical Interrupt",
        "Button",
        "Module",
        "Microcontroller",
        "Add-in Card",
        "Chassis",
        "Chip Set",
        "Other FRU",
        "Cable",
        "Terminator",
        "System Boot",
        "Boot Error",
        "OS Boot",
        "OS Stop",
        "Slot",
        "ACPI Power State",
        "Watchdog 2",
        "Platform Alert",
        "Entity Presence",
        "Monitor ASIC",
        "LAN",
        "Management Subsystem",
        "Battery",
        "Session Audit",
        "Version Change",
        "FRU State",
    ];
    WORDS.get(usize::from(kind)).copied().filter(|w| !w.is_empty())
}

pub fn unit(code: u8) -> Option<&'static str> {
    const WORDS: &[&str] = &[
        "",
        "degrees C",
        "degrees F",
        "kelvins",
        "volts",
        "amperes",
        "watts",
        "joules",
        "coulombs",
        "volt-amperes",
        "nits",
        "lumens",
        "lux",
        "candelas",
        "kPa",
        "PSI",
        "newtons",
        "CFM",
        "RPM",
        "Hz",
        "microseconds",
        "milliseconds",
        "seconds",
        "minutes",
        "hours",
        "days",
        "weeks",
    ];
    WORDS.get(usize::from(code)).copied().filter(|w| !w.is_empty())
}

pub fn entity(id: u8) -> Option<&'static str> {
    Some(match id {
        3 => "processor",
        4 => "disk",
        6 => "management module",
        7 => "system board",
        8 => "memory module",
        9 => "processor module",
        10 => "power supply",
        11 => "add-in card",
        12 => "front panel",
        15 => "drive backplane",
        19 => "power unit",
        20 => "power module",
        21 => "power management",
        23 => "chassis",
        26 => "disk bay",
        29 => "fan",
        30 => "cooling unit",
        32 => "memory device",
        34 => "system firmware",
        35 => "operating system",
        40 => "battery",
        42 => "interconnect",
        55 => "air inlet",
        64 => "air inlet",
        65 => "processor",
        66 => "baseboard",
        _ => return None,
    })
}

/// Threshold events (event type 01h).
const THRESHOLDS: &[&str] = &[
    "lower non-critical, going low",
    "lower non-critical, going high",
    "lower critical, going low",
    "lower critical, going high",
    "lower non-recoverable, going low",
    "lower non-recoverable, going high",
    "upper non-critical, going low",
    "upper non-critical, going high",
    "upper critical, going low",
    "upper critical, going high",
    "upper non-recoverable, going low",
    "upper non-recoverable, going high",
];

/// Generic discrete states, by event type.
fn generic(event_type: u8) -> &'static [&'static str] {
    match event_type {
        0x02 => &["idle", "active", "busy"],
        0x03 => &["deasserted", "asserted"],
        0x04 => &["no predicted failure", "predicted failure"],
        0x05 => &["limit not exceeded", "limit exceeded"],
        0x06 => &["performance met", "performance lags"],
        0x07 => &[
            "OK",
            "non-critical from OK",
            "critical from less severe",
            "non-recoverable from less severe",
            "non-critical from more severe",
            "critical from non-recoverable",
            "non-recoverable",
            "monitor",
            "informational",
        ],
        0x08 => &["absent", "present"],
        0x09 => &["disabled", "enabled"],
        0x0a => &[
            "running",
            "in test",
            "power off",
            "on line",
            "off line",
            "off duty",
            "degraded",
            "power save",
            "install error",
        ],
        0x0b => &[
            "fully redundant",
            "redundancy lost",
            "redundancy degraded",
            "non-redundant, sufficient from redundant",
            "non-redundant, sufficient from insufficient",
            "non-redundant, insufficient resources",
            "redundancy degraded from full",
            "redundancy degraded from none",
        ],
        0x0c => &["D0", "D1", "D2", "D3"],
        _ => &[],
    }
}

/// What a bit of a discrete sensor's reading, or the offset of an event, says.
pub fn state(event_type: u8, sensor: u8, offset: u8) -> String {
    let words = match event_type {
        0x01 => THRESHOLDS,
        0x6f => super::ipmistates::specific(sensor),
        other => generic(other),
    };
    let word = words.get(usize::from(offset)).copied().filter(|w| !w.is_empty());
    word.map_or_else(|| format!("state {offset}"), str::to_owned)
}

/// The event of a record: the offset is in the lower half of the first of its three bytes.
pub fn event(event_type: u8, sensor: u8, data: &[u8]) -> String {
    state(event_type, sensor, data.first().map_or(0, |b| b & 0x0f))
}
