//! The step in a plan: another sector size for an NVMe namespace.

use super::{Device, Identifier, Node, Plan, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Formats a namespace: everything on it is lost, and from here on it has this sector size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FormatNamespace {
    pub disk: usize,
    /// Bytes.
    pub sector_size: u32,
    /// Size of the disk in bytes afterwards.
    pub size: u64,
}

impl Wire for FormatNamespace {
    fn disks(&self) -> Vec<usize> {
        vec![self.disk]
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, plan: &Plan) -> String {
        let had = plan.disks.get(self.disk).map(|disk| format!(" instead of {}", disk.logical_block_size));
        format!("[{}] format to sectors of {} bytes{}", self.disk, self.sector_size, had.unwrap_or_default())
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }

    fn nodes(&self, _: &Plan) -> Vec<Node> {
        vec![Node::on(&Device::Disk { disk: self.disk }, format!("sectors of {} bytes", self.sector_size))]
    }
}
