//! Sends requests to the BMC through the kernel's IPMI device.

use super::open_device;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// `struct ipmi_system_interface_addr` of <linux/ipmi.h>.
#[repr(C)]
struct SystemInterfaceAddress {
    kind: i32,
    channel: i16,
    lun: u8,
}

#[repr(C)]
struct Message {
    netfn: u8,
    command: u8,
    data_length: u16,
    data: *mut u8,
}

#[repr(C)]
pub struct Request {
    address: *mut u8,
    address_length: u32,
    id: libc::c_long,
    message: Message,
}

#[repr(C)]
pub struct Received {
    kind: i32,
    address: *mut u8,
    address_length: u32,
    id: libc::c_long,
    message: Message,
}

const SYSTEM_INTERFACE: i32 = 0x0c;
const BMC_CHANNEL: i16 = 0x0f;
const WAIT_MS: u16 = 5_000;

nix::ioctl_read!(send_command, b'i', 13, Request);
nix::ioctl_readwrite!(receive_truncated, b'i', 11, Received);

/// Get Device ID, System GUID, Channel Info, LAN Configuration Parameters, Sensor Reading, FRU Inventory Area Info, SDR,
/// SEL Info and Entry, and Read FRU Data: requests that change nothing. Reserve SDR Repository makes another reader's
/// reservation void, which it then renews.
fn only_reads(netfn: u8, command: u8) -> bool {
    matches!(
        (netfn, command),
        (0x06, 0x01 | 0x37 | 0x42) | (0x0c, 0x02) | (0x04, 0x2d) | (0x0a, 0x10 | 0x11 | 0x22 | 0x23 | 0x40 | 0x43)
    )
}

/// Asks the BMC. The answer starts with the completion code.
pub fn request(device: &str, netfn: u8, command: u8, data: &[u8]) -> io::Result<Vec<u8>> {
    if !only_reads(netfn, command) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let file = open_device(device)?;
    let mut address = SystemInterfaceAddress { kind: SYSTEM_INTERFACE, channel: BMC_CHANNEL, lun: 0 };
    let mut sent = data.to_vec();
    let mut request = Request {
        address: (&raw mut address).cast(),
        address_length: size_of::<SystemInterfaceAddress>() as u32,
        id: 1,
        message: Message { netfn, command, data_length: sent.len() as u16, data: sent.as_mut_ptr() },
    };
    // SAFETY: the structures have the kernel's layout, and their pointers and lengths describe `address` and `sent`,
    // which live through the call; the kernel copies both.
    unsafe { send_command(file.as_raw_fd(), &mut request) }?;
    if poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], PollTimeout::from(WAIT_MS))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut answer = vec![0u8; 272];
    let mut from = [0u8; 64];
    let mut received = Received {
        kind: 0,
        address: from.as_mut_ptr(),
        address_length: from.len() as u32,
        id: 0,
        message: Message { netfn: 0, command: 0, data_length: answer.len() as u16, data: answer.as_mut_ptr() },
    };
    // SAFETY: as above, with `from` and `answer`, into which the kernel writes at most the lengths given.
    unsafe { receive_truncated(file.as_raw_fd(), &mut received) }?;
    answer.truncate(usize::from(received.message.data_length));
    Ok(answer)
}
