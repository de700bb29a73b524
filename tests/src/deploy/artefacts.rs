//! Builds what machines boot, by the project's scripts: netboot artefacts and the Debian image.

use super::DeployError;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Directory with the builder's output.
#[derive(Debug, Clone)]
pub struct Netboot {
    pub dir: PathBuf,
}

impl Netboot {
    pub const KERNEL: &'static str = burin_initramfs::KERNEL;
    pub const INITRAMFS: &'static str = burin_initramfs::INITRAMFS;

    pub fn open(dir: &Path) -> Result<Self, DeployError> {
        for name in [Self::KERNEL, Self::INITRAMFS] {
            let path = dir.join(name);
            if !path.is_file() {
                return Err(DeployError::Artefact { path, why: "not there".to_owned() });
            }
        }
        Ok(Self { dir: dir.to_owned() })
    }

    pub fn kernel(&self) -> PathBuf {
        self.dir.join(Self::KERNEL)
    }

    pub fn initramfs(&self) -> PathBuf {
        self.dir.join(Self::INITRAMFS)
    }
}

/// A disk image and its properties, as `scripts/image` describes it in image.json.
#[derive(Debug, Clone, Deserialize)]
pub struct Image {
    #[serde(skip)]
    pub dir: PathBuf,
    pub file: String,
    /// Bytes on the disk.
    pub size: u64,
    /// Bytes of the file.
    pub wire_size: u64,
    /// `sha256:HEX` of the file.
    pub wire: String,
    /// `sha256:HEX` of the bytes on the disk.
    pub content: String,
}

impl Image {
    pub fn open(dir: &Path) -> Result<Self, DeployError> {
        let path = dir.join("image.json");
        let why = |why: String| DeployError::Artefact { path: path.clone(), why };
        let text = std::fs::read(&path).map_err(|error| why(error.to_string()))?;
        let image: Self = serde_json::from_slice(&text).map_err(|error| why(error.to_string()))?;
        Ok(Self { dir: dir.to_owned(), ..image })
    }
}

/// The artefacts of `scripts/test`, or the reason to skip: tests of machines need them and cannot make them.
pub fn built() -> Result<(Netboot, Image), String> {
    if let Some(reason) = crate::vm::missing_tools() {
        return Err(reason);
    }
    let dir = |name: &str| std::env::var_os(name).ok_or_else(|| format!("{name} is not set; scripts/test sets it"));
    let netboot = Netboot::open(Path::new(&dir("BURIN_NETBOOT")?)).map_err(|error| error.to_string())?;
    let image = Image::open(Path::new(&dir("BURIN_IMAGE")?)).map_err(|error| error.to_string())?;
    Ok((netboot, image))
}

/// The same with a Debian image that has mdadm.
pub fn built_for_mirrors() -> Result<(Netboot, Image), String> {
    let (netboot, _) = built()?;
    let dir = std::env::var_os("BURIN_MIRROR_IMAGE");
    let dir = dir.ok_or_else(|| "BURIN_MIRROR_IMAGE is not set; scripts/test --storage sets it".to_owned())?;
    Ok((netboot, Image::open(Path::new(&dir)).map_err(|error| error.to_string())?))
}

/// The same for tests of LVM and LUKS: a ramdisk with their programs, and a Debian that starts from them.
pub fn built_for_storage() -> Result<(Netboot, super::SmallDebian), String> {
    if let Some(reason) = crate::vm::missing_tools() {
        return Err(reason);
    }
    let dir =
        |name: &str| std::env::var_os(name).ok_or_else(|| format!("{name} is not set; scripts/test --storage sets it"));
    let netboot = Netboot::open(Path::new(&dir("BURIN_STORAGE_NETBOOT")?)).map_err(|error| error.to_string())?;
    let tree = super::SmallDebian::open(Path::new(&dir("BURIN_STORAGE_TREE")?)).map_err(|error| error.to_string())?;
    Ok((netboot, tree))
}
