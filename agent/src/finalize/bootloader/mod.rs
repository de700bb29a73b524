//! Makes a tree, or the image of a root filesystem, bootable under UEFI with the boot loader that it contains. No
//! program of the tree is run: the files for the ESP are copied from the tree, plus a few lines of configuration. Apart
//! from reading the tree this is pure: the result is a list of files, written by the caller that has the ESPs mounted.

pub mod bios;
mod error;
mod grub;
mod image;
mod kernels;
mod release;
mod systemd_boot;

pub use error::BootError;
pub use grub::reads as check_reads;
pub use image::{fstab_with_esp, image_esp, of_image};

use crate::finalize::guid::Arch;
use crate::finalize::root::Root;
use crate::protocol::order::Bootloader;

/// The new system.
#[derive(Debug, Clone, Copy)]
pub struct System<'a> {
    /// Its filesystems, mounted.
    pub tree: &'a Root,
    /// Mount points and UUIDs, including the root's.
    pub filesystems: &'a [(String, String)],
    /// Where an ESP is mounted, if any.
    pub esp: Option<&'a str>,
    pub root_uuid: &'a str,
    /// Words besides `root=`.
    pub cmdline: &'a [String],
    pub arch: Arch,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFile {
    /// Below the root of the ESP, or of the tree.
    pub directory: String,
    pub name: String,
    pub from: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Text(String),
    /// A copy of this file of the tree.
    Tree(String),
}

/// The files that make the tree bootable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// `Grub` or `SystemdBoot`.
    pub bootloader: Bootloader,
    /// Version of the kernel that it boots.
    pub kernel: String,
    /// For each ESP, in this order: the files that firmware starts come last.
    pub esp: Vec<BootFile>,
    pub tree: Vec<BootFile>,
}

impl BootFile {
    pub fn path(&self) -> String {
        format!("{}/{}", self.directory, self.name)
    }

    fn text(directory: &str, name: &str, text: String) -> Self {
        Self { directory: directory.to_owned(), name: name.to_owned(), from: Source::Text(text) }
    }

    fn copy(directory: &str, name: &str, path: &str) -> Self {
        Self { directory: directory.to_owned(), name: name.to_owned(), from: Source::Tree(path.to_owned()) }
    }
}

/// The files to write. `wanted` comes from the order.
pub fn prepare(system: System<'_>, wanted: Bootloader) -> Result<Installation, BootError> {
    let grub = || grub::find(system);
    let systemd = || systemd_boot::find(system);
    let missing = |what, looked: Vec<String>| BootError::NoLoader { what, looked: looked.join(", ") };
    match wanted {
        Bootloader::Grub => {
            let found = grub()?.ok_or_else(|| missing("GRUB that is ready to start", grub::places(system.arch)))?;
            grub::install(system, &found)
        }
        Bootloader::SystemdBoot => {
            let found = systemd()?.ok_or_else(|| missing("systemd-boot", systemd_boot::places(system.arch)))?;
            systemd_boot::install(system, &found)
        }
        Bootloader::Auto => match (grub()?, systemd()?) {
            (Some(found), None) => grub::install(system, &found),
            (None, Some(found)) => systemd_boot::install(system, &found),
            (Some(_), Some(_)) => Err(BootError::TwoLoaders),
            (None, None) => {
                let looked = [grub::places(system.arch), systemd_boot::places(system.arch)].concat();
                Err(missing("GRUB or systemd-boot", looked))
            }
        },
        Bootloader::None => Err(missing("boot loader that is wanted", Vec::new())),
    }
}

impl System<'_> {
    /// `root=`, and the order's additional words.
    fn options(&self) -> String {
        let root = format!("root=UUID={}", self.root_uuid);
        let words = [root.as_str(), "ro"].into_iter().chain(self.cmdline.iter().map(String::as_str));
        words.collect::<Vec<_>>().join(" ")
    }

    /// The UUID of the filesystem that contains a file of the tree, and the file's path in it.
    fn location(&self, path: &str) -> (&str, String) {
        let inside = |at: &str| {
            let rest = path.strip_prefix(at.trim_start_matches('/'))?;
            if at == "/" { Some(format!("/{rest}")) } else { rest.starts_with('/').then(|| rest.to_owned()) }
        };
        let holding = self.filesystems.iter().filter_map(|(at, uuid)| Some((at.len(), uuid.as_str(), inside(at)?)));
        let deepest = holding.max_by_key(|(length, ..)| *length);
        deepest.map_or_else(|| (self.root_uuid, format!("/{path}")), |(_, uuid, path)| (uuid, path))
    }

    fn has(&self, path: &str) -> Result<bool, BootError> {
        self.tree.has(path).map_err(|source| BootError::Io { path: path.to_owned(), source })
    }

    /// Names in a directory; none if it does not exist.
    fn list(&self, path: &str) -> Result<Vec<String>, BootError> {
        match self.tree.list(path) {
            Ok(names) => Ok(names),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(Vec::new()),
            Err(source) => Err(BootError::Io { path: path.to_owned(), source }),
        }
    }

    fn first(&self, places: &[String]) -> Result<Option<String>, BootError> {
        for place in places {
            if self.has(place)? {
                return Ok(Some(place.clone()));
            }
        }
        Ok(None)
    }
}

/// UEFI's abbreviation of the architecture in program names.
fn suffix(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x64",
        Arch::Arm64 => "aa64",
    }
}

/// The program that firmware starts without an entry.
fn default_name(arch: Arch) -> String {
    format!("BOOT{}.EFI", suffix(arch).to_uppercase())
}

#[cfg(test)]
mod tests;
