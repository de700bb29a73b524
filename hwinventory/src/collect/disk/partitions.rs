use crate::model::{Disk, MdMembership, Partition};
use crate::source::Reader;

/// Partitions as the kernel has them, by number.
pub fn collect(reader: &Reader, real: &str, disk: &mut Disk) {
    let mut partitions: Vec<Partition> = reader
        .list(real)
        .into_iter()
        .filter(|name| name.starts_with(&disk.name))
        .filter_map(|name| {
            let directory = format!("{real}/{name}");
            let number = |attribute: &str| reader.number(&format!("{directory}/{attribute}"));
            Some(Partition {
                number: reader.quiet_number(&format!("{directory}/partition"))?,
                start: number("start")?.saturating_mul(512),
                size: number("size")?.saturating_mul(512),
                device_number: reader.text(&format!("{directory}/dev")),
                read_only: number("ro") == Some(1),
                holders: reader.list(&format!("{directory}/holders")),
                name,
                ..Partition::default()
            })
        })
        .collect();
    partitions.sort_by_key(|p| p.number);
    for partition in &partitions {
        for holder in &partition.holders {
            if !disk.holders.contains(holder) {
                disk.holders.push(holder.clone());
            }
        }
    }
    disk.holders.sort();
    disk.partitions = partitions;
}

/// An assembled md array's own attributes.
pub fn array(reader: &Reader, real: &str) -> MdMembership {
    let text = |name: &str| reader.quiet_text(&format!("{real}/md/{name}"));
    MdMembership {
        array: real.rsplit('/').next().map(str::to_owned),
        uuid: text("uuid"),
        name: None,
        level: text("level"),
        state: text("array_state"),
        raid_disks: text("raid_disks").and_then(|t| t.split_whitespace().next()?.parse().ok()),
        degraded: text("degraded").and_then(|t| t.parse().ok()),
        metadata_version: text("metadata_version"),
        role: None,
    }
}
