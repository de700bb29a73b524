//! Chooses the boot loader on an ESP that the firmware should start.

use crate::error::Coded;
use crate::finalize::device::Device;
use crate::finalize::fat_read::FatVolume;
use crate::finalize::guid::Arch;
use crate::finalize::root::Root;
use crate::isolate::errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum LoaderError {
    #[error("{path}: the EFI system partition cannot be read")]
    Io {
        path: PathBuf,
        #[serde(with = "errno")]
        source: io::Error,
    },
    #[error("{path}: no boot loader for this architecture on the EFI system partition")]
    None { path: PathBuf },
    #[error("{path}: boot loaders of several systems, and none of them is the default: {found}")]
    Ambiguous { path: PathBuf, found: String },
}

impl Coded for LoaderError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "finalize.esp_io",
            Self::None { .. } => "finalize.loader_none",
            Self::Ambiguous { .. } => "finalize.loader_ambiguous",
        }
    }
}

/// A boot loader, by its path on the ESP with backslashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loader {
    pub path: String,
    /// Directory below `\EFI`: `debian`, `fedora`, `BOOT`.
    pub vendor: String,
}

/// File names in order of preference: shim starts grub and satisfies Secure Boot.
fn names(arch: Arch) -> [&'static str; 3] {
    match arch {
        Arch::X86_64 => ["shimx64.efi", "grubx64.efi", "systemd-bootx64.efi"],
        Arch::Arm64 => ["shimaa64.efi", "grubaa64.efi", "systemd-bootaa64.efi"],
    }
}

fn default_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "BOOTX64.EFI",
        Arch::Arm64 => "BOOTAA64.EFI",
    }
}

/// Searches an ESP mounted at `esp`: the only system's own loader, or else the default one (`\EFI\BOOT`). If there are
/// loaders of several systems, the default one decides; without it that is an error. Names are case-insensitive, as on
/// FAT.
pub fn find(esp: &Path, arch: Arch) -> Result<Loader, LoaderError> {
    let root = Root::open(esp).map_err(|source| LoaderError::Io { path: esp.to_owned(), source })?;
    find_among(&|path| root.list(path), esp, arch)
}

/// The same on a device with an ESP that is not mounted.
pub fn find_on(esp: &Path, arch: Arch) -> Result<Loader, LoaderError> {
    let failed = |source| LoaderError::Io { path: esp.to_owned(), source };
    let device = Device::open_read_only(esp).map_err(failed)?;
    let volume = FatVolume::read(&device).map_err(failed)?;
    find_among(&|path| volume.list(&device, path), esp, arch)
}

/// `list` returns the names in a directory.
fn find_among(list: &dyn Fn(&str) -> io::Result<Vec<String>>, esp: &Path, arch: Arch) -> Result<Loader, LoaderError> {
    let failed = |source| LoaderError::Io { path: esp.to_owned(), source };
    let top = list("/").map_err(failed)?;
    let none = || LoaderError::None { path: esp.to_owned() };
    let efi = top.iter().find(|name| name.eq_ignore_ascii_case("EFI")).ok_or_else(none)?;
    let mut own = Vec::new();
    let mut default = None;
    for vendor in list(efi).map_err(failed)? {
        // A regular file beside the directories.
        let Ok(files) = list(&format!("{efi}/{vendor}")) else { continue };
        let pick = |wanted: &str| files.iter().find(|file| file.eq_ignore_ascii_case(wanted));
        let loader = |file: &String| Loader { path: format!("\\{efi}\\{vendor}\\{file}"), vendor: vendor.clone() };
        if vendor.eq_ignore_ascii_case("BOOT") {
            default = pick(default_name(arch)).map(loader);
        } else if let Some(file) = names(arch).into_iter().find_map(pick) {
            own.push(loader(file));
        }
    }
    match (own.as_slice(), default) {
        ([only], _) => Ok(only.clone()),
        (_, Some(default)) => Ok(default),
        ([], None) => Err(none()),
        (several, None) => {
            let found: Vec<&str> = several.iter().map(|loader| loader.path.as_str()).collect();
            Err(LoaderError::Ambiguous { path: esp.to_owned(), found: found.join(", ") })
        }
    }
}
