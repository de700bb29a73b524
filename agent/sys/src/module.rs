//! fnmatch(3), against which our own matcher of module aliases is tested.

use std::ffi::CString;

pub fn fnmatch(pattern: &str, text: &str) -> bool {
    let (Ok(pattern), Ok(text)) = (CString::new(pattern), CString::new(text)) else { return false };
    // SAFETY: both are NUL-terminated strings that outlive the call, which keeps no pointer.
    unsafe { libc::fnmatch(pattern.as_ptr(), text.as_ptr(), 0) == 0 }
}
