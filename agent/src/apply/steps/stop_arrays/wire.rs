//! The step in a plan: stop old arrays.

use super::{Identifier, Plan, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Arrays that the running kernel has assembled of members on these disks, and that nothing uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StopArrays {
    pub disks: Vec<usize>,
    /// Their UUIDs, as far as they are known.
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
