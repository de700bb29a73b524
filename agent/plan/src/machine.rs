//! The inventory prepared for evaluation: JSON forms, identities, and an order of devices that does not depend on how
//! the kernel found them.

use super::attributes::Attributes;
use super::canonical;
use super::eval::{Counted, View};
use super::gates;
use super::identity;
use super::stacks;
use burin_protocol::order::Gate;
use burin_protocol::plan::words::decimal;
use burin_protocol::plan::{GateFinding, Identity, Strength};
use hwinventory_types::Inventory;
use hwinventory_types::{Disk, Nic, Status};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A disk with what is derived from it.
#[derive(Debug, Clone)]
pub struct DiskFacts<'a> {
    pub disk: &'a Disk,
    pub value: Value,
    pub complete: bool,
    pub identity: Option<Identity>,
}

#[derive(Debug, Clone)]
pub struct NicFacts<'a> {
    pub nic: &'a Nic,
    pub value: Value,
    pub complete: bool,
}

/// The machine as predicates see it.
#[derive(Debug)]
pub struct Machine<'a> {
    pub inventory: &'a Inventory,
    /// Ordered by identity and path, not by name.
    pub disks: Vec<DiskFacts<'a>>,
    pub nics: Vec<NicFacts<'a>>,
    /// Sections without their envelopes: what `when` sees.
    pub value: Value,
    /// Kernel names of arrays and volumes that are not in use.
    idle: BTreeSet<String>,
    usable_disks: Vec<(Value, bool)>,
    countable_nics: Vec<(Value, bool)>,
}

impl<'a> Machine<'a> {
    pub fn new(inventory: &'a Inventory) -> Self {
        let identities = identity::identities(&inventory.disks.data);
        let mut disks: Vec<DiskFacts> = inventory
            .disks
            .data
            .iter()
            .zip(identities)
            .map(|(disk, identity)| DiskFacts {
                disk,
                value: with_pci(disk, disk.pci_address.as_deref(), inventory),
                complete: disk.status == Status::Ok,
                identity,
            })
            .collect();
        disks.sort_by_cached_key(|facts| {
            let identity = facts.identity.clone();
            (identity.is_none(), identity.map(|i| (i.strength, i.kind, i.value)), unnamed(&facts.value))
        });
        let mut nics: Vec<NicFacts> = inventory
            .nics
            .data
            .iter()
            .map(|nic| NicFacts {
                nic,
                value: with_pci(nic, nic.pci_address.as_deref(), inventory),
                complete: nic.status == Status::Ok,
            })
            .collect();
        nics.sort_by_cached_key(|facts| (mac(facts.nic).map(str::to_owned), unnamed(&facts.value)));

        let idle = stacks::idle(inventory);
        let usable_disks = disks
            .iter()
            .filter(|facts| gates::findings(facts.disk, facts.identity.as_ref(), &[], &idle).is_empty())
            .map(|facts| (facts.value.clone(), facts.complete))
            .collect();
        let countable_nics = nics.iter().map(|facts| (facts.value.clone(), facts.complete)).collect();
        Self { inventory, disks, nics, value: sections(inventory), idle, usable_disks, countable_nics }
    }

    /// The gates that a disk of this machine does not pass.
    pub fn gates(&self, facts: &DiskFacts<'_>, allow: &[Gate]) -> Vec<GateFinding> {
        gates::findings(facts.disk, facts.identity.as_ref(), allow, &self.idle)
    }

    /// How many disks pass all gates.
    pub fn usable_disks(&self) -> usize {
        self.usable_disks.len()
    }

    /// The view for `when`.
    pub fn view<'b>(&'b self, attributes: &'b Attributes) -> View<'b> {
        let read = |status: Status| matches!(status, Status::Ok | Status::Partial | Status::Absent);
        let counted = Counted {
            disks: read(self.inventory.disks.status).then_some(self.usable_disks.as_slice()),
            nics: read(self.inventory.nics.status).then_some(self.countable_nics.as_slice()),
        };
        View { value: &self.value, complete: false, attributes, counted: Some(counted) }
    }
}

impl DiskFacts<'_> {
    pub fn view<'b>(&'b self, attributes: &'b Attributes) -> View<'b> {
        View { value: &self.value, complete: self.complete, attributes, counted: None }
    }

    pub fn strong_identity(&self) -> Option<String> {
        let identity = self.identity.as_ref().filter(|identity| identity.strength == Strength::Strong)?;
        // The kind's number comes first, so that identities sort by strength.
        Some(format!("{:02} {}", identity.kind as u8, identity.value))
    }

    /// Model and size, for display.
    pub fn label(&self) -> String {
        let model = self.disk.model.as_deref().map(str::trim).filter(|model| !model.is_empty());
        format!("{} {}", model.unwrap_or("unnamed model"), decimal(self.disk.size))
    }

    /// The name by which a person can find it.
    pub fn name(&self) -> String {
        let identity = self.identity.as_ref().map(|identity| format!(", {}", identity.value)).unwrap_or_default();
        format!("{} ({}{identity})", self.disk.path, self.label())
    }
}

impl NicFacts<'_> {
    pub fn view<'b>(&'b self, attributes: &'b Attributes) -> View<'b> {
        View { value: &self.value, complete: self.complete, attributes, counted: None }
    }
}

/// The permanent address: the burnt-in one, or the current one if there is no other.
pub fn mac(nic: &Nic) -> Option<&str> {
    nic.permanent_mac.as_deref().or(nic.mac.as_deref())
}

/// A disk or NIC with `pci`, the PCI device that it is or is attached to, so that rules can refer to a slot.
fn with_pci<T: serde::Serialize>(device: &T, address: Option<&str>, inventory: &Inventory) -> Value {
    let mut value = serde_json::to_value(device).unwrap_or(Value::Null);
    let pci = address.and_then(|address| inventory.pci.data.iter().find(|pci| pci.address == address));
    if let (Some(map), Some(pci)) = (value.as_object_mut(), pci) {
        map.insert("pci".to_owned(), serde_json::to_value(pci).unwrap_or(Value::Null));
    }
    value
}

/// `{"system": {...}, "firmware": {...}, ...}`; a section that was not read is missing.
fn sections(inventory: &Inventory) -> Value {
    let Ok(Value::Object(all)) = serde_json::to_value(inventory) else { return json!({}) };
    let mut map = Map::new();
    for (name, section) in all {
        let read = matches!(section.get("status").and_then(Value::as_str), Some("ok" | "partial"));
        if let (true, Some(data)) = (read, section.get("data")) {
            map.insert(name, data.clone());
        }
    }
    Value::Object(map)
}

/// A device without its kernel name, to order devices that differ in nothing else.
fn unnamed(value: &Value) -> Vec<u8> {
    let mut value = value.clone();
    strip(&mut value);
    canonical::bytes(&value)
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for name in ["name", "path", "device_number", "hctl", "holders", "slaves", "index", "device", "controller"]
            {
                map.remove(name);
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}
