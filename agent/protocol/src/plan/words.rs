//! Readable descriptions of plans.

use super::super::order::{PartitionPick, PickName};
use super::parts::Device;

/// `[0] [1]`.
pub fn list(disks: &[usize]) -> String {
    disks.iter().map(|disk| format!("[{disk}]")).collect::<Vec<_>>().join(" ")
}

pub fn pick(partition: PartitionPick) -> String {
    match partition {
        PartitionPick::Number(number) => format!("partition {number}"),
        PartitionPick::Named(PickName::Last) => "the last partition".to_owned(),
        PartitionPick::Named(PickName::Root) => "the root partition".to_owned(),
    }
}

pub fn device(device: &Device) -> String {
    match device {
        Device::Disk { disk } => format!("[{disk}]"),
        Device::Partition { disk, name, .. } => format!("[{disk}] \"{name}\""),
        Device::ImagePartition { disk, partition } => format!("{} of [{disk}]", pick(*partition)),
        Device::Raid { name } => format!("array {name}"),
        Device::Luks { name } => format!("LUKS volume {name}"),
        Device::Volume { group, name } => format!("volume {group}/{name}"),
    }
}

/// An enumeration value as in its JSON.
pub fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// `480.1 GB`.
pub fn decimal(bytes: u64) -> String {
    let units = [("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let bytes = bytes as f64;
    match units.iter().find(|(_, factor)| bytes >= *factor) {
        Some((unit, factor)) => format!("{:.1} {unit}", bytes / factor),
        None => format!("{bytes} B"),
    }
}
