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

mod anomaly;
mod budget;
mod codec;
mod container;
mod delta;
mod error;
mod flow;
pub mod fuzz;
mod head;
mod memory;
pub mod oci;
mod options;
mod pipeline;
mod proof;
mod published;
mod refusal;
mod request;
mod source;

pub use burin_disk::Withheld;
pub use codec::Compression;
pub use delta::caibx::Caibx;
pub use delta::estimate::DeltaRequest;
pub use delta::fetch::fetch_index;
pub use error::ImageError;
pub use flow::progress::{Cancel, Phase, Progress, Snapshot};
pub use head::{Filesystem, Head, HeadEnds, Inspect};
pub use memory::check_available as memory_for;
pub use options::Options;
pub use pipeline::disk::{OpenedDisk, open_disk};
pub use pipeline::index::index;
pub use pipeline::pack::{Packed, pack};
pub use pipeline::read::{ReadReceipt, read};
pub use pipeline::verbatim::fetch_file;
pub use proof::signature::Signed;
pub use published::manifest::{Published, Wanted as WantedManifest};
pub use published::minisign::Minisign;
pub use published::sums::{Sums, published};
pub use refusal::Refusal;
pub use request::{Destination, Ending, WriteRequest, Written};
pub use source::Source;
pub use source::get::{Credentials, Http, MOST_CONNECTIONS};
pub use source::proxies::Proxies;
pub use source::random::ReadAt;
pub use source::registry::Registries;

use burin_protocol::ImageReceipt;
use pipeline::attempt;

/// Fetches an image and writes it to `target`.
///
/// The source is opened and its first MiB is decoded and judged before the target is touched: an error without
/// [`ImageError::Stopped`] around it means an untouched target. From then on every failure, and a cancellation, leaves the
/// target's first MiB zeroed. [`WriteRequest::ending`] is for [`write_all`]: here the image is committed.
pub fn write(
    request: WriteRequest,
    target: &burin_disk::Target,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<ImageReceipt, ImageError> {
    let request = WriteRequest { ending: Ending::Commit, ..request };
    let mut ended = attempt::write(request, &[Destination { target, progress }], cancel)?;
    ended.pop().unwrap_or(Err(ImageError::Broken { stage: "writer" })).map(|written| written.receipt)
}

/// As [`write`], onto several devices with one download: how it ended on each of them, in their order. One that fails
/// fails alone; the slowest sets the pace. The outer error comes before any of them was touched.
///
/// Each device beyond the first takes some 13 MiB more memory, as the receipts tell. An index is not used.
pub fn write_all(
    request: WriteRequest,
    destinations: &[Destination<'_>],
    cancel: &Cancel,
) -> Result<Vec<Result<Written, ImageError>>, ImageError> {
    attempt::write(request, destinations, cancel)
}
