//! Lists the forms in which a value may be written (hexadecimal, byte-swapped, in groups), with its replacement in each.

use crate::parse::bytes::hex;
use crate::parse::ipmifru;
use sha2::{Digest, Sha256};

/// Bytes, and others of the same length.
pub type Pair = (Vec<u8>, Vec<u8>);

/// An id written in hexadecimal: sixteen digits or more, or with the separators that hardware addresses, UUIDs and GUIDs
/// have. Others (`1234-5678-90`) are text, whatever they are made of.
pub fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    if !digits.len().is_multiple_of(2) || digits.len() < 12 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let groups: Vec<usize> = text.split([':', '-']).map(str::len).collect();
    let even = |length: usize, least: usize| groups.len() >= least && groups.iter().all(|&n| n == length);
    let known = match groups.as_slice() {
        [one] => *one >= 16,
        [8, 4, 4, 4, 12] => true,
        _ => even(2, 6) || (text.contains(':') && (even(4, 4) || even(8, 4))),
    };
    let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok();
    if known { digits.as_bytes().chunks_exact(2).map(pair).collect() } else { None }
}

fn hash(key: &[u8], value: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update((key.len() as u64).to_le_bytes());
    digest.update(key);
    digest.update(value);
    digest.finalize().into()
}

/// The first byte stays: it says what kind of address or id it is.
fn replaced_bytes(raw: &[u8], key: &[u8]) -> Vec<u8> {
    let stream = hash(key, raw);
    raw.iter()
        .enumerate()
        .map(|(i, &old)| if i == 0 { old } else { stream.get(i % 32).copied().unwrap_or(old) })
        .collect()
}

