//! NVMe admin commands through a namespace's block device (linux/nvme_ioctl.h; NVM Express Base Specification 2.0).

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// `struct nvme_passthru_cmd`.
#[repr(C)]
#[derive(Default)]
struct Command {
    opcode: u8,
    flags: u8,
    reserved: u16,
    namespace: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    address: u64,
    metadata_length: u32,
    data_length: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

const _: () = assert!(size_of::<Command>() == 72);

const FORMAT_NVM: u8 = 0x80;
const IDENTIFY: u8 = 0x06;
/// Length of an Identify response.
const IDENTIFIED: usize = 4096;

mod raw {
    use super::Command;
    nix::ioctl_none!(id, b'N', 0x40);
    nix::ioctl_readwrite!(admin_command, b'N', 0x41, Command);
}

/// The CNS field of Identify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identify {
    Namespace,
    Controller,
    /// Numbers of the subsystem's active namespaces.
    ActiveNamespaces,
    /// Numbers of all its namespaces, whether or not they are attached to a controller.
    AllocatedNamespaces,
}

/// NVME_IOCTL_ID: the namespace number of a block device.
pub fn namespace(device: impl AsFd) -> io::Result<u32> {
    // SAFETY: the ioctl takes no argument.
    let number = unsafe { raw::id(device.as_fd().as_raw_fd()) }?;
    u32::try_from(number).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Identify: 4096 bytes.
pub fn identify(device: impl AsFd, what: Identify) -> io::Result<Vec<u8>> {
    let (number, cns) = match what {
        Identify::Namespace => (namespace(device.as_fd())?, 0),
        Identify::Controller => (0, 1),
        Identify::ActiveNamespaces => (0, 2),
        Identify::AllocatedNamespaces => (0, 0x10),
    };
    let mut data = vec![0u8; IDENTIFIED];
    let mut command = Command {
        opcode: IDENTIFY,
        namespace: number,
        address: data.as_mut_ptr() as u64,
        data_length: IDENTIFIED as u32,
        cdw10: cns,
        ..Command::default()
    };
    submit(device, &mut command)?;
    Ok(data)
}

/// The secure erase setting of a format (its SES field).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecureErase {
    /// No guaranteed erasure.
    No,
    /// All user data.
    UserData,
    /// The key that encrypts the data.
    Key,
}

/// Formats only this namespace, to the LBA format with this index, without metadata or protection. All data on it is
/// lost. On return the kernel has identified the namespace again.
pub fn format(device: impl AsFd, lba_format: u8, erase: SecureErase, timeout: Duration) -> io::Result<()> {
    if lba_format > 63 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Bits 3:0; formats beyond the 16th also use bits 13:12.
    let index = u32::from(lba_format & 0xf) | u32::from(lba_format >> 4) << 12;
    let erase = match erase {
        SecureErase::No => 0,
        SecureErase::UserData => 1,
        SecureErase::Key => 2,
    };
    let mut command = Command {
        opcode: FORMAT_NVM,
        namespace: namespace(device.as_fd())?,
        cdw10: index | erase << 9,
        timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
        ..Command::default()
    };
    submit(device, &mut command)
}

fn submit(device: impl AsFd, command: &mut Command) -> io::Result<()> {
    // SAFETY: `command` is laid out as the kernel has it (its size is checked above) and outlives the call, which is
    // synchronous; where `address` is not 0, it and `data_length` are those of a buffer of the caller that outlives it too.
    let status = unsafe { raw::admin_command(device.as_fd().as_raw_fd(), command) }?;
    if status != 0 {
        return Err(io::Error::other(format!("NVMe status 0x{status:x}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_namespace_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(namespace(&file).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(identify(&file, Identify::Controller).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(format(&file, 0, SecureErase::No, Duration::ZERO).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(
            format(&file, 64, SecureErase::Key, Duration::ZERO).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
