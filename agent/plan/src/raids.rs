//! MD arrays over the disks of a layout: their members, and whether these can form an array of the level.

use super::layers;
use super::refusal::Reason;
use super::steps::Context;
use burin_protocol::order::{Consistency, Raid};
use burin_protocol::plan::steps::CreateRaid;
use burin_protocol::plan::{Device, Step, raid};
use burin_table::guid;

/// Plans an array. `steps` make its members.
pub fn step(context: Context<'_>, name: &str, raid: &Raid, steps: &[Step]) -> Result<CreateRaid, Reason> {
    let members = layers::devices(context, &raid.members);
    let refused = |what: String| Reason::Array { name: name.to_owned(), what };
    let spares = usize::try_from(raid.spares.unwrap_or(0)).unwrap_or(usize::MAX);
    let (least, level) = (raid.level.least_members(), raid.level.name());
    if members.len().saturating_sub(spares) < least {
        let beside = if spares > 0 { format!(" beside {spares} spares") } else { String::new() };
        return Err(refused(format!("{level} wants at least {least} members{beside}, the set has {}", members.len())));
    }
    let on = members.iter().filter_map(|device| context.disks.get(device.disk()?));
    let on = on.map(|disk| disk.identity.value.as_str()).collect::<Vec<_>>().join(" ");
    let made = CreateRaid {
        name: name.to_owned(),
        uuid: guid::derived(&[&context.order.id, "raid", name, &on]).to_string(),
        level: raid.level,
        metadata: raid.metadata.clone().unwrap_or_else(|| "1.2".to_owned()),
        members,
        spares,
        chunk: raid.level.is_striped().then(|| raid.chunk.map_or(raid::CHUNK, |chunk| chunk.bytes())),
        consistency: match raid.level.is_redundant() {
            true => raid.consistency.unwrap_or_default(),
            false => Consistency::None,
        },
    };
    let sizes: Vec<u64> = made.members.iter().map(|member| layers::size(context, steps, member)).collect();
    if made.geometry_over(&sizes).is_none() {
        let disk = |member: &Device| member.disk().and_then(|disk| context.disks.get(disk));
        let name = |member: &Device| disk(member).map_or("?", |disk| disk.device.as_str()).to_owned();
        let each: Vec<String> =
            made.members.iter().zip(&sizes).map(|(member, size)| format!("{} gives {size}", name(member))).collect();
        let each = each.join(", ");
        return Err(refused(format!(
            "its members are too small for its data, or its spares for a member's ({each} bytes)"
        )));
    }
    Ok(made)
}

#[cfg(test)]
#[path = "raids_tests.rs"]
mod tests;
