//! A small disk image and a small tree that cannot boot, for tests that write them often.

use super::{DeployError, Image};
use crate::vm::{Dirt, DiskFile};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::process::Command;

/// The first partition's name, which identifies the image's bytes on a disk.
pub const SMALL_MARK: &str = "small-image";

impl Image {
    /// Makes an image of `size` bytes in `dir`, packed by zstd: noise, a partition table, and a boot signature.
    pub fn small(dir: &Path, name: &str, size: u64) -> Result<Self, DeployError> {
        let error = |why: String| DeployError::Artefact { path: dir.join(name), why };
        let raw = DiskFile::new(dir.join(format!("{name}.tmp")));
        Dirt { size, dense: size / 2, stride: 8 << 20, seed: 77 }.create_named(&raw, SMALL_MARK)?;
        let bytes = std::fs::read(raw.path()).map_err(|why| error(why.to_string()))?;
        // With a checksum, like the zstd program.
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

    /// Makes a tar in `dir` with the files that systemd-boot is installed from, and a kernel of noise of this size.
    /// Nothing in it can run.
    pub fn small_tree(dir: &Path, name: &str, kernel: usize) -> Result<Self, DeployError> {
        let error = |why: String| DeployError::Artefact { path: dir.join(name), why };
        let root = tempfile::tempdir().map_err(|why| error(why.to_string()))?;
        let size = kernel as u64;
        let mut kernel = Dirt { size, dense: size, stride: size, seed: 78 }.contents();
        kernel[..2].copy_from_slice(b"MZ");
        let files: [(&str, &[u8]); 7] = [
            ("etc/os-release", b"ID=small\n"),
            ("boot/vmlinuz-1", &kernel),
            ("boot/initrd.img-1", b"nothing"),
            ("usr/lib/systemd/boot/efi/systemd-bootx64.efi", b"MZ"),
            ("usr/sbin/mdadm", b"nothing"),
            ("usr/sbin/lvm", b"nothing"),
            ("usr/sbin/cryptsetup", b"nothing"),
        ];
        for (path, bytes) in files {
            let path = root.path().join(path);
            let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            made.and_then(|()| std::fs::write(&path, bytes)).map_err(|why| error(why.to_string()))?;
        }
        let tar = Command::new("tar").arg("-C").arg(root.path()).arg("-cf").arg(dir.join(name)).arg(".").status();
        if !tar.map_err(|why| error(why.to_string()))?.success() {
            return Err(error("tar failed".to_owned()));
        }
        let bytes = std::fs::read(dir.join(name)).map_err(|why| error(why.to_string()))?;
        let (size, digest) = (bytes.len() as u64, digest(&bytes));
        let (wire, content) = (digest.clone(), digest);
        Ok(Self { dir: dir.to_owned(), file: name.to_owned(), size, wire_size: size, wire, content })
    }
}

pub(super) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
