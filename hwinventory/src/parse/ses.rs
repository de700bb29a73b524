//! Diagnostic pages of SCSI Enclosure Services (SES-3).

use super::bytes::{ascii, be16, hex, slice, u8_at};
use std::collections::BTreeMap;

/// The pages that are read, in the order in which they depend on each other.
pub const CONFIGURATION: u8 = 0x01;
pub const STATUS: u8 = 0x02;
pub const DESCRIPTORS: u8 = 0x07;
pub const ADDITIONAL: u8 = 0x0a;

/// RECEIVE DIAGNOSTIC RESULTS (SPC-5 6.26), with the page code valid.
pub fn receive(page: u8, length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    vec![0x1c, 1, page, high, low, 0]
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Configuration {
    /// Logical identifier of the primary subenclosure.
    pub id: Option<String>,
    pub vendor: Option<String>,
    pub product: Option<String>,
    pub revision: Option<String>,
    /// Element type and how many there may be, in the order of the other pages.
    pub types: Vec<(u8, usize)>,
}

/// One element, found by its place: `type` is the index of its type, `index` the number within.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Element {
    pub kind: u8,
    pub status: [u8; 4],
    pub name: Option<String>,
    pub slot: Option<u8>,
    /// Of the device's ports, 16 hexadecimal digits.
    pub addresses: Vec<String>,
}

/// No enclosure has more; a page of 64 KiB has no room for them.
const MOST_ELEMENTS: usize = 4096;

/// Page 01h (6.1.2).
pub fn configuration(page: &[u8]) -> Option<Configuration> {
    (u8_at(page, 0)? == CONFIGURATION).then_some(())?;
    let enclosures = 1 + usize::from(u8_at(page, 1)?);
    let mut found = Configuration::default();
    let (mut at, mut headers) = (8, 0);
    for number in 0..enclosures {
        headers += usize::from(u8_at(page, at + 2)?);
        let length = usize::from(u8_at(page, at + 3)?) + 4;
        if number == 0 {
            found.id = slice(page, at + 4, 8).filter(|id| id.iter().any(|&b| b != 0)).map(hex);
            found.vendor = slice(page, at + 12, 8).and_then(ascii);
            found.product = slice(page, at + 20, 16).and_then(ascii);
            found.revision = slice(page, at + 36, 4).and_then(ascii);
        }
        at += length;
    }
    for number in 0..headers {
        let Some(header) = slice(page, at + number * 4, 4) else { break };
        found.types.push((*header.first()?, usize::from(*header.get(1)?)));
    }
    Some(found)
}

/// Status bits of the whole (page 02h, byte 1).
pub fn overall(page: &[u8]) -> Option<&'static str> {
    (u8_at(page, 0)? == STATUS).then_some(())?;
    let bits = u8_at(page, 1)?;
    Some(match bits {
        b if b & 1 != 0 => "unrecoverable",
        b if b & 2 != 0 => "critical",
        b if b & 4 != 0 => "non-critical",
        _ => "ok",
    })
}

/// All single elements; pages that are missing leave their fields empty.
pub fn elements(configuration: &Configuration, status: &[u8], descriptors: &[u8], additional: &[u8]) -> Vec<Element> {
    let (mut at, mut text_at) = (8, 8);
    let mut found = Vec::new();
    // Places in the additional page: with the overall elements counted, and without.
    let (mut with_overall, mut without) = (BTreeMap::new(), BTreeMap::new());
    let mut counted = 0usize;
    for &(kind, count) in &configuration.types {
        // The overall element of the type comes first, in every page.
        at += 4;
        text_at += descriptor(descriptors, text_at).1;
        counted += 1;
        for _ in 0..count {
            if found.len() >= MOST_ELEMENTS {
                return found;
            }
            let bytes = slice(status, at, 4).and_then(|b| b.try_into().ok());
            let (name, length) = descriptor(descriptors, text_at);
            with_overall.insert(counted, found.len());
            without.insert(found.len(), found.len());
            found.push(Element { kind, status: bytes.unwrap_or_default(), name, ..Element::default() });
            (at, text_at, counted) = (at + 4, text_at + length, counted + 1);
        }
    }
    add(additional, &with_overall, &without, &mut found);
    found
}

/// Text and whole length of a descriptor of page 07h (6.1.10).
fn descriptor(page: &[u8], at: usize) -> (Option<String>, usize) {
    let Some(length) = be16(page, at + 2).map(usize::from) else { return (None, 4) };
    (slice(page, at + 4, length).and_then(ascii), 4 + length)
}

