//! Sends NVMe admin commands that only read.

use super::{buffer, open_device};
use std::io;
use std::os::fd::AsRawFd;

/// `struct nvme_passthru_cmd` of <linux/nvme_ioctl.h>.
#[repr(C)]
#[derive(Default)]
pub struct PassthruCommand {
    opcode: u8,
    flags: u8,
    reserved: u16,
    nsid: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    addr: u64,
    metadata_len: u32,
    data_len: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

const _: () = assert!(size_of::<PassthruCommand>() == 72);

nix::ioctl_readwrite!(nvme_admin_cmd, b'N', 0x41, PassthruCommand);

/// An admin command that reads: Get Log Page (0x02) and Identify (0x06) are let through, nothing else.
pub fn admin(device: &str, opcode: u8, nsid: u32, cdw10: u32, cdw11: u32, length: u32) -> io::Result<Vec<u8>> {
    if !matches!(opcode, 0x02 | 0x06) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let file = open_device(device)?;
    let mut data = buffer(length);
    let mut command = PassthruCommand {
        opcode,
        nsid,
        addr: data.as_mut_ptr() as u64,
        data_len: data.len() as u32,
        cdw10,
        cdw11,
        ..PassthruCommand::default()
    };
    // SAFETY: `command` has the kernel's layout (checked by size above) and `addr`/`data_len` describe `data`, which
    // outlives the call and is written by nobody else.
    let status = unsafe { nvme_admin_cmd(file.as_raw_fd(), &mut command) }?;
    if status != 0 {
        return Err(io::Error::other(format!("NVMe status 0x{status:x}")));
    }
    Ok(data)
}
