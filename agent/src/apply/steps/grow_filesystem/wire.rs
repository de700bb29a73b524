//! The step in a plan: grow a filesystem of an image.

use super::{Identifier, PartitionPick, Plan, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Grows a filesystem to the size of its partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrowFilesystem {
    pub disk: usize,
    pub partition: PartitionPick,
}

impl Wire for GrowFilesystem {
    fn disks(&self) -> Vec<usize> {
        vec![self.disk]
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, plan: &Plan) -> String {
        let through = plan.over(self.disk, self.partition).map(|name| format!(", through the array {name}"));
        let on = words::pick(self.partition);
        format!("[{}] grow the filesystem on {on}{}", self.disk, through.unwrap_or_default())
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
