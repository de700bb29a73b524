//! Installs systemd-boot: the program, its configuration, and a type 1 entry of the UAPI Boot Loader Specification,
//! with kernel and ramdisk on the ESP, the only filesystem that it can read.

use super::{BootError, BootFile, Installation, System, default_name, kernels, release, suffix};
use crate::finalize::guid::Arch;
use crate::protocol::order::Bootloader;
use std::io::Read;

pub fn places(arch: Arch) -> Vec<String> {
    let name = name(arch);
    vec![format!("usr/lib/systemd/boot/efi/{name}.signed"), format!("usr/lib/systemd/boot/efi/{name}")]
}

fn name(arch: Arch) -> String {
    format!("systemd-boot{}.efi", suffix(arch))
}

/// Its path in the tree.
pub fn find(system: System<'_>) -> Result<Option<String>, BootError> {
    system.first(&places(system.arch))
}

pub fn install(system: System<'_>, program: &str) -> Result<Installation, BootError> {
    let kernels = kernels::find(system)?;
    let kernel = kernels.into_iter().next().ok_or(BootError::NoKernel)?;
    is_efi(system, &kernel.image)?;
    let release = release::read(system);
    let version = &kernel.version;
    // kernel-install(8) uses the same names with the same token, so that the next kernel's entry sorts before this one.
    let directory = format!("{}/{version}", release.id);
    let entry = format!(
        "title {}\nversion {version}\nsort-key {}\nlinux /{directory}/linux\ninitrd /{directory}/initrd\noptions {}\n",
        release.name,
        release.id,
        system.options()
    );
    let esp = vec![
        BootFile::copy(&directory, "initrd", &kernel.ramdisk),
        BootFile::copy(&directory, "linux", &kernel.image),
        BootFile::text("loader/entries", &format!("{}-{version}.conf", release.id), entry),
        BootFile::text("loader", "loader.conf", "timeout 1\n".to_owned()),
        BootFile::copy("EFI/systemd", &name(system.arch), program),
        BootFile::copy("EFI/BOOT", &default_name(system.arch), program),
    ];
    let mut tree = vec![BootFile::text("etc/kernel", "cmdline", format!("{}\n", system.options()))];
    if !system.has("etc/kernel/entry-token")? {
        tree.push(BootFile::text("etc/kernel", "entry-token", format!("{}\n", release.id)));
    }
    Ok(Installation { bootloader: Bootloader::SystemdBoot, kernel: kernel.version, esp, tree })
}

/// Otherwise a kernel without an EFI stub would be noticed only at the next boot.
fn is_efi(system: System<'_>, path: &str) -> Result<(), BootError> {
    let io = |source| BootError::Io { path: path.to_owned(), source };
    let mut magic = [0; 2];
    system.tree.open_file(path).and_then(|mut file| file.read_exact(&mut magic)).map_err(io)?;
    if magic == *b"MZ" { Ok(()) } else { Err(BootError::NotEfi { path: path.to_owned() }) }
}
