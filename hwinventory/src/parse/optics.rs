//! EEPROMs of pluggable modules: SFP (SFF-8472), QSFP (SFF-8636), and those that follow CMIS (`opticscmis`).

use super::bytes::{ascii, be16, hex, slice, u8_at};
use super::{opticscmis as cmis, opticswords as words};
use crate::model::{OpticalLane, Transceiver};

/// Half a page of a module's memory, in bytes.
pub const PAGE: u32 = 128;

/// Type of the EEPROM and its length, of `ETHTOOL_GMODULEINFO`.
pub fn module_info(answer: &[u8]) -> Option<(u32, u32)> {
    Some((super::bytes::le32(answer, 4)?, super::bytes::le32(answer, 8)?))
}

/// By the identifier in the first byte (SFF-8024, table 4-1). Checksums are not looked at: those of a redacted snapshot
/// are wrong.
pub fn module(eeprom: &[u8]) -> Option<Transceiver> {
    let identifier = u8_at(eeprom, 0)?;
    let mut found = match identifier {
        0x03 | 0x0b => sfp(eeprom),
        0x0c | 0x0d | 0x11 => qsfp(eeprom),
        _ if cmis::is_one(eeprom) => cmis::first_pages(eeprom),
        _ => return None,
    };
    found.kind = words::kind(identifier).map(str::to_owned);
    Some(found)
}

/// Where the names stand: they are laid out alike everywhere.
pub(super) struct Names {
    pub vendor: usize,
    pub oui: usize,
    pub part: usize,
    pub revision: (usize, usize),
    pub serial: usize,
    pub date: usize,
    pub connector: usize,
}

pub(super) fn names(eeprom: &[u8], at: &Names) -> Transceiver {
    let text = |from: usize, length: usize| slice(eeprom, from, length).and_then(ascii);
    let oui = slice(eeprom, at.oui, 3).filter(|o| o.iter().any(|&b| b != 0));
    Transceiver {
        vendor: text(at.vendor, 16),
        vendor_oui: oui.map(hex),
        part_number: text(at.part, 16),
        revision: text(at.revision.0, at.revision.1),
        serial: text(at.serial, 16),
        date: text(at.date, 8).and_then(|d| date(&d)),
        connector: u8_at(eeprom, at.connector).and_then(words::connector).map(str::to_owned),
        ..Transceiver::default()
    }
}

/// `190412A1`: two digits each, and the lot.
fn date(text: &str) -> Option<String> {
    let digits = text.get(..6).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
    let (year, month, day) = (digits.get(..2)?, digits.get(2..4)?, digits.get(4..6)?);
    let lot = text.get(6..).unwrap_or_default().trim();
    Some(format!("20{year}-{month}-{day} {lot}").trim_end().to_owned())
}

pub(super) fn signed(raw: u16) -> f64 {
    f64::from(raw as i16)
}

fn sfp(eeprom: &[u8]) -> Transceiver {
    let mut found =
        names(eeprom, &Names { vendor: 20, oui: 37, part: 40, revision: (56, 4), serial: 68, date: 84, connector: 2 });
    let byte = |at: usize| u8_at(eeprom, at).unwrap_or(0);
    found.compliance = words::sfp(byte(3), byte(6), byte(8), byte(36));
    // Bytes 60 and 61 are the wavelength, of cables something else.
    let is_cable = byte(8) & 0x0c != 0;
    if is_cable {
        found.cable_length = Some(f64::from(byte(18))).filter(|&m| m > 0.0);
    } else {
        found.wavelength = be16(eeprom, 60).map(f64::from).filter(|&nm| nm > 0.0);
    }
    // Diagnostics: implemented (bit 6), and their addresses not moved (bit 2).
    let kind = byte(92);
    if kind & 0x40 != 0 && kind & 0x04 == 0 && eeprom.len() >= 256 + 118 {
        diagnostics(eeprom.get(256..).unwrap_or_default(), kind & 0x10 != 0, &mut found);
    }
    found
}

