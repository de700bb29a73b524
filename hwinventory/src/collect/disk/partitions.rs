//! Reads the partitions of a disk, as the kernel knows them.

use crate::model::{Disk, Partition};
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
