//! A qcow2 image as a stream of what its guest sees (QEMU, docs/interop/qcow2.txt), versions 2 and 3.
//!
//! Read at random through [`ReadAt`], so nothing is spooled. Compressed clusters (deflate, zstd), zero clusters and
//! internal snapshots' presence are fine; backing files, external data files, encryption and subclusters are refused.

use super::ImageError;
use super::blocks::ReadAt;
use std::io::{self, Read};

const MAGIC: u32 = 0x5146_49fb;
/// More would not fit a disk: 8 EiB needs less with clusters of 2 MiB.
const LARGEST_L1: u64 = 32 << 20;
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// The parts of the header that matter for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Length in bytes of the disk inside.
    pub size: u64,
    cluster_bits: u32,
    l1_entries: u64,
    l1_offset: u64,
    zstd: bool,
    version: u32,
}

/// Why a header will not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    Damaged(String),
    Unsupported(String),
}

impl Header {
    /// From the first 105 bytes or more.
    pub fn parse(head: &[u8]) -> Result<Self, Refusal> {
        let damaged = |what: &str| Refusal::Damaged(what.to_owned());
        let short = || damaged("the header is cut short");
        let u32_at = |at: usize| be32(head, at).ok_or_else(short);
        let u64_at = |at: usize| be64(head, at).ok_or_else(short);
        if u32_at(0)? != MAGIC {
            return Err(damaged("it has no qcow2 magic"));
        }
        let version = u32_at(4)?;
        if !(2..=3).contains(&version) {
            return Err(Refusal::Unsupported(format!("is a qcow2 image of version {version}; 2 and 3 are supported")));
        }
        let refuse = |what: &str| Err(Refusal::Unsupported(format!("is a qcow2 image {what}")));
        if u64_at(8)? != 0 {
            return refuse("with a backing file: convert it to one that stands alone (qemu-img convert)");
        }
        if u32_at(32)? != 0 {
            return refuse("that is encrypted");
        }
        let incompatible = if version >= 3 { u64_at(72)? } else { 0 };
        // Bit 0, dirty, concerns reference counts only.
        match incompatible & !1 {
            features if features & 2 != 0 => return Err(damaged("it is marked corrupt (try qemu-img check)")),
            features if features & 4 != 0 => return refuse("with an external data file"),
            features if features & 16 != 0 => return refuse("with subclusters (extended L2 entries)"),
            features if features & !8 != 0 => return refuse("with features that are not known here"),
            _ => {}
        }
        let zstd = match (incompatible & 8 != 0, head.get(104)) {
            (false, _) | (true, Some(0)) => false,
            (true, Some(1)) => true,
            (true, _) => return refuse("with an unknown compression"),
        };
        let cluster_bits = u32_at(20)?;
        if !(9..=21).contains(&cluster_bits) {
            return Err(damaged("its cluster size is out of range"));
        }
        let (size, l1_entries, l1_offset) = (u64_at(24)?, u64::from(u32_at(36)?), u64_at(40)?);
        if size == 0 {
            return Err(damaged("its disk has no size"));
        }
        let per_l1 = 1u64 << (2 * cluster_bits - 3);
        if l1_entries * 8 > LARGEST_L1 || l1_entries < size.div_ceil(per_l1) || l1_offset % (1 << cluster_bits) != 0 {
            return Err(damaged("its L1 table makes no sense"));
        }
        Ok(Self { size, cluster_bits, l1_entries: size.div_ceil(per_l1), l1_offset, zstd, version })
    }

    fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }
}

/// Where a cluster's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Zero,
    At(u64),
    Compressed { offset: u64, len: u64 },
}

/// An L2 entry, taken apart; none where it is malformed.
fn place(entry: u64, header: &Header) -> Option<Place> {
    if entry & (1 << 62) != 0 {
        let width = 62 - (header.cluster_bits - 8);
        let offset = entry & ((1 << width) - 1);
        let sectors = ((entry & ((1 << 62) - 1)) >> width) + 1;
        return Some(Place::Compressed { offset, len: sectors * 512 - offset % 512 });
    }
    let offset = entry & OFFSET;
    if (header.version >= 3 && entry & 1 != 0) || offset == 0 {
        return Some(Place::Zero);
    }
    (offset % header.cluster() == 0).then_some(Place::At(offset))
}

/// Reads the disk inside from its beginning to its end.
pub struct Qcow2 {
    file: Box<dyn ReadAt>,
    name: String,
    header: Header,
    l1: Vec<u8>,
    /// The L2 table in use, and which it is.
    l2: Vec<u8>,
    l2_index: Option<u64>,
    position: u64,
    /// The compressed cluster in use, decoded.
    decoded: Vec<u8>,
    decoded_index: Option<u64>,
}

impl Qcow2 {
    pub fn open(mut file: Box<dyn ReadAt>, name: &str) -> Result<Self, ImageError> {
        let mut head = vec![0; usize::try_from(file.len()).unwrap_or(usize::MAX).min(112)];
        file.read_exact_at(&mut head, 0)?;
        let refused = |refusal| match refusal {
            Refusal::Damaged(what) => damaged(name, what),
            Refusal::Unsupported(what) => ImageError::Unsupported { source_name: name.to_owned(), what },
        };
        let header = Header::parse(&head).map_err(refused)?;
        let mut l1 = vec![0; usize::try_from(header.l1_entries * 8).unwrap_or(0)];
        file.read_exact_at(&mut l1, header.l1_offset)?;
        let (l2, decoded) = (Vec::new(), Vec::new());
        let name = name.to_owned();
        Ok(Self { file, name, header, l1, l2, l2_index: None, position: 0, decoded, decoded_index: None })
    }

