//! A new array, as the plan has it.

use super::{Device, Identifier, Plan, RaidLevel, Wire, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `/dev/md/NAME` over these members, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateRaid {
    pub name: String,
    pub uuid: String,
    pub level: RaidLevel,
    pub metadata: String,
    pub members: Vec<Device>,
}

impl Wire for CreateRaid {
    fn disks(&self) -> Vec<usize> {
        self.members.iter().filter_map(Device::disk).collect()
    }

    fn reads(&self) -> Vec<usize> {
        Vec::new()
    }

    fn words(&self, plan: &Plan) -> String {
        let Self { name, uuid, level, metadata, members } = self;
        let size = |member: &Device| plan.size_of(member).map(|bytes| format!(" {}", words::decimal(bytes)));
        let each = |member: &Device| format!("{}{}", words::device(member), size(member).unwrap_or_default());
        let members = members.iter().map(each).collect::<Vec<_>>().join(", ");
        let level = words::word(level);
        format!("create array {name} ({level}, metadata {metadata}, UUID {uuid}) of {members}")
    }

    fn identifiers(&self) -> Vec<Identifier> {
        vec![Identifier::ArrayName(self.name.clone()), Identifier::ArrayUuid(self.uuid.clone())]
    }
}
