//! The step in a plan: the boot loader of a tree, or of a root filesystem image.

use super::{Bootloader, Device, Identifier, Plan, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Installs the boot loader on every one of these ESPs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstallBoot {
    pub bootloader: Bootloader,
    pub esps: Vec<Device>,
    /// Absent: the root comes from an image, with a UUID and a configuration of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_uuid: Option<String>,
    pub cmdline: Vec<String>,
    /// For machines that boot by BIOS: the partitions for GRUB's core image, one per disk. Its boot sector is the first
    /// sector of the disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bios: Vec<Device>,
}

impl Wire for InstallBoot {
    fn disks(&self) -> Vec<usize> {
        self.esps.iter().chain(&self.bios).filter_map(Device::disk).collect()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let places: Vec<String> = self.esps.iter().chain(&self.bios).map(words::device).collect();
        let by = if self.bios.is_empty() { "" } else { " for BIOS" };
        format!("install the boot loader ({}){by} on {}", words::word(&self.bootloader), places.join(", "))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
