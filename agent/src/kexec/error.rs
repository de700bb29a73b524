use crate::apply::ApplyError;
use crate::error::Coded;
use crate::isolate::errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

/// Why the installed kernel cannot be started without the firmware.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum KexecError {
    #[error("no kernel was found on {disks}")]
    NoKernel { disks: String },
    #[error(transparent)]
    #[serde(skip)]
    Disk(#[from] ApplyError),
    #[error("{path} cannot be opened")]
    Read {
        path: PathBuf,
        #[serde(with = "errno")]
        source: io::Error,
    },
    #[error("the ramdisks do not fit into memory")]
    Memory {
        #[serde(with = "errno")]
        source: io::Error,
    },
    #[error("the running kernel does not accept {kernel}")]
    Refused {
        kernel: PathBuf,
        #[serde(with = "errno")]
        source: io::Error,
    },
}

impl Coded for KexecError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoKernel { .. } => "kexec.no_kernel",
            Self::Disk(error) => error.code(),
            Self::Read { .. } => "kexec.read",
            Self::Memory { .. } => "kexec.memory",
            Self::Refused { source, .. } => match source.raw_os_error() {
                Some(libc::ENOSYS) => "kexec.unsupported",
                Some(libc::EPERM) => "kexec.locked_down",
                Some(libc::ENOKEY | libc::EKEYREJECTED | libc::EBADMSG) => "kexec.signature",
                _ => "kexec.refused",
            },
        }
    }

    fn hint(&self) -> Option<String> {
        Some(
            match self.code() {
                "kexec.no_kernel" => {
                    "use reboot: a kernel inside an EFI program, or on RAID, LVM or LUKS, cannot be found"
                }
                "kexec.unsupported" => "use reboot: the ramdisk's kernel has no CONFIG_KEXEC_FILE",
                "kexec.locked_down" => {
                    "use reboot: Secure Boot, lockdown or kexec_load_disabled forbids loading this kernel"
                }
                "kexec.signature" => "use reboot: the ramdisk's kernel does not trust the installed kernel's key",
                _ => "use reboot",
            }
            .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_the_kernel_has_its_code() {
        let code = |errno| {
            let source = io::Error::from_raw_os_error(errno);
            KexecError::Refused { kernel: "/dev/sda1/vmlinuz".into(), source }.code()
        };
        assert_eq!(code(libc::EPERM), "kexec.locked_down");
        assert_eq!(code(libc::ENOSYS), "kexec.unsupported");
        assert_eq!(code(libc::EKEYREJECTED), "kexec.signature");
        assert_eq!(code(libc::ENOEXEC), "kexec.refused");
    }
}
