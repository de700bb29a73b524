//! The seed: what the installed system's cloud-init is told on its first boot.

use super::layout::PartitionPick;
use super::value::{Text, Texts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Cloud-init seed; values may come from attributes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    #[serde(default)]
    pub format: SeedFormat,
    /// In which disk set; found by itself where only one can be meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Which partition holds the root filesystem, where the files go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionPick>,
    /// cloud-init's instance-id; the order's id when left out. Another one makes cloud-init run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Text>,
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub ssh_authorized_keys: Texts,
    /// cloud-config or script, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_data: Option<Text>,
    /// netplan v2, verbatim. Not together with the order's `network`, from which it is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_config: Option<serde_json::Value>,
}

/// How and where the seed is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SeedFormat {
    /// NoCloud files in the root filesystem, /var/lib/cloud/seed/nocloud/.
    #[default]
    Nocloud,
    /// NoCloud files in a vfat partition labelled CIDATA that is added at the end of the disk.
    Cidata,
    /// OpenStack files in a vfat partition labelled config-2 that is added at the end of the disk.
    ConfigDrive,
}

/// The two kinds of places a seed can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SeedPlace {
    RootFilesystem,
    OwnPartition,
}

impl SeedFormat {
    /// Of the partition of its own, by which cloud-init finds it.
    pub fn volume_label(self) -> Option<&'static str> {
        match self {
            SeedFormat::Nocloud => None,
            SeedFormat::Cidata => Some("CIDATA"),
            SeedFormat::ConfigDrive => Some("config-2"),
        }
    }

    pub fn place(self) -> SeedPlace {
        match self {
            SeedFormat::Nocloud => SeedPlace::RootFilesystem,
            SeedFormat::Cidata | SeedFormat::ConfigDrive => SeedPlace::OwnPartition,
        }
    }
}
