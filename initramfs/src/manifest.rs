//! manifest.json: a machine-readable description of the build's result.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::arch::Arch;
use crate::debian::Package;

/// Version of the manifest's format. Increased when a field changes its meaning or is removed.
pub const SCHEMA_VERSION: u32 = 1;

/// The manifest. It contains nothing that differs between two builds from the same input: no times, no host names, no
/// host paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The builder.
    pub builder: Builder,
    /// Architecture of kernel and agent.
    pub arch: Arch,
    /// `uname -r`.
    pub kernel_release: String,
    /// Kernel command line in the scripts and in the unified image, without BOOTIF and initrd.
    pub cmdline: String,
    /// Files in the output directory, without the manifest itself.
    pub files: Vec<OutputFile>,
    /// The program that is /init.
    pub agent: FileDigest,
    /// The ramdisk.
    pub ramdisk: RamdiskSummary,
    /// What firmware measures when it starts the unified image.
    pub programs: Vec<BootProgram>,
    /// Modules in the ramdisk, in the kernel build's order.
    pub modules: Vec<ModuleEntry>,
    /// Programs for tasks without an ioctl, and the libraries they load.
    pub tools: Vec<ToolEntry>,
    /// Firmware that those modules may request.
    pub firmware_wanted: Vec<FirmwareEntry>,
    /// Debian packages from which the output was taken.
    pub packages: Vec<Package>,
}

impl Manifest {
    /// Drivers without any of their firmware files in the ramdisk, with the files they may request. A driver with some
    /// of its files is not listed, because drivers name every version they ever supported.
    pub fn drivers_without_firmware(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut without: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for file in &self.firmware_wanted {
            for module in &file.modules {
                without.entry(module).or_default().push(&file.path);
            }
        }
        let served = self.firmware_wanted.iter().filter(|file| file.included);
        for module in served.flat_map(|file| &file.modules) {
            without.remove(module.as_str());
        }
        without
    }
}

/// The builder, and its properties that affect the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Builder {
    /// burin-initramfs.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Version of the zstd encoder.
    pub zstd: String,
}

/// A file in the output directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutputFile {
    /// File name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Hexadecimal.
    pub sha256: String,
}

/// A program that firmware starts, for controllers that require attestation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootProgram {
    /// File name; the kernel is started from the unified image.
    pub name: String,
    /// SHA-256 of the program without its signature, which extends register 4 of a TPM; hexadecimal.
    pub authenticode: String,
}

/// Size and digest of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDigest {
    /// Bytes.
    pub size: u64,
    /// Hexadecimal.
    pub sha256: String,
}

/// The ramdisk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RamdiskSummary {
    /// Files, directories and nodes.
    pub entries: usize,
    /// Size of the uncompressed cpio in bytes: roughly the memory it takes once unpacked.
    pub unpacked_size: u64,
    /// Timestamp of every entry, seconds since 1970.
    pub mtime: u32,
}

/// A module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleEntry {
    /// The kernel's name for it.
    pub name: String,
    /// Path in the ramdisk below /lib/modules/RELEASE.
    pub path: String,
    /// Bytes of the plain `.ko`.
    pub size: u64,
    /// Bytes in the ramdisk.
    pub packed_size: u64,
    /// Digest of the plain `.ko`, hexadecimal.
    pub sha256: String,
    /// The rule that chose it; absent for a dependency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// A program, a library or a loader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolEntry {
    /// Absolute path in the ramdisk.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Hexadecimal.
    pub sha256: String,
    /// The Debian package it comes from; its version is in `packages`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

/// A firmware file that modules name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FirmwareEntry {
    /// Path below /lib/firmware; some drivers name a pattern.
    pub path: String,
    /// Modules that may request it.
    pub modules: Vec<String>,
    /// Whether the ramdisk has it.
    pub included: bool,
}
