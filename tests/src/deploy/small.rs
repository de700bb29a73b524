//! A disk image that is small and boots nothing, for tests that write it often.

use super::{DeployError, Image};
use crate::vm::{Dirt, DiskFile};
use sha2::{Digest, Sha256};
use std::path::Path;

/// What its bytes are known by on a disk: the first partition's name.
pub const SMALL_MARK: &str = "small-image";

impl Image {
    /// Makes an image of `size` bytes in `dir`, packed by zstd: noise, a partition table, and a boot signature.
    pub fn small(dir: &Path, name: &str, size: u64) -> Result<Self, DeployError> {
        let error = |why: String| DeployError::Artefact { path: dir.join(name), why };
        let raw = DiskFile::new(dir.join(format!("{name}.tmp")));
        Dirt { size, dense: size / 2, stride: 8 << 20, seed: 77 }.create_named(&raw, SMALL_MARK)?;
        let bytes = std::fs::read(raw.path()).map_err(|why| error(why.to_string()))?;
        // With a checksum, as the zstd program does it.
        let mut packer = zstd::Encoder::new(Vec::new(), 1).map_err(|why| error(why.to_string()))?;
        let packed = packer
            .include_checksum(true)
            .and_then(|()| std::io::Write::write_all(&mut packer, &bytes))
            .and_then(|()| packer.finish())
            .map_err(|why| error(why.to_string()))?;
        std::fs::write(dir.join(name), &packed).map_err(|why| error(why.to_string()))?;
        std::fs::remove_file(raw.path()).map_err(|why| error(why.to_string()))?;
        Ok(Self {
            dir: dir.to_owned(),
            file: name.to_owned(),
            size,
            wire_size: packed.len() as u64,
            wire: digest(&packed),
            content: digest(&bytes),
        })
    }
}

pub(super) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
