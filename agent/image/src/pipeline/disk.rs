//! Opens an image for inspection: random access to the bytes that would be on the disk, without writing them anywhere.
//!
//! Raw and qcow2 images are read where they are, files and URLs alike, and so is zstd with a seek table. What can only be
//! decoded from its beginning is decoded into an unnamed sparse file first.

use crate::codec::Compression;
use crate::codec::sniff::{self, Container};
use crate::codec::zstd::seekable::{FrameDecoder, Seekable};
use crate::container::foreign;
use crate::container::qcow2::Qcow2;
use crate::error::ImageError;
use crate::flow::progress::{Cancel, Stages};
use crate::flow::stop::Stop;
use crate::pipeline::open::beginning;
use crate::pipeline::read::read;
use crate::source::random::{Blocks, ReadAt};
use crate::source::{Again, Source, Stream};
use burin_protocol::image::{ImageDigests, ImageFormat};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open image.
pub struct OpenedDisk {
    /// The first URL without credentials, the path, or the stream's name.
    pub name: String,
    /// `Tar` for a tar archive, whose bytes are then the decoded archive.
    pub format: ImageFormat,
    /// none, gzip, xz, zstd, lz4 or bzip2.
    pub compression: &'static str,
    /// Size of the image as published, if known.
    pub wire_bytes: Option<u64>,
    /// Its format, if burin would refuse to write it to a disk.
    pub foreign: Option<&'static str>,
    pub bytes: Box<dyn ReadAt>,
}

impl std::fmt::Debug for OpenedDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenedDisk").field("name", &self.name).field("format", &self.format).finish_non_exhaustive()
    }
}

/// Called while an image is decoded to a file: bytes read so far, and their total if known.
pub type Spooled<'a> = &'a dyn Fn(u64, Option<u64>);

/// Opens an image of any format and compression. `spool` is the folder for images that must be decoded completely;
/// nothing stays there.
pub fn open_disk(
    source: Source,
    spool: &Path,
    progress: Spooled<'_>,
    cancel: &Cancel,
) -> Result<OpenedDisk, ImageError> {
    let (stop, stages) = (Arc::new(Stop::new(cancel)), Arc::new(Stages::default()));
    let again = || source.again();
    let Some(first) = again() else { return decoded(source, None, spool, progress, cancel) };
    let mut stream = first.stream(&stop, &stages)?;
    let (name, total) = (stream.name().to_owned(), stream.total());
    let (_, head) = beginning(&mut stream)?;
    let compression = sniff::compression(&head);
    drop::<Stream>(stream);
    let random = |again: Option<Again>| {
        let again = again.ok_or(ImageError::NoSource)?;
        let mut file = Blocks::new(again.random(total, &stop, &stages)?, None);
        // Shows whether the server supports ranges at all.
        let len = file.len();
        file.read_exact_at(&mut [0], len.saturating_sub(1))?;
        Ok::<_, ImageError>(file)
    };
    let opened = |format, bytes| {
        let (name, compression) = (name.clone(), compression.name());
        Ok(OpenedDisk { name, format, compression, wire_bytes: total, foreign: None, bytes })
    };
    let in_place =
        if compression == Compression::NONE || seekable(compression) { random(again()) } else { plain(&name) };
    match in_place {
        Ok(file) if compression == Compression::NONE => plain_disk(Box::new(file), &name, total),
        Ok(file) => match Seekable::open(Box::new(file), &name) {
            Ok(frames) => opened(ImageFormat::Raw, Box::new(Frames::new(frames))),
            Err(ImageError::Unsupported { .. }) => decoded(source, total, spool, progress, cancel),
            Err(error) => Err(error),
        },
        Err(ImageError::Unsupported { .. } | ImageError::Status { .. }) => {
            decoded(source, total, spool, progress, cancel)
        }
        Err(error) => Err(error),
    }
}

fn seekable(compression: Compression) -> bool {
    compression.codec().is_some_and(|codec| codec.seekable())
}

fn plain<T>(name: &str) -> Result<T, ImageError> {
    Err(ImageError::Unsupported { source_name: name.to_owned(), what: "is read from its beginning only".to_owned() })
}

