//! swapoff(2).

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Takes a device or file out of use for swap; what is on it comes back into memory. EINVAL where it is no swap in use.
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
        // Those who may not are told so first.
        assert!(matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)), "{error}");
        assert!(off(Path::new("a\0b")).is_err());
    }
}
