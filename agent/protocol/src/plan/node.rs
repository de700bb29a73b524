//! What a plan leaves on the disks, as devices stacked on each other, for display.

use super::parts::{Device, PlannedPartition};
use super::words;

/// Something that lies on devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What others can lie on; none of a filesystem, an image, a place where it is mounted.
    pub device: Option<Device>,
    pub on: Vec<Device>,
    pub words: String,
}

impl Node {
    /// What nothing else can lie on.
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

/// A partition is known by its disk and its name; not every step knows its number.
fn is_same(one: &Device, other: &Device) -> bool {
    match (one, other) {
        (Device::Partition { disk, name, .. }, Device::Partition { disk: on, name: called, .. }) => {
            (disk, name) == (on, called)
        }
        (one, other) => one == other,
    }
}
