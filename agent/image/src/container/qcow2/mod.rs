//! Reads a qcow2 image, version 2 or 3, as a stream of the guest's disk contents (QEMU, docs/interop/qcow2.txt).
//!
//! Read at random through [`ReadAt`], so nothing is spooled. Compressed clusters (deflate, zstd), zero clusters and
//! internal snapshots' presence are fine; backing files, external data files, encryption and subclusters are refused.

mod decode;
mod header;

pub use self::decode::ClusterDecoder;
use self::decode::{ClusterPart, ClusterRun, How, Piece};
use self::header::{ClusterData, Header, HeaderError, OFFSET, be64, place};
use crate::error::ImageError;
use crate::flow::chunker::{Chunker, DecodeError};
use crate::flow::workers::Workers;
use crate::source::random::ReadAt;
use burin_disk::CHUNK;

/// Reads the guest's disk.
pub struct Qcow2 {
    file: Box<dyn ReadAt>,
    name: String,
    header: Header,
    l1: Vec<u8>,
    /// The L2 table in use, and its index.
    l2: Vec<u8>,
    l2_index: Option<u64>,
}

impl Qcow2 {
    pub fn open(mut file: Box<dyn ReadAt>, name: &str) -> Result<Self, ImageError> {
        let mut head = vec![0; usize::try_from(file.len()).unwrap_or(usize::MAX).min(112)];
        file.read_exact_at(&mut head, 0)?;
        let refused = |refusal| match refusal {
            HeaderError::Damaged(what) => damaged(name, what),
            HeaderError::Unsupported(what) => ImageError::Unsupported { source_name: name.to_owned(), what },
        };
        let header = Header::parse(&head).map_err(refused)?;
        let mut l1 = vec![0; usize::try_from(header.l1_entries * 8).unwrap_or(0)];
        file.read_exact_at(&mut l1, header.l1_offset)?;
        Ok(Self { file, name: name.to_owned(), header, l1, l2: Vec::new(), l2_index: None })
    }

    /// Size of the guest's disk in bytes.
    pub fn size(&self) -> u64 {
        self.header.size
    }

    fn lookup(&mut self, cluster: u64) -> Result<ClusterData, ImageError> {
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
            return Ok(ClusterData::Zero);
        }
        let entry = be64(&self.l2, slot as usize * 8).and_then(|entry| place(entry, &self.header));
        entry.ok_or_else(|| damaged(&self.name, format!("the entry of cluster {cluster} is not aligned")))
    }

    /// Fetches what is needed for `len` bytes of the guest's disk at `offset`, which are within it.
    pub fn fetch(&mut self, mut offset: u64, len: usize) -> Result<ClusterRun, ImageError> {
        let mut extent = ClusterRun { parts: Vec::new(), bytes: Vec::new(), len };
        let mut left = len;
        while left > 0 {
            let (cluster, within) = (offset / self.header.cluster(), offset % self.header.cluster());
            let count = usize::try_from(self.header.cluster() - within).unwrap_or(usize::MAX).min(left);
            let how = match self.lookup(cluster)? {
                ClusterData::Zero => How::Zero,
                ClusterData::At(place) => {
                    self.append(&mut extent.bytes, place + within, count)?;
                    How::Plain
                }
                ClusterData::Compressed { offset, len } => {
                    // The last sector may be incomplete.
                    let len = usize::try_from(len.min(self.file.len().saturating_sub(offset))).unwrap_or(0);
                    self.append(&mut extent.bytes, offset, len)?;
                    How::Compressed(len)
                }
            };
            extent.parts.push(ClusterPart { cluster, within: within as usize, len: count, how });
            offset += count as u64;
            left -= count;
        }
        Ok(extent)
    }

    fn append(&mut self, bytes: &mut Vec<u8>, offset: u64, len: usize) -> Result<(), ImageError> {
        let start = bytes.len();
        bytes.resize(start + len, 0);
        self.file.read_exact_at(&mut bytes[start..], offset)
    }

    pub fn decoder(&self) -> ClusterDecoder {
        ClusterDecoder::new(&self.name, 1 << self.header.cluster_bits, self.header.zstd)
    }

    /// Sends the whole guest's disk to `sink`, decompressed by as many of `workers` as `buffers` allow.
    pub fn run(mut self, workers: usize, buffers: usize, sink: &mut Chunker<'_>) -> Result<(), ImageError> {
        let (size, decoder, pool, stop) = (self.header.size, self.decoder(), sink.pool(), sink.stop());
        // Each worker may hold one buffer that waits for its turn, and one that it fills. The others: the image's first
        // chunk, which is withheld until the end, and the one being written.
        let workers = workers.min(buffers.saturating_sub(2) / 2);
        std::thread::scope(|scope| {
            let fetch = move |(offset, len)| self.fetch(offset, len);
            let decode = || {
                let mut decoder = decoder.clone();
                move |extent| decoder.piece(&extent, pool, stop)
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
                    DecodeError::Sink(error) => error,
                    DecodeError::Read(_) => ImageError::Broken { stage: "unpack" },
                })?;
                left -= 1;
            }
            Ok(())
        })
    }
}

fn damaged(name: &str, what: String) -> ImageError {
    ImageError::Damaged { source_name: name.to_owned(), format: "qcow2", what }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
