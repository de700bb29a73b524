//! The available memory.

use crate::error::ImageError;

/// Memory available without swapping, in bytes, as estimated by the kernel (proc(5), MemAvailable); `None` if it is
/// unknown.
pub fn available() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// An error if `needed` bytes are not available. If that is unknown, nothing is refused.
pub fn check(source_name: &str, needed: u64, available: Option<u64>) -> Result<(), ImageError> {
    match available.filter(|available| needed > *available) {
        Some(available) => Err(ImageError::Memory { source_name: source_name.to_owned(), needed, available }),
        None => Ok(()),
    }
}

/// The same, with the kernel's estimate.
pub fn check_available(source_name: &str, needed: u64) -> Result<(), ImageError> {
    check(source_name, needed, available())
}

fn parse(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_is_refused() {
        use burin_protocol::error::Coded;
        assert_eq!(check("image", 5, Some(4)).unwrap_err().code(), "image.memory");
        assert!(check("image", 4, Some(4)).is_ok() && check("image", u64::MAX, None).is_ok());
    }

    #[test]
    fn the_kernels_estimate_is_read() {
        let text = "MemTotal:       24578444 kB\nMemFree:         123 kB\nMemAvailable:   20401236 kB\n";
        assert_eq!(parse(text), Some(20_401_236 * 1024));
        assert_eq!(parse("MemTotal: 1 kB\n"), None);
        assert_eq!(parse("MemAvailable: many kB\n"), None);
    }
}
