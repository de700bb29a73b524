use burin_protocol::error::Coded;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// Errors of a target, before or while it is written.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("{device}: cannot be opened")]
    Open { device: PathBuf, source: io::Error },
    #[error("{device}: does not exist")]
    NotFound { device: PathBuf },
    #[error("{device}: is not a block device")]
    NotBlockDevice { device: PathBuf },
    #[error("{device}: is not an ordinary file")]
    NotFile { device: PathBuf },
    #[error("{device}: is read-only")]
    ReadOnly { device: PathBuf },
    #[error("{device}: is in use by {by}")]
    Held { device: PathBuf, by: String },
    #[error("{device}: has no size; is there a medium in it?")]
    Empty { device: PathBuf },
    #[error("{device}: does not support direct I/O")]
    NoDirectIo { device: PathBuf, source: io::Error },
    #[error("{device}: logical sectors of {bytes} bytes are not supported")]
    SectorSize { device: PathBuf, bytes: u32 },
    #[error("{device}: {operation} failed at byte {offset}")]
    Io { device: PathBuf, operation: &'static str, offset: u64, source: io::Error },
    #[error("{device}: is gone: {operation} failed at byte {offset}")]
    Gone { device: PathBuf, operation: &'static str, offset: u64, source: io::Error },
    #[error("{device}: a request has not been answered for {seconds} s")]
    Hung { device: PathBuf, seconds: u64 },
    #[error("{device}: the data read back at byte {offset} ({len} bytes) differs from what was written")]
    ReadbackMismatch { device: PathBuf, offset: u64, len: u64 },
    #[error("{device}: bytes {} to {} must be kept; a write at byte {offset} was refused", kept.start, kept.end)]
    Kept { device: PathBuf, offset: u64, kept: Range<u64> },
    #[error("{device}: interrupted")]
    Interrupted { device: PathBuf },
}

impl Coded for DiskError {
    fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "disk.open",
            Self::NotFound { .. } => "disk.not_found",
            Self::NotBlockDevice { .. } | Self::NotFile { .. } => "disk.wrong_kind",
            Self::ReadOnly { .. } => "disk.read_only",
            Self::Held { .. } => "disk.held",
            Self::Empty { .. } => "disk.empty",
            Self::NoDirectIo { .. } => "disk.no_direct_io",
            Self::SectorSize { .. } => "disk.sector_size",
            Self::Io { .. } => "disk.io",
            Self::Gone { .. } => "disk.gone",
            Self::Hung { .. } => "disk.hung",
            Self::ReadbackMismatch { .. } => "disk.readback_mismatch",
            Self::Kept { .. } => "disk.kept",
            Self::Interrupted { .. } => "cancelled",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotBlockDevice { device } => {
                Some(format!("use --file {} to write to a regular file", device.display()))
            }
            Self::NotFile { .. } => Some("leave out --file to write to a block device".into()),
            Self::ReadOnly { .. } => Some("look for a write-protect switch, or `blockdev --setrw`".into()),
            Self::Held { .. } => Some("unmount or stop whatever uses it; burin never takes over a disk in use".into()),
            Self::Gone { .. } => Some("look at the kernel log: the disk was removed, or its link failed".into()),
            Self::Hung { .. } => {
                Some("look at the kernel log and power-cycle the machine: the disk or its controller hangs".into())
            }
            Self::Kept { .. } => Some(
                "use a smaller image: this one has data where a partition is kept; nothing was written there".into(),
            ),
            Self::ReadbackMismatch { .. } => Some("replace the device: it loses or changes data".into()),
            // The block layer returns ENODATA for a medium error that the device itself reports, as NVMe and SCSI do.
            Self::Io { source, .. } if matches!(source.raw_os_error(), Some(libc::EIO | libc::ENODATA)) => {
                Some("look at the kernel log: the device reports a failed medium or link".into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_medium_is_told_as_such_whatever_the_kernel_calls_it() {
        let error = |errno| DiskError::Io {
            device: "/dev/nvme0n1".into(),
            operation: "read back",
            offset: 4096,
            source: io::Error::from_raw_os_error(errno),
        };
        for errno in [libc::EIO, libc::ENODATA] {
            assert_eq!(error(errno).code(), "disk.io");
            assert!(error(errno).hint().is_some_and(|hint| hint.contains("medium")), "{errno}");
        }
        assert_eq!(error(libc::ENOSPC).hint(), None);
    }
}
