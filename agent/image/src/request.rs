//! A request to write an image: what to write, and how to verify it.

use crate::delta::estimate::DeltaRequest;
use crate::flow::progress::Progress;
use crate::head::Inspect;
use crate::options::Options;
use crate::proof::signature::Signed;
use crate::source::Source;
use burin_disk::{Mark, Withheld};
use burin_protocol::ImageReceipt;
use burin_protocol::image::{ImageDigests, ImageFormat, Verify};

/// What to write, and how to verify it.
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
    /// Bytes of a sector of the disks that the image was made for, where somebody says it: a GPT tells, an MBR does not.
    pub sector_size: Option<u32>,
    /// Sees the first MiB before any target is touched, and may refuse.
    pub inspect: Option<Inspect>,
    pub ending: Ending,
    pub options: Options,
}

/// What becomes of the ends of the disk, which make it bootable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one for a whole image")]
pub enum Ending {
    /// The first MiB is written last, when everything else is proven.
    #[default]
    Commit,
    /// The first MiB, and what the image has of the device's last one, are handed back and not written: [`Written`]. Until
    /// then, whatever happens, the device begins with this mark.
    Withhold { mark: Mark },
}

/// An image on a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    pub receipt: ImageReceipt,
    /// With [`Ending::Withhold`]. The digests of the receipt cover it, its counters of bytes do not.
    pub withheld: Option<Withheld>,
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
            sector_size: None,
            inspect: None,
            ending: Ending::default(),
            options: Options::default(),
        }
    }
}

impl WriteRequest {
    /// The same again, for a whole write; none where the source can be read only once.
    pub(crate) fn without_delta(&self) -> Option<Self> {
        let source = match &self.source {
            Source::Http(http) => Source::Http(http.clone()),
            Source::File(path) => Source::File(path.clone()),
            Source::Kept(file, name) => Source::Kept(file.clone(), name.clone()),
            Source::Reader(..) => return None,
        };
        let (digest, signature, inspect) = (self.digest.clone(), self.signature.clone(), self.inspect.clone());
        let &Self { format, verify, sector_size, ending, options, .. } = self;
        Some(Self { source, format, digest, signature, verify, delta: None, sector_size, inspect, ending, options })
    }
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
