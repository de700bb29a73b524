//! Anomalies of an image that do not prevent it from being written.

use burin_protocol::error::Coded;

/// Reported at once, and listed in the receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Anomaly {
    #[error("{source_name}: no known partition table, filesystem or boot sector; written unchanged")]
    Unrecognized { source_name: String },
    #[error(
        "{source_name}: {bytes} bytes after the {compression} data are ignored; the digest proves that they belong to the file"
    )]
    Trailing { source_name: String, compression: &'static str, bytes: u64 },
    #[error("{source_name}: its backup GPT should be at byte {offset}, but the image ends at {length}")]
    NoBackup { source_name: String, offset: u64, length: u64 },
    #[error("{source_name}: its length is not known, so the download may be incomplete")]
    LengthUnknown { source_name: String },
}

impl Coded for Anomaly {
    fn code(&self) -> &'static str {
        match self {
            Self::Unrecognized { .. } => "image.unrecognized",
            Self::Trailing { .. } => "image.trailing_garbage",
            Self::NoBackup { .. } => "image.no_backup_table",
            Self::LengthUnknown { .. } => "image.length_unknown",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unrecognized { .. } => Some("check with `file IMAGE` that it is a disk image".into()),
            Self::LengthUnknown { .. } => {
                Some("publish a digest, or configure the server to send a Content-Length".into())
            }
            Self::Trailing { .. } | Self::NoBackup { .. } => None,
        }
    }
}
