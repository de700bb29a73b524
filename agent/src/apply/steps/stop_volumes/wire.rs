//! The step in a plan: take down whatever else the kernel has built on old contents.

use super::{Identifier, Plan, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Takes down volumes of one kind that the running kernel has made from the contents of these disks, and that are not
/// in use. Earlier steps have taken down what was on top of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StopVolumes {
    pub disks: Vec<usize>,
    pub kind: VolumeKind,
    /// For kinds that device-mapper runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<MappedVolume>,
}

/// The kind of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeKind {
    /// Swap on any device.
    Swap,
    /// A logical volume, with its hidden parts.
    Lvm,
    /// An opened LUKS or other encrypted volume.
    Crypt,
    /// Several paths combined into one disk.
    Multipath,
    /// Another device-mapper map.
    Mapped,
    /// A cache and its backing device.
    Bcache,
}

/// A device-mapper device.
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
