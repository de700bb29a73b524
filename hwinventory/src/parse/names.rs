//! Tells real names and serial numbers from placeholders, and sorts names in natural order (`sd2` before `sd10`).

use std::cmp::Ordering;

/// Strings that mean "nobody filled this in".
const PLACEHOLDERS: &[&str] = &[
    "to be filled by o.e.m.",
    "to be filled by o.e.m",
    "o.e.m.",
    "default string",
    "default",
    "system manufacturer",
    "system product name",
    "system version",
    "system serial number",
    "serial number",
    "chassis serial number",
    "chassis manufacture",
    "chassis version",
    "base board serial number",
    "asset tag",
    "asset-1234567890",
    "no asset tag",
    "no asset information",
    "not specified",
    "not available",
    "not applicable",
    "not provided",
    "not defined",
    "none",
    "null",
    "n/a",
    "na",
    "unknown",
    "undefined",
    "invalid",
    "empty",
    "oem",
    "no dimm",
    "[empty]",
    "type2 - board serial number",
    "type2 - board asset tag",
    "0123456789",
    "123456789",
    "1234567890",
    "12345678",
    "123456789012",
    "1234567890123456",
    "0123456789abcdef",
    "123456789abcdef",
    "abcdefghijkl",
    "1234567",
    "filled by o.e.m.",
    "to be filled by o.e.m.to be filled by o.e.m.",
    "oem_serial",
    "notspecified",
    "serialnumber",
    "systemserialnumber",
    // The same in a field of sixteen characters.
    "systemserialnumb",
    "system sku",
    "board serial number",
    "board asset tag",
    "chassis asset tag",
    "product serial",
    "mb-1234567890",
    "bsn12345678901234567",
    "sn123456789",
    "unknow",
    "serial",
    "serial no",
    "no serial",
    "no serial number",
    "s/n",
    "system s/n",
    "system serial",
    "system serial#",
    "chassis s/n",
    "base board serial",
    "product serial number",
    "oem-sn",
    "fill by oem",
    "sku",
    "sku number",
    "n/a.",
    "tbd",
    "not used",
    "not present",
    "none provided",
    "unspecified",
    "unassigned",
];

/// Placeholders that are numbered: AMI's firmware has one for every slot.
const NUMBERED: &[&str] =
    &["sernum", "serialnumber", "assettagnum", "manufacturer", "modulepartnumber", "partnum", "array1_partnumber"];

/// Whether a string only stands where a value should be.
pub fn is_placeholder(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    let numbered = |prefix: &str| {
        text.strip_prefix(prefix)
            .is_some_and(|n| !n.is_empty() && n.len() <= 2 && n.bytes().all(|b| b.is_ascii_digit()))
    };
    text.is_empty()
        || PLACEHOLDERS.contains(&text.as_str())
        || is_uniform(&text)
        || is_counted(&text)
        || is_template(&text)
        || NUMBERED.iter().any(|p| numbered(p))
}

/// UUIDs that firmware ships unfilled, as they are written with the first three fields little-endian.
const PLACEHOLDER_UUIDS: &[&str] = &[
    // AMI.
    "03000200-0400-0500-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "12345678-1234-1234-1234-123456789abc",
    "12345678-1234-1234-1234-123456789012",
    "87654321-4321-4321-4321-210987654321",
    "123e4567-e89b-12d3-a456-426614174000",
    "12345678-90ab-cdef-1234-567890abcdef",
    "01234567-89ab-cdef-0123-456789abcdef",
    "11111111-2222-3333-4444-555555555555",
    "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    // Dell's, made of a service tag of blanks.
    "4c4c4544-0020-2010-8020-80c04f202020",
    "4c4c4544-0000-2010-8020-80c04f202020",
];

/// Whether a UUID is on thousands of machines: one byte or two over and over, bytes that count, and what makers leave in.
pub fn is_placeholder_uuid(uuid: &uuid::Uuid) -> bool {
    let known = |id: &uuid::Uuid| PLACEHOLDER_UUIDS.contains(&id.hyphenated().to_string().as_str());
    let is_one =
        |id: &uuid::Uuid| known(id) || counts(id.as_bytes()) || is_typed(id.as_bytes()) || repeats(id.as_bytes());
    // Either byte order: some firmware forgot to swap.
    is_one(uuid) || is_one(&uuid::Uuid::from_bytes(uuid.to_bytes_le()))
}

/// Digits that somebody ran a finger along: most are the one before, or the next. An address of a NIC behind zeros is none.
fn is_typed(bytes: &[u8; 16]) -> bool {
    const MOST: usize = 27;
    if bytes.starts_with(&[0; 8]) {
        return false;
    }
    let digits: Vec<u8> = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).collect();
    let near = digits.windows(2).filter(|pair| match pair {
        [a, b] => *b == *a || *b == (a + 1) % 16,
        _ => false,
    });
    near.count() >= MOST
}

/// `deadbeef` four times.
fn repeats(bytes: &[u8; 16]) -> bool {
    bytes.windows(5).all(|five| five.first() == five.last())
}

fn counts(bytes: &[u8; 16]) -> bool {
    let distinct: std::collections::BTreeSet<u8> = bytes.iter().copied().collect();
    let mut steps = bytes.windows(2).map(|pair| match pair {
        [a, b] => b.wrapping_sub(*a),
        _ => 0,
    });
    let first = steps.next();
    distinct.len() <= 2 || steps.all(|step| Some(step) == first)
}

/// A UUID as text, unless it is a placeholder.
pub fn real_uuid(text: Option<String>) -> Option<String> {
    text.filter(|t| uuid::Uuid::parse_str(t).is_ok_and(|uuid| !is_placeholder_uuid(&uuid)))
}

