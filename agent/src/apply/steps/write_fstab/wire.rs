//! The step in a plan: the fstab of a tree.

use super::{FstabEntry, Identifier, Plan, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Writes fstab, with devices by UUID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriteFstab {
    pub entries: Vec<FstabEntry>,
}

impl Wire for WriteFstab {
    fn disks(&self) -> Vec<usize> {
        Vec::new()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        format!("write /etc/fstab with {} entries", self.entries.len())
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
