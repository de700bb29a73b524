//! The step in a plan: a new MD array.

use super::{Consistency, Device, Identifier, Node, Plan, RaidLevel, Wire, raid, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Creates `/dev/md/NAME` over these members, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateRaid {
    pub name: String,
    pub uuid: String,
    pub level: RaidLevel,
    pub metadata: String,
    pub members: Vec<Device>,
    /// This many of the members, the last ones, are spares.
    #[serde(default, skip_serializing_if = "is_none")]
    pub spares: usize,
    /// Chunk size in bytes, if the level has chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub consistency: Consistency,
}

fn is_none(spares: &usize) -> bool {
    *spares == 0
}

fn is_default(consistency: &Consistency) -> bool {
    *consistency == Consistency::default()
}

impl CreateRaid {
    /// Whether it is made over an image's contents, which stay in place.
    pub fn is_over_image(&self) -> bool {
        self.members.iter().any(|member| matches!(member, Device::ImagePartition { .. }))
    }

    /// The members that hold data from the start.
    pub fn active(&self) -> &[Device] {
        let active = self.members.len().saturating_sub(self.spares);
        self.members.get(..active).unwrap_or_default()
    }

    /// Its capacity and its geometry on the members. `None` if a member's size is unknown or too small.
    pub fn geometry(&self, plan: &Plan) -> Option<raid::Geometry> {
        let sizes: Option<Vec<u64>> = self.members.iter().map(|member| plan.size_of(member)).collect();
        self.geometry_over(&sizes?)
    }

    /// The same for members of these sizes in bytes, including spares, which must be as large as the others.
    pub fn geometry_over(&self, sizes: &[u64]) -> Option<raid::Geometry> {
        let active = sizes.get(..self.active().len())?;
        let found = raid::geometry(self.level, &self.metadata, self.chunk, self.consistency, active)?;
        let least = found.data_offset + found.component;
        sizes.iter().all(|size| *size >= least).then_some(found)
    }
}

fn image_partition(member: &Device) -> Option<Node> {
    let Device::ImagePartition { disk, partition } = member else { return None };
    let on = vec![Device::Disk { disk: *disk }];
    Some(Node { device: Some(member.clone()), on, words: words::pick(*partition) })
}

impl Wire for CreateRaid {
    fn disks(&self) -> Vec<usize> {
        self.members.iter().filter_map(Device::disk).collect()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, plan: &Plan) -> String {
        let Self { name, uuid, level, metadata, members, .. } = self;
        let size = |member: &Device| plan.size_of(member).map(|bytes| format!(" {}", words::decimal(bytes)));
        let each = |member: &Device| format!("{}{}", words::device(member), size(member).unwrap_or_default());
        let list = |members: &[Device]| members.iter().map(each).collect::<Vec<_>>().join(", ");
        let spares = members.get(self.active().len()..).filter(|spares| !spares.is_empty());
        let spares = spares.map(|spares| format!(", spare {}", list(spares))).unwrap_or_default();
        let chunk = self.chunk.map(|bytes| format!(", chunks of {} KiB", bytes / 1024)).unwrap_or_default();
        let consistency = match self.consistency {
            Consistency::Bitmap | Consistency::None => String::new(),
            other => format!(", consistency {}", words::word(&other)),
        };
        let level = words::word(level);
        let active = list(self.active());
        format!(
            "create array {name} ({level}, metadata {metadata}{chunk}{consistency}, UUID {uuid}) of {active}{spares}"
        )
    }

    fn identifiers(&self) -> Vec<Identifier> {
        vec![Identifier::ArrayName(self.name.clone()), Identifier::ArrayUuid(self.uuid.clone())]
    }

    fn nodes(&self, plan: &Plan) -> Vec<Node> {
        let size = self.geometry(plan).map(|geometry| format!(", {}", words::decimal(geometry.size)));
        let chunk = self.chunk.map(|bytes| format!(", chunks of {} KiB", bytes / 1024)).unwrap_or_default();
        let spares = match self.spares {
            0 => String::new(),
            spares => format!(" and {spares} to spare"),
        };
        let (name, level, active) = (&self.name, words::word(&self.level), self.active().len());
        // No other step describes the partitions of an image.
        let mut nodes: Vec<Node> = self.members.iter().filter_map(image_partition).collect();
        nodes.push(Node {
            device: Some(Device::Raid { name: name.clone() }),
            on: self.members.clone(),
            words: format!("array {name}, {level} of {active}{spares}{chunk}{}", size.unwrap_or_default()),
        });
        nodes
    }
}
