//! The step in a plan: take down whatever else the kernel has built on old contents.

use super::{Identifier, Plan, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Volumes of one kind that the running kernel has made of what is on these disks, and that nothing uses. What stands on
/// them was taken apart by the steps before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StopVolumes {
    pub disks: Vec<usize>,
    pub kind: VolumeKind,
    /// Of kinds that device-mapper runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<MappedVolume>,
}

/// What a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeKind {
    /// Swap, on whatever it lies.
    Swap,
    /// A logical volume, with its hidden parts.
    Lvm,
    /// An opened LUKS or other encrypted volume.
    Crypt,
    /// Several paths as one disk.
    Multipath,
    /// Another map of device-mapper.
    Mapped,
    /// A cache and what is behind it.
    Bcache,
}

/// A device of device-mapper.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct MappedVolume {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

impl Wire for StopVolumes {
    fn disks(&self) -> Vec<usize> {
        self.disks.clone()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let named = |volume: &MappedVolume| volume.name.clone().or_else(|| volume.uuid.clone()).unwrap_or_default();
        let names = self.volumes.iter().map(named).collect::<Vec<_>>().join(", ");
        let what = match self.kind {
            VolumeKind::Swap => "turn off the swap".to_owned(),
            VolumeKind::Lvm => format!("deactivate the logical volumes {names}"),
            VolumeKind::Crypt => format!("close the encrypted volumes {names}"),
            VolumeKind::Multipath => format!("remove the multipath maps {names}"),
            VolumeKind::Mapped => format!("remove the device-mapper volumes {names}"),
            VolumeKind::Bcache => "stop the caches (bcache)".to_owned(),
        };
        format!("{what} on {}", words::list(&self.disks))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
