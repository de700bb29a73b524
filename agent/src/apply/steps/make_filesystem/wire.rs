//! The step in a plan: a new filesystem.

use super::{Device, Identifier, Node, Plan, PlannedFilesystem, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes a filesystem with the program for its type, and verifies it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MakeFilesystem {
    pub on: Device,
    pub filesystem: PlannedFilesystem,
}

impl Wire for MakeFilesystem {
    fn disks(&self) -> Vec<usize> {
        self.on.disk().into_iter().collect()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let PlannedFilesystem { kind, label, uuid, options } = &self.filesystem;
        let options = if options.is_empty() { String::new() } else { format!(", options {}", options.join(" ")) };
        let label = label.as_deref().map(|label| format!(" \"{label}\"")).unwrap_or_default();
        format!("make {}{label} on {}, UUID {uuid}{options}", words::word(kind), words::device(&self.on))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        let label = self.filesystem.label.iter().cloned().map(Identifier::FilesystemLabel);
        [Identifier::FilesystemUuid(self.filesystem.uuid.clone())].into_iter().chain(label).collect()
    }

    fn nodes(&self, _: &Plan) -> Vec<Node> {
        let label = self.filesystem.label.as_deref().map(|label| format!(" \"{label}\"")).unwrap_or_default();
        vec![Node::on(&self.on, format!("{}{label}", words::word(&self.filesystem.kind)))]
    }
}
