//! The step in a plan: a new partition table.

use super::{Identifier, Node, Plan, PlannedPartition, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Writes a fresh GPT with a protective MBR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateTable {
    pub disk: usize,
    pub guid: String,
    pub partitions: Vec<PlannedPartition>,
}

impl Wire for CreateTable {
    fn disks(&self) -> Vec<usize> {
        vec![self.disk]
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let part =
            |p: &PlannedPartition| format!("{} \"{}\" {}", p.number.unwrap_or(0), p.name, words::decimal(p.size));
        let parts: Vec<String> = self.partitions.iter().map(part).collect();
        format!("[{}] create a GPT: {}", self.disk, parts.join(", "))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        let partitions = self.partitions.iter().map(|partition| Identifier::PartitionGuid(partition.guid.clone()));
        [Identifier::DiskGuid(self.guid.clone())].into_iter().chain(partitions).collect()
    }

    fn nodes(&self, _: &Plan) -> Vec<Node> {
        self.partitions.iter().map(|partition| Node::partition(self.disk, partition)).collect()
    }
}
