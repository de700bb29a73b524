//! The step in a plan: new GUIDs for a copied table.

use super::{Identifier, Plan, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sets GUIDs; partitions by number. Those not named keep theirs, unless `every` says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetGuids {
    pub disk: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_guid: Option<String>,
    pub partitions: BTreeMap<u32, String>,
    /// Every other partition of the table gets a GUID derived from the order, the disk and its number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub every: bool,
}

impl Wire for SetGuids {
    fn disks(&self) -> Vec<usize> {
        vec![self.disk]
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let mut parts: Vec<String> = self.disk_guid.iter().map(|guid| format!("disk {guid}")).collect();
        parts.extend(self.partitions.iter().map(|(number, guid)| format!("partition {number} {guid}")));
        parts.extend(self.every.then(|| "a new one for every partition".to_owned()));
        format!("[{}] set GUIDs: {}", self.disk, parts.join(", "))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        let disk = self.disk_guid.iter().cloned().map(Identifier::DiskGuid);
        disk.chain(self.partitions.values().cloned().map(Identifier::PartitionGuid)).collect()
    }
}
