//! kexec_file_load(2): a kernel for reboot(LINUX_REBOOT_CMD_KEXEC) to start.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// linux/kexec.h.
const KEXEC_FILE_NO_INITRAMFS: libc::c_ulong = 0x4;

/// Loads a kernel in place of any loaded earlier. Starts nothing.
pub fn load(kernel: &File, initrd: Option<&File>, command_line: &CStr) -> io::Result<()> {
    let words = command_line.to_bytes_with_nul();
    let flags = if initrd.is_some() { 0 } else { KEXEC_FILE_NO_INITRAMFS };
    let initrd = initrd.map_or(-1, AsRawFd::as_raw_fd);
    // SAFETY: both descriptors are of files that are open for the call's duration, or -1 with the flag that says so;
    // `words` is `words.len()` bytes that end in NUL, which the kernel copies before it returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            libc::c_long::from(kernel.as_raw_fd()),
            libc::c_long::from(initrd),
            words.len() as libc::c_ulong,
            words.as_ptr(),
            flags,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_kernel_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        // ENOEXEC as root, EPERM otherwise, ENOSYS if the kernel has no kexec; never success.
        let error = load(&file, None, c"root=/dev/null").unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error:?}");
    }
}
