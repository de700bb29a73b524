//! Block device geometry and the kernel's partition list (linux/fs.h, linux/blkpg.h).

use nix::libc::{c_char, c_int, c_longlong, c_void};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const ADD: c_int = 1;
const DELETE: c_int = 2;
const RESIZE: c_int = 3;

/// `struct blkpg_partition`.
#[repr(C)]
struct BlkpgPartition {
    start: c_longlong,
    length: c_longlong,
    number: c_int,
    device_name: [c_char; 64],
    volume_name: [c_char; 64],
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct BlkpgArg {
    operation: c_int,
    flags: c_int,
    length: c_int,
    data: *mut c_void,
}

nix::ioctl_read_bad!(blksszget, libc::BLKSSZGET, c_int);
// BLKIOOPT is _IO(0x12, 121): an unsigned int is returned through the pointer.
nix::ioctl_read_bad!(blkioopt, 0x1279, libc::c_uint);
nix::ioctl_write_ptr_bad!(blkpg, 0x1269, BlkpgArg);

/// Logical sector size of a block device, in bytes.
pub fn logical_sector_size(device: &File) -> io::Result<u32> {
    let mut size: c_int = 0;
    // SAFETY: `device` is open for the call's duration; BLKSSZGET stores one int through a pointer that is valid for it.
    unsafe { blksszget(device.as_raw_fd(), &mut size) }?;
    u32::try_from(size).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Optimal I/O size of a block device in bytes; 0 if the device does not report it.
pub fn optimal_io_size(device: &File) -> io::Result<u64> {
    let mut size: libc::c_uint = 0;
    // SAFETY: `device` is open for the call's duration; BLKIOOPT stores one unsigned int through a pointer valid for it.
    unsafe { blkioopt(device.as_raw_fd(), &mut size) }?;
    Ok(u64::from(size))
}

/// Tells the kernel about a partition of `disk`; offset and length in bytes.
pub fn add(disk: &File, number: u32, start: u64, length: u64) -> io::Result<()> {
    request(disk, ADD, number, start, length)
}

/// Makes the kernel forget a partition; EBUSY while it is in use.
pub fn delete(disk: &File, number: u32) -> io::Result<()> {
    request(disk, DELETE, number, 0, 0)
}

/// Changes a partition's length, even while it is in use; `start` must be its current start.
pub fn resize(disk: &File, number: u32, start: u64, length: u64) -> io::Result<()> {
    request(disk, RESIZE, number, start, length)
}

fn request(disk: &File, operation: c_int, number: u32, start: u64, length: u64) -> io::Result<()> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut partition = BlkpgPartition {
        start: c_longlong::try_from(start).map_err(invalid)?,
        length: c_longlong::try_from(length).map_err(invalid)?,
        number: c_int::try_from(number).map_err(invalid)?,
        device_name: [0; 64],
        volume_name: [0; 64],
    };
    let argument = BlkpgArg {
        operation,
        flags: 0,
        length: size_of::<BlkpgPartition>() as c_int,
        data: (&raw mut partition).cast(),
    };
    // SAFETY: both structs are laid out as in linux/blkpg.h and outlive the call, which is synchronous; `data` points to a
    // live `BlkpgPartition` of the stated length.
    unsafe { blkpg(disk.as_raw_fd(), &argument) }?;
    Ok(())
}
