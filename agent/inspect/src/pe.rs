//! EFI programs: PE files as far as sections, machine and signature go (Microsoft, "PE Format").

use crate::tree::bytes::{le16, le32};

const MACHINES: &[(u16, &str, &str)] = &[
    (0x8664, "x86_64", "bootx64.efi"),
    (0x014c, "i386", "bootia32.efi"),
    (0xaa64, "aarch64", "bootaa64.efi"),
    (0x01c0, "arm", "bootarm.efi"),
    (0x01c2, "arm", "bootarm.efi"),
    (0x5064, "riscv64", "bootriscv64.efi"),
    (0x6264, "loongarch64", "bootloongarch64.efi"),
];
const MOST_SECTIONS: usize = 96;

/// A PE file.
#[derive(Debug)]
pub struct PeFile<'a> {
    bytes: &'a [u8],
    header: usize,
}

impl<'a> PeFile<'a> {
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = le32(bytes, 0x3c)? as usize;
        let signed = bytes.starts_with(b"MZ") && bytes.get(header..)?.starts_with(b"PE\0\0");
        signed.then_some(Self { bytes, header })
    }

    fn machine(&self) -> Option<&'static (u16, &'static str, &'static str)> {
        let machine = le16(self.bytes, self.header + 4)?;
        MACHINES.iter().find(|(known, ..)| *known == machine)
    }

    pub fn architecture(&self) -> &'static str {
        self.machine().map_or("unknown", |(_, name, _)| name)
    }

    /// The name that firmware of its architecture looks for in EFI/BOOT, in lower case.
    pub fn fallback_name(&self) -> &'static str {
        self.machine().map_or("", |(.., name)| name)
    }

    /// Whether the certificate table is not empty.
    pub fn is_signed(&self) -> bool {
        let optional = self.header + 24;
        let directories = match le16(self.bytes, optional) {
            Some(0x20b) => optional + 112,
            _ => optional + 96,
        };
        le32(self.bytes, directories + 4 * 8 + 4).is_some_and(|size| size > 0)
    }

    /// A section's bytes without padding.
    pub fn section(&self, name: &str) -> Option<&'a [u8]> {
        let count = usize::from(le16(self.bytes, self.header + 6)?).min(MOST_SECTIONS);
        let table = self.header + 24 + usize::from(le16(self.bytes, self.header + 20)?);
        let mut slots = self.bytes.get(table..)?.chunks_exact(40).take(count);
        let named = |slot: &&[u8]| {
            let field = slot.get(..8).unwrap_or_default();
            field.split(|byte| *byte == 0).next() == Some(name.as_bytes())
        };
        let slot = slots.find(named)?;
        let (size, stored, at) = (le32(slot, 8)? as usize, le32(slot, 16)? as usize, le32(slot, 20)? as usize);
        self.bytes.get(at..at.checked_add(size.min(stored))?)
    }

    /// What the program is, according to its own contents.
    pub fn is(&self) -> Option<String> {
        if self.section(".linux").is_some() {
            return Some("unified kernel image".to_owned());
        }
        let sbat = self.section(".sbat").map(String::from_utf8_lossy).unwrap_or_default();
        let info = self.section(".sdmagic").map(String::from_utf8_lossy).unwrap_or_default();
        let has = |name: &str| sbat.lines().any(|line| line.starts_with(name));
        match () {
            () if has("shim,") => Some("shim".to_owned()),
            () if has("grub,") => Some("GRUB".to_owned()),
            () if has("systemd,") || has("systemd-boot,") || info.contains("systemd-boot") => {
                Some("systemd-boot".to_owned())
            }
            // Older ones, and those made by grub-install, can only be recognised by their texts.
            () if contains(self.bytes, b"GNU GRUB") || contains(self.bytes, b"grub_") => Some("GRUB".to_owned()),
            () if contains(self.bytes, b"LoaderInfo: systemd-boot") => Some("systemd-boot".to_owned()),
            () if contains(self.bytes, b"rEFInd") => Some("rEFInd".to_owned()),
            () => None,
        }
    }
}

pub fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
