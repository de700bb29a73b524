//! Firmware variables through efivarfs: a file is four bytes of attributes and the value.

use crate::error::Coded;
use crate::sys::efivar;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// EFI_GLOBAL_VARIABLE, the namespace of Boot#### and BootOrder.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Non-volatile, for boot services and at run time.
const ATTRIBUTES: u32 = 0x7;
/// More than any boot variable needs; a broken one must not fill the memory.
const LIMIT: u64 = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub enum VariableError {
    #[error("{path}: no UEFI variables: the machine was not started by UEFI, or efivarfs is not mounted")]
    NotUefi { path: PathBuf },
    #[error("{path}: cannot be read")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: cannot be written")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path}: the firmware has no room for it")]
    Full { path: PathBuf, source: io::Error },
    #[error("{path}: firmware variables are read-only")]
    ReadOnly { path: PathBuf, source: io::Error },
    #[error("{path}: reads back differently than written")]
    ReadBack { path: PathBuf },
}

impl VariableError {
    /// Whether the firmware refused, which is not a fault: the disk is fine, and boots where firmware finds it by
    /// itself.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::ReadOnly { .. })
    }
}

impl Coded for VariableError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotUefi { .. } => "finalize.not_uefi",
            Self::Read { .. } => "finalize.efivar_read",
            Self::Write { .. } => "finalize.efivar_write",
            Self::Full { .. } => "finalize.nvram_full",
            Self::ReadOnly { .. } => "finalize.nvram_read_only",
            Self::ReadBack { .. } => "finalize.efivar_readback",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotUefi { .. } => "boot the machine in UEFI mode, or set `\"boot_order\": \"keep\"`".to_owned(),
            Self::Full { .. } => "delete unused boot entries in the firmware's setup; removable-media boot \
                                  (\\EFI\\BOOT) works without an entry"
                .to_owned(),
            Self::ReadOnly { .. } => {
                "allow the operating system to change boot entries in the firmware's setup".to_owned()
            }
            _ => return None,
        })
    }
}

/// The boot variables in an efivarfs directory.
#[derive(Debug)]
pub struct Variables {
    directory: PathBuf,
}

impl Variables {
    /// `directory` is `/sys/firmware/efi/efivars` on a real machine.
    pub fn open(directory: &Path) -> Result<Self, VariableError> {
        let not_uefi = || VariableError::NotUefi { path: directory.to_owned() };
        let mut entries = fs::read_dir(directory).map_err(|_| not_uefi())?;
        // Every UEFI machine has variables: an empty directory is an unused mount point.
        entries.next().ok_or_else(not_uefi)?.map_err(|_| not_uefi())?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// A variable's value; `None` if it does not exist.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, VariableError> {
        let path = self.path(name);
        let failed = |source| VariableError::Read { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(LIMIT).read_to_end(&mut bytes).map_err(failed)?;
        match bytes.split_at_checked(4) {
            Some((_, value)) => Ok(Some(value.to_vec())),
            // A variable that was never set.
            None => Ok(None),
        }
    }

    /// Sets a variable, unless it already has the value, and reads it back. Returns whether it was written.
    pub fn set(&self, name: &str, value: &[u8]) -> Result<bool, VariableError> {
        if self.get(name)?.as_deref() == Some(value) {
            return Ok(false);
        }
        let path = self.path(name);
        self.unlock(&path)?;
        let mut bytes = ATTRIBUTES.to_le_bytes().to_vec();
        bytes.extend_from_slice(value);
        // One write is one SetVariable(). No O_TRUNC, so that nothing is lost if it is refused.
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            let written = file.write(&bytes)?;
            if written != bytes.len() {
                return Err(io::ErrorKind::WriteZero.into());
            }
            // efivarfs sets the length by itself; a plain directory does not.
            if file.metadata()?.len() > bytes.len() as u64 {
                file.set_len(bytes.len() as u64)?;
            }
            Ok(())
        };
        write().map_err(|error| classify(path.clone(), error))?;
        if self.get(name)?.as_deref() != Some(value) {
            return Err(VariableError::ReadBack { path });
        }
        Ok(true)
    }

    pub fn delete(&self, name: &str) -> Result<(), VariableError> {
        let path = self.path(name);
        self.unlock(&path)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(classify(path, error)),
            _ => Ok(()),
        }
    }

    /// Numbers of the Boot#### variables, ascending.
    pub fn boot_numbers(&self) -> Result<Vec<u16>, VariableError> {
        let failed = |source| VariableError::Read { path: self.directory.clone(), source };
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            numbers.extend(name.to_str().and_then(boot_number));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}-{GLOBAL}"))
    }

    fn unlock(&self, path: &Path) -> Result<(), VariableError> {
        let unlocked = File::open(path).and_then(|file| efivar::make_mutable(&file));
        match unlocked {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(classify(path.to_owned(), error)),
        }
    }
}

/// `Boot0003-8be4df61-...` is 3; BootOrder, BootCurrent and other vendors' variables are `None`. Exactly four
/// hexadecimal digits, upper case (section 3.3).
fn boot_number(file_name: &str) -> Option<u16> {
    let (name, vendor) = file_name.split_once('-')?;
    let digits = name.strip_prefix("Boot")?;
    let valid =
        digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_digit() || (b'A'..=b'F').contains(&digit));
    (valid && vendor == GLOBAL).then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

fn classify(path: PathBuf, source: io::Error) -> VariableError {
    match source.raw_os_error() {
        Some(libc::ENOSPC) => VariableError::Full { path, source },
        Some(libc::EROFS | libc::EPERM | libc::EACCES) => VariableError::ReadOnly { path, source },
        _ => VariableError::Write { path, source },
    }
}
