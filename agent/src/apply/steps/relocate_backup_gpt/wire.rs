//! The step in a plan: fit a copied table to its disk.

use super::{Identifier, Plan, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Moves the backup GPT to the actual end of the disk and corrects the protective MBR. Does nothing without a GPT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RelocateBackupGpt {
    pub disk: usize,
}

impl Wire for RelocateBackupGpt {
    fn disks(&self) -> Vec<usize> {
        vec![self.disk]
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        format!("[{}] move the backup GPT to the end of the disk", self.disk)
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
