//! The step in a plan: what a system must contain.

use super::{Identifier, Plan, SeedTarget, TreeNeed, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Checks that the system of a tree or an image has the programs that activate the devices below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckTree {
    pub needs: Vec<TreeNeed>,
    #[serde(default = "SeedTarget::tree", skip_serializing_if = "SeedTarget::is_tree")]
    pub target: SeedTarget,
}

impl Wire for CheckTree {
    fn disks(&self) -> Vec<usize> {
        self.target.disks()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let needs: Vec<String> = self.needs.iter().map(words::word).collect();
        format!("check that {} has what it starts from: {}", self.target.words(), needs.join(", "))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
