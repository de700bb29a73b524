//! GUIDs that are the same in every run of an order, and the partition types of the machine's architecture.

use super::types;
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub const UNUSED: Uuid = Uuid::nil();
pub use types::{BIOS_BOOT, ESP, LINUX as LINUX_GENERIC};

/// A machine's architecture, for partition types and boot loaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Arm64,
}

impl Arch {
    /// That of the running binary, and so of the machine it installs.
    pub fn native() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::X86_64 }
    }

    /// As printed by `uname -m`.
    fn word(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// GPT type of this architecture's root filesystem.
    pub fn root_type(self) -> Uuid {
        types::guid("root", Some(self.word())).unwrap_or(UNUSED)
    }
}

/// The type named `name`, with `root` and `usr` depending on `arch`. See [`types::guid`].
pub fn partition_type(name: &str, arch: Arch) -> Option<Uuid> {
    types::guid(name, Some(arch.word()))
}

/// A GUID derived from its inputs (RFC 9562, version 8: vendor-specific): the same order and disk give the same one, so
/// that a step that was killed recognises its own work when it runs again.
pub fn derived(parts: &[&str]) -> Uuid {
    uuid::Builder::from_custom_bytes(bytes(parts)).into_uuid()
}

/// A FAT volume id, `XXXX-XXXX`, derived in the same way.
pub fn volume_id(parts: &[&str]) -> String {
    let [a, b, c, d, ..] = bytes(parts);
    format!("{a:02X}{b:02X}-{c:02X}{d:02X}")
}

/// The first half of a SHA-256.
fn bytes(parts: &[&str]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        // Length first, so that ("ab", "c") and ("a", "bc") differ.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_make_the_same_guid_and_others_another() {
        assert_eq!(derived(&["a", "b"]), derived(&["a", "b"]));
        assert_ne!(derived(&["ab", "c"]), derived(&["a", "bc"]));
        assert_eq!(derived(&["a"]).get_version_num(), 8);
        // What a released version wrote must be found again.
        assert_eq!(derived(&["order", "disk"]).to_string(), "fea44dc4-6d6a-8bc4-bdd7-4d1e85fa7c15");
        assert_eq!(volume_id(&["order", "disk"]), "FEA4-4DC4");
    }
}
