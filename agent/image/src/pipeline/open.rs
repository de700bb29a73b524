//! Opens a source and checks its format, its length and the form of its digests. The target is not touched here.

use crate::anomaly::Anomaly;
use crate::budget;
use crate::codec::sniff::{self, Container};
use crate::codec::zstd::seekable::Seekable;
use crate::codec::{Codec, Compression};
use crate::container::foreign;
use crate::container::qcow2::Qcow2;
use crate::delta::estimate::{DeltaRequest, Estimate};
use crate::delta::patch::{Delta, DeltaContent};
use crate::error::ImageError;
use crate::flow::detached::detached;
use crate::flow::progress::{Stages, timed};
use crate::flow::stop::Stop;
use crate::memory;
use crate::pipeline::info::ImageInfo;
use crate::proof::digest::Expected;
use crate::proof::seals::Sealer;
use crate::proof::signature::Signed;
use crate::proof::wire::{WireCheck, WireDigests};
use crate::request::WriteRequest;
use crate::source::random::{Blocks, Exact, ReadAt};
use crate::source::{Again, Stream};
use burin_disk::Target;
use burin_protocol::image::{DeltaReceipt, ImageFormat};
use std::sync::Arc;

/// Images that are read in parts.
pub enum Parts {
    /// Only the differences are fetched.
    Delta(Delta),
    Qcow2(Qcow2),
}

/// The bytes of an open image.
pub enum OpenedSource {
    Stream {
        /// Pieces that were read already.
        first: Vec<Vec<u8>>,
        stream: Stream,
    },
    Parts(Parts),
}

pub struct OpenImage {
    pub info: ImageInfo,
    pub fetched: OpenedSource,
    /// Digests of the download, if known already.
    pub wire: WireDigests,
    /// The decision about an index, if one was given.
    pub decided: Option<DeltaReceipt>,
}

/// What opening needs in addition to the request.
pub struct Opening<'a> {
    /// Size of the target in bytes, or of the largest one.
    pub room: u64,
    /// The target, if there is only one.
    pub only: Option<&'a Target>,
    /// The number of targets.
    pub devices: usize,
    pub stop: &'a Arc<Stop>,
    pub stages: &'a Arc<Stages>,
}

