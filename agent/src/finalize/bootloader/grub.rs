//! GRUB as built by the tree's distribution. It looks for its configuration in a directory of the ESP that is built
//! into it; there it gets three lines that lead to the real one, /boot/grub/grub.cfg.

use super::kernels::Kernel;
use super::{BootError, BootFile, Installation, Source, System, default_name, kernels, release, suffix};
use crate::finalize::guid::Arch;
use crate::finalize::root::Root;
use crate::protocol::order::Bootloader;

/// Larger than any image of GRUB.
const LIMIT: u64 = 64 << 20;

/// An image of GRUB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In the tree.
    path: String,
    /// Directory on the ESP in which it looks for grub.cfg: `EFI/debian`.
    prefix: String,
}

fn name(arch: Arch) -> String {
    format!("grub{}.efi", suffix(arch))
}

fn target(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64-efi",
        Arch::Arm64 => "arm64-efi",
    }
}

/// The paths in Debian and Ubuntu, the signed one first.
fn packaged(arch: Arch) -> Vec<String> {
    let (name, target) = (name(arch), target(arch));
    vec![format!("usr/lib/grub/{target}-signed/{name}.signed"), format!("usr/lib/grub/{target}/monolithic/{name}")]
}

/// For error messages; in other distributions the package installs it on the ESP.
pub fn places(arch: Arch) -> Vec<String> {
    let mut places = packaged(arch);
    places.push(format!("EFI/VENDOR/{} on the ESP", name(arch)));
    places
}

pub fn find(system: System<'_>) -> Result<Option<Found>, BootError> {
    let mut path = system.first(&packaged(system.arch))?;
    if path.is_none()
        && let Some(esp) = system.esp
    {
        let vendors = format!("{}/EFI", esp.trim_start_matches('/'));
        let own = system.list(&vendors)?.into_iter().filter(|vendor| !vendor.eq_ignore_ascii_case("BOOT"));
        let places: Vec<String> = own.map(|vendor| format!("{vendors}/{vendor}/{}", name(system.arch))).collect();
        path = system.first(&places)?;
    }
    let Some(path) = path else { return Ok(None) };
    let image = system.tree.read(&path, LIMIT).map_err(|source| BootError::Io { path: path.clone(), source })?;
    let prefix = prefix(&image).ok_or_else(|| BootError::NoPrefix { path: path.clone() })?;
    Ok(Some(Found { path, prefix }))
}

pub fn install(system: System<'_>, found: &Found) -> Result<Installation, BootError> {
    let kernels = kernels::find(system)?;
    let newest = kernels.first().ok_or(BootError::NoKernel)?.version.clone();
    let directory = directory(system)?;
    let (uuid, place) = system.location(directory);
    let lead =
        format!("search.fs_uuid {uuid} root\nset prefix=($root){}\nconfigfile $prefix/grub.cfg\n", quoted(&place));

    let (own, default) = (name(system.arch), default_name(system.arch));
    let mut esp = vec![BootFile::text(&found.prefix, "grub.cfg", lead)];
    match shim(system)? {
        // Firmware trusts shim, which starts the GRUB beside it.
        Some((shim, manager)) => {
            let shim_name = format!("shim{}.efi", suffix(system.arch));
            for (directory, first) in [(found.prefix.as_str(), shim_name.as_str()), ("EFI/BOOT", default.as_str())] {
                esp.push(BootFile::copy(directory, &own, &found.path));
                if let Some(manager) = &manager {
                    esp.push(BootFile::copy(directory, &format!("mm{}.efi", suffix(system.arch)), manager));
                }
                esp.push(BootFile::copy(directory, first, &shim));
            }
        }
        None => {
            esp.push(BootFile::copy(&found.prefix, &own, &found.path));
            esp.push(BootFile::copy("EFI/BOOT", &default, &found.path));
        }
    }

    let tree = configuration(system, &kernels)?;
    Ok(Installation { bootloader: Bootloader::Grub, kernel: newest, esp, tree })
}

