//! The step in a plan: the firmware's boot entry.

use super::{BootOrder, Identifier, Plan, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes UEFI boot entries, one per disk, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BootEntry {
    pub disks: Vec<usize>,
    pub label: String,
    pub order: BootOrder,
}

impl Wire for BootEntry {
    /// Firmware variables are not a disk.
    fn disks(&self) -> Vec<usize> {
        Vec::new()
    }

    fn reads(&self) -> Vec<usize> {
        self.disks.clone()
    }

    fn words(&self, _: &Plan) -> String {
        let Self { disks, label, order } = self;
        format!("make UEFI boot entry \"{label}\" for {} ({})", words::list(disks), words::word(order))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
