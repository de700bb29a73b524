//! The fields that a predicate may name, and what can be compared with them. They are taken from the inventory's own
//! JSON Schema, so that a misspelt field is an error and not just always unknown.

use hwinventory_types::{Disk, Inventory, Nic, PciDevice};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The kind of value in a field; a list counts as its element type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldKind {
    Bool,
    Number,
    Text,
    /// One of these words.
    Word(Vec<String>),
    /// Has fields of its own; only `exists` can be tested.
    Group,
}

/// Fields by dotted path.
pub type Fields = BTreeMap<String, FieldKind>;

/// What a predicate is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Disk,
    Nic,
    /// `when`: sections of the inventory.
    Machine,
}

/// Fields that hold kernel names or numbers in order of discovery: they change between boots, so rules must not use
/// them.
const UNSTABLE: &[&str] = &[
    "name",
    "path",
    "device_number",
    "hctl",
    "holders",
    "slaves",
    "index",
    "partitions.name",
    "partitions.holders",
    "mounts.device",
    "md.array",
    "md.device",
    "md.members.device",
    "partitions.md.array",
    "partitions.md.device",
    "partitions.md.members.device",
    "multipath.map",
    "paths.name",
    "paths.through",
    "nvme.controller",
    "backing_file",
    "master",
    "scheduler",
];

impl Scope {
    pub fn fields(self) -> &'static Fields {
        static DISK: OnceLock<Fields> = OnceLock::new();
        static NIC: OnceLock<Fields> = OnceLock::new();
        static MACHINE: OnceLock<Fields> = OnceLock::new();
        match self {
            Scope::Disk => DISK.get_or_init(|| with_pci(flatten(schemars::schema_for!(Disk).as_value()))),
            Scope::Nic => NIC.get_or_init(|| with_pci(flatten(schemars::schema_for!(Nic).as_value()))),
            Scope::Machine => MACHINE.get_or_init(machine),
        }
    }

    /// A readable name for what is selected.
    pub fn word(self) -> &'static str {
        match self {
            Scope::Disk => "disk",
            Scope::Nic => "NIC",
            Scope::Machine => "machine",
        }
    }
}

/// Whether a machine's field can have several values at once, so that two different demands can both hold.
pub fn is_list(field: &str) -> bool {
    static LISTS: OnceLock<Vec<String>> = OnceLock::new();
    let lists = LISTS.get_or_init(|| {
        let schema = schemars::schema_for!(Inventory);
        let mut found = Vec::new();
        lists(schema.as_value(), schema.as_value(), "", 0, &mut found);
        found
            .iter()
            .filter_map(|path| path.split_once(".data"))
            .map(|(section, rest)| format!("{section}{rest}"))
            .collect()
    });
    lists
        .iter()
        .any(|list| field == list || field.strip_prefix(list.as_str()).is_some_and(|rest| rest.starts_with('.')))
}

/// Paths of lists.
fn lists(root: &Value, schema: &Value, prefix: &str, depth: usize, found: &mut Vec<String>) {
    let Some(map) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, property) in map {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if property.get("items").is_some() {
            found.push(path);
        } else if depth < 8 {
            lists(root, resolve(root, property), &path, depth + 1, found);
        }
    }
}

/// Whether rules must not use the field.
pub fn is_unstable(field: &str) -> bool {
    UNSTABLE.contains(&field)
}

/// `pci.slot` and the like: the PCI device that a disk or NIC is, or is attached to.
fn with_pci(mut fields: Fields) -> Fields {
    fields.insert("pci".to_owned(), FieldKind::Group);
    let device = flatten(schemars::schema_for!(PciDevice).as_value());
    fields.extend(device.into_iter().map(|(path, kind)| (format!("pci.{path}"), kind)));
    fields
}

