//! FRU inventories (IPMI Platform Management FRU Information Storage Definition 1.0, revision 1.3). Checksums are not
//! looked at: those of a redacted snapshot are wrong.

use super::bytes::{le16, slice, u8_at};
use crate::model::Fru;

/// Size in bytes of the inventory, and whether it is read by words, of Get FRU Inventory Area Info.
pub fn area(answer: &[u8]) -> Option<(u16, bool)> {
    (*answer.first()? == 0).then_some(())?;
    Some((le16(answer, 1)?, u8_at(answer, 3)? & 1 == 1))
}

/// The data of an answer to Read FRU Data.
pub fn data(answer: &[u8]) -> Option<&[u8]> {
    (*answer.first()? == 0).then_some(())?;
    slice(answer, 2, usize::from(u8_at(answer, 1)?)).or_else(|| answer.get(2..))
}

/// How much of the inventory there is to read: to the end of the last of the three areas.
pub fn extent(header: &[u8]) -> Option<u16> {
    (u8_at(header, 0)? & 0x0f == 1).then_some(())?;
    let last = [2, 3, 4].iter().filter_map(|&at| u8_at(header, at)).max()?;
    // An area is at most 255 times eight bytes.
    (last != 0).then(|| u16::from(last) * 8 + 255 * 8)
}

pub fn fru(bytes: &[u8]) -> Option<Fru> {
    (u8_at(bytes, 0)? & 0x0f == 1).then_some(())?;
    let area = |at: usize| {
        let from = usize::from(u8_at(bytes, at).filter(|&o| o != 0)?) * 8;
        let length = usize::from(u8_at(bytes, from + 1)?) * 8;
        let rest = bytes.get(from..)?;
        rest.get(..length.min(rest.len()))
    };
    let mut found = Fru::default();
    if let Some(chassis) = area(2) {
        let mut fields = fields(chassis, 3);
        found.chassis_type = u8_at(chassis, 2).and_then(super::smbios::chassis_kind);
        found.chassis_part_number = fields.next().flatten();
        found.chassis_serial_number = fields.next().flatten();
    }
    if let Some(board) = area(3) {
        let mut fields = fields(board, 6);
        found.board_date = slice(board, 3, 3).and_then(date);
        found.board_manufacturer = fields.next().flatten();
        found.board_product = fields.next().flatten();
        found.board_serial_number = fields.next().flatten();
        found.board_part_number = fields.next().flatten();
    }
    if let Some(product) = area(4) {
        let mut fields = fields(product, 3);
        found.product_manufacturer = fields.next().flatten();
        found.product_name = fields.next().flatten();
        found.product_part_number = fields.next().flatten();
        found.product_version = fields.next().flatten();
        found.product_serial_number = fields.next().flatten();
        found.product_asset_tag = fields.next().flatten();
    }
    (found != Fru::default()).then_some(found)
}

/// Shorter names are not looked for inside other bytes.
const SHORTEST: usize = 6;

/// Overwrites what is not read: the internal area, makers' own fields, and records behind the product.
pub fn blank_others(bytes: &mut [u8]) {
    let Some(header) = slice(bytes, 0, 8).map(<[u8]>::to_vec) else { return };
    if header.first().is_none_or(|&b| b & 0x0f != 1) {
        return;
    }
    let mut kept: Vec<(usize, usize)> = vec![(0, 8)];
    // Where the fields begin, how many have a meaning (a file id is one), and which are the machine's own: those are
    // replaced by who looks for them, but for the short ones, which cannot be told from chance.
    const OWN: [(usize, usize, usize, &[usize]); 3] = [(2, 3, 2, &[1]), (3, 6, 5, &[2]), (4, 3, 7, &[4, 5])];
    for (at, start, known, own) in OWN {
        let Some(from) = u8_at(&header, at).filter(|&o| o != 0).map(|o| usize::from(o) * 8) else { continue };
        let mut end = from + start;
        kept.push((from, end));
        for index in 0..known {
            let Some(code) = u8_at(bytes, end).filter(|&code| code != 0xc1) else { break };
            let length = usize::from(code & 0x3f);
            let is_short = own.contains(&index) && length < SHORTEST;
            kept.push((end, end + if is_short { 1 } else { 1 + length }));
            end += 1 + length;
        }
        // The rest of the area keeps its shape: lengths stay, texts go.
        while let Some(code) = u8_at(bytes, end).filter(|&code| code != 0xc1) {
            kept.push((end, end + 1));
            end += 1 + usize::from(code & 0x3f);
        }
        kept.push((end, end + 1));
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        if !kept.iter().any(|(from, to)| (*from..*to).contains(&at)) {
            *byte = b'x';
        }
    }
}

/// The fields of an area, each with type and length in front; C1h ends them.
fn fields(area: &[u8], start: usize) -> impl Iterator<Item = Option<String>> {
    let mut at = start;
    std::iter::from_fn(move || {
        let code = u8_at(area, at).filter(|&code| code != 0xc1)?;
        let bytes = slice(area, at + 1, usize::from(code & 0x3f))?;
        at += 1 + bytes.len();
        Some(text(code >> 6, bytes))
    })
}

/// Binary, BCD plus, six-bit ASCII, or eight bits (chapter 13).
pub fn text(kind: u8, bytes: &[u8]) -> Option<String> {
    match kind {
        0 => bytes.iter().any(|&b| b != 0).then(|| super::bytes::hex(bytes)),
        1 => {
            const DIGITS: &[u8; 16] = b"0123456789 -.???";
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'?');
            let digits: Vec<u8> = bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 0x0f)]).collect();
            super::bytes::ascii(&digits)
        }
        2 => super::bytes::ascii(&unpacked(bytes)),
        _ => super::bytes::ascii(bytes),
    }
}

