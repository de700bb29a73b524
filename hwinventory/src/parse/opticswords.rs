//! Words of SFF-8024, and the compliance bits of SFF-8472 and SFF-8636.

/// Table 4-1.
pub fn kind(identifier: u8) -> Option<&'static str> {
    Some(match identifier {
        0x03 => "SFP",
        0x0b => "DWDM-SFP",
        0x0c => "QSFP",
        0x0d => "QSFP+",
        0x11 => "QSFP28",
        0x18 => "QSFP-DD",
        0x19 => "OSFP",
        0x1b => "DSFP",
        0x1e => "QSFP+ (CMIS)",
        0x1f => "SFP-DD (CMIS)",
        _ => return None,
    })
}

/// Table 4-3.
pub fn connector(code: u8) -> Option<&'static str> {
    Some(match code {
        0x01 => "SC",
        0x07 => "LC",
        0x0b => "optical pigtail",
        0x0c => "MPO 1x12",
        0x0d => "MPO 2x16",
        0x21 => "copper pigtail",
        0x22 => "RJ45",
        0x23 => "no separable connector",
        0x24 => "MXC 2x16",
        0x25 => "CS",
        0x26 => "SN",
        0x27 => "MPO 2x12",
        0x28 => "MPO 1x16",
        _ => return None,
    })
}

/// Table 4-4. Codes are shared by lanes of 25 Gbit/s, alone and four together.
fn extended(code: u8, four: bool) -> Option<&'static str> {
    Some(match (code, four) {
        (0x01, true) => "100G AOC",
        (0x01, false) => "25G AOC",
        (0x02, true) => "100GBASE-SR4",
        (0x02, false) => "25GBASE-SR",
        (0x03, true) => "100GBASE-LR4",
        (0x03, false) => "25GBASE-LR",
        (0x04, true) => "100GBASE-ER4",
        (0x04, false) => "25GBASE-ER",
        (0x05, _) => "100GBASE-SR10",
        (0x06, _) => "100G CWDM4",
        (0x07, _) => "100G PSM4",
        (0x08, true) => "100G ACC",
        (0x08, false) => "25G ACC",
        (0x0b, true) => "100GBASE-CR4",
        (0x0b, false) => "25GBASE-CR CA-L",
        (0x0c, _) => "25GBASE-CR CA-S",
        (0x0d, _) => "25GBASE-CR CA-N",
        (0x10, _) => "40GBASE-ER4",
        (0x16, _) => "10GBASE-T",
        (0x1c, _) => "10GBASE-T (short reach)",
        (0x1d, _) => "5GBASE-T",
        (0x1e, _) => "2.5GBASE-T",
        (0x25, _) => "100GBASE-DR",
        (0x26, _) => "100G-FR",
        (0x27, _) => "100G-LR",
        (0x40, _) => "50GBASE-CR, 100GBASE-CR2 or 200GBASE-CR4",
        (0x41, _) => "50GBASE-SR, 100GBASE-SR2 or 200GBASE-SR4",
        (0x42, _) => "50GBASE-FR or 200GBASE-DR4",
        _ => return None,
    })
}

fn bits(byte: u8, words: &[(u8, &str)], found: &mut Vec<String>) {
    found.extend(words.iter().filter(|(bit, _)| byte >> bit & 1 == 1).map(|(_, word)| (*word).to_owned()));
}

/// Bytes 3, 6, 8 and 36 of SFF-8472.
pub fn sfp(ten: u8, one: u8, cable: u8, code: u8) -> Vec<String> {
    let mut found = Vec::new();
    bits(ten, &[(4, "10GBASE-SR"), (5, "10GBASE-LR"), (6, "10GBASE-LRM"), (7, "10GBASE-ER")], &mut found);
    let gigabit = [(0, "1000BASE-SX"), (1, "1000BASE-LX"), (2, "1000BASE-CX"), (3, "1000BASE-T")];
    bits(one, &gigabit, &mut found);
    bits(cable, &[(2, "passive cable"), (3, "active cable")], &mut found);
    found.extend(extended(code, false).map(str::to_owned));
    found
}

/// Bytes 131 and 192 of SFF-8636.
pub fn qsfp(forty: u8, code: u8) -> Vec<String> {
    let mut found = Vec::new();
    const WORDS: &[(u8, &str)] = &[
        (0, "40G active cable"),
        (1, "40GBASE-LR4"),
        (2, "40GBASE-SR4"),
        (3, "40GBASE-CR4"),
        (4, "10GBASE-SR"),
        (5, "10GBASE-LR"),
        (6, "10GBASE-LRM"),
    ];
    bits(forty, WORDS, &mut found);
    if forty & 0x80 != 0 {
        found.extend(extended(code, true).map(str::to_owned));
    }
    found
}
