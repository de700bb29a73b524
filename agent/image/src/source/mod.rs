//! Where the bytes of an image come from.

pub mod answer;
pub mod challenge;
pub mod fetch;
pub mod get;
pub mod http;
pub mod mirrors;
pub mod proxies;
pub mod random;
pub mod ranges;
pub mod registry;

use crate::error::ImageError;
use crate::flow::channel::{Consumer, Popped, channel};
use crate::flow::input::Pieces;
use crate::flow::pieces::{PIECES, TICK, pump};
use crate::flow::progress::Stages;
use crate::flow::stop::Stop;
use crate::source::get::{Http, MOST_CONNECTIONS};
use crate::source::http::HttpStream;
use crate::source::random::{Fetch, LocalFile};
use crate::source::ranges::Ranges;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The location of an image.
#[expect(clippy::large_enum_variant, reason = "one is made for each image")]
pub enum Source {
    /// http(s) URLs of the same bytes, tried in order.
    Http(Http),
    File(PathBuf),
    /// A file that has been unlinked, with a name for messages.
    Kept(Arc<File>, String),
    /// Standard input or any other stream, with a name for messages.
    Reader(Box<dyn Read + Send>, String),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl Source {
    /// The first URL without credentials, the path, or the stream's name.
    pub fn name(&self) -> String {
        match self {
            Self::Http(http) => match (&http.called, http.urls.first()) {
                (Some(called), _) => called.clone(),
                (None, Some(url)) => answer::display(url),
                (None, None) => String::new(),
            },
            Self::File(path) => path.display().to_string(),
            Self::Kept(_, name) | Self::Reader(_, name) => name.clone(),
        }
    }

    /// What is needed to open it again for random access; `None` for a stream.
    pub(super) fn again(&self) -> Option<Again> {
        match self {
            Self::Http(http) => Some(Again::Http(http.clone())),
            Self::File(path) => Some(Again::File(path.clone())),
            Self::Kept(file, name) => Some(Again::Kept(file.clone(), name.clone())),
            Self::Reader(..) => None,
        }
    }

    /// Number of ranges fetched in parallel.
    pub(super) fn connections(&self) -> usize {
        match self {
            Self::Http(http) => http.connections.clamp(1, MOST_CONNECTIONS),
            Self::File(_) | Self::Kept(..) | Self::Reader(..) => 1,
        }
    }

    /// Opens the source and starts to fetch. Errors that are known at once (such as not found) are returned here.
    pub(super) fn open(self, stop: &Arc<Stop>, stages: &Arc<Stages>) -> Result<Stream, ImageError> {
        let name = self.name();
        let kind = match self {
            Self::Http(http) => StreamKind::Http(Box::new(HttpStream::open(http, stop.clone(), stages.clone())?)),
            Self::File(path) => StreamKind::Local(Local::open(&path, path.clone(), stages)?),
            // Opened again, so that other readers keep their own position.
            Self::Kept(file, name) => StreamKind::Local(Local::open(&own_path(&file), name.into(), stages)?),
            Self::Reader(reader, name) => StreamKind::Local(Local::start(reader, name.into(), None, stages)?),
        };
        Ok(Stream { kind, name, stop: stop.clone(), stages: stages.clone() })
    }
}

/// A source that can be opened more than once.
#[expect(clippy::large_enum_variant, reason = "one is made for each image")]
pub enum Again {
    Http(Http),
    File(PathBuf),
    Kept(Arc<File>, String),
}

/// A path by which an open file can be opened again (proc(5)).
fn own_path(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

impl Again {
    /// Opens it as a stream from the beginning.
    pub fn stream(&self, stop: &Arc<Stop>, stages: &Arc<Stages>) -> Result<Stream, ImageError> {
        match self {
            Self::Http(http) => Source::Http(http.clone()).open(stop, stages),
            Self::File(path) => Source::File(path.clone()).open(stop, stages),
            Self::Kept(file, name) => Source::Kept(file.clone(), name.clone()).open(stop, stages),
        }
    }

    /// Opens it for random access. `total` is the length in the first response.
    pub fn random(
        self,
        total: Option<u64>,
        stop: &Arc<Stop>,
        stages: &Arc<Stages>,
    ) -> Result<Box<dyn Fetch>, ImageError> {
        match self {
            Self::Http(http) => {
                let name = Source::Http(http.clone()).name();
                let what = "must be read in parts, and its server does not tell its length".to_owned();
                let total = total.ok_or(ImageError::Unsupported { source_name: name, what })?;
                Ok(Box::new(Ranges::new(http, total, stop.clone(), stages.clone())?))
            }
            Self::File(path) => local(File::open(&path), path),
            Self::Kept(file, name) => local(file.try_clone(), name.into()),
        }
    }
}

fn local(file: io::Result<File>, path: PathBuf) -> Result<Box<dyn Fetch>, ImageError> {
    let failed = |source| ImageError::ReadFile { path: path.clone(), source };
    let file = file.map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    Ok(Box::new(LocalFile { file, path, len }))
}

/// An opened source: pieces in order.
pub struct Stream {
    kind: StreamKind,
    name: String,
    stop: Arc<Stop>,
    stages: Arc<Stages>,
}

enum StreamKind {
    Http(Box<HttpStream>),
    Local(Local),
}

impl Stream {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Total bytes, if known.
    pub fn total(&self) -> Option<u64> {
        match &self.kind {
            StreamKind::Http(http) => http.total(),
            StreamKind::Local(local) => local.total,
        }
    }

    /// Whether a premature end would be noticed: the length is known, or the transfer has an end mark.
    pub fn end_is_proven(&self) -> bool {
        match &self.kind {
            StreamKind::Http(http) => http.total().is_some() || http.is_delimited(),
            StreamKind::Local(local) => local.total.is_some(),
        }
    }

    /// The next piece, never empty; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
        let piece = match &mut self.kind {
            StreamKind::Http(http) => http.next()?,
            StreamKind::Local(local) => local.next(&self.stop)?,
        };
        let count = piece.as_ref().map_or(0, Vec::len) as u64;
        self.stages.wire_bytes.fetch_add(count, Ordering::Relaxed);
        Ok(piece)
    }
}

/// A file or pipe, read in a thread of its own: a read from a pipe may never return, and a cancelled write must not
/// wait for it.
struct Local {
    pieces: Consumer<io::Result<Vec<u8>>>,
    path: PathBuf,
    total: Option<u64>,
    position: u64,
}

impl Local {
    /// `called` is the name for messages.
    fn open(path: &Path, called: PathBuf, stages: &Arc<Stages>) -> Result<Self, ImageError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => ImageError::NotFound { source_name: called.display().to_string() },
            _ => ImageError::ReadFile { path: called.clone(), source },
        };
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let total = meta.is_file().then_some(meta.len());
        let _ = nix::fcntl::posix_fadvise(&file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
        Self::start(Box::new(file), called, total, stages)
    }

