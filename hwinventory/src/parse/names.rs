//! Judgement of the names that firmware and devices carry, and their natural order.

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
];

/// Whether a string only stands where a value should be.
pub fn is_placeholder(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    text.is_empty() || PLACEHOLDERS.contains(&text.as_str()) || is_uniform(&text)
}

/// `00000000`, `ffff-ffff`, `........`: one character over and over.
fn is_uniform(text: &str) -> bool {
    let mut characters = text.chars().filter(|c| !matches!(c, '-' | ':' | ' '));
    match characters.next() {
        None => true,
        Some(first) => {
            text.len() > 1 && matches!(first, '0' | 'f' | 'x' | '.' | '*' | '#') && characters.all(|c| c == first)
        }
    }
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
        for text in ["7", "S3Z1NB0K", "00000001", "Dell Inc.", "f"] {
            assert!(!is_placeholder(text), "{text:?}");
        }
    }

    #[test]
    fn natural_order() {
        let mut names = vec!["ata-10", "ata-2", "ata-1", "ata", "atb", "ata-02x"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["ata", "ata-1", "ata-2", "ata-02x", "ata-10", "atb"]);
    }
}
