//! Files of the order in the system, as the plan has it.

use super::{Identifier, Plan, PlannedFile, SeedTarget, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The contents come from the order; `digest` is `sha256:HEX` over all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriteFiles {
    pub target: SeedTarget,
    pub files: Vec<PlannedFile>,
    pub digest: String,
}

impl Wire for WriteFiles {
    fn disks(&self) -> Vec<usize> {
        match &self.target {
            SeedTarget::ImagePartition { disk, .. } | SeedTarget::Ignition { disk, .. } => vec![*disk],
            SeedTarget::Own { on } => on.disk().into_iter().collect(),
            SeedTarget::Tree => Vec::new(),
        }
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let target = match &self.target {
            SeedTarget::ImagePartition { disk, partition } => format!("{} of [{disk}]", words::pick(*partition)),
            SeedTarget::Ignition { disk, .. } => format!("Ignition's partition of [{disk}]"),
            SeedTarget::Tree => "the tree".to_owned(),
            SeedTarget::Own { on } => words::device(on),
        };
        let paths: Vec<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        format!("write {} to {target}", paths.join(", "))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }
}
