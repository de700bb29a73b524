//! Errors of making a tree bootable.

use super::bios;
use crate::error::Coded;
use std::io;

#[derive(Debug, thiserror::Error)]
pub enum BootError {
    #[error("the tree has no {what}; looked for {looked}")]
    NoLoader { what: &'static str, looked: String },
    #[error("the tree has both GRUB and systemd-boot")]
    TwoLoaders,
    #[error("the tree has no kernel (vmlinuz-VERSION in /boot, or vmlinuz in /usr/lib/modules/VERSION)")]
    NoKernel,
    #[error("the tree's kernel {version} has no initial ramdisk")]
    NoRamdisk { version: String },
    #[error("{path}: is not a program that UEFI firmware can start")]
    NotEfi { path: String },
    #[error("{path}: has no built-in path of its configuration")]
    NoPrefix { path: String },
    #[error("{path}: is not the file of GRUB's packages")]
    BadGrub { path: String, source: bios::Fault },
    #[error("{device}: GRUB's core image has {need} bytes, its partition {have}")]
    CoreRoom { device: String, need: usize, have: u64 },
    #[error("{device}: GRUB for BIOS, read back, differs from what was written")]
    BootSectors { device: String },
    #[error("{path}: cannot read {what}, where its configuration or the kernel is: it has no module {module}")]
    NoModule { path: String, what: String, module: &'static str },
    #[error("{path}: cannot be read or written while the boot loader is installed")]
    Io { path: String, source: io::Error },
    #[error("{path}: read back from the EFI system partition, it differs from what was written")]
    Differs { path: String },
}

impl Coded for BootError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoLoader { .. } => "finalize.boot_no_loader",
            Self::TwoLoaders => "finalize.boot_two_loaders",
            Self::NoKernel => "finalize.boot_no_kernel",
            Self::NoRamdisk { .. } => "finalize.boot_no_ramdisk",
            Self::NotEfi { .. } => "finalize.boot_not_efi",
            Self::NoPrefix { .. } => "finalize.boot_no_prefix",
            Self::BadGrub { .. } => "finalize.boot_bad_grub",
            Self::CoreRoom { .. } => "finalize.boot_core_room",
            Self::BootSectors { .. } => "finalize.boot_sectors",
            Self::NoModule { .. } => "finalize.boot_no_module",
            Self::Io { .. } => "finalize.boot_io",
            Self::Differs { .. } => "finalize.boot_differs",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoLoader { what: "GRUB for BIOS", .. } => {
                "put it into the tree (Debian: grub-pc-bin), or set `bootloader` to `none`"
            }
            Self::BadGrub { .. } => {
                "reinstall the package with GRUB's modules for BIOS in the tree (Debian: grub-pc-bin)"
            }
            Self::CoreRoom { .. } => "make the partition of type `bios-boot` larger: 1MiB is enough",
            Self::BootSectors { .. } => "replace the disk: it does not keep what is written to it",
            Self::NoLoader { .. } => {
                "put it into the tree (Debian: grub-efi-amd64-signed, grub-efi-amd64-bin or systemd-boot-efi), or set \
                 `bootloader` to `none`"
            }
            Self::NoModule { .. } => {
                "give /boot a partition of its own, set `bootloader` to `systemd-boot`, or put a GRUB built with this \
                 module into the tree"
            }
            Self::TwoLoaders => "set `bootloader` to `grub` or `systemd-boot`",
            Self::NoRamdisk { .. } => "make one with the tree's own tools before packing it: `root=UUID=` needs it",
            Self::Io { source, .. } if source.raw_os_error() == Some(libc::ENOSPC) => {
                "make the EFI system partition larger: kernel and ramdisk do not fit"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
