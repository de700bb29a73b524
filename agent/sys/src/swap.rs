//! swapoff(2).

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Stops using a device or file for swap; its contents are read back into memory. EINVAL if it is not in use as swap.
pub fn off(device: &Path) -> io::Result<()> {
    let path = CString::new(device.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `path` is a string with its end, and lives until the call returns; the kernel only reads it.
    match unsafe { libc::swapoff(path.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_swap_is_an_error() {
        let error = off(Path::new("/dev/null")).unwrap_err();
        // Without the privilege, EPERM comes first.
        assert!(matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)), "{error}");
        assert!(off(Path::new("a\0b")).is_err());
    }
}
