//! The step in a plan: grow a partition of an image.

use super::{Identifier, PartitionPick, Plan, Size, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Grows a partition up to `leave` bytes before the end of the usable space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrowPartition {
    pub disk: usize,
    pub partition: PartitionPick,
    pub leave: u64,
}

impl Wire for GrowPartition {
    fn disks(&self) -> Vec<usize> {
        vec![self.disk]
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let Self { disk, partition, leave } = self;
        let leave = if *leave == 0 { String::new() } else { format!(", leaving {}", Size::from_bytes(*leave)) };
        format!("[{disk}] grow {} into the free space{leave}", words::pick(*partition))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
