//! GRUB: its core image for each kind of firmware, and its menu.

use super::run::HostProgram;
use super::{IsoError, put};
use crate::arch::Arch;
use crate::netboot::grub_words;
use std::path::{Path, PathBuf};

pub const KERNEL: &str = "burin/vmlinuz";
pub const INITRAMFS: &str = "burin/initramfs.cpio.zst";
pub const CONFIG: &str = "boot/grub/grub.cfg";
pub const BIOS_IMAGE: &str = "boot/grub/eltorito.img";
/// Where Debian's packages install the platforms.
const ROOT: &str = "/usr/lib/grub";

/// Modules for both: the volume, the menu, a serial console.
const MODULES: &str = "normal configfile iso9660 part_gpt part_msdos fat search search_fs_file linux boot echo test \
                       serial terminal sleep";

/// The first command of the core image: find its own volume, whatever firmware calls it.
const EARLY: &str = "search --no-floppy --file --set=root /burin/vmlinuz\nset prefix=($root)/boot/grub\n";

/// The platform for UEFI.
pub fn efi(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64-efi",
        Arch::Aarch64 => "arm64-efi",
    }
}

/// The platform for BIOS, if the architecture has one.
pub fn bios(arch: Arch) -> Option<&'static str> {
    match arch {
        Arch::X86_64 => Some("i386-pc"),
        Arch::Aarch64 => None,
    }
}

pub fn directory(platform: &str) -> Result<PathBuf, IsoError> {
    let path = Path::new(ROOT).join(platform);
    if path.is_dir() {
        return Ok(path);
    }
    let package = match platform {
        "i386-pc" => "grub-pc-bin",
        "arm64-efi" => "grub-efi-arm64-bin",
        _ => "grub-efi-amd64-bin",
    };
    Err(IsoError::Missing { program: format!("no GRUB at {}", path.display()), package })
}

/// Makes the core image for a platform.
pub fn core(platform: &str, output: &Path, work: &Path) -> Result<(), IsoError> {
    let early = work.join("early.cfg");
    put(&early, EARLY.as_bytes())?;
    put(output, b"")?;
    let (format, more) = match platform {
        "i386-pc" => ("i386-pc-eltorito", "biosdisk"),
        "arm64-efi" => (platform, ""),
        _ => (platform, "efi_gop efi_uga"),
    };
    let mut make = HostProgram::new("grub-mkimage", "grub-common", 0);
    make.arg("-d").arg(directory(platform)?).args(["-O", format, "-p", "/boot/grub", "-c"]).arg(&early);
    make.arg("-o").arg(output).args(MODULES.split_whitespace()).args(more.split_whitespace());
    make.run()
}

/// The menu. It waits three seconds, so that somebody at the console can edit the command line.
pub fn menu(cmdline: &str) -> String {
    format!(
        "serial --unit=0 --speed=115200\n\
         terminal_input console serial\n\
         terminal_output console serial\n\
         set timeout=3\n\
         set default=burin\n\
         menuentry 'burin' --id burin {{\n\
         \x20   linux /{KERNEL} {}\n\
         \x20   initrd /{INITRAMFS}\n\
         }}\n",
        grub_words(cmdline)
    )
}
