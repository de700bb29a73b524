//! The step in a plan: add a partition to a copied table.

use super::{Identifier, Node, Plan, PlannedPartition, Size, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adds a partition in the free space at the end of a copied table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddPartition {
    pub disk: usize,
    pub partition: PlannedPartition,
}

impl Wire for AddPartition {
    fn disks(&self) -> Vec<usize> {
        vec![self.disk]
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let Self { disk, partition } = self;
        format!("[{disk}] add partition \"{}\", {}", partition.name, Size::from_bytes(partition.size))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        vec![Identifier::PartitionGuid(self.partition.guid.clone())]
    }

    fn nodes(&self, _: &Plan) -> Vec<Node> {
        vec![Node::partition(self.disk, &self.partition)]
    }
}
