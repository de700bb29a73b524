//! The step in a plan: partitions that are kept while their disk is overwritten.

use super::{Identifier, Kept, Plan, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reads the kept partitions of a disk, to compare them at the end; from here on they are never written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeepPartitions {
    pub disk: usize,
}

impl Wire for KeepPartitions {
    /// It only reads.
    fn disks(&self) -> Vec<usize> {
        Vec::new()
    }

    fn reads(&self) -> Vec<usize> {
        vec![self.disk]
    }

    fn words(&self, plan: &Plan) -> String {
        let kept = plan.disks.get(self.disk).map(|disk| disk.keep.as_slice()).unwrap_or_default();
        let kept: Vec<String> = kept.iter().map(Kept::words).collect();
        format!("[{}] keep {}", self.disk, kept.join(", "))
    }

    /// They already exist.
    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
