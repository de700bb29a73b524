//! The arrays of a tree in its own configuration, as the plan has it.

use super::{ArrayEntry, Identifier, Plan, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The tree's mdadm.conf names its arrays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriteMdadmConf {
    pub arrays: Vec<ArrayEntry>,
}

impl Wire for WriteMdadmConf {
    fn disks(&self) -> Vec<usize> {
        Vec::new()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let names: Vec<&str> = self.arrays.iter().map(|array| array.name.as_str()).collect();
        format!("name the array {} in the tree's mdadm.conf", names.join(", "))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