/// Four characters in three bytes, the lowest bits first, counted from the blank.
fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let (mut bits, mut count) = (0u32, 0);
    let mut found = Vec::new();
    for &byte in bytes {
        bits |= u32::from(byte) << count;
        count += 8;
        while count >= 6 {
            found.push((bits & 0x3f) as u8 + 0x20);
            bits >>= 6;
            count -= 6;
        }
    }
    found
}

/// The other way round, for what is looked for in a snapshot. `None` for what six bits cannot say.
pub fn packed(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut count) = (0u32, 0);
    let mut found = Vec::new();
    for byte in text.bytes() {
        let value = byte.checked_sub(0x20).filter(|&v| v < 0x40)?;
        bits |= u32::from(value) << count;
        count += 6;
        while count >= 8 {
            found.push(bits as u8);
            bits >>= 8;
            count -= 8;
        }
    }
    if count > 0 {
        found.push(bits as u8);
    }
    Some(found)
}

/// Minutes since 1996; zero says nothing.
fn date(bytes: &[u8]) -> Option<String> {
    let [low, middle, high] = bytes else { return None };
    let minutes = u32::from_le_bytes([*low, *middle, *high, 0]);
    (minutes != 0).then_some(())?;
    // Days since 1970: 1996 is 26 years with six leap days later.
    let (year, month, day) = civil(i64::from(minutes / 1440) + 9496);
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}"))
}

/// Year, month and day of a day since 1970, by the rules of the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let (mut year, mut left) = (1970, days);
    while left >= 365 + i64::from(is_leap(year)) {
        left -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(area: &mut Vec<u8>, text: &str) {
        area.push(0xc0 | text.len() as u8);
        area.extend(text.bytes());
    }

    fn closed(mut area: Vec<u8>) -> Vec<u8> {
        area.push(0xc1);
        area.resize(area.len().next_multiple_of(8), 0);
        area[1] = (area.len() / 8) as u8;
        area
    }

    fn inventory() -> Vec<u8> {
        let mut board = vec![1, 0, 25, 0xa0, 0x05, 0];
        for text in ["Supermicro", "X12DPi-N6"] {
            field(&mut board, text);
        }
        // The serial number in six bits.
        let serial = packed("WM214S001").expect("upper case");
        board.push(0x80 | serial.len() as u8);
        board.extend(serial);
        field(&mut board, "MBD-X12");
        let mut product = vec![1, 0, 25];
        for text in ["Supermicro", "SYS-620P", "", "0123", "A412345X", "rack 7"] {
            field(&mut product, text);
        }
        let (board, product) = (closed(board), closed(product));
        let mut all = vec![1, 0, 0, 1, 1 + (board.len() / 8) as u8, 0, 0, 0];
        all.extend(board);
        all.extend(product);
        all
    }

    #[test]
    fn a_board() {
        let found = fru(&inventory()).expect("whole");
        assert_eq!(
            (found.board_manufacturer.as_deref(), found.board_product.as_deref()),
            (Some("Supermicro"), Some("X12DPi-N6"))
        );
        assert_eq!(
            (found.board_serial_number.as_deref(), found.board_part_number.as_deref()),
            (Some("WM214S001"), Some("MBD-X12"))
        );
        assert_eq!(found.board_date.as_deref(), Some("1996-01-02T00:00"));
        assert_eq!((found.product_part_number, found.product_version.as_deref()), (None, Some("0123")));
        assert_eq!(
            (found.product_serial_number.as_deref(), found.product_asset_tag.as_deref()),
            (Some("A412345X"), Some("rack 7"))
        );
        assert_eq!(fru(&[0xff; 16]), None);
    }

    #[test]
    fn what_is_not_read_is_blanked() {
        let mut bytes = inventory();
        bytes.extend(b"MAC 0025907a1b2c");
        let before = fru(&bytes);
        blank_others(&mut bytes);
        assert_eq!(fru(&bytes), before);
        assert!(!bytes.windows(4).any(|w| w == b"0025"));
        // A serial number of four letters, which nobody can search for.
        let mut short = vec![1, 0, 0, 1, 0, 0, 0, 0];
        let mut board = vec![1, 0, 25, 0, 0, 0];
        ["Maker", "Board", "S7K2"].iter().for_each(|text| field(&mut board, text));
        short.extend(closed(board));
        blank_others(&mut short);
        let found = fru(&short).expect("whole");
        assert_eq!(
            (found.board_product.as_deref(), found.board_serial_number.as_deref()),
            (Some("Board"), Some("xxxx"))
        );
    }

    #[test]
    fn dates() {
        assert_eq!(civil(9496), (1996, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(date(&[0, 0, 0]), None);
    }

    #[test]
    fn digits_and_bytes() {
        assert_eq!(text(1, &[0x12, 0x3b, 0x4c]).as_deref(), Some("123-4."));
        assert_eq!(text(0, &[0xde, 0xad]).as_deref(), Some("dead"));
        assert_eq!(text(3, b"  ").as_deref(), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..100, b in any::<u8>()) {
            fru(&bytes);
            area(&bytes);
            data(&bytes);
            extent(&bytes);
            blank_others(&mut bytes.clone());
            let mut near = inventory();
            if let Some(byte) = near.get_mut(at) { *byte = b; }
            fru(&near);
            blank_others(&mut near);
        }

        #[test]
        fn six_bits_come_back(text in "[ -_]{0,20}") {
            let unpacked = unpacked(&packed(&text).unwrap_or_default());
            prop_assert!(unpacked.starts_with(text.as_bytes()));
        }
    }
}
