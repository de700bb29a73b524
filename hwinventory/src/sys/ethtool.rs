//! The ethtool ioctls.

use super::buffer;
use crate::parse::ethtool::{LldpFlag, PRIVATE_FLAGS, lldp_flag, private_flag_count};
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

pub const GDRVINFO: u32 = 0x03;
const GPERMADDR: u32 = 0x20;
pub const GSTRINGS: u32 = 0x1b;
pub const GPFLAGS: u32 = 0x27;
const SPFLAGS: u32 = 0x28;
const GMODULEINFO: u32 = 0x42;
const GMODULEEEPROM: u32 = 0x43;
/// The commands that only read; 0x05 is GWOL.
const READS: &[u32] = &[GDRVINFO, 0x05, GPERMADDR, GSTRINGS, GPFLAGS, GMODULEINFO, GMODULEEEPROM, GLINKSETTINGS];
/// Command, magic, offset, length.
const EEPROM_HEADER: u32 = 16;
/// Private flags are bits of one word.
const MOST_FLAGS: usize = 32;

/// The command's structure as the kernel filled it.
pub fn get(interface: &str, command: u32, length: u32) -> io::Result<Vec<u8>> {
    if !READS.contains(&command) || length < least(command) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut data = buffer(length);
    put(&mut data, 0, &command.to_ne_bytes());
    match command {
        // How many bytes fit behind the header.
        GPERMADDR => put(&mut data, 4, &32u32.to_ne_bytes()),
        // From the start, as much as fits behind the header.
        GMODULEEEPROM => {
            let room = (data.len() as u32).saturating_sub(EEPROM_HEADER);
            put(&mut data, 12, &room.to_ne_bytes());
        }
        GSTRINGS => {
            // The names of private flags. The kernel writes as many as the driver has, whatever fits.
            let mut driver = buffer(least(GDRVINFO));
            put(&mut driver, 0, &GDRVINFO.to_ne_bytes());
            call(&socket, interface, &mut driver)?;
            if private_flag_count(&driver).is_none_or(|n| n == 0 || n as usize > MOST_FLAGS) {
                return Err(io::ErrorKind::NotFound.into());
            }
            put(&mut data, 4, &PRIVATE_FLAGS.to_ne_bytes());
        }
        _ => {}
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
    // than the structure of each command in `READS` and of SPFLAGS (for GLINKSETTINGS with the number of mask words it
    // names, for GMODULEEEPROM with the length that it asks for, for GSTRINGS with as many names as there can be private flags, which the driver was asked about before), and
    // lives through the call.
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

/// Whether the card's own LLDP agent is on; `None` where it has none.
pub fn lldp_agent(interface: &str) -> io::Result<Option<bool>> {
    Ok(agent_flag(interface)?.map(|(flag, _)| flag.agent_on))
}

/// Sets the one private flag that stands for the card's LLDP agent, and no other.
pub fn switch_lldp_agent(interface: &str, on: bool) -> io::Result<()> {
    let Some((flag, value)) = agent_flag(interface)? else { return Err(io::ErrorKind::NotFound.into()) };
    if flag.agent_on == on {
        return Ok(());
    }
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut data = buffer(least(SPFLAGS));
    put(&mut data, 0, &SPFLAGS.to_ne_bytes());
    put(&mut data, 4, &(value ^ 1 << flag.bit).to_ne_bytes());
    call(&socket, interface, &mut data)
}

fn agent_flag(interface: &str) -> io::Result<Option<(LldpFlag, u32)>> {
    let absent = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(error) };
    let names = match get(interface, GSTRINGS, least(GSTRINGS)) {
        Ok(names) => names,
        Err(error) => return absent(error),
    };
    let flags = match get(interface, GPFLAGS, least(GPFLAGS)) {
        Ok(flags) => flags,
        Err(error) => return absent(error),
    };
    let value = crate::parse::bytes::le32(&flags, 4).unwrap_or(0);
    Ok(lldp_flag(&names, &flags).map(|flag| (flag, value)))
}

/// Size of the command's structure in <linux/ethtool.h>.
fn least(command: u32) -> u32 {
    match command {
        GDRVINFO => 196,
        0x05 => 20,
        GPERMADDR => 8 + 32,
        GSTRINGS => 12 + 32 * MOST_FLAGS as u32,
        GPFLAGS | SPFLAGS => 8,
        GMODULEINFO => 44,
        GMODULEEEPROM => EEPROM_HEADER + 1,
        _ => 48,
    }
}
