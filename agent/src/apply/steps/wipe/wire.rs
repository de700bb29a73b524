//! The step in a plan: wipe a disk's old contents.

use super::{Identifier, Plan, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Removes every signature: partition tables at both ends, filesystems, RAID, LVM and LUKS, inside old partitions too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wipe {
    pub disk: usize,
}

impl Wire for Wipe {
    fn disks(&self) -> Vec<usize> {
        vec![self.disk]
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        format!("[{}] remove every signature", self.disk)
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
