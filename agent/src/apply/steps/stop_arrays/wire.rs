//! The step in a plan: stop old arrays.

use super::{Identifier, Plan, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stops arrays that the running kernel has assembled from members on these disks, and that are not in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StopArrays {
    pub disks: Vec<usize>,
    /// Their UUIDs, as far as known.
    pub arrays: Vec<String>,
}

impl Wire for StopArrays {
    fn disks(&self) -> Vec<usize> {
        self.disks.clone()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let uuids = if self.arrays.is_empty() { String::new() } else { format!(" (UUID {})", self.arrays.join(", ")) };
        format!("stop the arrays that run on {}{uuids}", words::list(&self.disks))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
