//! Inode flags: efivarfs marks variables immutable, so that `rm -rf` cannot brick a machine (linux/fs.h).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const FS_IMMUTABLE_FL: libc::c_int = 0x10;

// The request numbers say `long`, but every implementation reads and writes an int (ioctl_iflags(2)).
nix::ioctl_read!(fs_ioc_getflags, b'f', 1, libc::c_long);
nix::ioctl_write_ptr!(fs_ioc_setflags, b'f', 2, libc::c_long);

/// Clears the immutable flag; returns whether it was set. Filesystems without flags count as not set.
pub fn make_mutable(file: &File) -> io::Result<bool> {
    let mut flags: libc::c_long = 0;
    // SAFETY: `file` is open for the call's duration; the kernel stores an int into a zeroed long, which is large enough.
    match unsafe { fs_ioc_getflags(file.as_raw_fd(), &mut flags) } {
        Ok(_) => {}
        Err(nix::Error::ENOTTY | nix::Error::EOPNOTSUPP | nix::Error::EINVAL) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let immutable = libc::c_long::from(FS_IMMUTABLE_FL);
    if flags & immutable == 0 {
        return Ok(false);
    }
    flags &= !immutable;
    // SAFETY: as above; the kernel reads an int from the long's first bytes (both targets are little-endian).
    unsafe { fs_ioc_setflags(file.as_raw_fd(), &flags) }?;
    Ok(true)
}
