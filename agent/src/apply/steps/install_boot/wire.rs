//! The boot loader of a tree, or of the image of a root filesystem, as the plan has it.

use super::{Bootloader, Device, Identifier, Plan, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Onto every one of these ESPs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstallBoot {
    pub bootloader: Bootloader,
    pub esps: Vec<Device>,
    /// Left out: the root is an image's, which has a UUID and a configuration of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_uuid: Option<String>,
    pub cmdline: Vec<String>,
}

impl Wire for InstallBoot {
    fn disks(&self) -> Vec<usize> {
        self.esps.iter().filter_map(Device::disk).collect()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let esps: Vec<String> = self.esps.iter().map(words::device).collect();
        format!("install the boot loader ({}) on {}", words::word(&self.bootloader), esps.join(", "))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
