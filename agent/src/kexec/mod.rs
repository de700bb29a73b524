//! The installed system's kernel, started past the firmware: found on the disks that were written, and loaded.
//!
//! What is looked for is what the installed boot loader would start: a boot loader specification entry, else the first
//! entry of grub.cfg, else Debian's `/vmlinuz`. Nothing is written, and nothing is started here: the exit status 72 asks
//! PID 1 for that.

mod bls;
mod entry;
mod error;
mod find;
mod grub;

pub use entry::Entry;
pub use error::KexecError;

use crate::apply::Paths;
use crate::finalize::filesystem::{self, Kind};
use crate::finalize::mount::{Access, Mounted};
use crate::finalize::root::Root;
use crate::protocol::Plan;
use crate::protocol::plan::Fate;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

/// A kernel that is ready to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The partition that it came from.
    pub partition: PathBuf,
    pub kernel: String,
}

/// EFI system partitions, on which entries may lie, beside the filesystems that a root may be.
const ESP: &str = "vfat";

/// Loads the kernel of the system that this plan has installed.
pub fn load(plan: &Plan, paths: &Paths) -> Result<Loaded, KexecError> {
    let written = plan.disks.iter().filter(|disk| disk.fate == Fate::Overwritten);
    let disks: Vec<&str> = written.map(|disk| disk.device.as_str()).collect();
    for disk in &disks {
        // Where no step had to do with the table of a copied disk, the kernel does not know its partitions yet. Where one is
        // in use it knows them.
        if let Ok(device) = File::open(disk) {
            let _ = crate::sys::blockdev::reread_partitions(&device);
        }
        for partition in partitions(Path::new(disk), paths)? {
            if let Some(loaded) = from(&partition, &paths.mounts)? {
                return Ok(loaded);
            }
        }
    }
    Err(KexecError::NoKernel { disks: disks.join(", ") })
}

/// Device nodes of a disk's partitions, by number.
fn partitions(disk: &Path, paths: &Paths) -> Result<Vec<PathBuf>, KexecError> {
    let name = disk.file_name().unwrap_or_default();
    let directory = paths.sys.join("class/block").join(name);
    let failed = |source| KexecError::Sysfs { path: directory.clone(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Only partitions have this file.
        let Ok(number) = std::fs::read_to_string(entry.path().join("partition")) else { continue };
        let number: u32 = number.trim().parse().unwrap_or(u32::MAX);
        found.push((number, paths.dev.join(entry.file_name())));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, node)| node).collect())
}

/// None where this partition has no kernel, or cannot be looked into.
fn from(partition: &Path, mounts: &Path) -> Result<Option<Loaded>, KexecError> {
    let Ok(content) = filesystem::probe(partition) else { return Ok(None) };
    let esp = || (content.kind.as_deref() == Some(ESP)).then_some(ESP);
    let Some(kind) = content.filesystem().map(Kind::name).or_else(esp) else { return Ok(None) };
    let mounted = match Mounted::mount(partition, kind, Access::ReadOnly, mounts) {
        Ok(mounted) => mounted,
        Err(error) => {
            log::warn!("no kernel is looked for on {}: {error}", partition.display());
            return Ok(None);
        }
    };
    let open = |path: &str, source| KexecError::Read { path: partition.join(path), source };
    let root = Root::open(mounted.path()).map_err(|source| open("", source))?;
    let Some(entry) = find::entry(&root, content.uuid.as_deref()) else { return Ok(None) };
    log::info!("{}: kernel {}, {} ramdisks", partition.display(), entry.kernel, entry.initrds.len());
    let file = |path: &String| root.open_file(path).map_err(|source| open(path.trim_start_matches('/'), source));
    let kernel = file(&entry.kernel)?;
    let initrds = entry.initrds.iter().map(file).collect::<Result<Vec<_>, _>>()?;
    let initrd = one(initrds).map_err(|source| KexecError::Memory { source })?;
    let words = CString::new(entry.options.clone()).unwrap_or_default();
    let place = partition.join(entry.kernel.trim_start_matches('/'));
    crate::sys::kexec::load(&kernel, initrd.as_ref(), &words)
        .map_err(|source| KexecError::Refused { kernel: place, source })?;
    // Open files would keep it mounted.
    drop((kernel, initrd, root));
    if let Err(error) = mounted.unmount() {
        log::warn!("{error}");
    }
    Ok(Some(Loaded { partition: partition.to_owned(), kernel: entry.kernel }))
}

/// The kernel takes one ramdisk: several are put one behind the other, as a boot loader does it.
fn one(mut files: Vec<File>) -> io::Result<Option<File>> {
    if files.len() < 2 {
        return Ok(files.pop());
    }
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    let mut whole = File::from(nix::sys::memfd::memfd_create("initrd", flags)?);
    for mut file in files {
        io::copy(&mut file, &mut whole)?;
        // The kernel looks for the next archive at a multiple of four.
        let end = whole.stream_position()?.next_multiple_of(4);
        whole.set_len(end)?;
        whole.seek(io::SeekFrom::Start(end))?;
    }
    Ok(Some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn ramdisks_are_joined_at_multiples_of_four() {
        assert!(one(vec![]).unwrap().is_none());
        let mut whole = one(vec![file(b"12345"), file(b"abcd"), file(b"x")]).unwrap().unwrap();
        whole.rewind().unwrap();
        let mut bytes = Vec::new();
        whole.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"12345\0\0\0abcdx\0\0\0");
    }

    #[test]
    fn partitions_come_by_number_and_nothing_else_is_one() {
        let root = tempfile::tempdir().unwrap();
        let block = root.path().join("sys/class/block/nvme0n1");
        for (name, number) in [("nvme0n1p10", "10\n"), ("nvme0n1p2", "2\n")] {
            std::fs::create_dir_all(block.join(name)).unwrap();
            std::fs::write(block.join(name).join("partition"), number).unwrap();
        }
        std::fs::create_dir_all(block.join("queue")).unwrap();
        let paths = Paths { sys: root.path().join("sys"), dev: "/dev".into(), ..Paths::default() };
        let found = partitions(Path::new("/dev/nvme0n1"), &paths).unwrap();
        assert_eq!(found, [Path::new("/dev/nvme0n1p2"), Path::new("/dev/nvme0n1p10")]);
        assert!(matches!(partitions(Path::new("/dev/sdz"), &paths), Err(KexecError::Sysfs { .. })));
    }
}
