//! Facts about an opened image, and the checks of its first MiB.

use crate::anomaly::Anomaly;
use crate::budget;
use crate::codec::Compression;
use crate::codec::decode::DecodeLimits;
use crate::codec::sniff;
use crate::container::foreign;
use crate::error::ImageError;
use crate::flow::stop::Stop;
use crate::head::{Head, HeadEnds, Inspect};
use crate::options::Options;
use crate::proof::digest::{Algorithm, Expected};
use crate::proof::wire::WireCheck;
use crate::request::Ending;
use burin_protocol::image::{ImageFormat, Verify};

/// The smallest sector size of disks.
const SECTOR: u64 = 512;

/// What is known after the source was opened and before the target is touched.
pub struct ImageInfo {
    pub name: String,
    pub wire_total: Option<u64>,
    pub image_total: Option<u64>,
    /// Whether something verifies that a finished download is complete.
    pub length_proven: bool,
    pub format: ImageFormat,
    pub compression: Compression,
    pub wire: WireCheck,
    pub content: Option<Expected>,
    pub verify: Verify,
    pub sector_size: Option<u32>,
    pub inspect: Option<Inspect>,
    pub ending: Ending,
    pub options: Options,
    /// Number of ranges fetched in parallel.
    pub connections: usize,
}

impl ImageInfo {
    /// Limits for a decoder with this many bytes of available memory.
    pub fn limits(&self, available: u64) -> DecodeLimits {
        DecodeLimits {
            workers: self.options.workers(),
            window_log: self.options.window_log,
            in_flight: budget::IN_FLIGHT,
            // The rest is for the page cache, for other programs, and for errors of the estimate.
            memory: available / 4,
            proven: !self.wire.is_empty(),
        }
    }

    /// Whether the digest required for the content is computed from the download anyway, because these are the same
    /// bytes.
    pub fn is_hashed_as_download(&self) -> bool {
        let sha256 = self.content.as_ref().is_some_and(|content| content.algorithm == Algorithm::Sha256);
        sha256 && self.format == ImageFormat::Raw && self.compression == Compression::NONE
    }

    /// The head from the first MiB. `ended` is the length of an image that is no longer than that.
    pub fn head<'a>(&'a self, bytes: &'a [u8], ended: Option<u64>) -> Head<'a> {
        Head::new((&self.name, self.format, self.compression), ended.or(self.image_total), bytes, self.sector_size)
    }

    /// An error if no target may get this image.
    pub fn judge(&self, head: &Head<'_>, stop: &Stop) -> Result<(), ImageError> {
        foreign::refuse(&self.name, head.bytes)?;
        let inner = sniff::compression(head.bytes);
        if inner != Compression::NONE {
            let outer = self.compression;
            let what = format!("is compressed twice: {inner} inside of {outer}");
            return Err(ImageError::Unsupported { source_name: self.name.clone(), what });
        }
        if let Some(length) = head.length {
            self.reaches(head.ends(), length, stop)?;
        }
        if head.is_unknown() {
            stop.anomaly(&Anomaly::Unrecognized { source_name: self.name.clone() });
        }
        match &self.inspect {
            Some(inspect) => inspect.look(head),
            None => Ok(()),
        }
    }

    /// An error if the image's own table or filesystem requires more bytes. Less than a sector is no image.
    pub fn reaches(&self, ends: HeadEnds, length: u64, stop: &Stop) -> Result<(), ImageError> {
        let truncated = |expected| {
            let (source_name, offset) = (self.name.clone(), length);
            Err(ImageError::Truncated { source_name, offset, expected })
        };
        match ends {
            HeadEnds { content: Some(least), .. } if least > length => truncated(Some(least)),
            HeadEnds { backup: Some(end), .. } if end > length && !self.length_proven => truncated(Some(end)),
            _ if length < SECTOR => truncated(None),
            HeadEnds { backup: Some(end), .. } if end > length => {
                stop.anomaly(&Anomaly::NoBackup { source_name: self.name.clone(), offset: end, length });
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
