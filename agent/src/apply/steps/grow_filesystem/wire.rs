//! The step in a plan: grow a filesystem of an image.

use super::{Identifier, PartitionPick, Plan, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// To the size of its partition.
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

    fn words(&self, _: &Plan) -> String {
        format!("[{}] grow the filesystem on {}", self.disk, words::pick(self.partition))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
