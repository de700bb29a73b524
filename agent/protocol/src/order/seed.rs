//! The seed: configuration for the installed system's cloud-init at first boot.

use super::layout::PartitionPick;
use super::value::{Text, Texts};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Cloud-init seed; values may come from attributes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    #[serde(default)]
    pub format: SeedFormat,
    /// The disk set; may be left out if only one is possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// The partition with the root filesystem, if the files go there; or the one for Ignition's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionPick>,
    /// cloud-init's instance-id; default: the order's id. A changed one makes cloud-init run again.
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
    /// Replaces all other values: the complete filesystem of the seed's own partition, made elsewhere (OpenStack's
    /// config drive). Base64 (RFC 4648 section 4) of at most 64 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<SeedVolume>,
    /// netplan v2, verbatim. Not together with the order's `network`, from which it would be generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_config: Option<serde_json::Value>,
}

/// The bytes of a filesystem; base64 in JSON. They may be secret: `Debug` shows only their number. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct SeedVolume(Arc<Vec<u8>>);

impl SeedVolume {
    /// Larger than any config drive: Nova and Ironic allow 64 MiB.
    pub const MOST: usize = 64 << 20;

    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SeedVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeedVolume({} bytes)", self.0.len())
    }
}

impl Serialize for SeedVolume {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.bytes()))
    }
}

impl<'de> Deserialize<'de> for SeedVolume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match STANDARD.decode(&text) {
            Ok(bytes) if bytes.len() <= Self::MOST => Ok(Self::new(bytes)),
            Ok(_) => Err(D::Error::custom("expected at most 64 MiB")),
            Err(_) => Err(D::Error::custom("expected base64")),
        }
    }
}

impl JsonSchema for SeedVolume {
    fn schema_name() -> Cow<'static, str> {
        "SeedVolume".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64" })
    }
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
    /// An Ignition configuration, read by Fedora CoreOS, RHEL CoreOS and Flatcar at first boot: from `user_data`, or
    /// generated from host name and keys.
    Ignition,
}

/// The kinds of places for a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SeedPlace {
    RootFilesystem,
    OwnPartition,
    /// The image's partition in which Ignition looks for its configuration.
    IgnitionPartition,
}

impl SeedFormat {
    pub const ALL: [Self; 4] = [Self::Nocloud, Self::Cidata, Self::ConfigDrive, Self::Ignition];

    /// The label of the separate partition, by which cloud-init finds it.
    pub fn volume_label(self) -> Option<&'static str> {
        match self {
            SeedFormat::Nocloud | SeedFormat::Ignition => None,
            SeedFormat::Cidata => Some("CIDATA"),
            SeedFormat::ConfigDrive => Some("config-2"),
        }
    }

    pub fn place(self) -> SeedPlace {
        match self {
            SeedFormat::Nocloud => SeedPlace::RootFilesystem,
            SeedFormat::Cidata | SeedFormat::ConfigDrive => SeedPlace::OwnPartition,
            SeedFormat::Ignition => SeedPlace::IgnitionPartition,
        }
    }
}
