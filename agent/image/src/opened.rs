//! A source opened and checked: format, length, digests' form. The target is not touched here.

use super::aside::aside;
use super::blocks::{Blocks, Exact, ReadAt, Sealer};
use super::delta::{Delta, Image};
use super::digest::Expected;
use super::estimate::{DeltaRequest, Estimate};
use super::progress::{Stages, timed};
use super::qcow2::Qcow2;
use super::seekable::Seekable;
use super::sniff::{self, Compression, Container};
use super::source::{Again, Stream};
use super::stages;
use super::wire::WireCheck;
use super::{ImageError, Stop, WriteRequest};
use burin_disk::Target;
use burin_protocol::image::{DeltaReceipt, ImageFormat, Verify};
use std::sync::Arc;

/// What is known once the source is open and before the target is touched.
pub struct Facts {
    pub name: String,
    pub wire_total: Option<u64>,
    pub image_total: Option<u64>,
    pub format: ImageFormat,
    pub compression: Compression,
    pub wire: WireCheck,
    pub content: Option<Expected>,
    pub verify: Verify,
    pub options: super::Options,
    /// Ranges that are fetched side by side.
    pub connections: usize,
}

/// Images that are read in parts.
pub enum Parts {
    /// Only what differs is fetched.
    Delta(Delta),
    Qcow2(Qcow2),
}

pub struct Opened {
    pub facts: Facts,
    pub first: Vec<Vec<u8>>,
    pub stream: Stream,
    /// The digest of the download, where it is known to be right already.
    pub wire_digest: Option<String>,
    /// What is not read from `stream`, which is empty then.
    pub parts: Option<Parts>,
    /// What was decided about an index, where one was given.
    pub decided: Option<DeltaReceipt>,
}

impl Opened {
    /// `room`: bytes of the target, or of the largest. `only`: the target, where it is one.
    pub fn new(
        request: WriteRequest,
        room: u64,
        only: Option<&Target>,
        stop: &Arc<Stop>,
        stages: &Arc<Stages>,
    ) -> Result<Self, ImageError> {
        let wire = WireCheck::new(request.digest.wire.as_deref(), request.signature)?;
        let content = request.digest.content.as_deref().map(Expected::parse).transpose()?;
        let again = request.source.again();
        let connections = request.source.connections();
        let mut stream = request.source.open(stop, stages)?;
        let (name, wire_total) = (stream.name().to_owned(), stream.total());
        let mut first = Vec::new();
        let mut head = Vec::new();
        while head.len() < sniff::LEN
            && let Some(piece) = stream.next()?
        {
            head.extend_from_slice(&piece[..piece.len().min(sniff::LEN)]);
            first.push(piece);
        }
        if head.is_empty() {
            return Err(ImageError::Truncated { source_name: name, offset: 0, expected: None });
        }
        let compression = sniff::compression(&head);
        let container = if compression == Compression::None { sniff::container(&head) } else { Container::Raw };
        match (container, request.format) {
            (Container::Qcow2, None | Some(ImageFormat::Qcow2)) => {
                let mut decided = None;
                if let Some(delta) = request.delta {
                    let what = "is a qcow2 image, which is not read by an index".to_owned();
                    let error = ImageError::Unsupported { source_name: name.clone(), what };
                    decided = Some(whole(&delta, Estimate::default(), error, stop)?);
                }
                drop(stream);
                let Some(again) = again else {
                    let what = "is a qcow2 image, which cannot be read from a stream".to_owned();
                    return Err(ImageError::Unsupported { source_name: name, what });
                };
                let facts = Facts {
                    name,
                    wire_total,
                    image_total: None,
                    format: ImageFormat::Qcow2,
                    compression,
                    wire,
                    content,
                    verify: request.verify,
                    options: request.options,
                    connections,
                };
                let opened = Self::qcow2(facts, again, room, stop, stages)?;
                return Ok(Self { decided, ..opened });
            }
            (Container::Qcow2, Some(stated)) => return Err(mismatch(name, "a qcow2 image", stated)),
            (Container::Raw, None | Some(ImageFormat::Raw)) => {}
            (Container::Raw, Some(stated)) => return Err(mismatch(name, "not one", stated)),
            (Container::Foreign(found), Some(stated)) => return Err(mismatch(name, found, stated)),
            (Container::Foreign(_), None) => stages::refuse_container(&name, &head)?,
        }
        let image_total = if compression == Compression::None { wire_total } else { None };
        if let Some(total) = image_total
            && total > room
        {
            return Err(ImageError::TooLarge { source_name: name, at_least: total, exact: true, device: room });
        }
        let mut facts = Facts {
            name,
            wire_total,
            image_total,
            format: ImageFormat::Raw,
            compression,
            wire,
            content,
            verify: request.verify,
            options: request.options,
            connections,
        };
        let Some(request) = request.delta else {
            return Ok(Self { facts, first, stream, wire_digest: None, parts: None, decided: None });
        };
        let mut estimate = Estimate::default();
        match Self::delta(&facts, &request, again, room, only, &mut estimate, stop, stages) {
            Ok(delta) => {
                drop(stream);
                facts.image_total = Some(request.index.length);
                facts.wire = WireCheck::default();
                let stream = Stream::nothing(&facts.name, stop, stages)?;
                let used = DeltaReceipt { used: true, ..sampled(estimate) };
                Ok(Self {
                    facts,
                    first: Vec::new(),
                    stream,
                    wire_digest: None,
                    parts: Some(Parts::Delta(delta)),
                    decided: Some(used),
                })
            }
            Err(error) => {
                let decided = Some(whole(&request, estimate, error, stop)?);
                Ok(Self { facts, first, stream, wire_digest: None, parts: None, decided })
            }
        }
    }

