//! Makes a filesystem with its own mkfs program, and verifies it.

use super::{ApplyError, MakeFilesystem, Perform, Ramdisk, Work};
use crate::apply::bound::Access;
use crate::apply::resolve;
use crate::apply::tools::Tool;
use crate::finalize::filesystem;
use crate::protocol::order::FsType;
use crate::protocol::plan::PlannedFilesystem;
use serde::Serialize;

/// A filesystem as it was found after it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FilesystemReceipt {
    pub device: String,
    pub kind: String,
    pub uuid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

fn tool(kind: FsType) -> Tool {
    match kind {
        FsType::Ext4 => Tool { name: "mkfs.ext4", package: "e2fsprogs" },
        FsType::Xfs => Tool { name: "mkfs.xfs", package: "xfsprogs" },
        FsType::Btrfs => Tool { name: "mkfs.btrfs", package: "btrfs-progs" },
        FsType::Vfat => Tool { name: "mkfs.vfat", package: "dosfstools" },
        FsType::Swap => Tool { name: "mkswap", package: "util-linux" },
    }
}

/// The name used by libblkid and mount(2).
pub fn name(kind: FsType) -> &'static str {
    match kind {
        FsType::Ext4 => "ext4",
        FsType::Xfs => "xfs",
        FsType::Btrfs => "btrfs",
        FsType::Vfat => "vfat",
        FsType::Swap => "swap",
    }
}

impl Perform for MakeFilesystem {
    fn able(&self, ramdisk: &Ramdisk<'_>) -> Result<(), ApplyError> {
        ramdisk.program(tool(self.filesystem.kind))
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let wanted = &self.filesystem;
        let proven = resolve::open(work, &self.on, Access::Read)?;
        tool(wanted.kind).run(&work.paths.root, &arguments(wanted), proven.node(), &work.cancel)?;
        let found = filesystem::probe(proven.node())?;
        let same_uuid = found.uuid.as_deref().is_some_and(|uuid| uuid.eq_ignore_ascii_case(&wanted.uuid));
        if found.kind.as_deref() != Some(name(wanted.kind)) || !same_uuid {
            let words = |kind: &str, uuid: &str| format!("{kind} {uuid}");
            let found = words(&found.kind.unwrap_or_default(), &found.uuid.unwrap_or_default());
            let device = proven.name().to_owned();
            return Err(ApplyError::Made { device, wanted: words(name(wanted.kind), &wanted.uuid), found });
        }
        let (kind, uuid) = (name(wanted.kind).to_owned(), wanted.uuid.clone());
        let receipt = FilesystemReceipt { device: proven.device(), kind, uuid, label: found.label };
        work.note("make-filesystem", &receipt.device, &receipt);
        Ok(())
    }
}

fn arguments(wanted: &PlannedFilesystem) -> Vec<String> {
    // Forced: old contents are meant to go, and a killed run may have left half a filesystem.
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
