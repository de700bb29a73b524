//! Device-mapper's control device (linux/dm-ioctl.h): maps of one target are made, asked and taken away.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// `struct dm_ioctl`.
#[repr(C)]
#[derive(Clone, Copy)]
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

/// `struct dm_target_spec`.
#[repr(C)]
struct Spec {
    start: u64,
    length: u64,
    status: i32,
    next: u32,
    kind: [u8; 16],
}

/// A request with one target behind it, and the target's text.
#[repr(C)]
struct Whole {
    request: Request,
    spec: Spec,
    text: [u8; TEXT],
}

/// More than the text of any target that is made here, or its state.
const TEXT: usize = 4096 - 312 - 40;

const _: () = assert!(size_of::<Request>() == 312 && size_of::<Spec>() == 40 && size_of::<Whole>() == 4096);

/// Version of the interface; the major number has not changed since Linux 2.6.
const VERSION: [u32; 3] = [4, 0, 0];
/// DM_BUFFER_FULL_FLAG.
const FULL: u32 = 1 << 8;

// _IOWR(0xfd, ..., struct dm_ioctl)
nix::ioctl_readwrite!(dm_dev_create, 0xfd, 3, Request);
nix::ioctl_readwrite!(dm_dev_remove, 0xfd, 4, Request);
nix::ioctl_readwrite!(dm_dev_suspend, 0xfd, 6, Request);
nix::ioctl_readwrite!(dm_table_load, 0xfd, 9, Request);
nix::ioctl_readwrite!(dm_table_status, 0xfd, 12, Request);

/// The one target of a map, from its first sector to its last.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// `linear`, `multipath`.
    pub kind: &'a str,
    /// Of 512 bytes.
    pub sectors: u64,
    /// As the target's documentation has them.
    pub parameters: &'a str,
}

/// Makes a map and starts it; its device number (major, minor). EBUSY where the name or the identity is taken, or what the
/// map is to lie on. `control` is `/dev/mapper/control`.
pub fn create(control: &Path, name: &str, uuid: &str, target: Target<'_>) -> io::Result<(u32, u32)> {
    let control = open(control)?;
    let mut request = empty();
    put(&mut request.name, name)?;
    put(&mut request.uuid, uuid)?;
    // SAFETY: `request` is laid out as in linux/dm-ioctl.h (its size is checked above) and lives until the call returns;
    // `data_size` says that nothing follows it, so that the kernel reads and writes no byte beyond.
    unsafe { dm_dev_create(control.as_raw_fd(), &raw mut request) }?;
    let number = decoded(request.device);
    let started = load(&control, number, target).and_then(|()| resume(&control, number));
    if let Err(error) = started {
        let _ = take_away(&control, number);
        return Err(error);
    }
    Ok(number)
}

fn load(control: &File, number: (u32, u32), target: Target<'_>) -> io::Result<()> {
    let mut whole = whole(number);
    whole.request.target_count = 1;
    whole.spec.length = target.sectors;
    put(&mut whole.spec.kind, target.kind)?;
    put(&mut whole.text, target.parameters)?;
    // SAFETY: `whole` begins with a request, and `data_size` and `data_start` say how many of its own bytes follow and where:
    // the kernel reads and writes none beyond. The pointer is to all of it, and it lives until the call returns.
    unsafe { dm_table_load(control.as_raw_fd(), (&raw mut whole).cast::<Request>()) }?;
    Ok(())
}

/// DM_DEV_SUSPEND without DM_SUSPEND_FLAG.
fn resume(control: &File, number: (u32, u32)) -> io::Result<()> {
    let mut request = of(number);
    // SAFETY: as in `create`.
    unsafe { dm_dev_suspend(control.as_raw_fd(), &raw mut request) }?;
    Ok(())
}