/// `00000000`, `ffff-ffff`, `........`: one character over and over, whichever it is where there are eight of it.
fn is_uniform(text: &str) -> bool {
    let mut characters = text.chars().filter(|c| !matches!(c, '-' | ':' | ' '));
    match characters.next() {
        None => true,
        Some(first) => {
            let empty = matches!(first, '0' | 'f' | 'x' | '.' | '*' | '#' | '?');
            text.len() > 1 && (empty || text.len() >= 8) && characters.all(|c| c == first)
        }
    }
}

/// `123456`, `9876543210`: digits up or down, six at least.
fn is_counted(text: &str) -> bool {
    let digits = text.as_bytes();
    let steps = |step: u8| digits.windows(2).all(|pair| matches!(pair, [a, b] if (10 + b - a) % 10 == step));
    digits.len() >= 6 && digits.iter().all(u8::is_ascii_digit) && (steps(1) || steps(9))
}

/// `$(SERIAL)`, `%SERIAL%`, `$SERIAL$`: what a maker's script should have filled in.
fn is_template(text: &str) -> bool {
    let between = |mark: char| text.len() > 2 && text.starts_with(mark) && text.ends_with(mark);
    text.starts_with("$(") || text.starts_with("${") || between('%') || between('$')
}

/// QEMU numbers its drives: `QM00001` is on every machine, and USB gadgets have their own defaults. Lower case.
pub fn is_hypervisor_default(bare: &str) -> bool {
    let numbered = |prefix: &str, digits: usize| {
        bare.strip_prefix(prefix).is_some_and(|rest| rest.len() == digits && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    numbered("qm", 5) || matches!(bare, "drive" | "beaf11" | "0000000000000001" | "disk0" | "virtualdisk")
}

/// The value, unless it is a placeholder.
pub fn real(text: Option<String>) -> Option<String> {
    text.filter(|t| !is_placeholder(t))
}

/// Compares runs of digits by their value: `ata-2` before `ata-10`.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.first(), b.first()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (number_a, rest_a) = digits(a);
                let (number_b, rest_b) = digits(b);
                let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b));
                if order != Ordering::Equal {
                    return order;
                }
                (a, b) = (rest_a, rest_b);
            }
            (Some(x), Some(y)) if x != y => return x.cmp(y),
            _ => (a, b) = (a.get(1..).unwrap_or_default(), b.get(1..).unwrap_or_default()),
        }
    }
}

/// A run of digits without leading zeros, and what follows it.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    let start = run.iter().position(|&c| c != b'0').unwrap_or(run.len());
    (run.get(start..).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        for text in ["", "  ", "To Be Filled By O.E.M.", "Default string", "00000000", "FFFF-FFFF", "N/A", "0123456789"]
        {
            assert!(is_placeholder(text), "{text:?}");
        }
        for text in ["S/N", "No Serial", "TBD", "123456", "1234567890123", "98765432", "AAAAAAAA", "111111111", "????"]
        {
            assert!(is_placeholder(text), "{text:?}");
        }
        for text in ["$(SERIAL)", "${SN}", "%SERIAL%"] {
            assert!(is_placeholder(text), "{text:?}");
        }
        for text in ["7", "S3Z1NB0K", "00000001", "Dell Inc.", "f", "12345", "1234568", "AAAAAAA", "%", "100%"] {
            assert!(!is_placeholder(text), "{text:?}");
        }
    }

    #[test]
    fn placeholders_with_numbers() {
        for text in ["SerNum0", "SerNum00", "AssetTagNum3", "Manufacturer01", "ModulePartNumber00"] {
            assert!(is_placeholder(text), "{text:?}");
        }
        for text in ["SerNum", "SerNum001", "Manufacturer", "SN01"] {
            assert!(!is_placeholder(text), "{text:?}");
        }
    }

    #[test]
    fn uuids_that_tell_no_machine() {
        for text in [
            "03000200-0400-0500-0006-000700080009",
            "00020003-0004-0005-0006-000700080009",
            "00010203-0405-0607-0809-0a0b0c0d0e0f",
            "03020100-0504-0706-0809-0a0b0c0d0e0f",
            "00112233-4455-6677-8899-aabbccddeeff",
            "fefefefe-fefe-fefe-fefe-fefefefefefe",
            "ffffffff-ffff-ffff-ffff-fffffffffff0",
            "12345678-1234-5678-90ab-cddeefaabbcc",
            "78563412-3412-7856-90ab-cddeefaabbcc",
            "4c4c4544-0020-2010-8020-80c04f202020",
            "11223344-5566-7788-99aa-bbccddeeff00",
            "44332211-6655-8877-99aa-bbccddeeff00",
            "12345678-9abc-def0-1234-56789abcdef0",
            "12345678-1234-1234-1234-123456789012",
            "01020304-0506-0708-090a-0b0c0d0e0f10",
            "deadbeef-dead-beef-dead-beefdeadbeef",
            "efbeadde-adde-efbe-dead-beefdeadbeef",
        ] {
            assert_eq!(real_uuid(Some(text.into())), None, "{text}");
        }
        for text in [
            "4c4c4544-0042-4410-8034-b7c04f4e3432",
            "00000000-0000-0000-0000-ac1f6b012345",
            "00000000-0000-0000-0000-002590123456",
            "12345678-9abc-4def-8123-5e1fa20c77d1",
            "b6a7f8d2-0f0e-4f0a-9c53-1d2c3b4a5f60",
        ] {
            assert!(real_uuid(Some(text.into())).is_some(), "{text}");
        }
    }

    #[test]
    fn natural_order() {
        let mut names = vec!["ata-10", "ata-2", "ata-1", "ata", "atb", "ata-02x"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["ata", "ata-1", "ata-2", "ata-02x", "ata-10", "atb"]);
    }
}
