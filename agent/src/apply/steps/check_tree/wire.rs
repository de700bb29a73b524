//! The step in a plan: what a tree must contain.

use super::{Identifier, Plan, TreeNeed, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The tree has the programs that start what it lies on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckTree {
    pub needs: Vec<TreeNeed>,
}

impl Wire for CheckTree {
    fn disks(&self) -> Vec<usize> {
        Vec::new()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let needs: Vec<String> = self.needs.iter().map(words::word).collect();
        format!("check that the tree has what it starts from: {}", needs.join(", "))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