/// The directory of GRUB's configuration in the tree.
pub fn directory(system: System<'_>) -> Result<&'static str, BootError> {
    Ok(if system.has("boot/grub2")? && !system.has("boot/grub")? { "boot/grub2" } else { "boot/grub" })
}

/// grub.cfg with an entry for each kernel, and the settings from which grub-mkconfig will regenerate it.
pub fn configuration(system: System<'_>, kernels: &[Kernel]) -> Result<Vec<BootFile>, BootError> {
    let release = release::read(system);
    let mut text = String::from(
        "# Written when this system was installed; grub-mkconfig may write it anew.\nset default=0\nset timeout=1\n",
    );
    for kernel in kernels {
        let (uuid, image) = system.location(&kernel.image);
        let (ramdisk_uuid, ramdisk) = system.location(&kernel.ramdisk);
        let title = quoted(&format!("{}, Linux {}", release.name, kernel.version));
        let words: Vec<String> = system.options().split(' ').map(quoted).collect();
        text += &format!(
            "menuentry {title} {{\n    search.fs_uuid {uuid} root\n    linux {} {}\n",
            quoted(&image),
            words.join(" ")
        );
        if ramdisk_uuid != uuid {
            text += &format!("    search.fs_uuid {ramdisk_uuid} root\n");
        }
        text += &format!("    initrd {}\n}}\n", quoted(&ramdisk));
    }
    let mut tree = vec![BootFile::text(directory(system)?, "grub.cfg", text)];
    if !system.cmdline.is_empty() && system.has("etc/default/grub")? {
        // Debian's grub-mkconfig reads this besides etc/default/grub; shell quoting is the same as GRUB's.
        let words = quoted(&format!(" {}", system.cmdline.join(" ")));
        let text = format!("GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX\"{words}\n");
        tree.push(BootFile::text("etc/default/grub.d", "burin.cfg", text));
    }
    Ok(tree)
}

/// The module with which GRUB reads arrays with superblock version 1.
const ARRAYS: &str = "mdraid1x";

/// Checks that an installed GRUB can read its configuration and the kernel. `array` returns the array that contains a
/// file of the tree, if any.
pub fn reads(tree: &Root, made: &Installation, array: &dyn Fn(&str) -> Option<String>) -> Result<(), BootError> {
    if made.bootloader != Bootloader::Grub {
        // Kernel and ramdisk are copied to the ESP.
        return Ok(());
    }
    let Some(what) = ["boot/grub/grub.cfg", "boot/vmlinuz"].into_iter().find_map(array) else { return Ok(()) };
    for file in made.esp.iter().filter(|file| file.name.starts_with("grub") && file.name.ends_with(".efi")) {
        let Source::Tree(path) = &file.from else { continue };
        let image = tree.read(path, LIMIT).map_err(|source| BootError::Io { path: path.clone(), source })?;
        if !has_module(&image, ARRAYS) {
            return Err(BootError::NoModule { path: path.clone(), what, module: ARRAYS });
        }
    }
    Ok(())
}

/// A built-in module has its name in the section `.modname`, as a NUL-terminated string.
fn has_module(image: &[u8], name: &str) -> bool {
    let wanted = [b"\0", name.as_bytes(), b"\0"].concat();
    image.windows(wanted.len()).any(|bytes| bytes == wanted)
}

/// shim and its key manager, if the tree has them.
fn shim(system: System<'_>) -> Result<Option<(String, Option<String>)>, BootError> {
    let suffix = suffix(system.arch);
    let vendors = system.esp.map(|esp| format!("{}/EFI", esp.trim_start_matches('/')));
    let mut directories = vec!["usr/lib/shim".to_owned()];
    if let Some(vendors) = vendors {
        directories.extend(system.list(&vendors)?.into_iter().map(|vendor| format!("{vendors}/{vendor}")));
    }
    for directory in directories {
        let named =
            |what: &str| [format!("{directory}/{what}{suffix}.efi.signed"), format!("{directory}/{what}{suffix}.efi")];
        if let Some(shim) = system.first(&named("shim"))? {
            return Ok(Some((shim, system.first(&named("mm"))?)));
        }
    }
    Ok(None)
}

/// The directory in which an image looks for its configuration: its modules are a list after a header that starts with
/// `mimg` (include/grub/kernel.h), and one of them is the prefix. A prefix without a device is on the ESP that it was
/// started from.
fn prefix(image: &[u8]) -> Option<String> {
    const MAGIC: &[u8] = b"mimg";
    const PREFIX: u32 = 3;
    let le32 = |at: usize| Some(u32::from_le_bytes(image.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let le64 = |at: usize| Some(u64::from_le_bytes(image.get(at..at.checked_add(8)?)?.try_into().ok()?));
    let list = |start: usize| -> Option<String> {
        let end = start.checked_add(usize::try_from(le64(start + 16)?).ok()?).filter(|end| *end <= image.len())?;
        let mut at = start.checked_add(usize::try_from(le64(start + 8)?).ok()?)?;
        while at < end {
            let (kind, size) = (le32(at)?, usize::try_from(le32(at + 4)?).ok()?);
            let next = at.checked_add(size.max(8)).filter(|next| *next <= end)?;
            if kind == PREFIX {
                let text = image.get(at + 8..next)?.split(|byte| *byte == 0).next()?;
                let text = std::str::from_utf8(text).ok()?.strip_prefix('/')?;
                let parts = || text.split('/');
                let plain = parts().all(|part| !part.is_empty() && part != ".." && part != ".");
                return (plain && parts().next()?.eq_ignore_ascii_case("EFI")).then(|| text.to_owned());
            }
            at = next;
        }
        None
    };
    let starts = image.windows(MAGIC.len()).enumerate().filter(|(_, bytes)| *bytes == MAGIC);
    starts.filter(|(at, _)| at % 4 == 0).find_map(|(at, _)| list(at))
}

/// In single quotes, which mean the same in GRUB as in the shell.
pub fn quoted(text: &str) -> String {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./,:=+@%".contains(&byte)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An image with nothing but a prefix.
    pub fn image(prefix: &str) -> Vec<u8> {
        let mut text = prefix.as_bytes().to_vec();
        text.resize(text.len().next_multiple_of(4) + 4, 0);
        let mut bytes = b"MZ..mimg....".to_vec();
        bytes.extend([b"mimg".as_slice(), &[0; 4]].concat());
        bytes.extend(24u64.to_le_bytes());
        bytes.extend((24 + 8 + 4 + 8 + text.len() as u64).to_le_bytes());
        bytes.extend([0u32, 12].map(u32::to_le_bytes).concat());
        bytes.extend(*b"code");
        bytes.extend([3, 8 + text.len() as u32].map(u32::to_le_bytes).concat());
        bytes.extend(text);
        bytes
    }

    #[test]
    fn an_image_says_where_its_configuration_is() {
        assert_eq!(prefix(&image("/EFI/debian")).as_deref(), Some("EFI/debian"));
        // On another device, or not below EFI: no place for our file.
        for other in ["(hd0,gpt1)/EFI/debian", "/boot/grub", "/EFI/../x", ""] {
            assert_eq!(prefix(&image(other)), None, "{other}");
        }
        let whole = image("/EFI/debian");
        for length in 0..whole.len() {
            assert_eq!(prefix(&whole[..length]), None);
        }
    }

    #[test]
    fn the_image_of_this_hosts_package_does_too() {
        let Ok(bytes) = std::fs::read("/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi") else {
            return burin_skip::skip!("no grub-efi-amd64-bin here");
        };
        assert!(prefix(&bytes).is_some_and(|prefix| prefix.starts_with("EFI/")));
        assert!(has_module(&bytes, ARRAYS) && !has_module(&bytes, "mdraid"));
    }

    #[test]
    fn an_image_without_the_module_reads_no_array() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Root::open(dir.path()).unwrap();
        let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        put("bare.efi", b"MZ..mdraid1xx..\0mdraid09\0");
        put("full.efi", b"MZ..\0mdraid1x\0");
        let made = |bootloader, from: &str| Installation {
            bootloader,
            kernel: "1".to_owned(),
            esp: vec![BootFile::text("EFI/x", "grub.cfg", String::new()), BootFile::copy("EFI/x", "grubx64.efi", from)],
            tree: Vec::new(),
        };
        let on_array = |path: &str| (path == "boot/vmlinuz").then(|| "the array root".to_owned());
        let (grub, plain) = (Bootloader::Grub, |_: &str| None);
        reads(&tree, &made(grub, "full.efi"), &on_array).unwrap();
        reads(&tree, &made(grub, "bare.efi"), &plain).unwrap();
        reads(&tree, &made(Bootloader::SystemdBoot, "bare.efi"), &on_array).unwrap();
        let error = reads(&tree, &made(grub, "bare.efi"), &on_array).unwrap_err();
        assert!(error.to_string().contains("bare.efi: cannot read the array root"), "{error}");
    }

    #[test]
    fn words_are_quoted_where_they_must_be() {
        assert_eq!(quoted("console=ttyS0,115200n8"), "console=ttyS0,115200n8");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's;$x"), "'it'\\''s;$x'");
    }
}