    fn start(
        mut reader: Box<dyn Read + Send>,
        path: PathBuf,
        total: Option<u64>,
        stages: &Arc<Stages>,
    ) -> Result<Self, ImageError> {
        let (producer, pieces) = channel(PIECES);
        let stages = stages.clone();
        let spawned = std::thread::Builder::new()
            .name("burin-source".into())
            .spawn(move || pump(&mut *reader, &producer, &stages.network_ns, |_| {}));
        spawned.map_err(|source| ImageError::Thread { source })?;
        Ok(Self { pieces, path, total, position: 0 })
    }

    fn next(&mut self, stop: &Stop) -> Result<Option<Vec<u8>>, ImageError> {
        loop {
            stop.check()?;
            match self.pieces.pop(TICK) {
                Popped::Item(Ok(piece)) => {
                    self.position += piece.len() as u64;
                    return Ok(Some(piece));
                }
                Popped::Item(Err(source)) => return Err(typed(source, &self.path)),
                Popped::Empty => {}
                Popped::End => {
                    let expected = self.total;
                    if expected.is_some_and(|total| total > self.position) {
                        let source_name = self.path.display().to_string();
                        return Err(ImageError::Truncated { source_name, offset: self.position, expected });
                    }
                    return Ok(None);
                }
            }
        }
    }
}

/// The typed error within an `io::Error`, if there is one.
fn typed(error: io::Error, path: &Path) -> ImageError {
    match error.downcast::<ImageError>() {
        Ok(error) => error,
        Err(source) => ImageError::ReadFile { path: path.to_owned(), source },
    }
}

/// Pieces that were read already, then those of the stream.
pub struct Replay {
    pub first: std::vec::IntoIter<Vec<u8>>,
    pub stream: Stream,
}

impl Pieces for Replay {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
        match self.first.next() {
            Some(piece) => Ok(Some(piece)),
            None => self.stream.next(),
        }
    }
}

impl Pieces for Stream {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
        Stream::next(self)
    }
}
