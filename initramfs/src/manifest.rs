//! manifest.json: a machine-readable description of the build's result.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::arch::Arch;
use crate::debian::Package;

/// Version of the manifest's form. Grows when a field changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// The whole. Holds nothing that differs between two builds from the same input: no times, no host names, no paths of
/// the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What built it.
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
    /// Programs for what no ioctl does, and what they load.
    pub tools: Vec<ToolEntry>,
    /// Firmware that those modules may ask for.
    pub firmware_wanted: Vec<FirmwareEntry>,
    /// Debian packages that the output was taken from.
    pub packages: Vec<Package>,
}

impl Manifest {
    /// Drivers of which no firmware file at all is in the ramdisk, with what they may ask for. One that has some of its
    /// files has those of the cards that somebody thought of: drivers name every version they ever knew.
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

/// The builder and what of it decides the bytes.
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

/// A program that firmware starts, for those who demand a machine's attestation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootProgram {
    /// File name; the kernel is started out of the unified image.
    pub name: String,
    /// SHA-256 of the program without its signature, as register 4 of a TPM is extended with it; hexadecimal.
    pub authenticode: String,
}

/// Size and digest of something inside.
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
    /// Bytes of the cpio before compression: what it takes of memory once unpacked, roughly.
    pub unpacked_size: u64,
    /// Time of every entry, seconds since 1970.
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
    /// Debian package that it is from; its version is in `packages`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

/// A firmware file that modules name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FirmwareEntry {
    /// Path below /lib/firmware; some drivers name a pattern.
    pub path: String,
    /// Who may ask for it.
    pub modules: Vec<String>,
    /// Whether the ramdisk has it.
    pub included: bool,
}
