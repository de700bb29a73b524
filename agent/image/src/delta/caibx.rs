//! casync's index of a blob (caibx): the SHA-256 of each chunk, here of fixed chunks of 256 KiB.
//!
//! All numbers are 64-bit, little-endian. A header (its size 48, its type, feature flags, least, average and largest
//! chunk), then a table (size all ones, its type; per chunk the offset of its end and its digest), then a tail of five
//! numbers: 0, 0, where the table begins, the table's size, a marker. casync and desync write and read the same.

use crate::error::ImageError;
use burin_disk::is_zero;
use std::sync::LazyLock;

/// Bytes per chunk; the last one may be shorter.
pub const CHUNK: u64 = 256 << 10;

const INDEX: u64 = 0x9682_4d9c_7b12_9ff9;
const TABLE: u64 = 0xe75b_9e11_2f17_417d;
const TAIL: u64 = 0x4b4f_050e_5549_ecd1;
/// Digests are SHA-512/256 instead of SHA-256.
const SHA512_256: u64 = 1 << 61;
/// Flags of `casync make --digest=sha256` for a blob; two of them concern only directories.
const FLAGS: u64 = 9 << 60;
const HEADER: usize = 48;
const TABLE_HEADER: usize = 16;
const ENTRY: usize = 40;

/// The digests of an image's chunks, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caibx {
    /// Length of the image in bytes.
    pub length: u64,
    /// SHA-256 of each chunk.
    pub digests: Vec<[u8; 32]>,
}

impl Caibx {
    /// Parses an index. `name` is its source, for messages.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self, ImageError> {
        let damaged = |what: &str| {
            let (source_name, what) = (name.to_owned(), what.to_owned());
            ImageError::Damaged { source_name, format: "caibx", what }
        };
        let unsupported = |what: &str| ImageError::Unsupported { source_name: name.to_owned(), what: what.to_owned() };
        let number = |at: usize| {
            let bytes = bytes.get(at..at.checked_add(8)?)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let head: Vec<u64> = (0..8).filter_map(|index| number(index * 8)).collect();
        let [size, kind, flags, least, average, largest, open, table] = head.as_slice() else {
            return Err(damaged("it is cut short"));
        };
        if (*size, *kind, *open, *table) != (HEADER as u64, INDEX, u64::MAX, TABLE) {
            return Err(damaged("it does not begin as an index does"));
        }
        if flags & SHA512_256 != 0 {
            return Err(unsupported("is an index with SHA-512/256; make it with --digest=sha256"));
        }
        if [*least, *average, *largest] != [CHUNK; 3] {
            return Err(unsupported("is an index of other chunks; make it with --chunk-size=262144:262144:262144"));
        }
        let entries = bytes.get(HEADER + TABLE_HEADER..).unwrap_or_default();
        if entries.len() < ENTRY || entries.len() % ENTRY != 0 {
            return Err(damaged("its length is not that of whole entries"));
        }
        let (entries, tail) = entries.split_at(entries.len() - ENTRY);
        let wanted = [0, 0, HEADER as u64, (TABLE_HEADER + entries.len() + ENTRY) as u64, TAIL];
        if !tail.iter().eq(wanted.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>().iter()) {
            return Err(damaged("its tail does not fit"));
        }
        let mut index = Self::default();
        for entry in entries.chunks_exact(ENTRY) {
            let (end, digest) = entry.split_at(8);
            let (Ok(end), Ok(digest)) = (end.try_into().map(u64::from_le_bytes), <[u8; 32]>::try_from(digest)) else {
                return Err(damaged("an entry is cut short"));
            };
            // Only the last chunk may be short, and none is empty.
            let whole = index.length % CHUNK == 0;
            if !whole || end <= index.length || end - index.length > CHUNK {
                return Err(damaged(&format!("the chunk at byte {} has no sensible length", index.length)));
            }
            index.length = end;
            index.digests.push(digest);
        }
        if index.digests.is_empty() {
            return Err(damaged("it has no chunks"));
        }
        Ok(index)
    }

    /// The bytes of the index file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + TABLE_HEADER + ENTRY * (self.digests.len() + 1));
        for number in [HEADER as u64, INDEX, FLAGS, CHUNK, CHUNK, CHUNK, u64::MAX, TABLE] {
            bytes.extend(number.to_le_bytes());
        }
        let mut end = 0;
        for digest in &self.digests {
            end = (end + CHUNK).min(self.length);
            bytes.extend(end.to_le_bytes());
            bytes.extend(digest);
        }
        let table = TABLE_HEADER + ENTRY * (self.digests.len() + 1);
        for number in [0, 0, HEADER as u64, table as u64, TAIL] {
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }

