//! The record, on a half-written disk, of the partitions that are to be kept. While the disk has no partition table, this
//! record alone says where they are.
//!
//! There are two places for it, the last two pieces of [`SLOT`] bytes of the disk's first MiB, so that a new record never
//! takes the place of the one that still counts. ASCII `BURIN-KEPT`, a line feed, the CRC-32 of the text in eight
//! hexadecimal digits, a line feed, the text's length in decimal digits, a line feed, the text (JSON), and zeros.
//!
//! It counts only on a disk that begins with the mark of [`crate::unfinished`].

use serde::{Deserialize, Serialize};

const MAGIC: &[u8] = b"BURIN-KEPT\n";
/// Bytes of one place.
pub const SLOT: usize = 32 << 10;
/// Where the places begin, in bytes from the start of the disk.
pub const PLACES: [u64; 2] = [(1 << 20) - 2 * SLOT as u64, (1 << 20) - SLOT as u64];

record! {
    /// A partition that is to outlive the writing of its disk.
    KeptPartition {
        number: u32,
        /// Bytes from the start of the disk.
        start: u64,
        /// Bytes.
        size: u64,
        /// GPT type GUID, lower case.
        type_guid: String,
        /// GPT partition GUID, lower case.
        guid: String,
        name: String,
        /// GPT attribute bits.
        attributes: u64,
    }
}

record! {
    /// What a disk that is half written tells of the partitions on it.
    Remembered {
        /// By a record of what is kept; else by a table that is still there, or there already.
        recorded: bool,
        partitions: Vec<KeptPartition>,
    }
}

/// What stands in one of the places.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Of two that are whole, the one with the higher number counts.
    pub generation: u64,
    pub partitions: Vec<KeptPartition>,
}

/// [`SLOT`] bytes; none where so much does not fit.
pub fn encode(record: &Record) -> Option<Vec<u8>> {
    let text = serde_json::to_vec(record).ok()?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(format!("{:08x}\n{}\n", crc32fast::hash(&text), text.len()).into_bytes());
    bytes.extend(text);
    (bytes.len() <= SLOT).then(|| {
        bytes.resize(SLOT, 0);
        bytes
    })
}

/// What one place holds; none where it is no whole record.
pub fn parse(bytes: &[u8]) -> Option<Record> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (crc, rest) = line(rest)?;
    let (length, rest) = line(rest)?;
    let text = rest.get(..length.parse().ok()?)?;
    (u32::from_str_radix(crc, 16).ok()? == crc32fast::hash(text)).then(|| serde_json::from_slice(text).ok())?
}

/// The record that counts, and which of [`PLACES`] it is in. `slots` are the bytes of both.
pub fn newest(slots: [&[u8]; 2]) -> Option<(usize, Record)> {
    let found = slots.into_iter().enumerate().filter_map(|(place, bytes)| Some((place, parse(bytes)?)));
    found.max_by_key(|(_, record)| record.generation)
}

fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().take(16).position(|&byte| byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(line).ok()?, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(generation: u64, name: &str) -> Record {
        let one = KeptPartition {
            number: 4,
            start: 10 << 20,
            size: 1 << 40,
            type_guid: "0fc63daf-8483-4772-8e79-3d69d8477de4".to_owned(),
            guid: "11111111-2222-3333-4444-555555555555".to_owned(),
            name: name.to_owned(),
            attributes: 1 << 60,
        };
        Record { generation, partitions: vec![one] }
    }

    #[test]
    fn what_is_written_is_read_and_half_of_it_is_not() {
        let bytes = encode(&record(7, "data")).unwrap();
        assert_eq!((bytes.len(), parse(&bytes)), (SLOT, Some(record(7, "data"))));
        assert!(bytes.starts_with(b"BURIN-KEPT\n"));
        // Any sector that did not come to the disk.
        for at in 0..bytes.iter().rposition(|byte| *byte != 0).unwrap() / 512 + 1 {
            let mut torn = bytes.clone();
            torn[at * 512..(at + 1) * 512].fill(0);
            assert_eq!(parse(&torn), None, "{at}");
        }
        let many = Record { generation: 1, partitions: vec![record(1, &"ä".repeat(36)).partitions[0].clone(); 256] };
        assert_eq!(encode(&many), None);
    }

    #[test]
    fn the_newer_one_counts() {
        let (old, new) = (encode(&record(1, "old")).unwrap(), encode(&record(2, "new")).unwrap());
        assert_eq!(newest([&old, &new]), Some((1, record(2, "new"))));
        assert_eq!(newest([&new, &old]), Some((0, record(2, "new"))));
        assert_eq!(newest([&old, &[0; SLOT]]), Some((0, record(1, "old"))));
        assert_eq!(newest([&[], &[]]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..600), marked in any::<bool>()) {
            let bytes = if marked { [MAGIC, &bytes].concat() } else { bytes };
            let _ = parse(&bytes);
        }
    }
}
