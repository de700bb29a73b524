//! Image sources, format and compression by magic, digests, and the write pipeline.
//!
//! [`write`] is the one call: it fetches, decodes and checks an image, writes it to a [`burin_disk::Target`], reads it back,
//! and answers with a receipt. Success means that the bytes are on the disk.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use burin_disk::Target;
//! use burin_image as image;
//! let agent = ureq::Agent::new_with_defaults();
//! let source = image::Source::Http(image::Http::new(agent, vec!["http://images/debian.raw.zst".into()]));
//! let target = Target::open_device("/dev/nvme0n1".as_ref())?;
//! let receipt = image::write(image::WriteRequest::new(source), &target, &(), &image::Cancel::default())?;
//! println!("{} bytes verified", receipt.verified_bytes);
//! # Ok(())
//! # }
//! ```

mod answer;
mod aside;
mod attempt;
mod blocks;
mod budget;
mod caibx;
mod compare;
mod crew;
mod decode;
mod delta;
mod digest;
mod error;
mod estimate;
mod fan;
mod fetch;
mod frames;
pub mod fuzz;
mod http;
mod index;
mod input;
mod lane;
mod lz4;
mod mirrors;
mod opened;
mod origin;
mod packed;
mod pieces;
mod pipeline;
mod progress;
mod proxies;
mod qcow2;
mod ranges;
mod read;
mod report;
mod request;
mod seekable;
mod signature;
mod small;
mod sniff;
mod source;
mod stages;
mod sums;
mod unpack;
mod wire;

pub use caibx::Caibx;
pub use error::ImageError;
pub use estimate::DeltaRequest;
pub use index::{fetch_index, index};
pub use progress::{Cancel, Phase, Progress, Snapshot};
pub use proxies::Proxies;
pub use read::{ReadReceipt, read};
pub use request::{Credentials, Http, MOST_CONNECTIONS};
pub use signature::{Minisign, Signed};
pub use sniff::Compression;
pub use source::Source;
pub use sums::{Sums, published};

use burin_disk::Backend;
use burin_protocol::ImageReceipt;
use burin_protocol::image::{ImageDigests, ImageFormat, Verify};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What to write and how it is known to be right.
#[derive(Debug)]
pub struct WriteRequest {
    pub source: Source,
    /// Found by magic unless stated; a stated format that the bytes contradict is an error.
    pub format: Option<ImageFormat>,
    pub digest: ImageDigests,
    /// Of the bytes as downloaded.
    pub signature: Option<Signed>,
    pub verify: Verify,
    /// The image's index: what the target holds already in its place is kept, where that is a gain. The source must be
    /// raw, or zstd with a seek table, and can be opened more than once. The index takes memory, 32 bytes for 256 KiB of
    /// the image.
    pub delta: Option<DeltaRequest>,
    pub options: Options,
}

impl WriteRequest {
    pub fn new(source: Source) -> Self {
        Self {
            source,
            format: None,
            digest: ImageDigests::default(),
            signature: None,
            verify: Verify::default(),
            delta: None,
            options: Options::default(),
        }
    }
}

impl WriteRequest {
    /// The same again, for a whole write; none where the source can be read only once.
    fn without_delta(&self) -> Option<Self> {
        let source = match &self.source {
            Source::Http(http) => Source::Http(http.clone()),
            Source::File(path) => Source::File(path.clone()),
            Source::Reader(..) => return None,
        };
        let (digest, signature) = (self.digest.clone(), self.signature.clone());
        let &Self { format, verify, options, .. } = self;
        Some(Self { source, format, digest, signature, verify, delta: None, options })
    }
}

/// Knobs with good defaults.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Largest zstd window and xz dictionary, as a power of two: 27 is 128 MiB.
    pub window_log: u32,
    pub backend: Backend,
    /// Buffers of 1 MiB between decoder and device.
    pub buffers: usize,
    /// Threads that decode zstd frames side by side; 0 is one for each processor, at most four.
    pub workers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { window_log: 27, backend: Backend::Auto, buffers: 12, workers: 0 }
    }
}

impl Options {
    fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(4),
            workers => workers,
        }
    }
}

/// Fetches an image and writes it to `target`.
///
/// The source is opened, and its format, length and digests' form are checked, before the target is touched: an error
/// without [`ImageError::Stopped`] around it means an untouched target. From then on every failure, and a cancellation,
/// leaves the target's first MiB zeroed.
pub fn write(
    request: WriteRequest,
    target: &burin_disk::Target,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<ImageReceipt, ImageError> {
    let mut ended = attempt::write(request, &[Destination { target, progress }], cancel)?;
    ended.pop().unwrap_or(Err(ImageError::Broken { stage: "writer" }))
}

/// A device to be written, and who watches it.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    pub target: &'a burin_disk::Target,
    pub progress: &'a dyn Progress,
}

impl std::fmt::Debug for Destination<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Destination").field(&self.target.path()).finish()
    }
}

/// As [`write`], onto several devices with one download: how it ended on each of them, in their order. One that fails
/// fails alone; the slowest sets the pace. The outer error comes before any of them was touched.
///
/// Each device beyond the first takes some 13 MiB more memory, as the receipts tell. An index is not used.
pub fn write_all(
    request: WriteRequest,
    destinations: &[Destination<'_>],
    cancel: &Cancel,
) -> Result<Vec<Result<ImageReceipt, ImageError>>, ImageError> {
    attempt::write(request, destinations, cancel)
}

/// Tells all stages of one write to end, and carries their notes to whoever watches.
#[derive(Debug)]
pub(crate) struct Stop {
    cancel: Cancel,
    failed: AtomicBool,
    notes: Mutex<Vec<String>>,
}

impl Stop {
    fn new(cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), failed: AtomicBool::new(false), notes: Mutex::default() }
    }

    fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.cancel.is_cancelled() || self.failed.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<(), ImageError> {
        if self.is_set() { Err(ImageError::Cancelled) } else { Ok(()) }
    }

    fn sleep(&self, pause: Duration) -> Result<(), ImageError> {
        let until = Instant::now() + pause;
        while let left = until.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            self.check()?;
            std::thread::sleep(left.min(pieces::TICK));
        }
        self.check()
    }

    fn note(&self, text: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
