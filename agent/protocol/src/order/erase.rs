//! How thoroughly the old contents of a disk are erased.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Each level does more than the one before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Erase {
    /// The signatures of what was there, which always go; the rest stays until it is written over.
    #[default]
    Signatures,
    /// Every byte that can be addressed is overwritten with zeros and, unless `policies.verify` says otherwise, read back.
    Zeros,
    /// The disk's own command, which also reaches what it keeps where no address leads: Format NVM with a secure erase, of
    /// the encryption key where the disk offers it, else of all user data. NVMe namespaces only.
    SecureErase,
}

impl Erase {
    pub fn is_least(&self) -> bool {
        *self == Self::Signatures
    }

    /// As the JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Signatures => "signatures",
            Self::Zeros => "zeros",
            Self::SecureErase => "secure-erase",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_called_as_in_json() {
        let all = [Erase::Signatures, Erase::Zeros, Erase::SecureErase];
        assert!(all.is_sorted() && Erase::default() == Erase::Signatures);
        for level in all {
            assert_eq!(serde_json::to_value(level).unwrap(), level.word());
        }
    }
}
