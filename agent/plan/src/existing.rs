//! The current contents of a disk, as the plan shows them to whoever might lose them.

use burin_protocol::plan::words::decimal;
use burin_protocol::plan::{Content, Existing, ExistingPartition};
use hwinventory_types::{Disk, Signature};

pub fn existing(disk: &Disk) -> Existing {
    let mut partitions: Vec<ExistingPartition> = disk
        .partitions
        .iter()
        .map(|partition| ExistingPartition {
            number: u32::try_from(partition.number).unwrap_or(u32::MAX),
            start: partition.start,
            size: partition.size,
            name: partition.label.clone(),
            guid: partition.uuid.clone(),
            type_id: partition.kind.clone(),
            contents: contents(partition.signatures.as_deref().unwrap_or_default()),
        })
        .collect();
    partitions.sort_by_key(|partition| (partition.number, partition.start));
    let mut existing = Existing {
        read: disk.signatures.is_some() && disk.partitions.iter().all(|partition| partition.signatures.is_some()),
        table: disk.partition_table.clone(),
        table_id: disk.partition_table_id.clone(),
        partitions,
        contents: contents(disk.signatures.as_deref().unwrap_or_default()),
        looked_at_bytes: None,
        unknown: false,
        unfinished: disk.unfinished.clone(),
    };
    if !existing.is_recognised() {
        existing.looked_at_bytes = disk.samples.as_ref().map(|samples| samples.looked_at_bytes);
        // The unfinished mark itself is not blank. Contents that were not examined may be anything.
        existing.unknown = existing.unfinished.is_none() && !disk.samples.as_ref().is_some_and(|samples| samples.blank);
    }
    existing
}

fn contents(signatures: &[Signature]) -> Vec<Content> {
    let mut all: Vec<Content> = signatures
        .iter()
        .map(|signature| Content {
            kind: signature.kind.clone(),
            label: signature.label.clone(),
            uuid: signature.uuid.clone(),
        })
        .collect();
    all.sort_by(|a, b| (&a.kind, &a.uuid, &a.label).cmp(&(&b.kind, &b.uuid, &b.label)));
    all.dedup();
    all
}

/// A readable description in one line.
pub fn words(existing: &Existing) -> String {
    let mut parts = Vec::new();
    if let Some(order) = &existing.unfinished {
        parts.push(format!("what the order {order} left half written"));
    }
    if let Some(table) = &existing.table {
        parts.push(format!("a {table} partition table"));
    }
    for partition in &existing.partitions {
        let name = partition.name.as_deref().filter(|name| !name.is_empty());
        let name = name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
        let holds = if partition.contents.is_empty() {
            String::new()
        } else {
            format!(" with {}", partition.contents.iter().map(content).collect::<Vec<_>>().join(" and "))
        };
        parts.push(format!("partition {}{name}{holds}", partition.number));
    }
    let table = existing.table.as_deref();
    parts.extend(existing.contents.iter().filter(|c| Some(c.kind.as_str()) != table).map(content));
    if !existing.read {
        parts.push("contents that could not be read".to_owned());
    }
    let looked = match existing.looked_at_bytes {
        Some(bytes) => format!("{} looked at", decimal(bytes)),
        None => "nobody looked".to_owned(),
    };
    if existing.unknown && existing.read {
        parts.push(format!("contents that are not known ({looked})"));
    }
    match existing.is_blank() {
        true => format!("nothing (both ends and samples between are blank, {looked})"),
        false => parts.join(", "),
    }
}

fn content(content: &Content) -> String {
    match &content.label {
        Some(label) if !label.is_empty() => format!("{} \"{label}\"", content.kind),
        _ => content.kind.clone(),
    }
}
