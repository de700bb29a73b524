//! Growing mounted filesystems: the ioctls that resize2fs, xfs_growfs and `btrfs filesystem resize` use.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `struct xfs_growfs_data` (xfs_fs.h).
#[repr(C)]
#[derive(Debug)]
pub struct XfsGrowfsData {
    newblocks: u64,
    imaxpct: u32,
}

/// `struct btrfs_ioctl_vol_args` (linux/btrfs.h).
#[repr(C)]
#[derive(Debug)]
pub struct BtrfsVolArgs {
    fd: i64,
    name: [u8; 4088],
}

// EXT4_IOC_RESIZE_FS, XFS_IOC_FSGROWFSDATA, BTRFS_IOC_RESIZE.
nix::ioctl_write_ptr!(ext4_resize_fs, b'f', 16, u64);
nix::ioctl_write_ptr!(xfs_growfsdata, b'X', 110, XfsGrowfsData);
nix::ioctl_write_ptr!(btrfs_resize, 0x94, 3, BtrfsVolArgs);

/// Grows the ext4 filesystem of `directory` to `blocks` filesystem blocks.
pub fn ext4(directory: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: `directory` is open for the call's duration; the kernel reads one u64 through a pointer valid for it.
    unsafe { ext4_resize_fs(directory.as_raw_fd(), &blocks) }?;
    Ok(())
}

/// Grows the data section of the XFS filesystem of `directory`; `inode_percent` is its current limit, which is kept.
pub fn xfs(directory: &File, blocks: u64, inode_percent: u32) -> io::Result<()> {
    let request = XfsGrowfsData { newblocks: blocks, imaxpct: inode_percent };
    // SAFETY: the struct is laid out as in xfs_fs.h and outlives the call, which only reads it.
    unsafe { xfs_growfsdata(directory.as_raw_fd(), &request) }?;
    Ok(())
}

/// Grows a device of the btrfs filesystem of `directory`, given by its number there, to the size of the device.
pub fn btrfs(directory: &File, number: u64) -> io::Result<()> {
    let mut request = BtrfsVolArgs { fd: 0, name: [0; 4088] };
    for (to, from) in request.name.iter_mut().zip(format!("{number}:max").bytes()) {
        *to = from;
    }
    // SAFETY: the struct is laid out as in linux/btrfs.h, its name NUL-terminated, and outlives the call, which only
    // reads it.
    unsafe { btrfs_resize(directory.as_raw_fd(), &request) }?;
    Ok(())
}
