//! Starts the installed system's kernel without going through the firmware: finds it on the written disks, and loads
//! it.
//!
//! It looks for what the installed boot loader would start: a boot loader specification entry, else the first entry of
//! grub.cfg, else Debian's `/vmlinuz`. Nothing is written, and nothing is started here: exit status 72 asks PID 1 for
//! that.

mod bls;
mod entry;
mod error;
mod find;
mod grub;

pub use entry::KexecEntry;
pub use error::KexecError;

use crate::apply::bound::{Access, Part};
use crate::apply::look::{self, Asker};
use crate::apply::{Bound, Paths};
use crate::finalize::filesystem::{self, Kind};
use crate::finalize::mount::Mounted;
use crate::finalize::root::Root;
use crate::image::Cancel;
use crate::isolate::Question;
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

/// A kernel that is loaded and ready to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedKernel {
    /// The partition that it came from.
    pub partition: PathBuf,
    pub kernel: String,
}

/// EFI system partitions may contain entries, besides filesystems with a root.
const ESP: &str = "vfat";

/// Loads the kernel of the system installed on these disks. Disks that were not written belong to somebody else and are
/// left alone.
pub fn load(disks: &Bound, paths: &Paths) -> Result<LoadedKernel, KexecError> {
    let written: Vec<_> = disks.all().iter().filter(|disk| disk.was_written()).collect();
    for disk in &written {
        for number in disk.partitions()? {
            let partition = disk.open(Part::Number(number), Access::Read)?;
            let (node, name) = (partition.node().to_owned(), partition.name().to_owned());
            let question = StartFrom { node: node.clone(), name, mounts: paths.mounts.clone() };
            let asker = Asker { paths, patience: look::PATIENCE, cancel: &Cancel::default() };
            if let Some(loaded) = asker.ask(disk, vec![node], &question)?? {
                return Ok(loaded);
            }
        }
    }
    let names: Vec<String> = written.iter().map(|disk| disk.name().display().to_string()).collect();
    Err(KexecError::NoKernel { disks: names.join(", ") })
}

/// Loads the kernel on a partition, if there is one, in a separate process: the kernel keeps what was loaded.
#[derive(Debug, Serialize, Deserialize)]
pub struct StartFrom {
    node: PathBuf,
    /// For display.
    name: PathBuf,
    mounts: PathBuf,
}

impl Question for StartFrom {
    const NAME: &'static str = "kernel";
    type Answer = Result<Option<LoadedKernel>, KexecError>;

    fn answer(self) -> Self::Answer {
        from(&self.node, &self.name, &self.mounts)
    }
}

/// `None` if this partition has no kernel, or cannot be read.
fn from(node: &Path, partition: &Path, mounts: &Path) -> Result<Option<LoadedKernel>, KexecError> {
    let Ok(content) = filesystem::probe(node) else { return Ok(None) };
    let esp = || (content.kind.as_deref() == Some(ESP)).then_some(ESP);
    let Some(kind) = content.filesystem().map(Kind::name).or_else(esp) else { return Ok(None) };
    let mounted = match Mounted::look(node, kind, mounts) {
        Ok(mounted) => mounted,
        Err(error) => {
            log::warn!("{} cannot be searched for a kernel: {error}", partition.display());
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
    Ok(Some(LoadedKernel { partition: partition.to_owned(), kernel: entry.kernel }))
}

/// The kernel accepts a single ramdisk: several are concatenated, as a boot loader does.
fn one(mut files: Vec<File>) -> io::Result<Option<File>> {
    if files.len() < 2 {
        return Ok(files.pop());
    }
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    let mut whole = File::from(nix::sys::memfd::memfd_create("initrd", flags)?);
    for mut file in files {
        io::copy(&mut file, &mut whole)?;
        // The kernel expects the next archive at a multiple of four.
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
}
