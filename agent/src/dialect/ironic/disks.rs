//! Turns a node's properties into predicates of an order, so that burin's own planner chooses the disks, with gates and
//! trace.

use super::error::CommandError;
use super::hints::{HintError, Hints};
use crate::protocol::order::{Clause, Condition, DiskSet, OnExisting, Operand, Predicate, Scalar, Test};
use hwinventory::Inventory;
use hwinventory::format::ipa_inventory;
use hwinventory::model::{Disk, Strength};
use serde_json::Value;

/// ironic-python-agent's minimum without hints.
const LEAST_BYTES: u64 = 4 << 30;

/// How to choose a root disk if several match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Several {
    /// The planner refuses, and names them.
    Refuse,
    /// ironic-python-agent's behaviour (`burin.ironic.hints=first`): without hints the smallest of at least 4 GiB.
    First,
}

/// Disks in Ironic's description, each with its inventory entry.
pub struct Disks<'a> {
    known: Vec<(&'a Disk, Value)>,
    skip: Vec<Hints>,
}

fn unreadable(error: HintError) -> CommandError {
    CommandError::new("ironic.hints", error.to_string())
}

impl<'a> Disks<'a> {
    pub fn new(inventory: &'a Inventory, node: &Value) -> Result<Self, CommandError> {
        let mut skip = Vec::new();
        for hints in node["properties"]["skip_block_devices"].as_array().into_iter().flatten() {
            let mut hints = hints.clone();
            // Volumes of software RAID, which are made by name. There are none here.
            if hints.as_object_mut().is_some_and(|map| map.remove("volume_name").is_some()) {
                log::warn!("skip_block_devices names a RAID volume: burin neither makes nor removes one");
            }
            skip.extend(Hints::read(&hints).map_err(unreadable)?);
        }
        let machine = ipa_inventory(inventory, true);
        let listed = machine["disks"].as_array().cloned().unwrap_or_default();
        let own = |value: Value| {
            let disk = inventory.disks.data.iter().find(|disk| Some(disk.path.as_str()) == value["name"].as_str())?;
            Some((disk, value))
        };
        Ok(Self { known: listed.into_iter().filter_map(own).collect(), skip })
    }

    fn is_skipped(&self, value: &Value) -> bool {
        self.skip.iter().any(|hints| hints.misfit(value).is_none())
    }

    /// The set of protected disks, if `skip_block_devices` names any existing disk.
    pub fn protected(&self) -> Result<Option<DiskSet>, CommandError> {
        let skipped: Vec<&Disk> =
            self.known.iter().filter(|(_, value)| self.is_skipped(value)).map(|(disk, _)| *disk).collect();
        if skipped.is_empty() {
            return Ok(None);
        }
        Ok(Some(DiskSet { matches: Some(any_of(&skipped)?), protect: true, ..DiskSet::default() }))
    }

    /// The set of the root disk.
    pub fn root(&self, node: &Value, several: Several) -> Result<DiskSet, CommandError> {
        let hints = match Hints::read(&node["instance_info"]["root_device"]).map_err(unreadable)? {
            Some(hints) => Some(hints),
            None => Hints::read(&node["properties"]["root_device"]).map_err(unreadable)?,
        };
        let set = DiskSet { count: Some(1), on_existing: OnExisting::Destroy, ..DiskSet::default() };
        if hints.is_none() && several == Several::Refuse {
            // Any disk will do if there is only one.
            return Ok(set);
        }
        let fits = |(disk, value): &&(&Disk, Value)| match &hints {
            _ if self.is_skipped(value) => false,
            Some(hints) => hints.misfit(value).is_none(),
            None => disk.size >= LEAST_BYTES,
        };
        let mut fit: Vec<&Disk> = self.known.iter().filter(fits).map(|(disk, _)| *disk).collect();
        if fit.is_empty() {
            return Err(self.none_fits(hints.as_ref()));
        }
        if several == Several::First {
            if hints.is_none() {
                fit.sort_by(|a, b| (a.size, &a.path).cmp(&(b.size, &b.path)));
            }
            fit.truncate(1);
        }
        Ok(DiskSet { matches: Some(any_of(&fit)?), ..set })
    }

    /// All others, for cleaning: those that pass the gates.
    pub fn cleaned(&self) -> DiskSet {
        DiskSet { min: Some(0), on_existing: OnExisting::Destroy, wipe: true, ..DiskSet::default() }
    }

    /// Members of software RAID, as disks or by partitions.
    pub fn members(&self) -> DiskSet {
        let has = |field: &str| Predicate {
            clauses: vec![Clause::Field {
                field: field.to_owned(),
                condition: Condition { tests: vec![Test::Exists(true)] },
            }],
        };
        let matches = Predicate { clauses: vec![Clause::Any(vec![has("md"), has("partitions.md")])] };
        DiskSet { matches: Some(matches), ..self.cleaned() }
    }

    fn none_fits(&self, hints: Option<&Hints>) -> CommandError {
        let wanted = hints
            .map_or("a disk of at least 4 GiB".to_owned(), |hints| format!("the root device hints {}", hints.text()));
        let looked: Vec<String> = self
            .known
            .iter()
            .map(|(disk, value)| {
                let why = match hints.and_then(|hints| hints.misfit(value)) {
                    _ if self.is_skipped(value) => "skip_block_devices leaves it out".to_owned(),
                    Some(why) => why,
                    None => format!("it has {} bytes", disk.size),
                };
                format!("{}: {why}", disk.path)
            })
            .collect();
        let looked = if looked.is_empty() { "there are no disks".to_owned() } else { looked.join("; ") };
        CommandError::new("ironic.no_root_device", format!("no disk fits {wanted}: {looked}"))
    }
}

/// Exactly these disks, by properties that do not change between boots.
fn any_of(disks: &[&Disk]) -> Result<Predicate, CommandError> {
    let names = disks.iter().map(|disk| name_of(disk)).collect::<Result<Vec<_>, _>>()?;
    Ok(Predicate { clauses: vec![Clause::Any(names)] })
}

fn name_of(disk: &Disk) -> Result<Predicate, CommandError> {
    let is = |field: &str, value: &str| {
        let condition = Condition { tests: vec![Test::Eq(Operand::Literal(Scalar::Text(value.to_owned())))] };
        Clause::Field { field: field.to_owned(), condition }
    };
    if disk.identity.strength == Strength::Strong {
        return Ok(Predicate { clauses: vec![is("identity.value", &disk.identity.value)] });
    }
    let weak = [("serial", &disk.serial), ("by_path", &disk.by_path)];
    let clauses: Vec<Clause> = weak.iter().filter_map(|(field, value)| Some(is(field, value.as_deref()?))).collect();
    if clauses.is_empty() {
        let message = format!("{}: nothing tells this disk from others: no serial number, no WWN, no path", disk.path);
        return Err(CommandError::new("ironic.nameless_disk", message));
    }
    Ok(Predicate { clauses })
}

#[cfg(test)]
#[path = "disks_tests.rs"]
mod tests;
