//! The step in a plan: unpack an archive.

use super::{Identifier, Plan, Verify, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Unpacks an archive onto the filesystems mounted at that point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnpackTree {
    pub image: String,
    pub verify: Verify,
}

impl Wire for UnpackTree {
    fn disks(&self) -> Vec<usize> {
        Vec::new()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        format!("unpack tree `{}`", self.image)
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
