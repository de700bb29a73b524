//! Sends SCSI and ATA commands that only read, through SG_IO.

use super::{buffer, open_device};
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

/// `struct sg_io_hdr` of <scsi/sg.h>.
#[repr(C)]
pub struct SgIoHeader {
    interface_id: i32,
    dxfer_direction: i32,
    cmd_len: u8,
    mx_sb_len: u8,
    iovec_count: u16,
    dxfer_len: u32,
    dxferp: *mut u8,
    cmdp: *const u8,
    sbp: *mut u8,
    timeout: u32,
    flags: u32,
    pack_id: i32,
    usr_ptr: *mut u8,
    status: u8,
    masked_status: u8,
    msg_status: u8,
    sb_len_wr: u8,
    host_status: u16,
    driver_status: u16,
    resid: i32,
    duration: u32,
    info: u32,
}

const _: () = assert!(size_of::<usize>() != 8 || size_of::<SgIoHeader>() == 88);

nix::ioctl_readwrite_bad!(sg_io, 0x2285, SgIoHeader);

const NO_DATA: i32 = -1;
const FROM_DEVICE: i32 = -3;
/// Generous, because the kernel resets the bus when it runs out: whoever asks gives up on its own earlier.
const TIMEOUT_MS: u32 = 20_000;
const CHECK_CONDITION: u8 = 0x02;

/// INQUIRY, RECEIVE DIAGNOSTIC RESULTS, LOG SENSE, MODE SENSE(10), READ CAPACITY(16) and the ATA commands that only read.
fn only_reads(cdb: &[u8]) -> bool {
    match cdb {
        [0x12, ..] | [0x1c, ..] | [0x4d, ..] | [0x5a, ..] => true,
        [0x9e, 0x10, ..] => true,
        // ATA PASS-THROUGH(16): IDENTIFY, IDENTIFY PACKET, and SMART READ DATA, THRESHOLDS, RETURN STATUS.
        [0x85, ..] if cdb.len() == 16 => match (cdb.get(14), cdb.get(4)) {
            (Some(0xec | 0xa1), _) => true,
            (Some(0xb0), Some(feature)) => matches!(feature, 0xd0 | 0xd1 | 0xda),
            _ => false,
        },
        _ => false,
    }
}

/// A command that reads. The answer is the data, or the sense data when `length` is zero.
pub fn command(device: &str, cdb: &[u8], length: u32) -> io::Result<Vec<u8>> {
    if !only_reads(cdb) || cdb.len() > 16 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let file = open_device(device)?;
    let mut data = buffer(length);
    let mut sense = vec![0u8; 64];
    let mut header = SgIoHeader {
        interface_id: i32::from(b'S'),
        dxfer_direction: if length == 0 { NO_DATA } else { FROM_DEVICE },
        cmd_len: cdb.len() as u8,
        mx_sb_len: sense.len() as u8,
        iovec_count: 0,
        dxfer_len: data.len() as u32,
        dxferp: data.as_mut_ptr(),
        cmdp: cdb.as_ptr(),
        sbp: sense.as_mut_ptr(),
        timeout: TIMEOUT_MS,
        flags: 0,
        pack_id: 0,
        usr_ptr: ptr::null_mut(),
        status: 0,
        masked_status: 0,
        msg_status: 0,
        sb_len_wr: 0,
        host_status: 0,
        driver_status: 0,
        resid: 0,
        duration: 0,
        info: 0,
    };
    // SAFETY: `header` has the kernel's layout; its pointers and lengths describe `data`, `cdb` and `sense`, all of which
    // outlive the call, and the kernel writes only into the first and the last.
    unsafe { sg_io(file.as_raw_fd(), &mut header) }?;
    if header.host_status != 0 {
        return Err(io::Error::other(format!("host status 0x{:x}", header.host_status)));
    }
    if length == 0 {
        // ATA commands with CK_COND end in a check condition by design.
        sense.truncate(usize::from(header.sb_len_wr));
        return Ok(sense);
    }
    if header.status == CHECK_CONDITION || header.status != 0 {
        return Err(unsupported_or_error(&sense, header.status));
    }
    let received = data.len().saturating_sub(usize::try_from(header.resid).unwrap_or(0));
    data.truncate(received);
    Ok(data)
}

/// ILLEGAL REQUEST (SPC-5 4.4.8) means that the device does not know the page or command: absent, not broken.
fn unsupported_or_error(sense: &[u8], status: u8) -> io::Error {
    let key = match sense.first().map(|b| b & 0x7f) {
        Some(0x72 | 0x73) => sense.get(1).map(|b| b & 0x0f),
        _ => sense.get(2).map(|b| b & 0x0f),
    };
    match key {
        Some(5) => io::ErrorKind::NotFound.into(),
        Some(key) => io::Error::other(format!("SCSI status 0x{status:x}, sense key {key}")),
        None => io::Error::other(format!("SCSI status 0x{status:x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::only_reads;

    #[test]
    fn nothing_that_writes_is_let_through() {
        assert!(only_reads(&[0x12, 1, 0x83, 0, 255, 0]));
        assert!(!only_reads(&[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0]), "WRITE(10)");
        assert!(!only_reads(&[0x04, 0, 0, 0, 0, 0]), "FORMAT UNIT");
        let mut ata = [0x85, 0x08, 0x0e, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xec, 0];
        assert!(only_reads(&ata));
        ata[14] = 0xf4;
        assert!(!only_reads(&ata), "SECURITY ERASE UNIT");
        ata[14] = 0xb0;
        ata[4] = 0xd9;
        assert!(!only_reads(&ata), "SMART DISABLE OPERATIONS");
    }
}
