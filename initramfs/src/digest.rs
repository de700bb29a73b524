//! SHA-256 as hexadecimal text, and readable sizes.

use sha2::{Digest as _, Sha256};

/// SHA-256 of `data` in lower-case hexadecimal.
pub fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect()
}

/// `18.3 MB` (10^6 bytes).
pub fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_forms() {
        assert_eq!(super::sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(super::megabytes(18_350_000), "18.3 MB");
    }
}
