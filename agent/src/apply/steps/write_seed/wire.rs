//! The step in a plan: the seed.

use super::{Identifier, Plan, SeedFormat, SeedTarget, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Writes the seed, whose contents come from the order; `digest` is `sha256:HEX` over them and the whole order, so that
/// guesses at its secrets cannot be tested against the seed alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriteSeed {
    pub format: SeedFormat,
    pub target: SeedTarget,
    pub digest: String,
}

impl Wire for WriteSeed {
    fn disks(&self) -> Vec<usize> {
        self.target.disks()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        format!("write the seed ({}) to {}", words::word(&self.format), self.target.words())
    }

    fn identifiers(&self) -> Vec<Identifier> {
        match self.target {
            SeedTarget::Own { .. } => {
                let label = self.format.volume_label().map(|label| Identifier::FilesystemLabel(label.to_owned()));
                label.into_iter().collect()
            }
            SeedTarget::ImagePartition { .. } | SeedTarget::Ignition { .. } | SeedTarget::Tree => Vec::new(),
        }
    }
}
