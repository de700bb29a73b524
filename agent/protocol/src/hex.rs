//! Hexadecimal text of digests, fingerprints and identifiers.

/// Two lower-case hexadecimal digits per byte.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
