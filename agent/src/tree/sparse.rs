//! The positions of a sparse file's stored bytes ("Sparse Formats" in GNU tar's manual).

use super::archive::{BLOCK, Records, field, invalid, number, value};
use std::io::{self, Read};

/// More pieces than any reasonable file has; each takes memory.
const MOST: usize = 1 << 20;

/// A stored piece of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SparseSegment {
    pub offset: u64,
    pub length: u64,
}

/// Information from pax records.
pub(super) enum Map {
    /// Format 1.0: the map precedes the stored bytes.
    Stored { size: u64 },
    /// Formats 0.0 and 0.1.
    Told { size: u64, segments: Vec<SparseSegment> },
}

/// Four pieces in the header, more in blocks after it, 21 each.
pub(super) fn old_gnu(
    header: &[u8; BLOCK],
    mut next: impl FnMut() -> io::Result<[u8; BLOCK]>,
) -> io::Result<(u64, Vec<SparseSegment>)> {
    let bad = || invalid("a sparse file's map has what is no number");
    let mut segments = Vec::new();
    let mut pieces = |bytes: &[u8], at: usize, count: usize| -> io::Result<()> {
        for piece in 0..count {
            let (offset, length) = (field(bytes, at + piece * 24, 12), field(bytes, at + piece * 24 + 12, 12));
            if offset.first().is_none_or(|first| *first == 0) || segments.len() == MOST {
                break;
            }
            let (offset, length) = (number(offset).ok_or_else(bad)?, number(length).ok_or_else(bad)?);
            segments.push(SparseSegment { offset, length });
        }
        Ok(())
    };
    pieces(header, 386, 4)?;
    let mut more = header.get(482).is_some_and(|flag| *flag != 0);
    let mut blocks = 0;
    while more {
        blocks += 1;
        if blocks > MOST / 21 {
            return Err(invalid("a sparse file of too many pieces"));
        }
        let block = next()?;
        pieces(&block, 0, 21)?;
        more = block.get(504).is_some_and(|flag| *flag != 0);
    }
    Ok((number(field(header, 483, 12)).ok_or_else(bad)?, segments))
}

/// `None`: not a sparse file.
pub(super) fn of_records(records: &Records) -> io::Result<Option<Map>> {
    let decimal = |bytes: &[u8]| -> io::Result<u64> {
        let text = std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse().ok());
        text.ok_or_else(|| invalid("a sparse file's map has what is no number"))
    };
    let size = value(records, "GNU.sparse.realsize").or_else(|| value(records, "GNU.sparse.size"));
    let Some(size) = size.map(decimal).transpose()? else {
        let strange = records.iter().any(|(key, _)| key.starts_with(b"GNU.sparse."));
        return if strange { Err(invalid("a sparse file without its size")) } else { Ok(None) };
    };
    let version = |key: &str| value(records, key).map(decimal).transpose();
    match (version("GNU.sparse.major")?.unwrap_or(0), version("GNU.sparse.minor")?.unwrap_or(0)) {
        (1, 0) => return Ok(Some(Map::Stored { size })),
        (0, _) => {}
        (major, minor) => return Err(invalid(&format!("a sparse file of format {major}.{minor}"))),
    }
    let numbers: Vec<u64> = match value(records, "GNU.sparse.map") {
        Some([]) => Vec::new(),
        Some(map) => map.split(|byte| *byte == b',').map(decimal).collect::<io::Result<_>>()?,
        None => {
            let pieces = records.iter().filter(|(key, _)| key == b"GNU.sparse.offset" || key == b"GNU.sparse.numbytes");
            pieces.map(|(_, value)| decimal(value)).collect::<io::Result<_>>()?
        }
    };
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(invalid("a sparse file's map has an odd number of numbers"));
    }
    let segments = pairs.iter().map(|&[offset, length]| SparseSegment { offset, length }).collect();
    Ok(Some(Map::Told { size, segments }))
}