    /// Length in bytes of the disk inside.
    pub fn size(&self) -> u64 {
        self.header.size
    }

    fn lookup(&mut self, cluster: u64) -> Result<Place, ImageError> {
        let per_l2 = self.header.cluster() / 8;
        let (index, slot) = (cluster / per_l2, cluster % per_l2);
        if self.l2_index != Some(index) {
            let entry = usize::try_from(index * 8).ok().and_then(|at| be64(&self.l1, at));
            let offset = entry.ok_or_else(|| damaged(&self.name, "an L1 entry is missing".into()))? & OFFSET;
            self.l2.clear();
            if offset != 0 {
                if offset % self.header.cluster() != 0 {
                    return Err(damaged(&self.name, format!("L2 table {index} is not aligned")));
                }
                self.l2.resize(1 << self.header.cluster_bits, 0);
                self.l2_index = None;
                self.file.read_exact_at(&mut self.l2, offset)?;
            }
            self.l2_index = Some(index);
        }
        if self.l2.is_empty() {
            return Ok(Place::Zero);
        }
        let entry = be64(&self.l2, slot as usize * 8).and_then(|entry| place(entry, &self.header));
        entry.ok_or_else(|| damaged(&self.name, format!("the entry of cluster {cluster} is not aligned")))
    }

    fn decode(&mut self, cluster: u64, offset: u64, len: u64) -> Result<(), ImageError> {
        if self.decoded_index == Some(cluster) {
            return Ok(());
        }
        // The last sector need not be there in full.
        let len = len.min(self.file.len().saturating_sub(offset));
        let mut packed = vec![0; usize::try_from(len).unwrap_or(0)];
        self.file.read_exact_at(&mut packed, offset)?;
        self.decoded_index = None;
        self.decoded.resize(1 << self.header.cluster_bits, 0);
        let unpacked = match self.header.zstd {
            true => zstd::stream::read::Decoder::with_buffer(packed.as_slice())
                .and_then(|mut decoder| decoder.read_exact(&mut self.decoded)),
            false => flate2::bufread::DeflateDecoder::new(packed.as_slice()).read_exact(&mut self.decoded),
        };
        unpacked.map_err(|error| damaged(&self.name, format!("cluster {cluster} does not decompress: {error}")))?;
        self.decoded_index = Some(cluster);
        Ok(())
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<usize, ImageError> {
        let (cluster, within) = (self.position / self.header.cluster(), self.position % self.header.cluster());
        let left = (self.header.size - self.position).min(self.header.cluster() - within);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let out = &mut out[..count];
        match self.lookup(cluster)? {
            Place::Zero => out.fill(0),
            Place::At(offset) => self.file.read_exact_at(out, offset + within)?,
            Place::Compressed { offset, len } => {
                self.decode(cluster, offset, len)?;
                let within = usize::try_from(within).unwrap_or(usize::MAX);
                let bytes = self.decoded.get(within..).and_then(|rest| rest.get(..count));
                out.copy_from_slice(bytes.ok_or_else(|| damaged(&self.name, "a cluster is short".into()))?);
            }
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Read for Qcow2 {
    /// An `ImageError` is inside of the `io::Error`.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() || self.position >= self.header.size {
            return Ok(0);
        }
        self.fill(out).map_err(io::Error::other)
    }
}

fn damaged(name: &str, what: String) -> ImageError {
    ImageError::Damaged { source_name: name.to_owned(), format: "qcow2", what }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 3, clusters of 512 bytes, a disk of 1 KiB: one zero cluster, one of 0xaa.
    fn small() -> Vec<u8> {
        let mut file = vec![0; 4 * 512];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"QFI\xfb\0\0\0\x03");
        put(20, &9u32.to_be_bytes());
        put(24, &1024u64.to_be_bytes());
        put(36, &1u32.to_be_bytes());
        put(40, &512u64.to_be_bytes());
        put(100, &104u32.to_be_bytes());
        put(512, &(1024u64 | 1 << 63).to_be_bytes());
        put(1024 + 8, &(1536u64 | 1 << 63).to_be_bytes());
        put(1536, &[0xaa; 512]);
        file
    }

    fn read(file: Vec<u8>) -> Result<Vec<u8>, String> {
        let mut image = Qcow2::open(Box::new(file), "test").map_err(|error| error.to_string())?;
        // A damaged size may promise anything.
        let mut bytes = Vec::new();
        Read::by_ref(&mut image).take(1 << 16).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    #[test]
    fn clusters_come_in_the_guests_order() {
        let bytes = read(small()).unwrap();
        assert_eq!(bytes.len(), 1024);
        assert!(bytes[..512].iter().all(|byte| *byte == 0) && bytes[512..].iter().all(|byte| *byte == 0xaa));
    }

    #[test]
    fn what_cannot_be_read_whole_is_refused() {
        for (at, value, text) in [
            (15, 1, "backing file"),
            (35, 1, "encrypted"),
            (79, 2, "corrupt"),
            (79, 4, "external data"),
            (79, 16, "subclusters"),
            (79, 32, "not known"),
            (7, 4, "version 4"),
            (23, 30, "cluster size"),
        ] {
            let mut file = small();
            file[at] = value;
            let error = read(file).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
        let mut cut = small();
        cut.truncate(1800);
        assert!(read(cut).is_err());
    }

    proptest::proptest! {
        #[test]
        fn damage_is_an_error_or_bytes_and_never_a_panic(
            changes in proptest::collection::vec((0usize..2048, proptest::num::u8::ANY), 1..8),
            length in 0usize..2049,
        ) {
            let mut file = small();
            for (at, value) in changes {
                file[at] = value;
            }
            file.truncate(length.max(1800));
            let _ = read(file);
        }
    }
}
