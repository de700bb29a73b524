//! The step in a plan: a new LVM volume group.

use super::{Identifier, Plan, PlannedPhysical, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Creates a volume group over these physical volumes, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateGroup {
    pub name: String,
    /// Bytes.
    pub extent_size: u64,
    pub physical: Vec<PlannedPhysical>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl Wire for CreateGroup {
    fn disks(&self) -> Vec<usize> {
        self.physical.iter().filter_map(|one| one.on.disk()).collect()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let each = self.physical.iter().map(|one| words::device(&one.on)).collect::<Vec<_>>().join(", ");
        let extents = self.physical.iter().fold(0u64, |sum, one| sum.saturating_add(one.extents));
        let size = words::decimal(extents.saturating_mul(self.extent_size));
        format!(
            "create volume group {} ({size} in extents of {}) on {each}",
            self.name,
            words::decimal(self.extent_size)
        )
    }

    fn identifiers(&self) -> Vec<Identifier> {
        vec![Identifier::VolumeGroup(self.name.clone())]
    }
}
