//! One rule for all documents: an unknown version is refused, an unknown field is not.

use crate::error::Coded;

/// A document of another version than this program supports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this document is {found:?}, but this program speaks {expected}")]
pub struct VersionError {
    pub found: String,
    pub expected: &'static str,
}

impl Coded for VersionError {
    fn code(&self) -> &'static str {
        "protocol.version"
    }

    fn hint(&self) -> Option<String> {
        Some(format!("use a controller and an agent that both speak {}", self.expected))
    }
}

pub fn check(found: &str, expected: &'static str) -> Result<(), VersionError> {
    if found == expected {
        return Ok(());
    }
    // Text from outside may be long; the message should not be.
    Err(VersionError { found: found.chars().take(64).collect(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_version_passes() {
        assert_eq!(check("order/v1", "order/v1"), Ok(()));
        let error = check("order/v2", "order/v1").unwrap_err();
        assert_eq!(error.code(), "protocol.version");
        assert!(error.to_string().contains("order/v2"));
        assert_eq!(check(&"x".repeat(10_000), "order/v1").unwrap_err().found.len(), 64);
    }
}
