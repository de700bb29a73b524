//! A qcow2 image as a stream of what its guest sees (QEMU, docs/interop/qcow2.txt), versions 2 and 3.
//!
//! Read at random through [`ReadAt`], so nothing is spooled. Compressed clusters (deflate, zstd), zero clusters and
//! internal snapshots' presence are fine; backing files, external data files, encryption and subclusters are refused.

use crate::ImageError;
use crate::flow::chunker::{Chunker, Fault};
use crate::flow::stop::Stop;
use crate::flow::workers::Workers;
use crate::source::random::ReadAt;
use burin_disk::{CHUNK, Chunk, Pool, PoolBuf};
use std::io;
use zstd::stream::raw::{InBuffer, Operation, OutBuffer};

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
        if l1_entries * 8 > LARGEST_L1
            || l1_entries < size.div_ceil(per_l1)
            || !l1_offset.is_multiple_of(1 << cluster_bits)
        {
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
    offset.is_multiple_of(header.cluster()).then_some(Place::At(offset))
}

/// A stretch of the disk inside, as it is in the image.
pub struct Stretch {
    parts: Vec<Part>,
    /// What the parts need, one after the other.
    bytes: Vec<u8>,
    len: usize,
}

struct Part {
    cluster: u64,
    /// Where in the cluster it begins.
    within: usize,
    len: usize,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Zero,
    Plain,
    /// So many bytes that decompress to the whole cluster.
    Compressed(usize),
}

/// Fetches the disk inside.
pub struct Qcow2 {
    file: Box<dyn ReadAt>,
    name: String,
    header: Header,
    l1: Vec<u8>,
    /// The L2 table in use, and which it is.
    l2: Vec<u8>,
    l2_index: Option<u64>,
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
        Ok(Self { file, name: name.to_owned(), header, l1, l2: Vec::new(), l2_index: None })
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
                if !offset.is_multiple_of(self.header.cluster()) {
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

    /// What it takes to make `len` bytes of the disk inside, which begin at `offset` and lie within it.
    pub fn fetch(&mut self, mut offset: u64, len: usize) -> Result<Stretch, ImageError> {
        let mut stretch = Stretch { parts: Vec::new(), bytes: Vec::new(), len };
        let mut left = len;
        while left > 0 {
            let (cluster, within) = (offset / self.header.cluster(), offset % self.header.cluster());
            let count = usize::try_from(self.header.cluster() - within).unwrap_or(usize::MAX).min(left);
            let how = match self.lookup(cluster)? {
                Place::Zero => How::Zero,
                Place::At(place) => {
                    self.append(&mut stretch.bytes, place + within, count)?;
                    How::Plain
                }
                Place::Compressed { offset, len } => {
                    // The last sector need not be there in full.
                    let len = usize::try_from(len.min(self.file.len().saturating_sub(offset))).unwrap_or(0);
                    self.append(&mut stretch.bytes, offset, len)?;
                    How::Compressed(len)
                }
            };
            stretch.parts.push(Part { cluster, within: within as usize, len: count, how });
            offset += count as u64;
            left -= count;
        }
        Ok(stretch)
    }

    fn append(&mut self, bytes: &mut Vec<u8>, offset: u64, len: usize) -> Result<(), ImageError> {
        let start = bytes.len();
        bytes.resize(start + len, 0);
        self.file.read_exact_at(&mut bytes[start..], offset)
    }

    pub fn decoder(&self) -> BlockDecoder {
        BlockDecoder {
            name: self.name.clone(),
            cluster: 1 << self.header.cluster_bits,
            zstd: self.header.zstd,
            codec: None,
        }
    }

    /// Sends all of the disk inside to `sink`, decompressed by so many workers as `buffers` are enough for.
    pub fn run(mut self, workers: usize, buffers: usize, sink: &mut Chunker<'_>) -> Result<(), ImageError> {
        let (size, decoder, pool, stop) = (self.header.size, self.decoder(), sink.pool(), sink.stop());
        // Each may hold one that waits for its turn and one that it fills. The others: the image's first chunk, which is
        // withheld to the end, and what is being written.
        let workers = workers.min(buffers.saturating_sub(2) / 2);
        std::thread::scope(|scope| {
            let fetch = move |(offset, len)| self.fetch(offset, len);
            let decode = || {
                let mut decoder = decoder.clone();
                move |stretch| decoder.piece(&stretch, pool, stop)
            };
            let mut workers = Workers::start(scope, (workers, 2 * workers), stop, fetch, decode)?;
            let mut jobs = (0..size).step_by(CHUNK).map(|offset| (offset, (size - offset).min(CHUNK as u64) as usize));
            let mut left = size.div_ceil(CHUNK as u64);
            while left > 0 {
                while workers.has_room()
                    && let Some(job) = jobs.next()
                {
                    workers.put(job)?;
                }
                let taken = match workers.next()? {
                    Piece::Zeros(len) => sink.zeros(len),
                    Piece::Chunk(chunk) => sink.take(chunk),
                    Piece::Rest(buf, len) => sink.fill(&mut &buf[..len]),
                };
                taken.map_err(|fault| match fault {
                    Fault::Sink(error) => error,
                    Fault::Read(_) => ImageError::Broken { stage: "unpack" },
                })?;
                left -= 1;
            }
            Ok(())
        })
    }
}

/// Decoded bytes of a stretch.
enum Piece {
    Zeros(usize),
    Chunk(Chunk),
    /// Fewer bytes than a chunk has: the last.
    Rest(PoolBuf, usize),
}

/// Makes the bytes of stretches.
pub struct BlockDecoder {
    name: String,
    cluster: usize,
    zstd: bool,
    codec: Option<Codec>,
}

impl Clone for BlockDecoder {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), codec: None, ..*self }
    }
}

