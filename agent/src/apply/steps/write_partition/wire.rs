//! The step in a plan: write a filesystem image into partitions.

use super::{Device, Identifier, Node, Plan, Verify, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Downloads a filesystem image once, and writes it to each of these partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WritePartition {
    pub image: String,
    pub on: Vec<Device>,
    pub verify: Verify,
}

impl Wire for WritePartition {
    fn disks(&self) -> Vec<usize> {
        self.on.iter().filter_map(Device::disk).collect()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let on: Vec<String> = self.on.iter().map(words::device).collect();
        format!("write image `{}` into {}, verify: {}", self.image, on.join(", "), words::word(&self.verify))
    }

    /// Those of the image, which are known when it is written.
    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }

    fn nodes(&self, _: &Plan) -> Vec<Node> {
        self.on.iter().map(|on| Node::on(on, format!("image `{}`", self.image))).collect()
    }
}
