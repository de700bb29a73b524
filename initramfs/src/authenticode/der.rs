//! The subset of DER (X.690) that signatures need.

/// An object identifier, with its tag.
macro_rules! oid {
    ($($byte:literal),+) => { &[0x06, [$($byte),+].len() as u8, $($byte),+] };
}
pub(super) use oid;

/// Tag, length, and `parts` concatenated.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    Element::new(tag, parts).bytes
}

/// The same, with the position of the contents.
pub struct Element {
    bytes: Vec<u8>,
    start: usize,
}

impl Element {
    pub fn new(tag: u8, parts: &[&[u8]]) -> Self {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let digits: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        let mut bytes = vec![tag];
        match length {
            0..0x80 => bytes.push(length as u8),
            _ => {
                bytes.push(0x80 | digits.len() as u8);
                bytes.extend(digits);
            }
        }
        let start = bytes.len();
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        Self { bytes, start }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn contents(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// A parsed element.
#[derive(Clone, Copy)]
pub struct Read<'a> {
    pub tag: u8,
    /// Including tag and length.
    pub whole: &'a [u8],
    pub contents: &'a [u8],
}

/// The first element, and the rest.
pub fn read(bytes: &[u8]) -> Option<(Read<'_>, &[u8])> {
    let (tag, first) = (*bytes.first()?, *bytes.get(1)?);
    let (length, start) = match first {
        0..0x80 => (usize::from(first), 2),
        _ => {
            let count = usize::from(first & 0x7f);
            let digits = bytes.get(2..2 + count).filter(|_| (1..=4).contains(&count))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), 2 + count)
        }
    };
    let end = start.checked_add(length)?;
    Some((Read { tag, whole: bytes.get(..end)?, contents: bytes.get(start..end)? }, bytes.get(end..)?))
}