enum Codec {
    Deflate(flate2::Decompress),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

impl BlockDecoder {
    fn piece(&mut self, stretch: &Stretch, pool: &Pool, stop: &Stop) -> Result<Piece, ImageError> {
        if stretch.parts.iter().all(|part| part.how == How::Zero) {
            return Ok(Piece::Zeros(stretch.len));
        }
        let mut buf = loop {
            stop.check()?;
            if let Some(buf) = pool.take_within(crate::flow::pieces::TICK) {
                break buf;
            }
        };
        self.unpack(stretch, &mut buf)?;
        match stretch.len {
            CHUNK => Ok(Piece::Chunk(Chunk::new(0, buf, CHUNK, 1))),
            len => Ok(Piece::Rest(buf, len)),
        }
    }

    /// Fills the beginning of `out`, which has room for all of `stretch`.
    pub fn unpack(&mut self, stretch: &Stretch, mut out: &mut [u8]) -> Result<(), ImageError> {
        let mut bytes = stretch.bytes.as_slice();
        for part in &stretch.parts {
            let (to, rest) = std::mem::take(&mut out).split_at_mut(part.len);
            out = rest;
            match part.how {
                How::Zero => to.fill(0),
                How::Plain => {
                    let (from, rest) = bytes.split_at(part.len);
                    to.copy_from_slice(from);
                    bytes = rest;
                }
                How::Compressed(packed) => {
                    let (from, rest) = bytes.split_at(packed);
                    bytes = rest;
                    let unpacked = if part.len == self.cluster {
                        self.decompress(from, to)
                    } else {
                        // A cluster larger than a chunk, or the disk's last.
                        let mut whole = vec![0; self.cluster];
                        let unpacked = self.decompress(from, &mut whole);
                        to.copy_from_slice(&whole[part.within..part.within + part.len]);
                        unpacked
                    };
                    unpacked.map_err(|error| {
                        damaged(&self.name, format!("cluster {} does not decompress: {error}", part.cluster))
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Fills all of `out`. Bytes may follow, as clusters are compressed into whole sectors.
    fn decompress(&mut self, packed: &[u8], out: &mut [u8]) -> io::Result<()> {
        let codec = match (&mut self.codec, self.zstd) {
            (Some(codec), _) => codec,
            (none, false) => none.insert(Codec::Deflate(flate2::Decompress::new(false))),
            (none, true) => none.insert(Codec::Zstd(zstd::stream::raw::Decoder::new()?)),
        };
        let full = match codec {
            Codec::Deflate(decoder) => {
                decoder.reset(false);
                decoder.decompress(packed, out, flate2::FlushDecompress::Finish)?;
                decoder.total_out() == out.len() as u64
            }
            Codec::Zstd(decoder) => {
                decoder.reinit()?;
                let (mut input, mut output) = (InBuffer::around(packed), OutBuffer::around(out));
                loop {
                    let before = (input.pos(), output.pos());
                    let ended = decoder.run(&mut input, &mut output)? == 0;
                    if ended || before == (input.pos(), output.pos()) {
                        break output.pos() == output.capacity();
                    }
                }
            }
        };
        if full { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
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
        let len = image.size().min(1 << 16) as usize;
        let mut bytes = vec![1; len];
        let (mut decoder, mut offset) = (image.decoder(), 0);
        // Pieces that fall on no cluster's boundary.
        for part in bytes.chunks_mut(700) {
            let stretch = image.fetch(offset, part.len()).map_err(|error| error.to_string())?;
            decoder.unpack(&stretch, part).map_err(|error| error.to_string())?;
            offset += part.len() as u64;
        }
        Ok(bytes)
    }

    #[test]
    fn clusters_come_in_the_guests_order() {
        let bytes = read(small()).unwrap();
        assert_eq!(bytes.len(), 1024);
        assert!(bytes[..512].iter().all(|byte| *byte == 0) && bytes[512..].iter().all(|byte| *byte == 0xaa));
    }

    /// As [`small`], with the second cluster compressed to `packed`.
    fn compressed(packed: &[u8], zstd: bool) -> Vec<u8> {
        let mut file = small();
        file[79] = if zstd { 8 } else { 0 };
        file[104] = u8::from(zstd);
        // One sector, as the number of further ones is zero.
        file[1032..1040].copy_from_slice(&(1536u64 | 1 << 62).to_be_bytes());
        file.truncate(1536);
        file.extend_from_slice(packed);
        file
    }

    #[test]
    fn compressed_clusters_are_decompressed_whatever_follows_them() {
        let cluster: Vec<u8> = (0..512u32).map(|index| (index / 9) as u8).collect();
        let mut deflate = flate2::read::DeflateEncoder::new(&cluster[..], flate2::Compression::best());
        let mut packed = Vec::new();
        std::io::Read::read_to_end(&mut deflate, &mut packed).unwrap();
        for (packed, zstd) in [(packed, false), (zstd::stream::encode_all(&cluster[..], 3).unwrap(), true)] {
            for behind in [0, 9, 512] {
                let bytes = read(compressed(&[&packed[..], &vec![7; behind]].concat(), zstd)).unwrap();
                assert!(bytes[..512].iter().all(|byte| *byte == 0) && bytes[512..] == cluster, "{behind} {zstd}");
            }
            let error = read(compressed(&packed[..packed.len() / 2], zstd)).unwrap_err();
            assert!(error.contains("cluster 1 does not decompress"), "{error}");
        }
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
