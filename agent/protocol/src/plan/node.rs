//! What a plan leaves on the disks, as stacked devices, for display.

use super::parts::{Device, PlannedPartition};
use super::words;

/// Something that lies on devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// A device on which others can lie; `None` for a filesystem, an image or a mount point.
    pub device: Option<Device>,
    pub on: Vec<Device>,
    pub words: String,
}

impl Node {
    /// A node on which nothing else can lie.
    pub fn on(device: &Device, words: String) -> Self {
        Self { device: None, on: vec![device.clone()], words }
    }

    pub fn partition(disk: usize, partition: &PlannedPartition) -> Self {
        let number = partition.number.map(|number| format!("{number} ")).unwrap_or_default();
        Self {
            device: Some(Device::Partition { disk, name: partition.name.clone(), number: partition.number }),
            on: vec![Device::Disk { disk }],
            words: format!("{number}\"{}\" {}", partition.name, words::decimal(partition.size)),
        }
    }

    /// Whether it lies on that device.
    pub fn lies_on(&self, device: &Device) -> bool {
        self.on.iter().any(|on| is_same(on, device))
    }
}

/// A partition is identified by its disk and name; not every step knows its number.
fn is_same(one: &Device, other: &Device) -> bool {
    match (one, other) {
        (Device::Partition { disk, name, .. }, Device::Partition { disk: on, name: called, .. }) => {
            (disk, name) == (on, called)
        }
        (one, other) => one == other,
    }
}
