//! Block device ioctls (linux/fs.h).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

mod raw {
    nix::ioctl_read!(blkgetsize64, 0x12, 114, usize);
    nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), libc::c_int);
    nix::ioctl_read_bad!(blkroget, nix::request_code_none!(0x12, 94), libc::c_int);
    nix::ioctl_none!(blkrrpart, 0x12, 95);
    nix::ioctl_write_ptr_bad!(blkroset, nix::request_code_none!(0x12, 93), libc::c_int);
    nix::ioctl_read!(blkgetdiskseq, 0x12, 128, u64);
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

/// BLKRRPART: makes the kernel read the partition table again. EBUSY while a partition is in use.
pub fn reread_partitions(device: impl AsFd) -> io::Result<()> {
    // SAFETY: the ioctl takes no argument.
    unsafe { raw::blkrrpart(device.as_fd().as_raw_fd()) }?;
    Ok(())
}

/// BLKROSET: makes the device refuse all writes, or accept them again.
pub fn set_read_only(device: impl AsFd, refuse: bool) -> io::Result<()> {
    let flag = libc::c_int::from(refuse);
    // SAFETY: the kernel reads one int through the pointer, which points at a live int.
    unsafe { raw::blkroset(device.as_fd().as_raw_fd(), &raw const flag) }?;
    Ok(())
}

/// BLKGETDISKSEQ (Linux 5.15): the kernel's sequence number of the disk, unique within this boot. For a partition it is
/// that of its disk. ENOTTY from kernels without it.
pub fn disk_sequence(device: impl AsFd) -> io::Result<u64> {
    let mut sequence: u64 = 0;
    // SAFETY: the kernel stores one u64 through the pointer, which points at a live u64.
    unsafe { raw::blkgetdiskseq(device.as_fd().as_raw_fd(), &raw mut sequence) }?;
    Ok(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_files_are_refused_with_enotty() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(size(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(logical_sector(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(disk_sequence(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(set_read_only(&file, true).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(read_only(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }
}
