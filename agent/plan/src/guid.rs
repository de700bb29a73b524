//! Identifiers that the plan makes up. Derived instead of random, so that the plan is a pure function and a step that is
//! done again after a cut makes the same thing again.

use super::canonical::hex;
use sha2::{Digest, Sha256};
use uuid::Builder;

fn bytes(parts: &[&str]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        // Length first: ("ab", "c") and ("a", "bc") are different.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    first
}

/// A UUID of version 8 (RFC 9562: made by the vendor's own rule).
pub fn derived(parts: &[&str]) -> String {
    Builder::from_custom_bytes(bytes(parts)).into_uuid().hyphenated().to_string()
}

/// A FAT volume id, `XXXX-XXXX`.
pub fn volume_id(parts: &[&str]) -> String {
    let text = hex(&bytes(parts)[..4]).to_ascii_uppercase();
    let (high, low) = text.split_at(4);
    format!("{high}-{low}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_make_the_same_guid_and_others_another() {
        assert_eq!(derived(&["a", "b"]), derived(&["a", "b"]));
        assert_ne!(derived(&["ab", "c"]), derived(&["a", "bc"]));
        let uuid = uuid::Uuid::parse_str(&derived(&["a"])).unwrap();
        assert_eq!(uuid.get_version_num(), 8);
        assert_eq!(volume_id(&["a"]).len(), 9);
    }
}
