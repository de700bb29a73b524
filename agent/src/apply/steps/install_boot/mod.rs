//! Installs the boot loader: the same files onto every ESP of the new system.

mod bios;

pub use bios::BiosReceipt;

use super::{ApplyError, InstallBoot, Perform, Ramdisk, Work};
use crate::apply::bound::Access;
use crate::apply::resolve;
use crate::apply::tree::Tree;
use crate::finalize::bootloader::{self, BootError, BootFile, Source, System};
use crate::finalize::filesystem;
use crate::finalize::guid::Arch;
use crate::finalize::mount::{Access as Mode, Mounted};
use crate::finalize::root::{self, Root};
use crate::protocol::order::Bootloader;
use crate::protocol::plan::{Device, Step, words};
use serde::Serialize;

/// The installed boot loader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstallReceipt {
    pub bootloader: Bootloader,
    /// Version of the kernel that it boots.
    pub kernel: String,
    /// Device nodes of the ESPs.
    pub esps: Vec<String>,
    /// Files on each of them.
    pub files: Vec<String>,
    /// On a machine that boots by BIOS.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bios: Vec<BiosReceipt>,
}

impl Perform for InstallBoot {
    fn able(&self, ramdisk: &Ramdisk<'_>) -> Result<(), ApplyError> {
        if self.esps.is_empty() { Ok(()) } else { ramdisk.module("vfat") }
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let mut tree = work.tree();
        let installed = match self.bios.is_empty() {
            true => install(self, work, &mut tree),
            false => bios::install(self, work, &mut tree),
        };
        let receipt = installed.map_err(|error| error.on(&tree))?;
        work.note("install-boot", "tree", &receipt);
        Ok(())
    }
}

fn install(step: &InstallBoot, work: &Work, mounts: &mut Tree) -> Result<InstallReceipt, ApplyError> {
    let tree = mounts.root()?;
    let mut filesystems: Vec<(String, String)> =
        mounts.places().filter_map(|(at, on)| Some((at.to_owned(), uuid(work, on)?))).collect();
    let mut esp = step.esps.iter().find_map(|esp| mounts.place(esp)).map(str::to_owned);
    let root_uuid = match &step.root_uuid {
        Some(uuid) => uuid.clone(),
        None => {
            let uuid = image_uuid(work, mounts)?;
            filesystems.push(("/".to_owned(), uuid.clone()));
            esp = bootloader::image_esp(&tree)?.map(str::to_owned);
            uuid
        }
    };
    let (cmdline, arch, esp) = (step.cmdline.as_slice(), Arch::native(), esp.as_deref());
    let system = System { tree: &tree, filesystems: &filesystems, esp, root_uuid: &root_uuid, cmdline, arch };
    let made = match &step.root_uuid {
        Some(_) => bootloader::prepare(system, step.bootloader)?,
        None => bootloader::of_image(system)?,
    };
    let array = |path: &str| match mounts.device_of(path)? {
        Device::Raid { name } => Some(format!("the array {name}")),
        _ => None,
    };
    bootloader::check_reads(&tree, &made, &array)?;
    if made.bootloader == Bootloader::Grub {
        let places = mounts.places().filter(|(at, _)| matches!(*at, "/" | "/boot")).max_by_key(|(at, _)| at.len());
        if let Some((_, on)) = places.filter(|(_, on)| work.plan.is_encrypted(on)) {
            return Err(ApplyError::BootEncrypted { on: words::device(on) });
        }
    }
    for file in &made.tree {
        let digest = copy(&tree, file, &tree, "")?;
        mounts.copied(file.path(), digest);
    }
    let mut esps = Vec::new();
    for on in &step.esps {
        let proven = resolve::open(work, on, Access::Read)?;
        match mounts.place(on).map(|at| at.trim_start_matches('/').to_owned()) {
            // It is read back with the rest of the tree, after that has been unmounted.
            Some(at) => {
                for file in &made.esp {
                    let digest = copy(&tree, file, &tree, &format!("{at}/"))?;
                    mounts.copied(format!("{at}/{}", file.path()), digest);
                }
            }
            None => {
                let mounted = |mode| Mounted::mount(proven.node(), "vfat", mode, &work.paths.mounts);
                let esp = mounted(Mode::ReadWrite)?;
                let written = write(&tree, &made.esp, &esp);
                esp.unmount()?;
                let written = written?;
                let esp = mounted(Mode::ReadOnly)?;
                let compared = compare(&made.esp, &written, &esp);
                esp.unmount()?;
                compared?;
            }
        }
        esps.push(proven.device());
    }
    if let (None, Some(uuid)) = (&step.root_uuid, step.esps.first().and_then(|on| uuid(work, on)))
        && let Some(text) = bootloader::fstab_with_esp(system, &uuid)?
    {
        mounts.write("etc", "fstab", text.into_bytes(), 0o644)?;
    }
    let files = made.esp.iter().map(BootFile::path).collect();
    Ok(InstallReceipt { bootloader: made.bootloader, kernel: made.kernel, esps, files, bios: Vec::new() })
}

/// UUID of a filesystem that an earlier step of the plan made.
fn uuid(work: &Work, on: &Device) -> Option<String> {
    work.plan.steps.iter().find_map(|step| match step {
        Step::MakeFilesystem(made) if made.on == *on => Some(made.filesystem.uuid.clone()),
        _ => None,
    })
}

/// UUID of the root filesystem in an image.
fn image_uuid(work: &Work, mounts: &Tree) -> Result<String, ApplyError> {
    let on = mounts.places().find(|(at, _)| *at == "/").map(|(_, on)| on);
    let on = on.ok_or(ApplyError::NoRoot { at: "/".to_owned() })?;
    let proven = resolve::open(work, on, Access::Read)?;
    let missing = || ApplyError::NoPartition {
        device: proven.name().to_owned(),
        wanted: "a root filesystem (its filesystem has no UUID)".to_owned(),
    };
    filesystem::probe(proven.node())?.uuid.ok_or_else(missing)
}

fn write(tree: &Root, files: &[BootFile], esp: &Mounted) -> Result<Vec<[u8; 32]>, BootError> {
    let esp = Root::open(esp.path()).map_err(|source| io(&esp.path().display().to_string(), source))?;
    files.iter().map(|file| copy(tree, file, &esp, "")).collect()
}

fn compare(files: &[BootFile], written: &[[u8; 32]], esp: &Mounted) -> Result<(), BootError> {
    let esp = Root::open(esp.path()).map_err(|source| io(&esp.path().display().to_string(), source))?;
    for (file, wanted) in files.iter().zip(written) {
        let path = file.path();
        let found = esp.open_file(&path).and_then(|file| root::digest(&file)).map_err(|source| io(&path, source))?;
        if found != *wanted {
            return Err(BootError::Differs { path });
        }
    }
    Ok(())
}

/// Returns the SHA-256 of what was written.
fn copy(tree: &Root, file: &BootFile, to: &Root, below: &str) -> Result<[u8; 32], BootError> {
    let path = format!("{below}{}", file.path());
    let written = match &file.from {
        Source::Text(text) => to.copy(&format!("{below}{}", file.directory), &file.name, &mut text.as_bytes(), 0o644),
        Source::Tree(from) => tree.open_file(from).and_then(|mut bytes| {
            // The tree put it there itself.
            if *from == path {
                return root::digest(&bytes);
            }
            to.copy(&format!("{below}{}", file.directory), &file.name, &mut bytes, 0o755)
        }),
    };
    written.map_err(|source| io(&path, source))
}

fn io(path: &str, source: std::io::Error) -> BootError {
    BootError::Io { path: path.to_owned(), source }
}
