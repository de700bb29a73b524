//! The step in a plan: the LUKS volumes in the tree's configuration.

use super::{CrypttabEntry, Identifier, Plan, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Writes the LUKS volumes into the tree's crypttab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriteCrypttab {
    pub entries: Vec<CrypttabEntry>,
}

impl Wire for WriteCrypttab {
    fn disks(&self) -> Vec<usize> {
        Vec::new()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let names: Vec<&str> = self.entries.iter().map(|entry| entry.name.as_str()).collect();
        format!("name the LUKS volume {} in the tree's crypttab", names.join(", "))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