/// Page 0Ah (6.1.13), of SAS (6.1.13.3). Descriptors without an index are those of device slots, in their order.
fn add(page: &[u8], with_overall: &BTreeMap<usize, usize>, without: &BTreeMap<usize, usize>, found: &mut [Element]) {
    if u8_at(page, 0) != Some(ADDITIONAL) {
        return;
    }
    let end = be16(page, 2).map_or(0, |length| usize::from(length) + 4);
    let mut at = 8;
    while at + 2 <= end
        && let Some((head, length)) = u8_at(page, at).zip(u8_at(page, at + 1))
    {
        let descriptor = slice(page, at, usize::from(length) + 2).unwrap_or_default();
        at += usize::from(length) + 2;
        let (invalid, has_index, protocol) = (head & 0x80 != 0, head & 0x10 != 0, head & 0x0f);
        if invalid || !has_index || protocol != 6 {
            continue;
        }
        let Some((mode, index)) = u8_at(descriptor, 2).zip(u8_at(descriptor, 3)) else { continue };
        let places = if mode & 1 == 1 { with_overall } else { without };
        let Some(element) = places.get(&usize::from(index)).and_then(|&at| found.get_mut(at)) else { continue };
        if is_slot(element.kind) {
            sas_slot(descriptor, element);
        }
    }
}

fn sas_slot(descriptor: &[u8], element: &mut Element) {
    let Some((phys, kind)) = u8_at(descriptor, 4).zip(u8_at(descriptor, 5)) else { return };
    if kind >> 6 != 0 {
        return;
    }
    element.slot = u8_at(descriptor, 7);
    for phy in 0..usize::from(phys) {
        let Some(address) = slice(descriptor, 8 + phy * 28 + 12, 8) else { break };
        if address.iter().any(|&b| b != 0) {
            element.addresses.push(hex(address));
        }
    }
}

/// Device slots and array device slots.
pub fn is_slot(kind: u8) -> bool {
    matches!(kind, 0x01 | 0x17)
}

impl Element {
    pub fn status_word(&self) -> Option<&'static str> {
        Some(match self.status[0] & 0x0f {
            1 => "OK",
            2 => "critical",
            3 => "non-critical",
            4 => "unrecoverable",
            5 => "not installed",
            6 => "unknown",
            7 => "not available",
            8 => "no access allowed",
            _ => return None,
        })
    }

    /// The element's sensor, or itself, is there.
    fn is_installed(&self) -> bool {
        matches!(self.status[0] & 0x0f, 1..=4)
    }

    pub fn locate(&self) -> bool {
        self.status[2] & 0x02 != 0
    }

    pub fn fault(&self) -> bool {
        self.status[3] & 0x60 != 0
    }

    pub fn powered(&self) -> bool {
        self.status[3] & 0x10 == 0
    }

    /// Degrees Celsius (7.3.6): 20 is added, and zero is no reading.
    pub fn temperature(&self) -> Option<i64> {
        (self.kind == 0x04 && self.is_installed() && self.status[2] != 0).then(|| i64::from(self.status[2]) - 20)
    }

    /// Revolutions per minute (7.3.4), in tens.
    pub fn fan_speed(&self) -> Option<u64> {
        let tens = u16::from_be_bytes([self.status[1] & 0x07, self.status[2]]);
        (self.kind == 0x03 && self.is_installed()).then(|| u64::from(tens) * 10)
    }

    /// Millivolts (7.3.20) or milliamperes (7.3.21), in tens.
    fn hundredths(&self) -> i64 {
        i64::from(i16::from_be_bytes([self.status[2], self.status[3]])) * 10
    }

    pub fn voltage(&self) -> Option<i64> {
        (self.kind == 0x12 && self.is_installed()).then(|| self.hundredths())
    }

    pub fn current(&self) -> Option<i64> {
        (self.kind == 0x13 && self.is_installed()).then(|| self.hundredths())
    }

    /// Table 63 of SES-3.
    pub fn kind_word(&self) -> &'static str {
        match self.kind {
            0x01 => "device-slot",
            0x02 => "power-supply",
            0x03 => "cooling",
            0x04 => "temperature",
            0x05 => "door",
            0x06 => "alarm",
            0x07 => "controller-electronics",
            0x0e => "enclosure",
            0x12 => "voltage",
            0x13 => "current",
            0x17 => "array-device-slot",
            0x18 => "sas-expander",
            0x19 => "sas-connector",
            _ => "other",
        }
    }
}

#[cfg(test)]
#[path = "ses_tests.rs"]
mod tests;
