//! Block device ioctls (linux/fs.h).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

mod raw {
    nix::ioctl_read!(blkgetsize64, 0x12, 114, usize);
    nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), libc::c_int);
    nix::ioctl_read_bad!(blkroget, nix::request_code_none!(0x12, 94), libc::c_int);
    nix::ioctl_none!(blkrrpart, 0x12, 95);
}

/// BLKGETSIZE64: the device's size in bytes.
pub fn size(device: impl AsFd) -> io::Result<u64> {
    let mut bytes: u64 = 0;
    // SAFETY: the kernel stores one u64 through the pointer (the size_t in the ioctl's number is historical),
    // which points at a live u64.
    unsafe { raw::blkgetsize64(device.as_fd().as_raw_fd(), (&raw mut bytes).cast()) }?;
    Ok(bytes)
}

/// BLKSSZGET: the logical sector size in bytes.
pub fn logical_sector(device: impl AsFd) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel stores one int through the pointer, which points at a live int.
    unsafe { raw::blksszget(device.as_fd().as_raw_fd(), &raw mut bytes) }?;
    u32::try_from(bytes).map_err(|_| io::Error::other("negative sector size"))
}

/// BLKROGET: whether the device is read-only.
pub fn read_only(device: impl AsFd) -> io::Result<bool> {
    let mut flag: libc::c_int = 0;
    // SAFETY: the kernel stores one int through the pointer, which points at a live int.
    unsafe { raw::blkroget(device.as_fd().as_raw_fd(), &raw mut flag) }?;
    Ok(flag != 0)
}

/// BLKRRPART: have the kernel read the partition table again. EBUSY while a partition is in use.
pub fn reread_partitions(device: impl AsFd) -> io::Result<()> {
    // SAFETY: the ioctl takes no argument.
    unsafe { raw::blkrrpart(device.as_fd().as_raw_fd()) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_files_are_refused_with_enotty() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(size(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(logical_sector(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(read_only(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }
}
