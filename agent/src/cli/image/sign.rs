//! Signs files with a minisign secret key.

use crate::error::Coded;
use crate::protocol::Secret;
use minisign::{SecretKey, SecretKeyBox};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum MinisignError {
    #[error("{path}: cannot be read", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: not a minisign secret key, or the password is wrong: {why}", path = path.display())]
    Key { path: PathBuf, why: String },
    #[error("signing failed: {0}")]
    Sign(String),
}

impl Coded for MinisignError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "pack.key_unreadable",
            Self::Key { .. } => "pack.key",
            Self::Sign(_) => "pack.sign",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some("make a key: minisign -G -s minisign.key -p minisign.pub".into()),
            Self::Key { .. } => Some("use --key-password-file or BURIN_KEY_PASSWORD, or type it when asked".into()),
            Self::Sign(_) => None,
        }
    }
}

/// Seconds since 1970, as in minisign's own comments; `not_before` of an order refers to it.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A decrypted key. Never printed.
pub struct Key(SecretKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Asks on the terminal if the password is not given elsewhere.
    pub fn open(path: &Path, password_file: Option<&Path>) -> Result<Self, MinisignError> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|source| MinisignError::Read { path: path.to_owned(), source })
        };
        let text = read(path)?;
        let wrong = |error: minisign::PError| MinisignError::Key { path: path.to_owned(), why: error.to_string() };
        let boxed = || SecretKeyBox::from_string(&text).map_err(wrong);
        // Keys of `minisign -G -W` have no password.
        if let Ok(key) = boxed()?.into_unencrypted_secret_key() {
            return Ok(Self(key));
        }
        let password = match password_file {
            Some(path) => Some(Secret::new(read(path)?.trim_end_matches(['\r', '\n']))),
            None => std::env::var("BURIN_KEY_PASSWORD").ok().map(Secret::new),
        };
        let password = password.map(|password| password.reveal().to_owned());
        boxed()?.into_secret_key(password).map(Self).map_err(wrong)
    }

    /// A signature in minisign's format; `comment` is signed too. minisign signatures are randomised, so this is the
    /// only file that differs each time.
    pub fn sign(&self, bytes: &[u8], comment: &str) -> Result<String, MinisignError> {
        let signed =
            minisign::sign(None, &self.0, Cursor::new(bytes), Some(comment), Some("signature of burin image pack"));
        Ok(signed.map_err(|error| MinisignError::Sign(error.to_string()))?.into_string())
    }
}
