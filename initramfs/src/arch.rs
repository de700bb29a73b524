//! Machine architectures that a ramdisk can be built for.

use std::fmt;

use serde::Serialize;

/// An architecture, named like `uname -m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit PC.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

impl Arch {
    pub const ALL: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

    /// From the machine field of an ELF file.
    pub fn from_object(architecture: object::Architecture) -> Option<Arch> {
        match architecture {
            object::Architecture::X86_64 => Some(Arch::X86_64),
            object::Architecture::Aarch64 => Some(Arch::Aarch64),
            _ => None,
        }
    }

    /// From Debian's name.
    pub fn from_debian(name: &str) -> Option<Arch> {
        match name {
            "amd64" => Some(Arch::X86_64),
            "arm64" => Some(Arch::Aarch64),
            _ => None,
        }
    }

    /// Debian's name.
    pub fn debian(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::Aarch64 => "arm64",
        }
    }

    /// The name in file names of EFI programs (`linuxx64.efi.stub`, `BOOTX64.EFI`).
    pub fn efi(self) -> &'static str {
        match self {
            Arch::X86_64 => "x64",
            Arch::Aarch64 => "aa64",
        }
    }

    /// `IMAGE_FILE_MACHINE_*` of the PE/COFF header.
    pub fn pe_machine(self) -> u16 {
        match self {
            Arch::X86_64 => 0x8664,
            Arch::Aarch64 => 0xaa64,
        }
    }

    /// Kernel consoles that a server of this architecture may have: a screen and the first serial port. ARM servers
    /// describe their serial port in the ACPI SPCR table, so the kernel finds it by itself.
    pub fn consoles(self) -> &'static [&'static str] {
        match self {
            Arch::X86_64 => &["console=tty0", "console=ttyS0,115200n8"],
            Arch::Aarch64 => &[],
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        })
    }
}
