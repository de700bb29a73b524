//! Kernel images: x86 bzImage (Documentation/arch/x86/boot.rst) and arm64 Image (Documentation/arch/arm64/booting.rst).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::arch::Arch;
use crate::bytes::{u16_at, u32_at};

/// A validated kernel image.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The file's bytes.
    pub data: Vec<u8>,
    /// Architecture.
    pub arch: Arch,
    /// Release (`uname -r`), if the header contains it: bzImage does, arm64 does not.
    pub release: Option<String>,
    /// Whether UEFI firmware can start it directly.
    pub efi: bool,
}

/// Why a file is not a kernel that can be netbooted.
#[derive(Debug, thiserror::Error)]
pub enum KernelImageError {
    /// The file could not be read.
    #[error("cannot read the kernel {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// Neither magic number was found.
    #[error("{} is not a kernel image: expected a bzImage (x86_64) or an Image (arm64){hint}", path.display())]
    NotAKernel { path: PathBuf, hint: &'static str },
    /// A 32-bit x86 kernel.
    #[error("{} is a 32-bit kernel; burin needs a 64-bit one", path.display())]
    Is32Bit { path: PathBuf },
    /// Image and modules belong to different kernels.
    #[error("the kernel {} is {image}, the modules are for {modules}", path.display())]
    Release { path: PathBuf, image: String, modules: String },
}

impl Kernel {
    /// Reads and inspects the image at `path`.
    pub fn load(path: &Path) -> Result<Kernel, KernelImageError> {
        let data = fs::read(path).map_err(|source| KernelImageError::Read { path: path.to_owned(), source })?;
        Kernel::inspect(data, path)
    }

    /// Inspects an image's bytes; `path` names it in errors.
    pub fn inspect(data: Vec<u8>, path: &Path) -> Result<Kernel, KernelImageError> {
        let pe = pe_machine(&data);
        if data.get(0x202..0x206) == Some(b"HdrS") {
            // XLF_KERNEL_64 in xloadflags, boot protocol 2.12 and later.
            if u16_at(&data, 0x206) < Some(0x20c) || u16_at(&data, 0x236).is_none_or(|flags| flags & 1 == 0) {
                return Err(KernelImageError::Is32Bit { path: path.to_owned() });
            }
            let release = bzimage_release(&data);
            let efi = pe == Some(Arch::X86_64.pe_machine());
            return Ok(Kernel { data, arch: Arch::X86_64, release, efi });
        }
        let arm64_magic = data.get(0x38..0x3c) == Some(b"ARM\x64");
        // An EFI "zboot" image: a PE program that unpacks the real Image.
        let zboot = data.get(4..8) == Some(b"zimg");
        let arm64_pe = pe == Some(Arch::Aarch64.pe_machine());
        if arm64_magic || (zboot && arm64_pe) {
            return Ok(Kernel { data, arch: Arch::Aarch64, release: None, efi: arm64_pe });
        }
        let hint = match data.as_slice() {
            [0x1f, 0x8b, ..] => "; this one is compressed with gzip, unpack it first",
            [0x7f, b'E', b'L', b'F', ..] => "; this is an ELF file (vmlinux), take the boot image made from it",
            _ => "",
        };
        Err(KernelImageError::NotAKernel { path: path.to_owned(), hint })
    }

    /// Fails if the header states another release than the modules.
    pub fn require_release(&self, modules: &str, path: &Path) -> Result<(), KernelImageError> {
        match &self.release {
            Some(image) if image != modules => Err(KernelImageError::Release {
                path: path.to_owned(),
                image: image.clone(),
                modules: modules.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// The first word of the version string that the header field `kernel_version` points to.
fn bzimage_release(data: &[u8]) -> Option<String> {
    let start = usize::from(u16_at(data, 0x20e).filter(|at| *at != 0)?) + 0x200;
    let text: Vec<u8> = data.get(start..)?.iter().copied().take_while(|b| *b != 0 && *b != b' ').take(256).collect();
    String::from_utf8(text).ok().filter(|t| !t.is_empty())
}

/// The machine field of a PE/COFF header.
fn pe_machine(data: &[u8]) -> Option<u16> {
    let header = usize::try_from(u32_at(data, 0x3c)?).ok()?;
    let is_pe = data.starts_with(b"MZ") && data.get(header..header.checked_add(4)?)? == b"PE\0\0";
    if is_pe { u16_at(data, header.checked_add(4)?) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bytes::{put_u16, put_u32};

    fn bzimage(release: &str) -> Vec<u8> {
        let mut data = vec![0u8; 0x1000];
        data[..2].copy_from_slice(b"MZ");
        put_u32(&mut data, 0x3c, 0x40).unwrap();
        data[0x40..0x44].copy_from_slice(b"PE\0\0");
        put_u16(&mut data, 0x44, 0x8664).unwrap();
        data[0x202..0x206].copy_from_slice(b"HdrS");
        put_u16(&mut data, 0x206, 0x20f).unwrap();
        put_u16(&mut data, 0x20e, 0x300).unwrap();
        put_u16(&mut data, 0x236, 1).unwrap();
        let text = format!("{release} (builder@host) #1 SMP\0");
        data[0x500..0x500 + text.len()].copy_from_slice(text.as_bytes());
        data
    }

    #[test]
    fn a_bzimage_states_its_release() {
        let kernel = Kernel::inspect(bzimage("6.1.0-9-amd64"), Path::new("k")).unwrap();
        assert_eq!((kernel.arch, kernel.release.as_deref(), kernel.efi), (Arch::X86_64, Some("6.1.0-9-amd64"), true));
        kernel.require_release("6.1.0-9-amd64", Path::new("k")).unwrap();
        let text = kernel.require_release("6.1.0-8-amd64", Path::new("k")).unwrap_err().to_string();
        assert_eq!(text, "the kernel k is 6.1.0-9-amd64, the modules are for 6.1.0-8-amd64");
    }

    #[test]
    fn a_32_bit_kernel_is_refused() {
        let mut data = bzimage("x");
        data[0x236] = 0;
        assert!(matches!(Kernel::inspect(data, Path::new("k")), Err(KernelImageError::Is32Bit { .. })));
    }

    #[test]
    fn an_arm64_image_is_told_by_its_magic() {
        let mut data = vec![0u8; 256];
        data[0x38..0x3c].copy_from_slice(b"ARM\x64");
        let kernel = Kernel::inspect(data, Path::new("k")).unwrap();
        assert_eq!((kernel.arch, kernel.release, kernel.efi), (Arch::Aarch64, None, false));
    }

    #[test]
    fn other_files_are_refused_with_a_hint() {
        let text = Kernel::inspect(b"\x7fELF".to_vec(), Path::new("vmlinux")).unwrap_err().to_string();
        assert!(text.starts_with("vmlinux is not a kernel image") && text.contains("ELF"), "{text}");
        assert!(Kernel::inspect(Vec::new(), Path::new("k")).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut data in prop::collection::vec(any::<u8>(), 0..1024), mz in any::<bool>()) {
            if mz && data.len() > 0x240 {
                data[..2].copy_from_slice(b"MZ");
                data[0x202..0x206].copy_from_slice(b"HdrS");
            }
            let _ = Kernel::inspect(data, Path::new("k"));
        }
    }
}