/// Format 1.0: a count, then offset and length of each piece, one decimal number per line, in whole blocks.
pub(super) fn stored(from: &mut impl Read) -> io::Result<Vec<SparseSegment>> {
    let (mut block, mut used) = ([0; BLOCK], BLOCK);
    let mut line = || -> io::Result<u64> {
        let (mut value, mut digits) = (0u64, 0);
        loop {
            if used == BLOCK {
                from.read_exact(&mut block)?;
                used = 0;
            }
            match block.get(used) {
                Some(b'\n') if digits > 0 => {
                    used += 1;
                    return Ok(value);
                }
                Some(digit @ b'0'..=b'9') if digits < 19 => value = value * 10 + u64::from(digit - b'0'),
                _ => return Err(invalid("a sparse file's map has what is no number")),
            }
            (used, digits) = (used + 1, digits + 1);
        }
    };
    let count = line()?;
    if count > MOST as u64 {
        return Err(invalid("a sparse file of too many pieces"));
    }
    (0..count).map(|_| Ok(SparseSegment { offset: line()?, length: line()? })).collect()
}

/// Checks that they are ascending, inside the file, and in total as long as what is stored.
pub(super) fn check(segments: Vec<SparseSegment>, stored: u64, size: u64) -> io::Result<Vec<SparseSegment>> {
    let (mut end, mut sum) = (0u64, 0u64);
    for segment in &segments {
        let next = segment.offset.checked_add(segment.length);
        match next.filter(|next| segment.offset >= end && *next <= size) {
            Some(next) => end = next,
            None => return Err(invalid("a sparse file's pieces overlap or lie outside of it")),
        }
        sum = sum.saturating_add(segment.length);
    }
    if sum != stored {
        return Err(invalid("a sparse file's map does not fit what is stored"));
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(offset: u64, length: u64) -> SparseSegment {
        SparseSegment { offset, length }
    }

    #[test]
    fn pieces_must_fit_each_other_and_the_file() {
        let good = vec![segment(0, 5), segment(10, 5), segment(20, 0)];
        assert_eq!(check(good.clone(), 10, 20).unwrap_or_default(), good);
        for (bad, stored, size) in [
            (vec![segment(10, 5), segment(0, 5)], 10, 20),
            (vec![segment(0, 5), segment(4, 5)], 10, 20),
            (vec![segment(0, 5)], 4, 20),
            (vec![segment(0, 5)], 5, 4),
            (vec![segment(u64::MAX, 5)], 5, u64::MAX),
        ] {
            assert!(check(bad, stored, size).is_err());
        }
    }

    #[test]
    fn a_stored_map_ends_at_a_blocks_end() {
        let mut bytes = b"2\n0\n512\n4096\n1\n".to_vec();
        bytes.resize(BLOCK, 0);
        bytes.push(7);
        let mut from = bytes.as_slice();
        assert_eq!(stored(&mut from).unwrap_or_default(), [segment(0, 512), segment(4096, 1)]);
        assert_eq!(from, [7]);
        for bad in [&b"x\n"[..], b"\n", b"99999999999999999999\n", b"2\n1\n"] {
            assert!(stored(&mut &*bad).is_err());
        }
    }

    #[test]
    fn old_pax_maps_are_lists() {
        let record = |key: &str, value: &str| (key.as_bytes().to_vec(), value.as_bytes().to_vec());
        let told = |records: Records| match of_records(&records) {
            Ok(Some(Map::Told { size, segments })) => Some((size, segments)),
            _ => None,
        };
        let wanted = Some((9000, vec![segment(0, 512), segment(4096, 7)]));
        let size = || record("GNU.sparse.size", "9000");
        assert_eq!(told(vec![size(), record("GNU.sparse.map", "0,512,4096,7")]), wanted);
        let pieces = [("offset", "0"), ("numbytes", "512"), ("offset", "4096"), ("numbytes", "7")];
        let mut records: Records = pieces.map(|(key, value)| record(&format!("GNU.sparse.{key}"), value)).into();
        records.insert(0, size());
        assert_eq!(told(records), wanted);
        assert_eq!(told(vec![size(), record("GNU.sparse.map", "0,512,4096")]), None);
        assert!(of_records(&vec![record("GNU.sparse.map", "0,1")]).is_err());
        assert!(of_records(&vec![size(), record("GNU.sparse.major", "2")]).is_err());
        assert!(of_records(&Vec::new()).is_ok_and(|map| map.is_none()));
    }
}
