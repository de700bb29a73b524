//! The filesystem step: made by the filesystem's own program, then looked at.

use super::tools::Tool;
use super::{ApplyError, Context, raid, table};
use crate::finalize::filesystem;
use crate::protocol::order::FsType;
use crate::protocol::plan::{Device, PlannedFilesystem};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A filesystem as it was found after it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FilesystemReceipt {
    pub device: String,
    pub kind: String,
    pub uuid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

pub fn tool(kind: FsType) -> Tool {
    match kind {
        FsType::Ext4 => Tool { name: "mkfs.ext4", package: "e2fsprogs" },
        FsType::Xfs => Tool { name: "mkfs.xfs", package: "xfsprogs" },
        FsType::Btrfs => Tool { name: "mkfs.btrfs", package: "btrfs-progs" },
        FsType::Vfat => Tool { name: "mkfs.vfat", package: "dosfstools" },
        FsType::Swap => Tool { name: "mkswap", package: "util-linux" },
    }
}

/// As libblkid and mount(2) call it.
pub fn name(kind: FsType) -> &'static str {
    match kind {
        FsType::Ext4 => "ext4",
        FsType::Xfs => "xfs",
        FsType::Btrfs => "btrfs",
        FsType::Vfat => "vfat",
        FsType::Swap => "swap",
    }
}

pub fn make(context: &Context<'_>, on: &Device, wanted: &PlannedFilesystem) -> Result<FilesystemReceipt, ApplyError> {
    let device = node(context, on)?;
    tool(wanted.kind).run(&context.paths.root, &arguments(wanted), &device)?;
    let found = filesystem::probe(&device)?;
    let same_uuid = found.uuid.as_deref().is_some_and(|uuid| uuid.eq_ignore_ascii_case(&wanted.uuid));
    if found.kind.as_deref() != Some(name(wanted.kind)) || !same_uuid {
        let words = |kind: &str, uuid: &str| format!("{kind} {uuid}");
        let found = words(&found.kind.unwrap_or_default(), &found.uuid.unwrap_or_default());
        return Err(ApplyError::Made { device, wanted: words(name(wanted.kind), &wanted.uuid), found });
    }
    let (kind, uuid) = (name(wanted.kind).to_owned(), wanted.uuid.clone());
    Ok(FilesystemReceipt { device: device.display().to_string(), kind, uuid, label: found.label })
}

/// The device node of something with blocks that earlier steps made.
pub fn node(context: &Context<'_>, on: &Device) -> Result<PathBuf, ApplyError> {
    match on {
        Device::Disk { disk } => Ok(context.path(context.disk(*disk)?)),
        Device::Partition { disk, name, .. } => table::node_by_name(context, context.disk(*disk)?, name),
        Device::Raid { name } => Ok(raid::node(context, name)),
    }
}

fn arguments(wanted: &PlannedFilesystem) -> Vec<String> {
    // Forced: what was there was planned to go, and a killed run left half a filesystem.
    let (first, uuid, label): (&[&str], String, &str) = match wanted.kind {
        FsType::Ext4 => (&["-q", "-F", "-U"], wanted.uuid.clone(), "-L"),
        FsType::Xfs => (&["-q", "-f", "-m"], format!("uuid={}", wanted.uuid), "-L"),
        FsType::Btrfs => (&["-q", "-f", "-U"], wanted.uuid.clone(), "-L"),
        FsType::Vfat => (&["-i"], wanted.uuid.replace('-', ""), "-n"),
        FsType::Swap => (&["-f", "-U"], wanted.uuid.clone(), "-L"),
    };
    let mut arguments: Vec<String> = first.iter().map(|&word| word.to_owned()).collect();
    arguments.push(uuid);
    if let Some(text) = &wanted.label {
        arguments.extend([label.to_owned(), text.clone()]);
    }
    arguments.extend(wanted.options.iter().cloned());
    arguments
}

/// Whether the program for it is there, before anything is destroyed.
pub fn check(kind: FsType, root: &Path) -> Result<(), ApplyError> {
    tool(kind).find(root).map(|_| ())
}
