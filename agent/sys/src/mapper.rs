//! Device-mapper's control device (linux/dm-ioctl.h): taking maps away.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// `struct dm_ioctl`.
#[repr(C)]
struct Request {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_number: u32,
    padding: u32,
    device: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

const _: () = assert!(size_of::<Request>() == 312);

/// Version of the interface; the major number has not changed since Linux 2.6.
const VERSION: [u32; 3] = [4, 0, 0];

// _IOWR(0xfd, 4, struct dm_ioctl)
nix::ioctl_readwrite!(dm_dev_remove, 0xfd, 4, Request);

/// Removes the map with this device number (major, minor). EBUSY while it is open or another device is on top of it,
/// ENXIO if it does not exist. `control` is `/dev/mapper/control`.
pub fn remove(control: &Path, (major, minor): (u32, u32)) -> io::Result<()> {
    let control = OpenOptions::new().read(true).write(true).open(control)?;
    let mut request = Request {
        version: VERSION,
        data_size: size_of::<Request>() as u32,
        data_start: 0,
        target_count: 0,
        open_count: 0,
        flags: 0,
        event_number: 0,
        padding: 0,
        device: encoded(major, minor),
        name: [0; 128],
        uuid: [0; 129],
        data: [0; 7],
    };
    // SAFETY: `request` is laid out as in linux/dm-ioctl.h (its size is checked above) and lives until the call returns;
    // `data_size` says that nothing follows it, so that the kernel reads and writes no byte beyond.
    unsafe { dm_dev_remove(control.as_raw_fd(), &raw mut request) }?;
    Ok(())
}

/// The kernel's 64-bit encoding (`huge_encode_dev`, linux/kdev_t.h). For majors below 2^12 and minors below 2^20 it
/// equals `new_encode_dev`.
fn encoded(major: u32, minor: u32) -> u64 {
    u64::from((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_encoded_as_the_kernel_has_them() {
        assert_eq!(encoded(253, 0), 0xfd00);
        assert_eq!(encoded(253, 255), 0xfdff);
        assert_eq!(encoded(253, 256), 0x0010_fd00);
        assert_eq!(encoded(253, 0x12345), 0x1230_fd45);
    }

    #[test]
    fn what_is_no_control_device_is_an_error() {
        let error = remove(Path::new("/dev/null"), (253, 0)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
        assert!(remove(Path::new("/nonexistent/control"), (253, 0)).is_err());
    }
}
