//! Errors of writing the two ends of a disk.

use crate::error::Coded;
use crate::finalize::device::Sectors;
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum AreaError {
    #[error("{device}: its first or last MiB cannot be {action}", device = device.display())]
    Io { device: PathBuf, action: &'static str, source: io::Error },
    #[error("{device}: its first or last MiB, read back, differs from what was written", device = device.display())]
    ReadBack { device: PathBuf },
    #[error("{device}: the data for its first and last MiB does not fit the disk", device = device.display())]
    Lengths { device: PathBuf },
}

impl AreaError {
    pub(super) fn io(disk: &dyn Sectors, action: &'static str, source: io::Error) -> Self {
        Self::Io { device: disk.path().to_owned(), action, source }
    }
}

impl Coded for AreaError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "apply.ends_io",
            Self::ReadBack { .. } => "apply.ends_readback",
            Self::Lengths { .. } => "apply.ends_length",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::ReadBack { .. } => Some("replace the disk: it does not keep what is written to it".to_owned()),
            Self::Io { .. } | Self::Lengths { .. } => None,
        }
    }
}
