//! Compresses modules for the ramdisk, with a cache, because compression takes most of a build's time.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::codec;
use crate::digest::sha256;
use crate::manifest::ModuleEntry;
use crate::modules::{Closure, Module, ModuleTreeError, read_plain};
use crate::parallel;

/// The suffix after `.ko` in the ramdisk.
pub const SUFFIX: &str = ".zst";

/// Compression level for modules. It is slow, but each module is compressed only once, because results are cached.
const LEVEL: i32 = 19;

/// A module as stored in the ramdisk.
#[derive(Debug, Clone)]
pub struct PackedModule {
    /// The kernel's name for it.
    pub name: String,
    /// Path below the release directory, with the suffix.
    pub path: String,
    /// Bytes of the plain `.ko`.
    pub plain_size: u64,
    /// Digest of the plain `.ko`.
    pub sha256: String,
    /// The zstd frame.
    pub data: Vec<u8>,
}

impl PackedModule {
    /// The module's entry in the manifest.
    pub fn entry(&self, rule: Option<&String>) -> ModuleEntry {
        ModuleEntry {
            name: self.name.clone(),
            path: self.path.clone(),
            size: self.plain_size,
            packed_size: self.data.len() as u64,
            sha256: self.sha256.clone(),
            rule: rule.cloned(),
        }
    }
}

/// Why modules could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A module changed or disappeared since it was examined.
    #[error("a module cannot be read")]
    Module(#[source] ModuleTreeError),
    /// The encoder failed.
    #[error("cannot compress module {name}")]
    Compress { name: String, source: io::Error },
    /// The cache directory cannot be used.
    #[error("cannot use the cache {}", path.display())]
    Cache { path: PathBuf, source: io::Error },
}

/// Compresses the closure's modules, in order. Signatures appended to modules stay valid.
pub fn pack(closure: &Closure<'_>, cache: &Path) -> Result<Vec<PackedModule>, PackError> {
    fs::create_dir_all(cache).map_err(|source| PackError::Cache { path: cache.to_owned(), source })?;
    let version = codec::zstd_version();
    let packed = parallel::map(&closure.modules, |module| pack_one(module, cache, &version));
    packed.into_iter().collect()
}

fn pack_one(module: &Module, cache: &Path, version: &str) -> Result<PackedModule, PackError> {
    let plain = read_plain(&module.source).map_err(PackError::Module)?;
    let digest = sha256(&plain);
    // The name includes everything that affects the contents.
    let cached = cache.join(format!("{digest}-{version}-{LEVEL}{SUFFIX}"));
    let data = match fs::read(&cached) {
        Ok(data) if codec::decompress(data.clone()).is_ok_and(|d| d == plain) => data,
        _ => {
            let data = codec::zstd_small(&plain, LEVEL)
                .map_err(|source| PackError::Compress { name: module.name.clone(), source })?;
            store(cache, &cached, &data).map_err(|source| PackError::Cache { path: cached.clone(), source })?;
            data
        }
    };
    Ok(PackedModule {
        name: module.name.clone(),
        path: format!("{}{SUFFIX}", module.path),
        plain_size: plain.len() as u64,
        sha256: digest,
        data,
    })
}

fn store(dir: &Path, path: &Path, data: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(data)?;
    file.persist(path)?;
    Ok(())
}
