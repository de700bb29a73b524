//! Block device nodes of our own, in a directory that only we write to.

use super::super::ApplyError;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// An empty directory for this run below `base`.
pub fn directory(base: &Path) -> Result<PathBuf, ApplyError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let path = base.join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let failed = |source| ApplyError::Node { path: path.clone(), source };
    // Left there by a killed process with the same number.
    let _ = fs::remove_dir_all(&path);
    DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
    Ok(path)
}

/// The node `name` for this block device; an existing one that leads elsewhere is replaced.
pub fn make(directory: &Path, name: &str, (major, minor): (u32, u32)) -> Result<PathBuf, ApplyError> {
    // sysfs uses `!` where some drivers' names have `/`.
    let path = directory.join(name.replace(['/', '!'], "_"));
    let number = makedev(u64::from(major), u64::from(minor));
    let failed = |source| ApplyError::Node { path: path.clone(), source };
    match fs::symlink_metadata(&path) {
        Ok(found) if found.file_type().is_block_device() && found.rdev() == number => return Ok(path),
        Ok(_) => fs::remove_file(&path).map_err(failed)?,
        Err(_) => {}
    }
    mknod(&path, SFlag::S_IFBLK, Mode::S_IRUSR | Mode::S_IWUSR, number).map_err(|error| failed(error.into()))?;
    Ok(path)
}
