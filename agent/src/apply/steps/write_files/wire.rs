//! The step in a plan: files of the order.

use super::{Identifier, Plan, PlannedFile, SeedTarget, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Writes files whose contents come from the order; `digest` is `sha256:HEX` over all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriteFiles {
    pub target: SeedTarget,
    pub files: Vec<PlannedFile>,
    pub digest: String,
}

impl Wire for WriteFiles {
    fn disks(&self) -> Vec<usize> {
        self.target.disks()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let paths: Vec<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        format!("write {} to {}", paths.join(", "), self.target.words())
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
