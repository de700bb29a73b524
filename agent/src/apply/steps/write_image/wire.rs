//! The step in a plan: write an image to disks.

use super::{Device, Identifier, Node, Plan, Verify, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Downloads an image once, writes it to each of these disks, and erases leftovers behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriteImage {
    pub image: String,
    pub disks: Vec<usize>,
    pub verify: Verify,
}

impl Wire for WriteImage {
    fn disks(&self) -> Vec<usize> {
        self.disks.clone()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let Self { image, disks, verify } = self;
        format!("write image `{image}` to {}, verify: {}", words::list(disks), words::word(verify))
    }

    /// Those of the image, which are known when it is written.
    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }

    fn nodes(&self, _: &Plan) -> Vec<Node> {
        self.disks.iter().map(|&disk| Node::on(&Device::Disk { disk }, format!("image `{}`", self.image))).collect()
    }
}
