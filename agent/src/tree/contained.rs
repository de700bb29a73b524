//! A disk image inside a layer, as in KubeVirt's container disks: the only file below `/disk`.
//!
//! A raw or compressed disk is streamed. A qcow2 image needs random access, so it is loaded into memory first, and may
//! take half of what is available. In both cases its end is delivered only after the whole layer has been verified.

use super::archive::{Archive, TarEntry};
use crate::image::oci::{Blob, RegistryDisk};
use crate::image::{self, Cancel, ImageError, Source};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tar::EntryType;

/// Size of pieces passed on, and how many may be queued.
const PIECE: usize = 256 * 1024;
const WAITING: usize = 8;
const TICK: Duration = Duration::from_millis(100);
const QCOW2: &[u8] = b"QFI\xfb";

/// The source of a disk in a registry, and its digest if that is known in advance.
pub fn disk(disk: RegistryDisk, cancel: &Cancel) -> Result<(Source, Option<String>), ImageError> {
    let layers = match disk {
        RegistryDisk::Plain(blob) => return Ok((blob.source(), blob.digest.wire.clone())),
        RegistryDisk::Contained(layers) => layers,
    };
    let name = layers.first().map(Blob::name).unwrap_or_default();
    for layer in layers.into_iter().rev() {
        let mut file = LayerFile::start(layer, cancel)?;
        let Some((size, called)) = file.begins()? else { continue };
        if !file.ready.starts_with(QCOW2) {
            return Ok((Source::Reader(Box::new(file), called), None));
        }
        return Ok((Source::Kept(Arc::new(kept(&mut file, size, &called, cancel)?), called), None));
    }
    Err(ImageError::OtherKind { url: name, what: "is a container image without a disk below /disk" })
}

/// Messages of the thread that reads the layer, in this order; an error at any time.
enum Told {
    Found {
        size: u64,
        called: String,
    },
    Piece(Vec<u8>),
    /// The whole layer matches its digest.
    Proven,
}

/// The file, while its layer is being fetched.
struct LayerFile {
    told: Receiver<Result<Told, ImageError>>,
    ready: Vec<u8>,
    used: usize,
    proven: bool,
    cancel: Cancel,
}

impl LayerFile {
    fn start(layer: Blob, cancel: &Cancel) -> Result<Self, ImageError> {
        let (tell, told) = sync_channel(WAITING);
        let stop = cancel.clone();
        let named = std::thread::Builder::new().name("burin-layer".into());
        let spawned = named.spawn(move || {
            let name = layer.name();
            let take = |reader: &mut dyn Read| search(reader, &name, &tell);
            let ended = image::read(layer.source(), &layer.digest, None, &stop, take).map(|_| Told::Proven);
            let _ = tell.send(ended);
        });
        spawned.map_err(|source| ImageError::Thread { source })?;
        Ok(Self { told, ready: Vec::new(), used: 0, proven: false, cancel: cancel.clone() })
    }

    fn next(&self) -> Result<Told, ImageError> {
        loop {
            match self.told.recv_timeout(TICK) {
                Ok(told) => return told,
                Err(RecvTimeoutError::Timeout) if self.cancel.is_cancelled() => return Err(ImageError::Cancelled),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(ImageError::Broken { stage: "layer" }),
            }
        }
    }

    /// Size and name of the file, with its first bytes read; `None` if the layer has no such file.
    fn begins(&mut self) -> Result<Option<(u64, String)>, ImageError> {
        let Told::Found { size, called } = self.next()? else { return Ok(None) };
        match self.next()? {
            Told::Piece(piece) => self.ready = piece,
            Told::Proven | Told::Found { .. } => self.proven = true,
        }
        Ok(Some((size, called)))
    }
}

impl Read for LayerFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.ready.get(self.used..).unwrap_or_default().read(out)?;
            if count > 0 || self.proven || out.is_empty() {
                self.used += count;
                return Ok(count);
            }
            match self.next().map_err(io::Error::other)? {
                Told::Piece(piece) => (self.ready, self.used) = (piece, 0),
                Told::Proven | Told::Found { .. } => self.proven = true,
            }
        }
    }
}

/// Finds the file in a layer and passes it on.
fn search(reader: &mut dyn Read, name: &str, tell: &SyncSender<Result<Told, ImageError>>) -> Result<(), ImageError> {
    let damaged = |error: io::Error| match error.kind() {
        // The rest is not wanted.
        ErrorKind::BrokenPipe => ImageError::Cancelled,
        _ => ImageError::Damaged { source_name: name.to_owned(), format: "tar", what: error.to_string() },
    };
    let mut archive = Archive::layer(reader);
    while let Some(entry) = archive.next().map_err(damaged)? {
        let Some(file) = disk_name(&entry) else { continue };
        let called = format!("{name}, disk/{}", String::from_utf8_lossy(file));
        hand_on(&entry, called, &mut archive, tell).map_err(damaged)?;
        // The reader of the rest of the layer checks its digest.
        return Ok(());
    }
    Ok(())
}

/// The name, if it is a file directly below `disk`.
fn disk_name(entry: &TarEntry) -> Option<&[u8]> {
    let path = entry.path.strip_prefix(b"./").unwrap_or(&entry.path);
    let name = path.strip_prefix(b"/").unwrap_or(path).strip_prefix(b"disk/")?;
    let plain = matches!(entry.kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse);
    (plain && !name.is_empty() && !name.contains(&b'/') && !name.starts_with(b".")).then_some(name)
}

fn hand_on(
    entry: &TarEntry,
    called: String,
    archive: &mut Archive<'_>,
    tell: &SyncSender<Result<Told, ImageError>>,
) -> io::Result<()> {
    let send = |told| tell.send(Ok(told)).map_err(|_| io::Error::from(ErrorKind::BrokenPipe));
    send(Told::Found { size: entry.size, called })?;
    let mut at = 0;
    let put = |from: &mut dyn Read, mut left: u64| -> io::Result<()> {
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let mut piece = vec![0; length];
            from.read_exact(&mut piece)?;
            send(Told::Piece(piece))?;
            left -= length as u64;
        }
        Ok(())
    };
    for segment in &entry.segments {
        put(&mut io::repeat(0), segment.offset.saturating_sub(at))?;
        put(archive, segment.length)?;
        at = segment.offset.saturating_add(segment.length);
    }
    put(&mut io::repeat(0), entry.size.saturating_sub(at))
}

/// The whole file, in memory.
fn kept(file: &mut LayerFile, size: u64, called: &str, cancel: &Cancel) -> Result<File, ImageError> {
    image::memory_for(called, size.saturating_mul(2))?;
    let failed = |source: io::Error| match source.downcast::<ImageError>() {
        Ok(error) => error,
        Err(source) => ImageError::ReadFile { path: called.into(), source },
    };
    let memory = memfd_create("burin-disk", MFdFlags::MFD_CLOEXEC).map_err(|error| failed(error.into()))?;
    let mut memory = File::from(memory);
    let mut block = vec![0; PIECE];
    loop {
        if cancel.is_cancelled() {
            return Err(ImageError::Cancelled);
        }
        match file.read(&mut block).map_err(failed)? {
            0 => return Ok(memory),
            count => memory.write_all(block.get(..count).unwrap_or_default()).map_err(failed)?,
        }
    }
}