impl Opening<'_> {
    pub fn open(&self, request: WriteRequest) -> Result<OpenImage, ImageError> {
        let wire = WireCheck::new(request.digest.wire.as_deref(), request.signature)?;
        let content = request.digest.content.as_deref().map(Expected::parse).transpose()?;
        let (again, connections) = (request.source.again(), request.source.connections());
        let mut stream = request.source.open(self.stop, self.stages)?;
        let (name, wire_total) = (stream.name().to_owned(), stream.total());
        let (first, head) = beginning(&mut stream)?;
        let compression = sniff::compression(&head);
        let mut container = Container::Raw;
        if compression == Compression::NONE {
            foreign::refuse(&name, &head)?;
            container = sniff::container(&head);
        }
        let format = format(&name, container, request.format)?;
        let raw = format == ImageFormat::Raw && compression == Compression::NONE;
        let length_proven = !raw || stream.end_is_proven() || !wire.is_empty() || content.is_some();
        if !length_proven {
            self.stop.anomaly(&Anomaly::LengthUnknown { source_name: name.clone() });
        }
        let info = ImageInfo {
            length_proven,
            image_total: wire_total.filter(|_| raw),
            name,
            wire_total,
            format,
            compression,
            wire,
            content,
            verify: request.verify,
            sector_size: request.sector_size,
            inspect: request.inspect,
            ending: request.ending,
            options: request.options,
            connections,
        };
        self.memory(&info, &head)?;
        match format {
            ImageFormat::Qcow2 => {
                drop(stream);
                self.open_qcow2(info, again, request.delta)
            }
            _ => self.open_raw(info, OpenedSource::Stream { first, stream }, again, request.delta),
        }
    }

    /// Opens a whole raw image, or with its index only what the target lacks.
    fn open_raw(
        &self,
        mut info: ImageInfo,
        fetched: OpenedSource,
        again: Option<Again>,
        delta: Option<DeltaRequest>,
    ) -> Result<OpenImage, ImageError> {
        self.fits(&info.name, info.image_total)?;
        let wire = WireDigests::default();
        let Some(request) = delta else {
            return Ok(OpenImage { info, fetched, wire, decided: None });
        };
        let mut estimate = Estimate::default();
        match self.delta(&info, &request, again, &mut estimate) {
            Ok(delta) => {
                info.image_total = Some(request.index.length);
                let decided = Some(DeltaReceipt { used: true, ..sampled(estimate) });
                Ok(OpenImage { info, fetched: OpenedSource::Parts(Parts::Delta(delta)), wire, decided })
            }
            Err(error) => {
                let decided = Some(self.whole(&request, estimate, error)?);
                Ok(OpenImage { info, fetched, wire, decided })
            }
        }
    }

    /// An error if decoding needs more memory than there is: otherwise the kernel would kill a process half-way.
    fn memory(&self, info: &ImageInfo, head: &[u8]) -> Result<(), ImageError> {
        let Some(codec) = info.compression.codec() else { return Ok(()) };
        let available = memory::available();
        let buffers = budget::bytes(&info.options, self.devices, info.connections) as u64;
        let needed = buffers + codec.memory(head, info.limits(available.unwrap_or(u64::MAX)));
        memory::check(&info.name, needed, available)
    }

    fn fits(&self, name: &str, length: Option<u64>) -> Result<(), ImageError> {
        match length.filter(|length| *length > self.room) {
            Some(at_least) => {
                let (source_name, device) = (name.to_owned(), self.room);
                Err(ImageError::TooLarge { source_name, at_least, exact: true, device })
            }
            None => Ok(()),
        }
    }

    /// Reads by ranges what the target lacks; an error if that is impossible, or not worth it.
    fn delta(
        &self,
        info: &ImageInfo,
        request: &DeltaRequest,
        again: Option<Again>,
        estimate: &mut Estimate,
    ) -> Result<Delta, ImageError> {
        let (name, index) = (info.name.clone(), &request.index);
        let unsupported = |what: &str| ImageError::Unsupported { source_name: name.clone(), what: what.to_owned() };
        let target = self
            .only
            .ok_or_else(|| unsupported("is written to several devices, which may differ in different places"))?;
        let again = again.ok_or_else(|| unsupported("cannot be read in parts, being a stream"))?;
        proven(info, request).map_err(&unsupported)?;
        let (frames, named) = (info.compression.codec().map(Codec::seekable), name.clone());
        if frames == Some(false) {
            return Err(unsupported("cannot be read in parts: that takes a raw image, or zstd with a seek table"));
        }
        self.fits(&name, Some(index.length))?;
        *estimate = Estimate::take(index, target, self.stop)?;
        if !request.always && !estimate.wins() {
            return Err(unsupported("would not be written faster by its index: too little of it is on the device"));
        }
        let mut file = Exact(again.random(info.wire_total, self.stop, self.stages)?);
        let open = move || match frames.is_some() {
            true => Seekable::open(Box::new(file), &named).map(DeltaContent::Frames),
            false => {
                // Shows whether the server supports ranges at all.
                let len = file.len();
                file.read_exact_at(&mut [0], len.saturating_sub(1))?;
                Ok(DeltaContent::Plain(Box::new(file)))
            }
        };
        let image = detached("delta", &|| self.stop.is_set(), open)?;
        if image.len() != index.length {
            let what = format!("the index is of {} bytes, the image has {}", index.length, image.len());
            return Err(ImageError::Damaged { source_name: name, format: "indexed", what });
        }
        Ok(Delta { index: index.clone(), image, name })
    }

    /// Reads by ranges. For a digest of the download it is first read completely; later reads must match that.
    fn open_qcow2(
        &self,
        mut info: ImageInfo,
        again: Option<Again>,
        delta: Option<DeltaRequest>,
    ) -> Result<OpenImage, ImageError> {
        let unsupported =
            |what: &str| ImageError::Unsupported { source_name: info.name.clone(), what: what.to_owned() };
        let decided = match delta {
            Some(delta) => {
                let error = unsupported("is a qcow2 image, which is not read by an index");
                Some(self.whole(&delta, Estimate::default(), error)?)
            }
            None => None,
        };
        let again = again.ok_or_else(|| unsupported("is a qcow2 image, which cannot be read from a stream"))?;
        let (mut seals, mut wire) = (None, WireDigests::default());
        if !info.wire.is_empty() {
            let mut sealer = Sealer::new(info.wire.begin()?);
            let mut stream = again.stream(self.stop, self.stages)?;
            while let Some(piece) = stream.next()? {
                timed(&self.stages.digest_ns, || sealer.update(&piece));
            }
            let (digests, made) = sealer.finish(&info.name)?;
            (seals, wire) = (Some(made), digests);
        }
        let file = Blocks::new(again.random(info.wire_total, self.stop, self.stages)?, seals);
        let named = info.name.clone();
        let qcow2 = detached("qcow2", &|| self.stop.is_set(), move || Qcow2::open(Box::new(file), &named))?;
        info.image_total = Some(qcow2.size());
        self.fits(&info.name, info.image_total)?;
        Ok(OpenImage { info, fetched: OpenedSource::Parts(Parts::Qcow2(qcow2)), wire, decided })
    }

    /// Decides to write the whole image, and records why; an error if that was ruled out, or would fail too.
    fn whole(&self, request: &DeltaRequest, estimate: Estimate, error: ImageError) -> Result<DeltaReceipt, ImageError> {
        if request.always || self.stop.is_set() {
            return Err(error);
        }
        self.stop.note(format!("{error}; writing it whole"));
        Ok(DeltaReceipt { why: Some(error.to_string()), ..sampled(estimate) })
    }
}