/// The page at A2h, with calibration by the constants in it where `external` (SFF-8472, 9.3).
fn diagnostics(page: &[u8], external: bool, found: &mut Transceiver) {
    let raw = |at: usize| be16(page, at).unwrap_or(0);
    let scaled = |value: f64, slope: usize| {
        if external { value * f64::from(raw(slope)) / 256.0 + signed(raw(slope + 2)) } else { value }
    };
    found.temperature = Some(rounded(scaled(signed(raw(96)), 84) / 256.0));
    found.voltage = Some(rounded(scaled(f64::from(raw(98)), 88) / 1e4));
    let received = f64::from(raw(104));
    let polynomial = || {
        let factor = |at: usize| slice(page, at, 4).and_then(|b| b.try_into().ok()).map_or(0.0, f32::from_be_bytes);
        [56, 60, 64, 68, 72].iter().fold(0.0, |sum, &at| sum * received + f64::from(factor(at)))
    };
    found.lanes = vec![OpticalLane {
        lane: 1,
        bias: finite(scaled(f64::from(raw(100)), 76) * 2.0 / 1e3),
        tx_power: finite(scaled(f64::from(raw(102)), 80) / 10.0),
        rx_power: finite(if external { polynomial() } else { received } / 10.0),
    }];
    const WHAT: &[&str] = &["temperature", "voltage", "bias", "tx power", "rx power"];
    for (number, what) in WHAT.iter().enumerate() {
        for (bit, side) in [(0, "high"), (1, "low")] {
            if flag(page, 112, number * 2 + bit) {
                found.alarms.push(format!("{what} {side} alarm"));
            } else if flag(page, 116, number * 2 + bit) {
                found.alarms.push(format!("{what} {side} warning"));
            }
        }
    }
}

/// Bits from the highest of the byte at `at`.
fn flag(page: &[u8], at: usize, bit: usize) -> bool {
    u8_at(page, at + bit / 8).is_some_and(|byte| byte >> (7 - bit % 8) & 1 == 1)
}

/// Two decimals: the modules are not more exact.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn finite(value: f64) -> Option<f64> {
    Some(rounded(value)).filter(|v| v.is_finite())
}

fn qsfp(eeprom: &[u8]) -> Transceiver {
    let mut found = names(
        eeprom,
        &Names { vendor: 148, oui: 165, part: 168, revision: (184, 2), serial: 196, date: 212, connector: 130 },
    );
    let byte = |at: usize| u8_at(eeprom, at).unwrap_or(0);
    found.compliance = words::qsfp(byte(131), byte(192));
    // Transmitter technology, upper half: copper from 0Ah on.
    let is_copper = byte(147) >> 4 >= 0x0a;
    if is_copper {
        found.cable_length = Some(f64::from(byte(146))).filter(|&m| m > 0.0);
        return found;
    }
    found.wavelength = be16(eeprom, 186).map(|w| f64::from(w) / 20.0).filter(|&nm| nm > 0.0);
    let raw = |at: usize| be16(eeprom, at).unwrap_or(0);
    found.temperature = Some(rounded(signed(raw(22)) / 256.0));
    found.voltage = Some(rounded(f64::from(raw(26)) / 1e4));
    found.lanes = (0..4u8)
        .map(|lane| {
            let at = usize::from(lane) * 2;
            OpticalLane {
                lane: u64::from(lane) + 1,
                rx_power: Some(f64::from(raw(34 + at)) / 10.0),
                bias: Some(f64::from(raw(42 + at)) * 2.0 / 1e3),
                tx_power: Some(f64::from(raw(50 + at)) / 10.0),
            }
        })
        .collect();
    const SIDES: &[&str] = &["high alarm", "low alarm", "high warning", "low warning"];
    for (at, what) in [(6, "temperature"), (7, "voltage")] {
        found.alarms.extend((0..4).filter(|&bit| flag(eeprom, at, bit)).map(|bit| format!("{what} {}", SIDES[bit])));
    }
    for (at, what) in [(9, "rx power"), (11, "bias"), (13, "tx power")] {
        let set = (0..16).filter(|&bit| flag(eeprom, at, bit));
        found.alarms.extend(set.map(|bit| format!("{what} {}, lane {}", SIDES[bit % 4], bit / 4 + 1)));
    }
    found
}

#[cfg(test)]
#[path = "optics_tests.rs"]
mod tests;
