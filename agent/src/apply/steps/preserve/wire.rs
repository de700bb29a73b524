//! The step in a plan: disks that must not change.

use super::{Identifier, Plan, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Verifies at the end that these disks are unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preserve {
    pub disks: Vec<usize>,
}

impl Wire for Preserve {
    /// It only reads.
    fn disks(&self) -> Vec<usize> {
        Vec::new()
    }

    fn reads(&self) -> Vec<usize> {
        self.disks.clone()
    }

    fn words(&self, _: &Plan) -> String {
        format!("watch that {} stay as they are", words::list(&self.disks))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
