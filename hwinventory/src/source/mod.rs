//! Everything the inventory reads goes through one [`Source`], so that it can be recorded and replayed.

mod fs;
mod query;
mod reader;
mod recorder;
mod recording;
mod redact;

pub use fs::FsSource;
pub use query::Query;
pub use reader::Reader;
pub use recorder::Recorder;
pub use recording::{Manifest, Recording};
pub use redact::redact;

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// The longest file that is read: SMBIOS tables and kernel lists stay far below.
pub const FILE_LIMIT: u64 = 4 << 20;

/// Where facts come from. Paths are absolute, as on the machine that is described.
///
/// `NotFound` means that the thing is absent; every other error that it is there and could not be read.
pub trait Source: Send + Sync {
    /// The whole content of a file, at most [`FILE_LIMIT`] bytes.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
    /// The names in a directory, sorted.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
    /// The target of a symbolic link, as written.
    fn link(&self, path: &str) -> io::Result<String>;
    /// The answer of an ioctl, a netlink dump or another question that is not a file.
    fn query(&self, query: &Query) -> io::Result<Vec<u8>>;
}

/// A machine to replay: a snapshot file, or a directory that holds its `/proc` and `/sys`. `/` is this machine.
pub fn open(path: &Path) -> io::Result<Arc<dyn Source>> {
    if path == Path::new("/") {
        return Ok(Arc::new(FsSource::live()));
    }
    if path.is_dir() {
        return Ok(Arc::new(FsSource::directory(path)?));
    }
    let mut file = std::fs::File::open(path)?;
    let mut head = [0u8; 4];
    file.read_exact(&mut head)?;
    if !Recording::is_snapshot(&head) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "neither a directory nor a snapshot (tar.zst)"));
    }
    Ok(Arc::new(Recording::load(head.as_slice().chain(file))?))
}
