//! Bounds-checked little- and big-endian reads.

pub fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

pub fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(array(bytes, at)?))
}

pub fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(array(bytes, at)?))
}

pub fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(array(bytes, at)?))
}

/// The low 64 bits of a 128-bit counter, saturating where it is larger.
pub fn le128(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::try_from(u128::from_le_bytes(array(bytes, at)?)).unwrap_or(u64::MAX))
}

pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(array(bytes, at)?))
}

pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(array(bytes, at)?))
}

pub fn slice(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    slice(bytes, at, N)?.try_into().ok()
}

/// Printable ASCII without padding; `None` when nothing is left.
pub fn ascii(bytes: &[u8]) -> Option<String> {
    let text: String = bytes.iter().map(|&b| if (0x20..0x7f).contains(&b) { b as char } else { ' ' }).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
