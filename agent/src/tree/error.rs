//! Errors of unpacking a tree.

use crate::error::Coded;
use crate::image::ImageError;
use std::io;

#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error("the archive cannot be read")]
    Archive { source: io::Error },
    #[error("{path}: leads out of the tree")]
    Escape { path: String },
    #[error("{path}: {what}")]
    Unsupported { path: String, what: String },
    #[error("{path}: cannot {action}")]
    Io { path: String, action: &'static str, source: io::Error },
    #[error("{path}: read back, it differs from what was unpacked: {what}")]
    Differs { path: String, what: &'static str },
    #[error("stopped")]
    Stopped,
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl Coded for TreeError {
    fn code(&self) -> &'static str {
        match self {
            Self::Archive { .. } => "tree.archive",
            Self::Escape { .. } => "tree.escape",
            Self::Unsupported { .. } => "tree.unsupported",
            Self::Io { .. } => "tree.io",
            Self::Differs { .. } => "tree.differs",
            Self::Stopped => "cancelled",
            Self::Image(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Archive { .. } => Some("check how the archive was made: a tree is a tar archive".to_owned()),
            Self::Escape { .. } => Some("make the archive with paths below the root, without `..`".to_owned()),
            Self::Differs { .. } => {
                Some("replace the disk if nothing else writes to it: it does not keep what is written".to_owned())
            }
            Self::Image(error) => error.hint(),
            _ => None,
        }
    }
}
