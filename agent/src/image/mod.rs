//! Image sources, format and compression by magic, digests, and the write pipeline.
//!
//! [`write`] is the one call: it fetches, decodes and checks an image, writes it to a [`disk::Target`], reads it back,
//! and answers with a receipt. Success means that the bytes are on the disk.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use burin::{disk::Target, image};
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
mod blocks;
mod budget;
mod caibx;
mod compare;
mod decode;
mod delta;
mod digest;
mod error;
mod frames;
mod http;
mod index;
mod input;
mod lane;
mod lz4;
mod opened;
mod pipeline;
mod progress;
mod qcow2;
mod ranges;
mod read;
mod seekable;
mod sniff;
mod source;
mod stages;
mod sums;

pub use caibx::Caibx;
pub use error::ImageError;
pub use http::Http;
pub use index::{fetch_index, index};
pub use progress::{Cancel, Phase, Progress, Snapshot};
pub use read::{ReadReceipt, read};
pub use sniff::Compression;
pub use source::Source;
pub use sums::{Minisign, Sums, published};

use crate::disk::{self, Backend};
use crate::protocol::ImageReceipt;
use crate::protocol::image::{ImageDigests, ImageFormat, Verify};
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
    pub verify: Verify,
    /// The image's index: what the target holds already in its place is kept. The source must be raw, or zstd with a
    /// seek table, and can be opened more than once. The index takes memory, 32 bytes for 256 KiB of the image.
    pub delta: Option<Caibx>,
    pub options: Options,
}

impl WriteRequest {
    pub fn new(source: Source) -> Self {
        Self {
            source,
            format: None,
            digest: ImageDigests::default(),
            verify: Verify::default(),
            delta: None,
            options: Options::default(),
        }
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
    target: &disk::Target,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<ImageReceipt, ImageError> {
    pipeline::write(request, target, progress, cancel)
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
            std::thread::sleep(left.min(source::TICK));
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
