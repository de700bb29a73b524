//! The step in a plan: erase what was on a disk.

use super::{Erase, Identifier, Plan, Verify, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything on the disk is erased, but for partitions that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EraseDisk {
    pub disk: usize,
    /// `zeros` or `secure-erase`.
    pub how: Erase,
    /// Zeros are read back with `readback` alone.
    pub verify: Verify,
}

impl Wire for EraseDisk {
    fn disks(&self) -> Vec<usize> {
        vec![self.disk]
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, plan: &Plan) -> String {
        let kept = plan.disks.get(self.disk).is_some_and(|disk| !disk.keep.is_empty());
        let but = if kept { " but what is kept" } else { "" };
        match (self.how, self.verify) {
            (Erase::SecureErase, _) => format!("[{}] secure erase, by the disk's own command (Format NVM)", self.disk),
            (_, Verify::Readback) => {
                format!("[{}] overwrite every byte{but} with zeros, and read them back", self.disk)
            }
            _ => format!("[{}] overwrite every byte{but} with zeros, without reading them back", self.disk),
        }
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