fn machine() -> Fields {
    let all = flatten(schemars::schema_for!(Inventory).as_value());
    let mut fields = Fields::new();
    for (path, kind) in all {
        // A section's own fields are below its `data`; disks and NICs are counted instead.
        let Some((section, rest)) = path.split_once(".data") else { continue };
        if matches!(section, "disks" | "volumes" | "nics" | "storage_controllers" | "usb" | "watchdogs") {
            continue;
        }
        fields.insert(format!("{section}{rest}"), kind);
    }
    fields
}

/// Every path in a JSON Schema.
fn flatten(schema: &Value) -> Fields {
    let mut fields = Fields::new();
    properties(schema, schema, "", 0, &mut fields);
    fields
}

fn properties(root: &Value, schema: &Value, prefix: &str, depth: usize, fields: &mut Fields) {
    let Some(map) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, property) in map {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let property = resolve(root, property);
        let kind = kind(property);
        if kind == FieldKind::Group && depth < 8 {
            properties(root, property, &path, depth + 1, fields);
        }
        fields.insert(path, kind);
    }
}

/// Follows references, and looks through `Option` and lists.
fn resolve<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..16 {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let Some(target) = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) else { break };
            schema = target;
        } else if let Some(items) = schema.get("items") {
            schema = items;
        } else if let Some(some) = schema
            .get("anyOf")
            .and_then(Value::as_array)
            .and_then(|list| list.iter().find(|option| option.get("type").and_then(Value::as_str) != Some("null")))
        {
            schema = some;
        } else {
            break;
        }
    }
    schema
}

fn kind(schema: &Value) -> FieldKind {
    let words = |list: &Vec<Value>| list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    if let Some(list) = schema.get("enum").and_then(Value::as_array) {
        return FieldKind::Word(words(list));
    }
    if let Some(options) = schema.get("oneOf").and_then(Value::as_array) {
        let mut all = Vec::new();
        for option in options {
            all.extend(option.get("const").and_then(Value::as_str).map(str::to_owned));
            all.extend(option.get("enum").and_then(Value::as_array).map(words).unwrap_or_default());
        }
        return FieldKind::Word(all);
    }
    let named = |wanted: &[&str]| match schema.get("type") {
        Some(Value::String(name)) => wanted.contains(&name.as_str()),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(|name| wanted.contains(&name)),
        _ => false,
    };
    if named(&["boolean"]) {
        FieldKind::Bool
    } else if named(&["integer", "number"]) {
        FieldKind::Number
    } else if named(&["object"]) {
        FieldKind::Group
    } else {
        FieldKind::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_inventory() {
        let disk = Scope::Disk.fields();
        assert_eq!(disk.get("size"), Some(&FieldKind::Number));
        assert_eq!(disk.get("rotational"), Some(&FieldKind::Bool));
        assert_eq!(disk.get("model"), Some(&FieldKind::Text));
        assert_eq!(disk.get("partitions.signatures.label"), Some(&FieldKind::Text));
        assert_eq!(disk.get("health.temperature"), Some(&FieldKind::Number));
        assert!(matches!(disk.get("class"), Some(FieldKind::Word(words)) if words.iter().any(|w| w == "raid-volume")));
        assert_eq!(Scope::Nic.fields().get("lldp.system_name"), Some(&FieldKind::Text));
        assert_eq!(Scope::Nic.fields().get("pci.slot"), Some(&FieldKind::Text));
        assert_eq!(disk.get("pci.link.width"), Some(&FieldKind::Number));
        let machine = Scope::Machine.fields();
        assert_eq!(machine.get("system.manufacturer"), Some(&FieldKind::Text));
        assert!(matches!(machine.get("firmware.boot_mode"), Some(FieldKind::Word(_))));
        assert_eq!(machine.get("tpm.version"), Some(&FieldKind::Text));
        assert!(!machine.contains_key("disks.size"));
        assert!(is_list("tpm.version") && is_list("system.oem_strings") && is_list("firmware.boot_entries.id"));
        assert!(!is_list("system.manufacturer") && !is_list("firmware.boot_mode"));
    }
}
