//! Machines for tests, written briefly: by default everything was read, and disks are healthy, empty and have 512-byte
//! blocks.

use hwinventory_types::Inventory;
use serde_json::{Map, Value, json};

/// `{"disks": [{"serial": "S1", "size": 480000000000, ...}], "nics": [...], "system": {...}, "boot_mode": "uefi"}`.
///
/// A disk's `serial` becomes its strong identity unless it has `identities`; `name` its kernel name.
pub fn machine(short: &Value) -> Inventory {
    let section = |data: Value| json!({ "status": "ok", "data": data });
    let list = |key: &str| short.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let disks: Vec<Value> = list("disks").into_iter().enumerate().map(|(i, disk)| self::disk(i, disk)).collect();
    let nics: Vec<Value> = list("nics")
        .into_iter()
        .enumerate()
        .map(|(i, nic)| with(json!({ "name": format!("eth{i}"), "status": "ok" }), nic))
        .collect();
    let volumes: Vec<Value> = list("volumes").into_iter().enumerate().map(|(i, disk)| self::disk(i, disk)).collect();
    let value = json!({
        "schema_version": "inventory/v1",
        "system": section(short.get("system").cloned().unwrap_or_else(|| json!({}))),
        "firmware": section(json!({ "boot_mode": short.get("boot_mode").cloned().unwrap_or_else(|| json!("uefi")) })),
        "cpu": section(json!({ "architecture": short.get("architecture").cloned().unwrap_or_else(|| json!("x86_64")) })),
        "disks": section(Value::Array(disks)),
        "volumes": section(Value::Array(volumes)),
        "nics": section(Value::Array(nics)),
        "pci": section(Value::Array(list("pci"))),
    });
    serde_json::from_value(value).expect("a machine of a test is an inventory")
}

fn disk(i: usize, short: Value) -> Value {
    let name = short.get("name").and_then(Value::as_str).map_or_else(|| format!("sd{i}"), str::to_owned);
    let mut disk = json!({
        "name": name, "path": format!("/dev/{name}"), "status": "ok", "mounts": [], "signatures": [],
        "logical_block_size": 512, "class": "ssd", "size": 480_103_981_056u64,
        "samples": { "looked_at_bytes": 2_228_224, "blank": true }
    });
    if let Some(serial) = short.get("serial").and_then(Value::as_str) {
        let strong = json!({ "kind": "serial", "value": format!("ACME_{serial}"), "strength": "strong" });
        disk["identity"] = strong.clone();
        disk["identities"] = json!([strong]);
    }
    let mut short = short;
    for partition in short.get_mut("partitions").and_then(Value::as_array_mut).into_iter().flatten() {
        *partition = with(json!({ "signatures": [] }), partition.take());
    }
    with(disk, short)
}

fn with(mut base: Value, over: Value) -> Value {
    let over: Map<String, Value> = over.as_object().cloned().unwrap_or_default();
    if let Some(base) = base.as_object_mut() {
        base.extend(over);
    }
    base
}
