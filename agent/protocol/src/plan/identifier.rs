//! Names and numbers by which disks, partitions and filesystems are found at boot.

/// An identifier that is looked up at boot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identifier {
    DiskGuid(String),
    PartitionGuid(String),
    FilesystemUuid(String),
    FilesystemLabel(String),
    ArrayName(String),
    ArrayUuid(String),
    VolumeGroup(String),
}

impl std::fmt::Display for Identifier {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Identifier::DiskGuid(text) => write!(f, "disk GUID {text}"),
            Identifier::PartitionGuid(text) => write!(f, "partition GUID {text}"),
            Identifier::FilesystemUuid(text) => write!(f, "UUID {text}"),
            Identifier::FilesystemLabel(text) => write!(f, "label {text}"),
            Identifier::ArrayName(text) => write!(f, "array name {text}"),
            Identifier::ArrayUuid(text) => write!(f, "array UUID {text}"),
            Identifier::VolumeGroup(text) => write!(f, "volume group {text}"),
        }
    }
}
