//! The step in a plan: a new logical volume.

use super::{Device, Identifier, Node, Plan, VolumeShape, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Creates a logical volume in a group that an earlier step makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateVolume {
    pub group: String,
    pub name: String,
    pub shape: VolumeShape,
    /// Its size in extents.
    pub extents: u64,
    /// Its size in bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl Wire for CreateVolume {
    fn disks(&self) -> Vec<usize> {
        Vec::new()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, _: &Plan) -> String {
        let Self { group, name, shape, size, .. } = self;
        let shape = match shape {
            VolumeShape::Linear => String::new(),
            VolumeShape::Striped { on, .. } => format!(", striped over {} physical volumes", on.len()),
            VolumeShape::Raid1 { on } => format!(", {} copies (raid1)", on.len()),
            VolumeShape::ThinPool { .. } => ", a thin pool".to_owned(),
            VolumeShape::Thin { pool } => format!(", thin, out of the pool {pool}"),
        };
        format!("create logical volume {group}/{name} ({}{shape})", words::decimal(*size))
    }

    fn identifiers(&self) -> Vec<Identifier> {
        Vec::new()
    }

    fn nodes(&self, plan: &Plan) -> Vec<Node> {
        let (group, name) = (self.group.clone(), self.name.clone());
        let words = format!("logical volume {group}/{name}, {}", words::decimal(self.size));
        let on = plan.physical_volumes(&group);
        vec![Node { device: Some(Device::Volume { group, name }), on, words }]
    }
}
