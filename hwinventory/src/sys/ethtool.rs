use super::buffer;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const IFNAMSIZ: usize = 16;
pub const GLINKSETTINGS: u32 = 0x4c;

/// `struct ifreq` with its pointer member.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; IFNAMSIZ],
    data: *mut u8,
    rest: [u8; 16],
}

/// GDRVINFO, GWOL, GPERMADDR and GLINKSETTINGS: the commands that only read.
const READS: &[u32] = &[0x03, 0x05, 0x20, GLINKSETTINGS];

/// The command's structure as the kernel filled it.
pub fn get(interface: &str, command: u32, length: u32) -> io::Result<Vec<u8>> {
    if !READS.contains(&command) || length < least(command) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut data = buffer(length);
    put(&mut data, 0, &command.to_ne_bytes());
    if command == 0x20 {
        // GPERMADDR: how many bytes fit behind the header.
        put(&mut data, 4, &32u32.to_ne_bytes());
    }
    call(&socket, interface, &mut data)?;
    if command == GLINKSETTINGS {
        // The first answer says, negated, how many words a mask has; three masks follow the header of 48 bytes.
        let words = data.get(15).map_or(0, |&b| (b as i8).unsigned_abs());
        if 48 + usize::from(words) * 12 > data.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        data.fill(0);
        put(&mut data, 0, &command.to_ne_bytes());
        put(&mut data, 15, &[words]);
        call(&socket, interface, &mut data)?;
    }
    Ok(data)
}

fn put(data: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = data.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn call(socket: &OwnedFd, interface: &str, data: &mut [u8]) -> io::Result<()> {
    let mut request = InterfaceRequest { name: [0; IFNAMSIZ], data: data.as_mut_ptr(), rest: [0; 16] };
    if interface.len() >= IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    put(&mut request.name, 0, interface.as_bytes());
    // SAFETY: `request` is at least as large as `struct ifreq` and has its name and pointer in place; `data` is longer
    // than the structure of each command in `READS` (for GLINKSETTINGS with the number of mask words it names), and lives
    // through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &mut request) };
    if result < 0 {
        let error = io::Error::last_os_error();
        return Err(match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::EINVAL) => io::ErrorKind::NotFound.into(),
            _ => error,
        });
    }
    Ok(())
}

/// Size of the command's structure in <linux/ethtool.h>.
fn least(command: u32) -> u32 {
    match command {
        0x03 => 196,
        0x05 => 20,
        0x20 => 8 + 32,
        _ => 48,
    }
}
