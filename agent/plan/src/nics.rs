//! Chooses the NICs of each network role.

use super::attributes::Attributes;
use super::candidates::{self, Asked};
use super::machine::{self, Machine, NicFacts};
use super::refusal::Reason;
use super::select::{Item, Rule};
use burin_protocol::order::Role;
use burin_protocol::plan::{GateFinding, SetTrace};
use hwinventory_types::Status;
use std::collections::BTreeMap;

/// MAC addresses by role.
pub type Chosen = BTreeMap<String, Vec<String>>;

/// The NICs of every role, or the reason why not.
pub fn choose(
    roles: &BTreeMap<String, Role>,
    machine: &Machine<'_>,
    attributes: &Attributes,
) -> (Result<Chosen, Reason>, Vec<SetTrace>) {
    let mut traces = Vec::new();
    let result = choose_all(roles, machine, attributes, &mut traces);
    (result, traces)
}

fn choose_all(
    roles: &BTreeMap<String, Role>,
    machine: &Machine<'_>,
    attributes: &Attributes,
    traces: &mut Vec<SetTrace>,
) -> Result<Chosen, Reason> {
    let status = machine.inventory.nics.status;
    if !roles.is_empty() && !matches!(status, Status::Ok | Status::Partial | Status::Absent) {
        return Err(Reason::Unread { section: "NICs", status: status.word() });
    }
    let mut chosen: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    while chosen.len() < roles.len() {
        let open = |name: &str| !chosen.contains_key(name);
        let ready = |(name, role): &(&String, &Role)| {
            open(name) && role.except.iter().all(|other| !open(other) || !roles.contains_key(other))
        };
        let next = roles.iter().find(ready).or_else(|| roles.iter().find(|(name, _)| open(name)));
        let Some((name, role)) = next else { break };
        let taken: Vec<usize> =
            role.except.iter().filter_map(|other| chosen.get(other.as_str())).flatten().copied().collect();
        let nics = select_role(name, role, machine, attributes, &taken, traces)?;
        chosen.insert(name, nics);
    }
    for (position, facts) in machine.nics.iter().enumerate() {
        let names: Vec<String> = chosen
            .iter()
            .filter(|(_, nics)| nics.contains(&position))
            .map(|(name, _)| format!("network role `{name}`"))
            .collect();
        if names.len() > 1 {
            return Err(Reason::Overlap { subject: label(facts), names });
        }
    }
    let macs = |nics: Vec<usize>| -> Vec<String> {
        nics.into_iter().filter_map(|nic| machine::mac(machine.nics.get(nic)?.nic).map(str::to_owned)).collect()
    };
    Ok(chosen.into_iter().map(|(name, nics)| (name.to_owned(), macs(nics))).collect())
}

fn label(facts: &NicFacts<'_>) -> String {
    let model = facts.nic.model.as_deref().or(facts.nic.driver.as_deref()).unwrap_or("NIC");
    format!("{} {model}", machine::mac(facts.nic).unwrap_or("no address"))
}

fn select_role(
    name: &str,
    role: &Role,
    machine: &Machine<'_>,
    attributes: &Attributes,
    taken: &[usize],
    traces: &mut Vec<SetTrace>,
) -> Result<Vec<usize>, Reason> {
    let mut asked = Vec::new();
    for (position, facts) in machine.nics.iter().enumerate() {
        let mut gates = gates(facts, machine);
        if taken.contains(&position) {
            gates.push(GateFinding { code: "taken".to_owned(), observed: "by another role".to_owned() });
        }
        let item = Item {
            view: facts.view(attributes),
            identity: machine::mac(facts.nic).map(str::to_owned),
            by_path: facts.nic.by_path.as_deref().or(facts.nic.pci_address.as_deref()),
        };
        let (truth, checks) = candidates::ask(role.matches.as_ref(), &item);
        let (device, label) = (facts.nic.name.clone(), label(facts));
        let subject = format!("{device} ({label})");
        asked.push(Asked { item, device, identity: None, label, subject, gates, truth, checks });
    }
    candidates::choose("network role", name, Rule::of_role(role), asked, traces)
}

/// What a NIC must satisfy before any predicate is evaluated.
fn gates(facts: &NicFacts<'_>, machine: &Machine<'_>) -> Vec<GateFinding> {
    let mut found = Vec::new();
    let mut gate = |code: &str, observed: &str| {
        found.push(GateFinding { code: code.to_owned(), observed: observed.to_owned() });
    };
    if !matches!(facts.nic.status, Status::Ok | Status::Partial) {
        gate("unread", facts.nic.status.word());
    }
    match machine::mac(facts.nic) {
        None => gate("no-address", "it has no MAC address to be found by"),
        Some(mac) if machine.nics.iter().filter(|other| machine::mac(other.nic) == Some(mac)).count() > 1 => {
            gate("shared-address", "another NIC has the same MAC address");
        }
        Some(_) => {}
    }
    if let Some(kind) = facts.nic.kind.as_deref().filter(|kind| *kind != "ethernet") {
        gate("not-ethernet", kind);
    }
    found
}
