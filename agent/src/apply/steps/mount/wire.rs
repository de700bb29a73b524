//! The step in a plan: mount a filesystem of a tree.

use super::{Device, FsType, Identifier, Node, Plan, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mounts a filesystem below the new root; parents come before children.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mount {
    pub on: Device,
    pub at: String,
    /// Absent for an image, whose type is found when it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<FsType>,
    pub options: Vec<String>,
}

impl Wire for Mount {
    /// The filesystem is made by another step, which names the disks.
    fn disks(&self) -> Vec<usize> {
        Vec::new()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        format!("mount {} at {}", words::device(&self.on), self.at)
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }

    fn nodes(&self, _: &Plan) -> Vec<Node> {
        vec![Node::on(&self.on, format!("at {}", self.at))]
    }
}