    /// Whether `bytes` at `offset` (a multiple of [`CHUNK`]) equal the image.
    pub fn matches(&self, offset: u64, bytes: &[u8]) -> bool {
        let first = usize::try_from(offset / CHUNK).unwrap_or(usize::MAX);
        let within = offset.is_multiple_of(CHUNK) && offset.saturating_add(bytes.len() as u64) <= self.length;
        let digests = self.digests.get(first..).unwrap_or_default();
        let chunks = bytes.chunks(CHUNK as usize);
        // A partial chunk never matches, because its digest differs.
        within && chunks.len() <= digests.len() && chunks.zip(digests).all(|(chunk, digest)| same(chunk, digest))
    }
}

/// Looking for a non-zero byte is ten times faster than SHA-256, and large parts of many images are zeros.
fn same(chunk: &[u8], digest: &[u8; 32]) -> bool {
    static ZEROS: LazyLock<[u8; 32]> = LazyLock::new(|| sha256(&[0; CHUNK as usize]));
    if chunk.len() == CHUNK as usize && digest == &*ZEROS { is_zero(chunk) } else { sha256(chunk) == *digest }
}

/// Takes bytes in order, and makes an index.
#[derive(Debug, Default)]
pub struct Indexer {
    index: Caibx,
    part: Vec<u8>,
}

impl Indexer {
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.index.length += bytes.len() as u64;
        while !bytes.is_empty() {
            let count = (CHUNK as usize - self.part.len()).min(bytes.len());
            let (now, later) = bytes.split_at(count);
            self.part.extend_from_slice(now);
            bytes = later;
            if self.part.len() == CHUNK as usize {
                self.end_chunk();
            }
        }
    }

    fn end_chunk(&mut self) {
        self.index.digests.push(sha256(&self.part));
        self.part.clear();
    }

    pub fn finish(mut self) -> Caibx {
        if !self.part.is_empty() {
            self.end_chunk();
        }
        self.index
    }
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(bytes: &[u8]) -> Caibx {
        let mut indexer = Indexer::default();
        bytes.chunks(100_003).for_each(|part| indexer.update(part));
        indexer.finish()
    }

    fn image(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at / 1000 + at % 7) as u8).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        for len in [1, 4096, CHUNK as usize, CHUNK as usize + 1, 3 * CHUNK as usize + 77] {
            let bytes = image(len);
            let made = index(&bytes);
            assert_eq!(made.length, len as u64);
            assert_eq!(Caibx::parse(&made.bytes(), "test").unwrap(), made);
        }
    }

    #[test]
    fn only_the_right_bytes_match() {
        let bytes = image(3 * CHUNK as usize + 77);
        let made = index(&bytes);
        let chunk = CHUNK as usize;
        assert!(made.matches(0, &bytes) && made.matches(CHUNK, &bytes[chunk..3 * chunk]));
        assert!(made.matches(3 * CHUNK, &bytes[3 * chunk..]));
        assert!(!made.matches(3 * CHUNK, &bytes[3 * chunk..3 * chunk + 76]), "a part is no match");
        assert!(!made.matches(1, &bytes[1..chunk]) && !made.matches(9 * CHUNK, &bytes[..chunk]));
        let mut other = bytes.clone();
        other[2 * chunk + 5] ^= 1;
        assert!(!made.matches(0, &other) && made.matches(0, &other[..2 * chunk]));
    }

    #[test]
    fn other_indexes_are_refused_with_what_to_do() {
        let good = index(&image(CHUNK as usize + 9)).bytes();
        let with = |at: usize, number: u64| {
            let mut bytes = good.clone();
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
            Caibx::parse(&bytes, "test").unwrap_err().to_string()
        };
        assert!(with(16, FLAGS | SHA512_256).contains("--digest=sha256"));
        assert!(with(24, 16384).contains("--chunk-size"));
        assert!(with(0, 47).contains("begin") && with(good.len() - 8, 1).contains("tail"));
        assert!(with(HEADER + TABLE_HEADER, 0).contains("length"));
        for len in 0..good.len() {
            assert!(Caibx::parse(&good[..len], "test").is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn damage_is_an_error_or_an_index_and_never_a_panic(
            len in 1usize..600_000, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = index(&image(len)).bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(cut.index(bytes.len() * 2).min(bytes.len()));
            if let Ok(index) = Caibx::parse(&bytes, "test") {
                prop_assert_eq!(index.digests.len() as u64, index.length.div_ceil(CHUNK));
                index.matches(0, &[0; 100]);
            }
        }

        #[test]
        fn junk_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Caibx::parse(&bytes, "test").is_err());
        }
    }
}
