//! SCSI INQUIRY data and vital product data pages (SPC-5).

use super::bytes::{ascii, be16, hex, slice, u8_at};

/// A designator of VPD page 0x83 that names the logical unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Designator {
    /// 1: T10 vendor id, 2: EUI-64, 3: NAA, 8: SCSI name string.
    pub kind: u8,
    /// Lower-case hexadecimal, or text for kinds 1 and 8.
    pub value: String,
}

/// The payload of a VPD page, when it is the page that was asked for.
fn page(bytes: &[u8], number: u8) -> Option<&[u8]> {
    if u8_at(bytes, 1)? != number {
        return None;
    }
    let length = usize::from(be16(bytes, 2)?);
    let payload = bytes.get(4..)?;
    Some(payload.get(..length).unwrap_or(payload))
}

/// Page 0x80: unit serial number.
pub fn serial(bytes: &[u8]) -> Option<String> {
    ascii(page(bytes, 0x80)?)
}

/// Page 0x83: designators of the logical unit (7.7.6), not those of ports and targets.
pub fn designators(bytes: &[u8]) -> Vec<Designator> {
    read_designators(bytes, |association| association == 0)
}

/// Page 0x83: designators of the logical unit, of the port and of the target.
pub fn all_designators(bytes: &[u8]) -> Vec<Designator> {
    read_designators(bytes, |_| true)
}

fn read_designators(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> Vec<Designator> {
    let mut found = Vec::new();
    let mut rest = page(bytes, 0x83).unwrap_or_default();
    while let (Some(code_set), Some(kind), Some(length)) = (u8_at(rest, 0), u8_at(rest, 1), u8_at(rest, 3)) {
        let Some(value) = slice(rest, 4, usize::from(length)) else { break };
        let association = kind >> 4 & 3;
        let kind = kind & 0x0f;
        if wanted(association) {
            let text = match (kind, code_set & 0x0f) {
                (1 | 8, _) => ascii(value),
                (2 | 3, 1) => Some(hex(value)),
                _ => None,
            };
            found.extend(text.map(|value| Designator { kind, value }));
        }
        rest = rest.get(4 + usize::from(length)..).unwrap_or_default();
    }
    found
}

/// Page 0xb1: rotation rate (1 is non-rotating) and form factor.
pub fn characteristics(bytes: &[u8]) -> Option<(u16, Option<&'static str>)> {
    let payload = page(bytes, 0xb1)?;
    let form_factor = match u8_at(payload, 3).unwrap_or(0) & 0x0f {
        1 => Some("5.25 inch"),
        2 => Some("3.5 inch"),
        3 => Some("2.5 inch"),
        4 => Some("1.8 inch"),
        5 => Some("less than 1.8 inch"),
        _ => None,
    };
    Some((be16(payload, 0)?, form_factor))
}

/// Page 0xb2: whether reads after UNMAP return zeros (LBPRZ).
pub fn unmapped_reads_zero(bytes: &[u8]) -> Option<bool> {
    Some(u8_at(page(bytes, 0xb2)?, 1)? >> 2 & 7 == 1)
}

/// Page 0x89: the IDENTIFY data that a SATL passes on (SAT-5 12.4.2).
pub fn ata_information(bytes: &[u8]) -> Option<&[u8]> {
    slice(bytes, 60, 512).filter(|_| u8_at(bytes, 1) == Some(0x89))
}

/// LOG SENSE answer: parameter code and value (7.3.2).
pub fn log_parameters(bytes: &[u8], number: u8) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    if u8_at(bytes, 0).map(|p| p & 0x3f) != Some(number) {
        return found;
    }
    let length = be16(bytes, 2).map_or(0, usize::from);
    let mut rest = bytes.get(4..).unwrap_or_default();
    rest = rest.get(..length).unwrap_or(rest);
    while let (Some(code), Some(length)) = (be16(rest, 0), u8_at(rest, 3)) {
        let Some(value) = slice(rest, 4, usize::from(length)) else { break };
        found.push((code, value));
        rest = rest.get(4 + usize::from(length)..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn page_83() {
        let mut bytes = vec![0, 0x83, 0, 0];
        bytes.extend([1, 3, 0, 8, 0x50, 0, 0xc5, 0, 0xa1, 0xb2, 0xc3, 0xd4]);
        bytes.extend([1, 0x13, 0, 8, 0x50, 0, 0xc5, 0, 0xa1, 0xb2, 0xc3, 0xd5]);
        bytes.extend([2, 1, 0, 4]);
        bytes.extend(b"ATA ");
        bytes[3] = bytes.len() as u8 - 4;
        let found = designators(&bytes);
        assert_eq!(
            found,
            [Designator { kind: 3, value: "5000c500a1b2c3d4".into() }, Designator { kind: 1, value: "ATA".into() }]
        );
    }

    #[test]
    fn a_wrong_page_is_not_read() {
        assert_eq!(serial(&[0, 0x83, 0, 1, b'x']), None);
        assert_eq!(serial(&[0, 0x80, 0, 4, b' ', b'x', b'y', 0]).as_deref(), Some("xy"));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), page in any::<u8>()) {
            let mut bytes = bytes;
            if let Some(b) = bytes.get_mut(1) { *b = page; }
            serial(&bytes);
            designators(&bytes);
            characteristics(&bytes);
            unmapped_reads_zero(&bytes);
            ata_information(&bytes);
            log_parameters(&bytes, page & 0x3f);
            for number in [0x80, 0x83, 0xb1, 0xb2] {
                if let Some(b) = bytes.get_mut(1) { *b = number; }
                serial(&bytes);
                designators(&bytes);
                characteristics(&bytes);
                unmapped_reads_zero(&bytes);
            }
        }
    }
}