/// What the target says of itself now, in its own words.
pub fn status(control: &Path, number: (u32, u32)) -> io::Result<String> {
    let control = open(control)?;
    let mut whole = whole(number);
    // SAFETY: as in `load`.
    unsafe { dm_table_status(control.as_raw_fd(), (&raw mut whole).cast::<Request>()) }?;
    if whole.request.target_count != 1 || whole.request.flags & FULL != 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let text = whole.text.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Removes the map with this device number (major, minor). EBUSY while it is open or another device is on top of it,
/// ENXIO if it does not exist. `control` is `/dev/mapper/control`.
pub fn remove(control: &Path, number: (u32, u32)) -> io::Result<()> {
    take_away(&open(control)?, number)
}

fn take_away(control: &File, number: (u32, u32)) -> io::Result<()> {
    let mut request = of(number);
    // SAFETY: as in `create`.
    unsafe { dm_dev_remove(control.as_raw_fd(), &raw mut request) }?;
    Ok(())
}

fn open(control: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(control)
}

fn empty() -> Request {
    Request {
        version: VERSION,
        data_size: size_of::<Request>() as u32,
        data_start: 0,
        target_count: 0,
        open_count: 0,
        flags: 0,
        event_number: 0,
        padding: 0,
        device: 0,
        name: [0; 128],
        uuid: [0; 129],
        data: [0; 7],
    }
}

fn of((major, minor): (u32, u32)) -> Request {
    Request { device: encoded(major, minor), ..empty() }
}

fn whole(number: (u32, u32)) -> Whole {
    let (size, start) = (size_of::<Whole>() as u32, size_of::<Request>() as u32);
    let request = Request { data_size: size, data_start: start, ..of(number) };
    Whole { request, spec: Spec { start: 0, length: 0, status: 0, next: 0, kind: [0; 16] }, text: [0; TEXT] }
}

/// With at least one zero behind it.
fn put(field: &mut [u8], text: &str) -> io::Result<()> {
    let last = field.len().saturating_sub(1);
    let room = field.get_mut(..last).and_then(|room| room.get_mut(..text.len()));
    room.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(text.as_bytes());
    Ok(())
}

/// The kernel's 64-bit encoding (`huge_encode_dev`, linux/kdev_t.h). For majors below 2^12 and minors below 2^20 it
/// equals `new_encode_dev`.
fn encoded(major: u32, minor: u32) -> u64 {
    u64::from((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
}

fn decoded(device: u64) -> (u32, u32) {
    let device = device as u32;
    ((device & 0x000f_ff00) >> 8, (device & 0xff) | ((device >> 12) & 0x000f_ff00))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_encoded_as_the_kernel_has_them() {
        for (number, code) in
            [((253, 0), 0xfd00), ((253, 255), 0xfdff), ((253, 256), 0x0010_fd00), ((253, 0x12345), 0x1230_fd45)]
        {
            assert_eq!(encoded(number.0, number.1), code);
            assert_eq!(decoded(code), number);
        }
    }

    #[test]
    fn texts_end_with_a_zero_or_are_refused() {
        let mut field = [1u8; 4];
        put(&mut field, "abc").unwrap();
        assert_eq!(field, *b"abc\x01");
        assert!(put(&mut field, "abcd").is_err());
        let mut name = empty().name;
        put(&mut name, "burin").unwrap();
        assert_eq!(name[..6], *b"burin\0");
    }

    #[test]
    fn what_is_no_control_device_is_an_error() {
        let null = Path::new("/dev/null");
        let target = Target { kind: "linear", sectors: 1, parameters: "8:0 0" };
        let code = |error: io::Error| error.raw_os_error();
        assert_eq!(code(remove(null, (253, 0)).unwrap_err()), Some(libc::ENOTTY));
        assert_eq!(code(status(null, (253, 0)).unwrap_err()), Some(libc::ENOTTY));
        assert_eq!(code(create(null, "a", "b", target).unwrap_err()), Some(libc::ENOTTY));
        assert!(remove(Path::new("/nonexistent/control"), (253, 0)).is_err());
    }
}
