//! The `.modinfo` section of a kernel module: NUL-separated `key=value` strings.

use object::{Object as _, ObjectSection as _};

use crate::arch::Arch;

/// A module's own metadata. Values are as the kernel build wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModInfo {
    /// `name=`, if the kernel is new enough to write it.
    pub name: Option<String>,
    /// `depends=`, split at commas.
    pub depends: Vec<String>,
    /// `softdep=`, each as `pre: a b post: c`.
    pub softdeps: Vec<String>,
    /// `weakdep=`, split at blanks: used if present, not loaded beforehand.
    pub weakdeps: Vec<String>,
    /// `alias=` patterns.
    pub aliases: Vec<String>,
    /// `firmware=` paths below the firmware directory; some are globs.
    pub firmware: Vec<String>,
    /// First word of `vermagic=`: the kernel release it was built for.
    pub release: Option<String>,
    /// `license=`.
    pub license: Option<String>,
}

/// Why a file is not a kernel module.
#[derive(Debug, thiserror::Error)]
pub enum ModInfoError {
    /// Not an object file that the ELF reader understands.
    #[error("not an ELF object")]
    Elf(#[source] object::Error),
    /// The machine field names an architecture that burin does not build for.
    #[error("built for {0:?}, which is not supported")]
    Arch(object::Architecture),
    /// An ELF file without module information.
    #[error("no .modinfo section")]
    NoModInfo,
}

impl ModInfo {
    /// Reads a whole, uncompressed `.ko`. A signature appended behind the ELF is ignored.
    pub fn from_elf(data: &[u8]) -> Result<(Arch, ModInfo), ModInfoError> {
        let file = object::File::parse(data).map_err(ModInfoError::Elf)?;
        let arch = Arch::from_object(file.architecture()).ok_or(ModInfoError::Arch(file.architecture()))?;
        let section = file.section_by_name(".modinfo").ok_or(ModInfoError::NoModInfo)?;
        let bytes = section.data().map_err(ModInfoError::Elf)?;
        Ok((arch, ModInfo::parse(bytes)))
    }

    /// Parses the section's bytes. Unknown keys are skipped; bytes that are not UTF-8 are replaced.
    pub fn parse(section: &[u8]) -> ModInfo {
        let mut info = ModInfo::default();
        for field in section.split(|b| *b == 0).filter(|f| !f.is_empty()) {
            let text = String::from_utf8_lossy(field);
            let Some((key, value)) = text.split_once('=') else { continue };
            match key {
                "name" => info.name = Some(value.to_owned()),
                "depends" => info.depends.extend(words(value, ',')),
                "softdep" => info.softdeps.push(value.to_owned()),
                "weakdep" => info.weakdeps.extend(words(value, ' ')),
                "alias" => info.aliases.push(value.to_owned()),
                "firmware" => info.firmware.push(value.to_owned()),
                "vermagic" => info.release = value.split_whitespace().next().map(str::to_owned),
                "license" => info.license = Some(value.to_owned()),
                _ => {}
            }
        }
        info
    }

    /// Modules or aliases that `softdep` and `weakdep` name, without the `pre:` and `post:` marks.
    pub fn soft_targets(&self) -> impl Iterator<Item = &str> {
        let soft = self.softdeps.iter().flat_map(|s| s.split_whitespace());
        soft.filter(|w| !matches!(*w, "pre:" | "post:")).chain(self.weakdeps.iter().map(String::as_str))
    }
}

fn words(value: &str, separator: char) -> impl Iterator<Item = String> {
    value.split(separator).map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned)
}

/// A module's name in the kernel: file name without directories and suffixes, with `-` replaced by `_`.
pub fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.replace('-', "_")
}

/// An alias in the form that kmod compares: `-` replaced by `_`, except inside `[...]`. `None` for a pattern with
/// unbalanced brackets, which kmod refuses.
pub fn normalize_alias(alias: &str) -> Option<String> {
    let mut out = String::with_capacity(alias.len());
    let mut bracket = false;
    for c in alias.chars() {
        match c {
            '[' => bracket = true,
            ']' if !bracket => return None,
            ']' => bracket = false,
            _ => {}
        }
        out.push(if c == '-' && !bracket { '_' } else { c });
    }
    (!bracket).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart() {
        let info = ModInfo::parse(
            b"license=GPL\0alias=pci:v00008086d*\0alias=fs-ext4\0depends=jbd2,mbcache\0\0softdep=pre: crc32c post: a-b\0\
              firmware=x/y.bin\0weakdep=zstd lz4\0name=ext4\0vermagic=6.1.0-9-amd64 SMP\0nonsense\0",
        );
        assert_eq!(info.depends, ["jbd2", "mbcache"]);
        assert_eq!(info.aliases, ["pci:v00008086d*", "fs-ext4"]);
        assert_eq!(info.soft_targets().collect::<Vec<_>>(), ["crc32c", "a-b", "zstd", "lz4"]);
        assert_eq!(info.release.as_deref(), Some("6.1.0-9-amd64"));
        assert_eq!(info.name.as_deref(), Some("ext4"));
        assert_eq!(info.firmware, ["x/y.bin"]);
    }

    #[test]
    fn an_empty_depends_is_none() {
        assert!(ModInfo::parse(b"depends=\0").depends.is_empty());
    }

    #[test]
    fn names_lose_suffixes_and_dashes() {
        assert_eq!(module_name("kernel/drivers/md/dm-mod.ko.xz"), "dm_mod");
        assert_eq!(module_name("ext4"), "ext4");
    }

    #[test]
    fn aliases_keep_dashes_only_in_brackets() {
        assert_eq!(normalize_alias("fs-ext4").as_deref(), Some("fs_ext4"));
        assert_eq!(normalize_alias("usb:v*[0-9]-x").as_deref(), Some("usb:v*[0-9]_x"));
        assert_eq!(normalize_alias("a]b"), None);
        assert_eq!(normalize_alias("a[b"), None);
    }

    #[test]
    fn no_elf_is_an_error() {
        assert!(matches!(ModInfo::from_elf(b"#!/bin/sh\n"), Err(ModInfoError::Elf(_))));
    }
}
