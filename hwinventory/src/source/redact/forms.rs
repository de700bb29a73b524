//! The forms in which one value is written, and the other value that takes its place in each.

use sha2::{Digest, Sha256};

/// Bytes, and others of the same length.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Six bytes or more written in hexadecimal, with or without separators.
pub fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let separated = text.contains([':', '-']);
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    let even = digits.len().is_multiple_of(2) && digits.len() >= 12 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    // Twelve digits without separators may as well be a serial number; longer runs are ids.
    if !even || !(separated || digits.len() >= 16) {
        return None;
    }
    digits.as_bytes().chunks_exact(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok()).collect()
}

fn hash(key: &[u8], value: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update((key.len() as u64).to_le_bytes());
    digest.update(key);
    digest.update(value);
    digest.finalize().into()
}

/// The first byte stays: it says what kind of address or id it is.
pub fn replaced_bytes(raw: &[u8], key: &[u8]) -> Vec<u8> {
    let stream = hash(key, raw);
    raw.iter()
        .enumerate()
        .map(|(i, &old)| if i == 0 { old } else { stream.get(i % 32).copied().unwrap_or(old) })
        .collect()
}

/// Digits become digits, letters letters.
pub fn replaced_text(text: &str, key: &[u8]) -> String {
    let stream = hash(key, text.as_bytes());
    text.chars()
        .enumerate()
        .map(|(i, c)| {
            let n = stream.get(i % 32).copied().unwrap_or(0).wrapping_add((i / 32) as u8);
            match c {
                '0'..='9' => char::from(b'0' + n % 10),
                'a'..='z' => char::from(b'a' + n % 26),
                'A'..='Z' => char::from(b'A' + n % 26),
                other => other,
            }
        })
        .collect()
}

pub fn swapped(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(2).flat_map(|pair| pair.iter().rev().copied()).collect()
}

/// How an id is written: raw, raw with words swapped (ATA), as a little-endian GUID, and in hexadecimal.
pub fn binary_forms(old: &[u8], new: &[u8]) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = vec![(old.to_vec(), new.to_vec()), (swapped(old), swapped(new))];
    if let (Ok(old), Ok(new)) = (<[u8; 16]>::try_from(old), <[u8; 16]>::try_from(new)) {
        let (old, new) = (uuid::Uuid::from_bytes(old), uuid::Uuid::from_bytes(new));
        pairs.push((old.to_bytes_le().to_vec(), new.to_bytes_le().to_vec()));
        pairs.push((old.hyphenated().to_string().into_bytes(), new.hyphenated().to_string().into_bytes()));
    }
    for separator in ["", ":", "-", " "] {
        let join = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(separator);
        pairs.push((join(old).into_bytes(), join(new).into_bytes()));
    }
    if let (Some(old), Some(new)) = (interface_id(old), interface_id(new)) {
        pairs.push((old, new));
    }
    let upper: Vec<_> = pairs
        .iter()
        .skip(2)
        // An id without letters has one form only, and that is replaced in lower case.
        .filter(|(old, _)| old.is_ascii() && old.iter().any(u8::is_ascii_lowercase))
        .map(|(old, new)| (old.to_ascii_uppercase(), new.to_ascii_uppercase()))
        .collect();
    pairs.extend(upper);
    let wide: Vec<_> =
        pairs.iter().filter(|(old, _)| old.is_ascii()).map(|(old, new)| (utf16(old), utf16(new))).collect();
    pairs.extend(wide);
    pairs
}

/// The lower half of an IPv6 address that is made from a hardware address (RFC 4291, appendix A).
fn interface_id(address: &[u8]) -> Option<Vec<u8>> {
    let [a, b, c, d, e, f] = address else { return None };
    Some(vec![a ^ 2, *b, *c, 0xff, 0xfe, *d, *e, *f])
}

/// UEFI's strings: descriptions of boot entries name disks and interfaces.
fn utf16(ascii: &[u8]) -> Vec<u8> {
    ascii.iter().flat_map(|&b| [b, 0]).collect()
}

/// An id and its neighbours. The addresses of a SAS disk's ports and of its logical unit differ in the last digit only
/// (NAA 5, SPC-5 7.7.6.6.4): they stay neighbours under their other names.
pub fn family(raw: &[u8], key: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Some((&last, head)) =
        raw.split_last().filter(|(_, head)| head.len() == 7 && head.first().is_some_and(|b| b >> 4 == 5))
    else {
        return vec![(raw.to_vec(), replaced_bytes(raw, key))];
    };
    let with = |head: &[u8], last: u8, digit: u8| [head, &[last & 0xf0 | digit]].concat();
    let new = replaced_bytes(&with(head, last, 0), key);
    let (Some((&new_last, new_head)), own) = (new.split_last(), last & 0x0f) else { return Vec::new() };
    // The id itself first: it is what has to be there.
    let digits = std::iter::once(own).chain((0..16).filter(|&digit| digit != own));
    digits.map(|digit| (with(head, last, digit), with(new_head, new_last, digit))).collect()
}

/// How a serial number is written: as it is, and in ATA's field of twenty characters with swapped bytes.
pub fn text_forms(old: &str, new: &str) -> Vec<Pair> {
    let mut pairs = vec![(old.as_bytes().to_vec(), new.as_bytes().to_vec())];
    if old.len() <= 20 {
        for pad in [|t: &str| format!("{t:<20}"), |t: &str| format!("{t:>20}")] {
            pairs.push((swapped(pad(old).as_bytes()), swapped(pad(new).as_bytes())));
        }
    }
    // NVMe's fallback wwid and by-id names write the serial number in hexadecimal.
    let hex = |t: &str| crate::parse::bytes::hex(t.as_bytes()).into_bytes();
    pairs.push((hex(old), hex(new)));
    if old.is_ascii() {
        pairs.push((utf16(old.as_bytes()), utf16(new.as_bytes())));
    }
    pairs
}
