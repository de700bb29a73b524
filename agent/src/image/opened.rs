//! A source opened and checked: format, length, digests' form. The target is not touched here.

use super::aside::aside;
use super::blocks::{ReadAt, Sealer};
use super::caibx::Caibx;
use super::delta::Delta;
use super::digest::Expected;
use super::progress::{Stages, timed};
use super::qcow2::Qcow2;
use super::seekable::Seekable;
use super::sniff::{self, Compression, Container};
use super::source::{Again, Stream};
use super::stages;
use super::{ImageError, Stop, WriteRequest};
use crate::protocol::image::{ImageFormat, Verify};
use std::sync::{Arc, Mutex};

/// What is known once the source is open and before the target is touched.
pub struct Facts {
    pub name: String,
    pub wire_total: Option<u64>,
    pub image_total: Option<u64>,
    pub format: ImageFormat,
    pub compression: Compression,
    pub wire: Option<Expected>,
    pub content: Option<Expected>,
    pub verify: Verify,
    pub options: super::Options,
}

pub struct Opened {
    pub facts: Facts,
    pub first: Vec<Vec<u8>>,
    pub stream: Stream,
    /// The digest of the download, where it is known to be right already.
    pub wire_digest: Option<String>,
    /// Where only what differs is fetched; `stream` is empty then.
    pub delta: Option<Delta>,
}

impl Opened {
    /// `room`: bytes of the target.
    pub fn new(request: WriteRequest, room: u64, stop: &Arc<Stop>, stages: &Arc<Stages>) -> Result<Self, ImageError> {
        let parse = |text: &Option<String>| text.as_deref().map(Expected::parse).transpose();
        let (wire, content) = (parse(&request.digest.wire)?, parse(&request.digest.content)?);
        let again = request.source.again();
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
                if request.delta.is_some() {
                    let what = "is a qcow2 image, which is not read by an index".to_owned();
                    return Err(ImageError::Unsupported { source_name: name, what });
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
                };
                return Self::qcow2(facts, again, room, stop, stages);
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
        let facts = Facts {
            name,
            wire_total,
            image_total,
            format: ImageFormat::Raw,
            compression,
            wire,
            content,
            verify: request.verify,
            options: request.options,
        };
        if let Some(index) = request.delta {
            drop(stream);
            return Self::delta(facts, index, again, room, stop, stages);
        }
        Ok(Self { facts, first, stream, wire_digest: None, delta: None })
    }

    /// Reads by ranges what the target does not hold already.
    fn delta(
        mut facts: Facts,
        index: Caibx,
        again: Option<Again>,
        room: u64,
        stop: &Arc<Stop>,
        stages: &Arc<Stages>,
    ) -> Result<Self, ImageError> {
        let name = facts.name.clone();
        let unsupported = |what: &str| ImageError::Unsupported { source_name: name.clone(), what: what.to_owned() };
        let again = again.ok_or_else(|| unsupported("cannot be read in parts, being a stream"))?;
        if facts.wire.is_some() {
            return Err(unsupported("is not downloaded whole: check it by the digest of its content"));
        }
        if !matches!(facts.compression, Compression::None | Compression::Zstd) {
            return Err(unsupported("cannot be read in parts: that takes a raw image, or zstd with a seek table"));
        }
        let file = again.random(facts.wire_total, None, stop, stages)?;
        let (zstd, named) = (facts.compression == Compression::Zstd, name.clone());
        let open = move || -> Result<Box<dyn ReadAt>, ImageError> {
            if zstd { Ok(Box::new(Seekable::open(file, &named)?)) } else { Ok(file) }
        };
        let image = aside("delta", &|| stop.is_set(), open)?;
        if image.len() != index.length {
            let what = format!("the index is of {} bytes, the image has {}", index.length, image.len());
            return Err(ImageError::Damaged { source_name: name, format: "indexed", what });
        }
        if index.length > room {
            return Err(ImageError::TooLarge { source_name: name, at_least: index.length, exact: true, device: room });
        }
        facts.image_total = Some(index.length);
        let stream = Stream::inside(Box::new(std::io::empty()), &facts.name, 0, stop, stages)?;
        let delta = Some(Delta { index, image: Arc::new(Mutex::new(image)), name: facts.name.clone() });
        Ok(Self { facts, first: Vec::new(), stream, wire_digest: None, delta })
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
        if let Some(expected) = &facts.wire {
            let mut sealer = Sealer::new(expected.hasher());
            let mut stream = again.stream(stop, stages)?;
            while let Some(piece) = stream.next()? {
                timed(&stages.digest_ns, || sealer.update(&piece));
            }
            let (actual, made) = sealer.finish();
            check_digest(&facts.name, "download", expected, &actual)?;
            (seals, wire_digest) = (Some(made), Some(actual));
        }
        let file = again.random(facts.wire_total, seals, stop, stages)?;
        let named = facts.name.clone();
        let qcow2 = aside("qcow2", &|| stop.is_set(), move || Qcow2::open(file, &named))?;
        let size = qcow2.size();
        if size > room {
            let (source_name, device) = (facts.name, room);
            return Err(ImageError::TooLarge { source_name, at_least: size, exact: true, device });
        }
        facts.image_total = Some(size);
        facts.wire = None;
        let stream = Stream::inside(Box::new(qcow2), &facts.name, size, stop, stages)?;
        Ok(Self { facts, first: Vec::new(), stream, wire_digest, delta: None })
    }
}

pub fn check_digest(name: &str, what: &'static str, expected: &Expected, actual: &str) -> Result<(), ImageError> {
    if expected.matches(actual) {
        return Ok(());
    }
    let (source_name, expected, actual) = (name.to_owned(), expected.to_string(), actual.to_owned());
    Err(ImageError::DigestMismatch { source_name, what, expected, actual })
}

fn mismatch(source_name: String, found: &str, stated: ImageFormat) -> ImageError {
    let stated = match stated {
        ImageFormat::Raw => "a raw image",
        ImageFormat::Qcow2 => "a qcow2 image",
        ImageFormat::Tar => "a tar archive (which is unpacked, not written to a device)",
    };
    ImageError::FormatMismatch { source_name, found: found.to_owned(), stated: stated.to_owned() }
}