/// Opens what is not compressed, by its first bytes.
fn plain_disk(mut file: Box<dyn ReadAt>, name: &str, wire_bytes: Option<u64>) -> Result<OpenedDisk, ImageError> {
    let mut head = vec![0; usize::try_from(file.len().min(1 << 20)).unwrap_or(0)];
    file.read_exact_at(&mut head, 0)?;
    let (mut format, mut foreign) = (ImageFormat::Raw, foreign::find(&head));
    if foreign.is_some_and(|what| what == "a tar archive") {
        (format, foreign) = (ImageFormat::Tar, None);
    }
    let mut bytes = file;
    if sniff::container(&head) == Container::Qcow2 {
        format = ImageFormat::Qcow2;
        let qcow2 = Qcow2::open(bytes, name)?;
        let decoder = qcow2.decoder();
        bytes = Box::new(Guest { qcow2, decoder });
    }
    Ok(OpenedDisk { name: name.to_owned(), format, compression: "none", wire_bytes, foreign, bytes })
}

/// Decodes the whole image into an unnamed file.
fn decoded(
    source: Source,
    total: Option<u64>,
    spool: &Path,
    progress: Spooled<'_>,
    cancel: &Cancel,
) -> Result<OpenedDisk, ImageError> {
    let path = spool.to_owned();
    let failed = |source| ImageError::ReadFile { path: path.clone(), source };
    let file = unnamed(spool).map_err(failed)?;
    let copied = |reader: &mut dyn Read| copy(reader, &file, &path, &|done| progress(done, total));
    let (len, receipt) = read(source, &ImageDigests::default(), None, cancel, copied)?;
    let bytes = Box::new(Spool { file, path, len });
    let opened = plain_disk(bytes, &receipt.name, Some(receipt.wire_bytes))?;
    let mut opened = OpenedDisk { compression: receipt.compression, ..opened };
    if receipt.compression != "none" && opened.format == ImageFormat::Qcow2 {
        opened.foreign =
            Some("a compressed qcow2 image (qcow2 compresses its own clusters: qemu-img convert -c -O qcow2)");
    }
    Ok(opened)
}

fn unnamed(folder: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_TMPFILE).mode(0o600).open(folder)
}

/// Zeros become holes.
fn copy(reader: &mut dyn Read, file: &File, path: &Path, progress: &dyn Fn(u64)) -> Result<u64, ImageError> {
    let failed = |source| ImageError::ReadFile { path: path.to_owned(), source };
    let (mut buf, mut at) = (vec![0; 1 << 20], 0u64);
    loop {
        let count = reader.read(&mut buf).map_err(failed)?;
        if count == 0 {
            break;
        }
        let part = buf.get(..count).unwrap_or_default();
        if !burin_disk::is_zero(part) {
            file.write_all_at(part, at).map_err(failed)?;
        }
        at += count as u64;
        progress(at);
    }
    file.set_len(at).map_err(failed)?;
    Ok(at)
}

struct Spool {
    file: File,
    path: PathBuf,
    len: u64,
}

impl ReadAt for Spool {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&mut self, out: &mut [u8], offset: u64) -> Result<(), ImageError> {
        let read = FileExt::read_exact_at(&self.file, out, offset);
        read.map_err(|source| ImageError::ReadFile { path: self.path.clone(), source })
    }
}

/// The guest's disk in a qcow2 image.
struct Guest {
    qcow2: Qcow2,
    decoder: crate::container::qcow2::ClusterDecoder,
}

impl ReadAt for Guest {
    fn len(&self) -> u64 {
        self.qcow2.size()
    }

    fn read_exact_at(&mut self, out: &mut [u8], offset: u64) -> Result<(), ImageError> {
        within(self.len(), out.len(), offset)?;
        let extent = self.qcow2.fetch(offset, out.len())?;
        self.decoder.unpack(&extent, out)
    }
}

/// The content of a seekable zstd file.
struct Frames {
    frames: Seekable,
    decoder: FrameDecoder,
}

impl Frames {
    fn new(frames: Seekable) -> Self {
        let decoder = frames.decoder();
        Self { frames, decoder }
    }
}

impl ReadAt for Frames {
    fn len(&self) -> u64 {
        self.frames.len()
    }

    fn read_exact_at(&mut self, out: &mut [u8], offset: u64) -> Result<(), ImageError> {
        within(self.len(), out.len(), offset)?;
        for frame in self.frames.fetch(offset..offset + out.len() as u64)? {
            self.decoder.unpack(&frame, out, offset)?;
        }
        Ok(())
    }
}

fn within(total: u64, len: usize, offset: u64) -> Result<(), ImageError> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= total => Ok(()),
        _ => Err(ImageError::Truncated { source_name: "image".into(), offset: total, expected: None }),
    }
}