/// Digits become digits, letters letters, of hexadecimal where all are. The number of an array (`host:0`) stays.
pub fn replaced_text(text: &str, key: &[u8]) -> String {
    let stream = hash(key, text.as_bytes());
    let letters = if text.chars().all(|c| !c.is_ascii_alphabetic() || c.is_ascii_hexdigit()) { 6 } else { 26 };
    let numbered = text.rsplit_once(':').filter(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let end = numbered.map_or(text.len(), |(head, _)| head.len());
    text.char_indices()
        .enumerate()
        .map(|(i, (at, c))| {
            let n = stream.get(i % 32).copied().unwrap_or(0).wrapping_add((i / 32) as u8);
            match c {
                _ if at >= end => c,
                '0'..='9' => char::from(b'0' + n % 10),
                'a'..='z' => char::from(b'a' + n % letters),
                'A'..='Z' => char::from(b'A' + n % letters),
                other => other,
            }
        })
        .collect()
}

/// `new` in the spelling of `old`: its separators, its case.
pub fn rewritten(old: &str, new: &[u8]) -> String {
    let upper = old.bytes().any(|b| b.is_ascii_uppercase());
    let digits = if upper { hex(new).to_ascii_uppercase() } else { hex(new) };
    let mut digits = digits.chars();
    old.chars().map(|c| if c.is_ascii_hexdigit() { digits.next().unwrap_or(c) } else { c }).collect()
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
        let (old, new) = (old.hyphenated().to_string(), new.hyphenated().to_string());
        // Device mapper doubles the dashes of names that it joins.
        pairs.push((old.replace('-', "--").into_bytes(), new.replace('-', "--").into_bytes()));
        pairs.push((old.into_bytes(), new.into_bytes()));
    }
    // Bytes in a group, and what stands between the groups: addresses, GUIDs of InfiniBand, UUIDs of md, switches.
    for (bytes, separator) in [(64, ""), (1, ":"), (1, "-"), (1, " "), (2, ":"), (2, "."), (4, ":")] {
        let join = |id: &[u8]| id.chunks(bytes).map(hex).collect::<Vec<_>>().join(separator);
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

/// An id and its neighbours, the id itself first. The addresses of a SAS disk's ports and of its logical unit differ in the
/// last digit only (NAA 5, SPC-5 7.7.6.6.4), and so do the GUIDs of an InfiniBand adapter and its ports: they stay
/// neighbours under their other names. What stands before the GUID in a GID and in an address of IP over InfiniBand
/// (RFC 4391 9.1.1) is no name.
pub fn family(raw: &[u8], key: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let prefix = match raw {
        [0xfe, 0x80, 0, 0, 0, 0, 0, 0, ..] if raw.len() == 16 => 8,
        _ if raw.len() == 20 => 12,
        _ => 0,
    };
    let (before, id) = raw.split_at_checked(prefix).unwrap_or((&[], raw));
    let whole = |id: &[u8]| [before, id].concat();
    let Some((&last, head)) = id.split_last().filter(|(_, head)| head.len() == 7) else {
        return vec![(raw.to_vec(), replaced_bytes(raw, key))];
    };
    let with = |head: &[u8], last: u8, digit: u8| [head, &[last & 0xf0 | digit]].concat();
    let new = replaced_bytes(&with(head, last, 0), key);
    let (Some((&new_last, new_head)), own) = (new.split_last(), last & 0x0f) else { return Vec::new() };
    let digits = std::iter::once(own).chain((0..16).filter(|&digit| digit != own));
    digits.map(|digit| (whole(&with(head, last, digit)), whole(&with(new_head, new_last, digit)))).collect()
}

/// How a name is written: as it is and in the other case, in ATA's fields with swapped bytes, in UTF-16, and in
/// hexadecimal, as NVMe's fallback wwid and by-id names have it.
pub fn text_forms(old: &str, new: &str) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    let cases = [str::to_owned, str::to_ascii_uppercase, str::to_ascii_lowercase] as [fn(&str) -> String; 3];
    for case in cases {
        pairs.push((case(old).into_bytes(), case(new).into_bytes()));
    }
    // It may start in the middle of a pair; what it shares the pair with is padding.
    for (before, after) in [("", ""), ("", " "), (" ", ""), (" ", " "), ("", "\0"), ("\0", "")] {
        let pad = |text: &str| format!("{before}{text}{after}");
        if pad(old).len().is_multiple_of(2) {
            pairs.push((swapped(pad(old).as_bytes()), swapped(pad(new).as_bytes())));
        }
    }
    // FRU inventories may pack capitals and digits into six bits each.
    if let (Some(old), Some(new)) = (ipmifru::packed(old), ipmifru::packed(new)) {
        pairs.push((old, new));
    }
    // The whole field of ATA and NVMe, by which short names can be told from chance.
    if (2..6).contains(&old.len()) {
        for pad in [|text: &str| format!("{text:<20}"), |text: &str| format!("{text:>20}")] {
            pairs.push((pad(old).into_bytes(), pad(new).into_bytes()));
            pairs.push((swapped(pad(old).as_bytes()), swapped(pad(new).as_bytes())));
        }
    }
    let in_hex = |text: &str| hex(text.as_bytes()).into_bytes();
    pairs.push((in_hex(old), in_hex(new)));
    if old.is_ascii() {
        pairs.push((utf16(old.as_bytes()), utf16(new.as_bytes())));
    }
    if old.len() == 32 {
        // LVM writes its ids with dashes, and without them in names of maps.
        pairs.extend(lvm(old).zip(lvm(new)));
    }
    if let (Some(old), Some(new)) = (mbr_signature(old), mbr_signature(new)) {
        pairs.push((old, new));
    }
    pairs
}

fn lvm(id: &str) -> Option<Vec<u8>> {
    const GROUPS: [(usize, usize); 7] = [(0, 6), (6, 10), (10, 14), (14, 18), (18, 22), (22, 26), (26, 32)];
    let groups: Option<Vec<&str>> = GROUPS.iter().map(|&(start, end)| id.get(start..end)).collect();
    Some(groups?.join("-").into_bytes())
}

/// The id of an MBR disk in UEFI's device path (UEFI 2.10, 10.3.5.1): little-endian, in a field of sixteen bytes.
fn mbr_signature(id: &str) -> Option<Vec<u8>> {
    let number = u32::from_str_radix(id, 16).ok().filter(|_| id.len() == 8)?;
    Some([&number.to_le_bytes()[..], &[0; 12]].concat())
}