/// The first pieces of a source, and its first bytes.
pub fn beginning(stream: &mut Stream) -> Result<(Vec<Vec<u8>>, Vec<u8>), ImageError> {
    let (mut first, mut head) = (Vec::new(), Vec::new());
    while head.len() < sniff::LEN
        && let Some(piece) = stream.next()?
    {
        head.extend_from_slice(piece.get(..sniff::LEN).unwrap_or(&piece));
        first.push(piece);
    }
    if head.is_empty() {
        let source_name = stream.name().to_owned();
        return Err(ImageError::Truncated { source_name, offset: 0, expected: None });
    }
    Ok((first, head))
}

/// Why an index would be taken on trust, if so. What an order says of the image must hold with an index too: a digest of
/// the index or of the content sees to it. A signature of the index says only that it was made, of some image, some day; so
/// it counts only where the image is signed and not pinned, and where both signatures say that they are of this same
/// download. A pair of an older release says so too, and rightly: that it is none, only the order's `not_before` tells. The
/// index's signature has been checked by now, the image's cannot be where it is read in parts: what is decided goes by the
/// former.
fn proven(info: &ImageInfo, request: &DeltaRequest) -> Result<(), &'static str> {
    if info.content.is_some() || request.proven || info.wire.is_empty() {
        return Ok(());
    }
    if info.wire.digest.is_some() {
        return Err(
            "has a digest of the download, which reading parts cannot prove: give the index's digest, or the content's",
        );
    }
    let image = info.wire.signed.as_ref().and_then(Signed::subject);
    let index = request.signed.as_ref().and_then(Signed::subject);
    match (image, index) {
        (Some(image), Some(index)) if image == index && is_named(&info.name, &index.name) => {
            let dated = request.signed.as_ref().is_some_and(Signed::is_dated);
            dated.then_some(()).ok_or(
                "is signed, and so is its index, but an older pair would be, too: give the index's signature a `not_before`",
            )
        }
        (_, None) => Err("is signed, and the index's signature does not tell which image it is of"),
        (None, _) => {
            Err("has a signature that does not tell which download it is of, so that no index can be bound to it")
        }
        _ => Err("is not the image that the index was signed for: it is of another, or older"),
    }
}

/// Whether this is the last part of a URL or path.
fn is_named(source: &str, name: &str) -> bool {
    let path = source.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next() == Some(name)
}

fn sampled(estimate: Estimate) -> DeltaReceipt {
    let Estimate { sampled: sampled_mib, matching: matching_mib } = estimate;
    DeltaReceipt { sampled_mib, matching_mib, ..DeltaReceipt::default() }
}

/// The image's format, if it agrees with the stated one.
fn format(name: &str, container: Container, stated: Option<ImageFormat>) -> Result<ImageFormat, ImageError> {
    let mismatch = |found: &str, stated| {
        let stated = match stated {
            ImageFormat::Raw => "a raw image",
            ImageFormat::Qcow2 => "a qcow2 image",
            ImageFormat::Tar => "a tar archive (which is unpacked, not written to a device)",
        };
        let (source_name, found, stated) = (name.to_owned(), found.to_owned(), stated.to_owned());
        Err(ImageError::FormatMismatch { source_name, found, stated })
    };
    match (container, stated) {
        (Container::Qcow2, None | Some(ImageFormat::Qcow2)) => Ok(ImageFormat::Qcow2),
        (Container::Raw, None | Some(ImageFormat::Raw)) => Ok(ImageFormat::Raw),
        (Container::Qcow2, Some(stated)) => mismatch("a qcow2 image", stated),
        (Container::Raw, Some(stated)) => mismatch("not one", stated),
    }
}
