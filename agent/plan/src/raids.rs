//! MD arrays over the disks of a layout: their members, and whether these can be an array of the level.

use super::fresh;
use super::refusal::Reason;
use super::steps::Context;
use burin_protocol::order::{Consistency, DeviceRef, Raid};
use burin_protocol::plan::steps::CreateRaid;
use burin_protocol::plan::{Device, raid};
use burin_table::guid;

pub fn step(context: Context<'_>, name: &str, raid: &Raid) -> Result<CreateRaid, Reason> {
    let members = members(context, &raid.members);
    let refused = |what: String| Reason::Array { name: name.to_owned(), what };
    let spares = usize::try_from(raid.spares.unwrap_or(0)).unwrap_or(usize::MAX);
    let (least, level) = (raid.level.least_members(), raid.level.name());
    if members.len().saturating_sub(spares) < least {
        let beside = if spares > 0 { format!(" beside {spares} spares") } else { String::new() };
        return Err(refused(format!("{level} wants at least {least} members{beside}, the set has {}", members.len())));
    }
    let on = members.iter().filter_map(|device| context.disks.get(device.disk()?));
    let on = on.map(|disk| disk.identity.value.as_str()).collect::<Vec<_>>().join(" ");
    Ok(CreateRaid {
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
    })
}

/// A partition of each disk of a set, or the disks themselves. A reference to anything else is no member (`check` says so).
fn members(context: Context<'_>, reference: &DeviceRef) -> Vec<Device> {
    match reference {
        DeviceRef::Partition(reference) => {
            let (set, name) = reference.split_once('/').unwrap_or((reference, ""));
            let partitions = context.layout.disks.get(set).map(|set| set.partitions.as_slice()).unwrap_or_default();
            let number = |disk| {
                let mut numbered = partitions.iter().zip(fresh::numbers(partitions, disk));
                numbered.find(|(partition, _)| partition.name == name).map(|(_, number)| number)
            };
            let member = |(disk, planned)| Device::Partition { disk, name: name.to_owned(), number: number(planned) };
            context.of_set(set).into_iter().map(member).collect()
        }
        DeviceRef::Disks(set) => context.of_set(set).into_iter().map(|(disk, _)| Device::Disk { disk }).collect(),
        DeviceRef::Raid(_) | DeviceRef::Luks(_) | DeviceRef::Volume(_) => Vec::new(),
    }
}

/// Whether every array finds room on its members, once the steps are known that make these.
pub fn fit(plan: &burin_protocol::Plan) -> Result<(), Reason> {
    use burin_protocol::plan::Step;
    for step in &plan.steps {
        let Step::CreateRaid(raid) = step else { continue };
        if raid.geometry(plan).is_none() {
            let sizes = raid.members.iter().filter_map(|member| plan.size_of(member));
            let sizes = sizes.map(|size| size.to_string()).collect::<Vec<_>>().join(", ");
            let what = format!("its members of {sizes} bytes are too small for its data, or its spares for a member's");
            return Err(Reason::Array { name: raid.name.clone(), what });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "raids_tests.rs"]
mod tests;
