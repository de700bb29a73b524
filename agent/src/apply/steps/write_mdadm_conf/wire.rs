//! The step in a plan: the arrays in the tree's own configuration.

use super::{ArrayEntry, Identifier, Plan, SeedTarget, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Writes the arrays into the mdadm.conf of a tree, or of an image's system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriteMdadmConf {
    pub arrays: Vec<ArrayEntry>,
    #[serde(default = "SeedTarget::tree", skip_serializing_if = "SeedTarget::is_tree")]
    pub target: SeedTarget,
}

impl Wire for WriteMdadmConf {
    fn disks(&self) -> Vec<usize> {
        self.target.disks()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let names: Vec<&str> = self.arrays.iter().map(|array| array.name.as_str()).collect();
        let of = if self.target.is_tree() {
            "the tree's mdadm.conf".to_owned()
        } else {
            format!("mdadm.conf on {}", self.target.words())
        };
        format!("name the array {} in {of}", names.join(", "))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
