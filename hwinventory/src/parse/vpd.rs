//! Vital Product Data of PCI functions (PCI Local Bus Specification 3.0, appendix I).

use super::bytes::{ascii, le16, slice, u8_at};
use crate::model::VitalProductData;

const IDENTIFIER: u8 = 0x82;
const READ_ONLY: u8 = 0x90;
const READ_WRITE: u8 = 0x91;

/// `None` when there is nothing in it. Checksums are not looked at: a snapshot's are wrong once it is redacted.
pub fn vpd(bytes: &[u8]) -> Option<VitalProductData> {
    let mut found = VitalProductData::default();
    walk(bytes, |tag, from, length| {
        let value = slice(bytes, from, length).unwrap_or_default();
        if tag == IDENTIFIER {
            found.product = ascii(value);
        } else {
            keywords(value, |keyword, from, length| {
                let text = slice(value, from, length).and_then(ascii);
                set(&mut found, keyword, text);
            });
        }
    });
    (found != VitalProductData::default()).then_some(found)
}

fn set(found: &mut VitalProductData, keyword: &[u8], text: Option<String>) {
    let Some(text) = text else { return };
    match keyword {
        b"PN" => found.part_number = Some(text),
        b"SN" => found.serial_number = Some(text),
        b"MN" => found.manufacture_id = Some(text),
        b"EC" => found.engineering_level = Some(text),
        b"YA" => found.asset_tag = Some(text),
        // Checksum and free space.
        b"RV" | b"RW" => {}
        other if other.iter().all(u8::is_ascii_alphanumeric) => {
            found.other.insert(String::from_utf8_lossy(other).into_owned(), text);
        }
        _ => {}
    }
}

/// Overwrites what makers add: it may name the machine in ways that nobody can look for.
pub fn blank_others(bytes: &mut [u8]) {
    const KNOWN: &[&[u8]] = &[b"PN", b"SN", b"MN", b"EC", b"YA", b"RV", b"RW"];
    let mut ranges = Vec::new();
    walk(bytes, |tag, at, length| {
        if tag != IDENTIFIER {
            keywords(slice(bytes, at, length).unwrap_or_default(), |keyword, from, length| {
                if !KNOWN.contains(&keyword) {
                    ranges.push((at + from, length));
                }
            });
        }
    });
    for (from, length) in ranges {
        if let Some(value) = bytes.get_mut(from..from + length) {
            value.fill(b'x');
        }
    }
}

/// The large items that are known: tag, where the value starts, its length.
fn walk(bytes: &[u8], mut each: impl FnMut(u8, usize, usize)) {
    let mut at = 0;
    while let Some(tag) = u8_at(bytes, at) {
        // Small items (bit 7 clear) carry their length in the tag; 78h is the end.
        if tag & 0x80 == 0 {
            if tag >> 3 == 0x0f || tag == 0 {
                return;
            }
            at += 1 + usize::from(tag & 7);
            continue;
        }
        let Some(length) = le16(bytes, at + 1).map(usize::from) else { return };
        if matches!(tag, IDENTIFIER | READ_ONLY | READ_WRITE) {
            each(tag, at + 3, length);
        }
        at += 3 + length;
    }
}

/// Keyword, where its value starts, its length.
fn keywords<'a>(bytes: &'a [u8], mut each: impl FnMut(&'a [u8], usize, usize)) {
    let mut at = 0;
    while let Some((keyword, length)) = slice(bytes, at, 2).zip(u8_at(bytes, at + 2)) {
        each(keyword, at + 3, usize::from(length));
        at += 3 + usize::from(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn card() -> Vec<u8> {
        let mut read_only = Vec::new();
        for (keyword, value) in
            [("PN", "540-BBUK"), ("SN", "IL740311AB001234"), ("MN", "1028"), ("V0", "FFV20.5.13"), ("RV", "\x51\0")]
        {
            read_only.extend(keyword.bytes());
            read_only.push(value.len() as u8);
            read_only.extend(value.bytes());
        }
        let name = b"X710 10GbE Controller";
        let mut bytes = vec![0x82, name.len() as u8, 0];
        bytes.extend(name);
        bytes.extend([0x90, read_only.len() as u8, 0]);
        bytes.extend(read_only);
        bytes.push(0x78);
        bytes.extend([0xff; 16]);
        bytes
    }

    #[test]
    fn a_card() {
        let found = vpd(&card()).expect("whole");
        assert_eq!(found.product.as_deref(), Some("X710 10GbE Controller"));
        assert_eq!(
            (found.part_number.as_deref(), found.serial_number.as_deref()),
            (Some("540-BBUK"), Some("IL740311AB001234"))
        );
        assert_eq!(found.other.get("V0").map(String::as_str), Some("FFV20.5.13"));
        assert_eq!(vpd(&[0xff; 64]), None);
        assert_eq!(vpd(&[0; 64]), None);
    }

    #[test]
    fn what_makers_add_goes() {
        let mut bytes = card();
        blank_others(&mut bytes);
        let found = vpd(&bytes).expect("still whole");
        assert_eq!(found.other.get("V0").map(String::as_str), Some("xxxxxxxxxx"));
        assert_eq!(found.serial_number.as_deref(), Some("IL740311AB001234"));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..80, b in any::<u8>()) {
            vpd(&bytes);
            blank_others(&mut bytes.clone());
            let mut near = card();
            if let Some(byte) = near.get_mut(at) { *byte = b; }
            vpd(&near);
            blank_others(&mut near);
        }
    }
}