    /// Reads by ranges what the target does not hold already; an error where that cannot be, or is no gain.
    #[allow(clippy::too_many_arguments)]
    fn delta(
        facts: &Facts,
        request: &DeltaRequest,
        again: Option<Again>,
        room: u64,
        only: Option<&Target>,
        estimate: &mut Estimate,
        stop: &Arc<Stop>,
        stages: &Arc<Stages>,
    ) -> Result<Delta, ImageError> {
        let (name, index) = (facts.name.clone(), &request.index);
        let unsupported = |what: &str| ImageError::Unsupported { source_name: name.clone(), what: what.to_owned() };
        let target =
            only.ok_or_else(|| unsupported("is written to several devices, which may differ in different places"))?;
        let again = again.ok_or_else(|| unsupported("cannot be read in parts, being a stream"))?;
        if !facts.wire.is_empty() && !request.proven && facts.content.is_none() {
            return Err(unsupported(
                "is not downloaded whole: an index takes a digest or signature of its own, or the digest of the content",
            ));
        }
        if !matches!(facts.compression, Compression::None | Compression::Zstd) {
            return Err(unsupported("cannot be read in parts: that takes a raw image, or zstd with a seek table"));
        }
        if index.length > room {
            return Err(ImageError::TooLarge { source_name: name, at_least: index.length, exact: true, device: room });
        }
        *estimate = Estimate::take(index, target, stop)?;
        if !request.always && !estimate.wins() {
            return Err(unsupported("would not be written faster by its index: too little of it is on the device"));
        }
        let mut file = Exact(again.random(facts.wire_total, stop, stages)?);
        let (zstd, named) = (facts.compression == Compression::Zstd, name.clone());
        let open = move || match zstd {
            true => Seekable::open(Box::new(file), &named).map(Image::Frames),
            false => {
                // Shows that its server sends ranges at all.
                let len = file.len();
                file.read_exact_at(&mut [0], len.saturating_sub(1))?;
                Ok(Image::Plain(Box::new(file)))
            }
        };
        let image = aside("delta", &|| stop.is_set(), open)?;
        if image.len() != index.length {
            let what = format!("the index is of {} bytes, the image has {}", index.length, image.len());
            return Err(ImageError::Damaged { source_name: name, format: "indexed", what });
        }
        Ok(Delta { index: index.clone(), image, name })
    }

    /// Reads by ranges. A digest of the download needs it whole once; what is read afterwards is bound to that.
    fn qcow2(
        mut facts: Facts,
        again: Again,
        room: u64,
        stop: &Arc<Stop>,
        stages: &Arc<Stages>,
    ) -> Result<Self, ImageError> {
        let (mut seals, mut wire_digest) = (None, None);
        if !facts.wire.is_empty() {
            let mut sealer = Sealer::new(facts.wire.begin()?);
            let mut stream = again.stream(stop, stages)?;
            while let Some(piece) = stream.next()? {
                timed(&stages.digest_ns, || sealer.update(&piece));
            }
            let (actual, made) = sealer.finish(&facts.name)?;
            (seals, wire_digest) = (Some(made), actual);
        }
        let file = Blocks::new(again.random(facts.wire_total, stop, stages)?, seals);
        let named = facts.name.clone();
        let qcow2 = aside("qcow2", &|| stop.is_set(), move || Qcow2::open(Box::new(file), &named))?;
        let size = qcow2.size();
        if size > room {
            let (source_name, device) = (facts.name, room);
            return Err(ImageError::TooLarge { source_name, at_least: size, exact: true, device });
        }
        facts.image_total = Some(size);
        facts.wire = WireCheck::default();
        let stream = Stream::nothing(&facts.name, stop, stages)?;
        let parts = Some(Parts::Qcow2(qcow2));
        Ok(Self { facts, first: Vec::new(), stream, wire_digest, parts, decided: None })
    }
}

/// That the whole image is written, and why; an error where that was ruled out, or would fail just the same.
fn whole(
    request: &DeltaRequest,
    estimate: Estimate,
    error: ImageError,
    stop: &Stop,
) -> Result<DeltaReceipt, ImageError> {
    if request.always || stop.is_set() {
        return Err(error);
    }
    stop.note(format!("{error}; writing it whole"));
    Ok(DeltaReceipt { why: Some(error.to_string()), ..sampled(estimate) })
}

fn sampled(estimate: Estimate) -> DeltaReceipt {
    let Estimate { sampled: sampled_mib, matching: matching_mib } = estimate;
    DeltaReceipt { sampled_mib, matching_mib, ..DeltaReceipt::default() }
}

fn mismatch(source_name: String, found: &str, stated: ImageFormat) -> ImageError {
    let stated = match stated {
        ImageFormat::Raw => "a raw image",
        ImageFormat::Qcow2 => "a qcow2 image",
        ImageFormat::Tar => "a tar archive (which is unpacked, not written to a device)",
    };
    ImageError::FormatMismatch { source_name, found: found.to_owned(), stated: stated.to_owned() }
}
