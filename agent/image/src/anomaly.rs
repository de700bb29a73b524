//! What is odd about an image that is written all the same.

use burin_protocol::error::Coded;

/// Told at once, and kept in the receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Anomaly {
    #[error("{source_name}: no partition table, filesystem or boot sector that is known: it is written as it is")]
    Unrecognized { source_name: String },
    #[error(
        "{source_name}: {bytes} bytes behind the {compression} data are left out; its digest proves that they belong there"
    )]
    Trailing { source_name: String, compression: &'static str, bytes: u64 },
    #[error("{source_name}: its backup GPT belongs to byte {offset}, and the image ends at {length}")]
    NoBackup { source_name: String, offset: u64, length: u64 },
    #[error("{source_name}: nothing tells how long it is: whether the download is whole is not proven")]
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
            Self::Unrecognized { .. } => Some("look at the file (`file IMAGE`): is it a disk image at all?".into()),
            Self::LengthUnknown { .. } => Some("publish a digest, or have the server send a Content-Length".into()),
            Self::Trailing { .. } | Self::NoBackup { .. } => None,
        }
    }
}
