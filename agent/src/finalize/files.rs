//! Writes files into a mounted system, and compares them after it has been mounted again.

use super::accounts::lookup;
use super::root::{Put, Root};
use super::selinux::{Contexts, FileType};
use crate::error::Coded;
use crate::protocol::order::Account;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use xattr::FileExt;

/// User and group databases: the system's own, and those that an ostree deployment keeps besides.
const USERS: [&str; 2] = ["etc/passwd", "usr/lib/passwd"];
const GROUPS: [&str; 2] = ["etc/group", "usr/lib/group"];
const DATABASE_LIMIT: u64 = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{path}: cannot be written")]
    Io { path: String, source: io::Error },
    #[error("{path}: there is a directory of this name")]
    Directory { path: String },
    #[error("{path}: the system has no {what} {name:?}")]
    Account { path: String, what: &'static str, name: String },
    #[error("{path}: cannot be read back")]
    Lost { path: String, source: io::Error },
    #[error("{path}: read back, its {what} differs from what was written")]
    Differs { path: String, what: &'static str },
}

impl Coded for FileError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "finalize.file",
            Self::Directory { .. } => "finalize.file_directory",
            Self::Account { .. } => "finalize.file_account",
            Self::Lost { .. } | Self::Differs { .. } => "finalize.file_readback",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Account { .. } => Some("give its number, or add the account to the image".to_owned()),
            _ => None,
        }
    }
}

/// One file.
#[derive(Clone, Copy)]
pub struct NewFile<'a> {
    /// Absolute, in the system.
    pub path: &'a str,
    pub bytes: &'a [u8],
    pub mode: u32,
    pub owner: Option<&'a Account>,
    pub group: Option<&'a Account>,
}

impl std::fmt::Debug for NewFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.path, self.bytes.len())
    }
}

/// What was written, for the receipt, without the contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReceipt {
    pub path: String,
    pub bytes: u64,
    /// Octal.
    pub mode: String,
    pub uid: u32,
    pub gid: u32,
    /// SELinux, if the system uses such labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// `file_contexts`: from the system's own policy; `neighbour`: no entry matches, and the replaced file or the
    /// directory has this label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labelled_by: Option<&'static str>,
}

/// Writes all of them, each atomically: a reader sees the old file or the new one. Missing directories are made.
pub fn write(root: &Root, files: &[NewFile<'_>]) -> Result<Vec<FileReceipt>, FileError> {
    let contexts = Contexts::of(root);
    files.iter().map(|file| write_one(root, contexts.as_ref(), file)).collect()
}

fn write_one(root: &Root, contexts: Option<&Contexts>, file: &NewFile<'_>) -> Result<FileReceipt, FileError> {
    let path = || file.path.to_owned();
    let failed = |source| FileError::Io { path: path(), source };
    let (directory, name) = split(file.path);
    let is_directory = root.open_directory(Path::new(relative(file.path))).is_ok()
        && root.is_link(relative(file.path)).is_ok_and(|link| !link);
    if is_directory {
        return Err(FileError::Directory { path: path() });
    }
    let uid = number(root, file, file.owner, false)?;
    let gid = number(root, file, file.group, true)?;
    let top = root.real(Path::new("")).map_err(failed)?;
    // Labels depend on the real path, whatever links lead there.
    let label = |real: &Path, file_type| {
        let inside = Path::new("/").join(real.strip_prefix(&top).unwrap_or(real));
        contexts.and_then(|contexts| contexts.label(&inside.to_string_lossy(), file_type)).map(str::to_owned)
    };
    let of_directory = |real: &Path| label(real, FileType::Directory);
    root.make_directories_with(Path::new(directory), &of_directory).map_err(failed)?;
    let real = root.real(Path::new(directory)).map_err(failed)?.join(name);
    let by_policy = label(&real, FileType::Regular);
    let put = Put { mode: file.mode, owner: Some((uid, gid)), label: by_policy.as_deref() };
    root.put(directory, name, &mut &*file.bytes, put).map_err(failed)?;
    let (found, _) = attributes(root, file.path)?;
    Ok(FileReceipt {
        path: path(),
        bytes: file.bytes.len() as u64,
        mode: format!("{:04o}", file.mode),
        uid,
        gid,
        labelled_by: found
            .as_ref()
            .map(|found| if by_policy.as_ref() == Some(found) { "file_contexts" } else { "neighbour" }),
        label: found,
    })
}

/// Compares contents and attributes with what [`write`] wrote. Conclusive only if the filesystems were mounted again.
pub fn compare(root: &Root, files: &[NewFile<'_>], written: &[FileReceipt]) -> Result<(), FileError> {
    for (file, receipt) in files.iter().zip(written) {
        compare_attributes(root, receipt)?;
        let failed = |source| FileError::Lost { path: file.path.to_owned(), source };
        let opened = root.open_file(relative(file.path)).map_err(failed)?;
        let digest: [u8; 32] = Sha256::digest(file.bytes).into();
        if super::root::digest(&opened).map_err(failed)? != digest {
            return Err(FileError::Differs { path: file.path.to_owned(), what: "contents" });
        }
    }
    Ok(())
}

/// The same without the contents.
pub fn compare_attributes(root: &Root, receipt: &FileReceipt) -> Result<(), FileError> {
    let (label, metadata) = attributes(root, &receipt.path)?;
    let same = [
        ("length", metadata.len() == receipt.bytes),
        ("mode", format!("{:04o}", metadata.mode() & 0o7777) == receipt.mode),
        ("owner", (metadata.uid(), metadata.gid()) == (receipt.uid, receipt.gid)),
        ("label", label == receipt.label),
    ];
    match same.into_iter().find(|(_, same)| !same) {
        Some((what, _)) => Err(FileError::Differs { path: receipt.path.clone(), what }),
        None => Ok(()),
    }
}

fn attributes(root: &Root, path: &str) -> Result<(Option<String>, std::fs::Metadata), FileError> {
    let failed = |source| FileError::Lost { path: path.to_owned(), source };
    let opened = root.open_file(relative(path)).map_err(failed)?;
    let label = opened.get_xattr(super::root::SELINUX).ok().flatten();
    let label = label.map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned());
    Ok((label, opened.metadata().map_err(failed)?))
}

fn number(root: &Root, file: &NewFile<'_>, account: Option<&Account>, group: bool) -> Result<u32, FileError> {
    let name = match account {
        None => return Ok(0),
        Some(Account::Number(number)) => return Ok(*number),
        Some(Account::Name(name)) => name,
    };
    let databases = if group { GROUPS } else { USERS };
    let found = databases.iter().find_map(|path| {
        let bytes = root.read(path, DATABASE_LIMIT).ok()?;
        lookup(&String::from_utf8_lossy(&bytes), name)
    });
    let what = if group { "group" } else { "user" };
    found.ok_or_else(|| FileError::Account { path: file.path.to_owned(), what, name: name.clone() })
}

/// As the tree's own functions expect it.
pub fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn split(path: &str) -> (&str, &str) {
    relative(path).rsplit_once('/').unwrap_or(("", relative(path)))
}
