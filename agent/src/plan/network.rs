//! Network roles: which NICs, and the netplan v2 configuration that follows, with MAC matches instead of kernel names.

use super::attributes::Attributes;
use super::disks::{check_words, mark_nearest, nearest_words};
use super::eval;
use super::machine::{self, Machine, NicFacts};
use super::refusal::Reason;
use super::select::{self, Item, Outcome, Rule};
use crate::protocol::order::{Interface, Role};
use crate::protocol::plan::{Candidate, GateFinding, SetTrace, Truth, Verdict};
use hwinventory::model::Status;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// MAC addresses by role.
pub type Chosen = BTreeMap<String, Vec<String>>;

/// The NICs of every role, or why not.
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
    let rule = Rule::of_role(role);
    let mut candidates = Vec::new();
    let mut passing = Vec::new();
    for (position, facts) in machine.nics.iter().enumerate() {
        let mut gates = Vec::new();
        let mut gate = |code: &str, observed: &str| {
            gates.push(GateFinding { code: code.to_owned(), observed: observed.to_owned() });
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
        if taken.contains(&position) {
            gate("taken", "by another role");
        }
        let (truth, checks) = match &role.matches {
            Some(predicate) => eval::predicate(predicate, facts.view(attributes)),
            None => (Truth::True, Vec::new()),
        };
        if gates.is_empty() && truth == Truth::True {
            passing.push(position);
        }
        let verdict = match truth {
            _ if !gates.is_empty() => Verdict::Gated,
            Truth::True => Verdict::PassedOver,
            Truth::Unknown => Verdict::Unknown,
            Truth::False => Verdict::NoMatch,
        };
        let reason = match verdict {
            Verdict::Gated => {
                gates.iter().map(|g| format!("{}: {}", g.code, g.observed)).collect::<Vec<_>>().join("; ")
            }
            Verdict::PassedOver => "matches".to_owned(),
            _ => checks.iter().filter(|c| c.truth == truth).map(check_words).collect::<Vec<_>>().join("; "),
        };
        let label = label(facts);
        let device = facts.nic.name.clone();
        candidates.push(Candidate {
            device,
            identity: None,
            label,
            verdict,
            reason,
            gates,
            checks,
            nearest_miss: false,
        });
    }

    let items: Vec<Item> = passing
        .iter()
        .filter_map(|position| machine.nics.get(*position))
        .map(|facts| Item {
            view: facts.view(attributes),
            identity: machine::mac(facts.nic).map(str::to_owned),
            by_path: facts.nic.by_path.as_deref().or(facts.nic.pci_address.as_deref()),
        })
        .collect();
    let outcome = select::select(&items, rule);
    let positions =
        |list: &[usize]| -> Vec<usize> { list.iter().filter_map(|item| passing.get(*item).copied()).collect() };
    let (hits, verdict) = match &outcome {
        Outcome::Chosen(list) => (positions(list), Verdict::Chosen),
        Outcome::Tied(list) => (positions(list), Verdict::Tied),
        Outcome::TooFew(_) => (Vec::new(), Verdict::Chosen),
    };
    for hit in &hits {
        if let Some(candidate) = candidates.get_mut(*hit) {
            candidate.verdict = verdict;
        }
    }
    let tied: Vec<String> = hits.iter().filter_map(|hit| machine.nics.get(*hit)).map(label).collect();
    candidates.sort_by_key(|candidate| candidate.verdict);
    mark_nearest(&mut candidates);
    let max = rule.max.map(|max| u32::try_from(max).unwrap_or(u32::MAX));
    let min = u32::try_from(rule.min).unwrap_or(u32::MAX);
    let trace = SetTrace { set: name.to_owned(), min, max, candidates };
    let nearest = nearest_words(&trace);
    traces.push(trace);
    let (what, name, wanted) = ("network role", name.to_owned(), rule.wanted());
    match outcome {
        Outcome::Chosen(_) => Ok(hits),
        Outcome::Tied(_) => Err(Reason::Ambiguous { what, name, wanted, tied }),
        Outcome::TooFew(found) => Err(Reason::NoMatch { what, name, wanted, found, nearest }),
    }
}

// ---- netplan ----

/// The network configuration, netplan version 2 as cloud-init reads it. Interfaces are named after their roles.
pub fn netplan(roles: &BTreeMap<String, Role>, chosen: &Chosen, attributes: &Attributes) -> Result<Value, Reason> {
    let (mut ethernets, mut bonds, mut vlans) = (Map::new(), Map::new(), Map::new());
    for (name, role) in roles {
        let at = format!("/network/{}", name.replace('~', "~0").replace('/', "~1"));
        let macs = chosen.get(name).map(Vec::as_slice).unwrap_or_default();
        let config = interface(&role.interface, attributes, &format!("{at}/interface"))?;
        let Some(first) = macs.first() else { continue };
        let ethernet = |mac: &str, name: &str| json!({ "match": { "macaddress": mac }, "set-name": name });
        match &role.bond {
            Some(bond) => {
                let mut members = Vec::new();
                for (i, mac) in macs.iter().enumerate() {
                    let member = format!("{name}{i}");
                    ethernets.insert(member.clone(), ethernet(mac, &member));
                    members.push(member);
                }
                let mut parameters = Map::new();
                parameters.insert("mode".to_owned(), json!(bond.mode));
                parameters.insert("mii-monitor-interval".to_owned(), json!(bond.mii_monitor_interval.unwrap_or(100)));
                if let Some(rate) = &bond.lacp_rate {
                    parameters.insert("lacp-rate".to_owned(), json!(rate));
                }
                if let Some(policy) = &bond.transmit_hash_policy {
                    parameters.insert("transmit-hash-policy".to_owned(), json!(policy));
                }
                let mut value = config;
                value.insert("interfaces".to_owned(), json!(members));
                // The first member's address: what DHCP servers know the machine by.
                value.insert("macaddress".to_owned(), json!(first));
                value.insert("parameters".to_owned(), Value::Object(parameters));
                bonds.insert(name.clone(), Value::Object(value));
            }
            None => {
                for (i, mac) in macs.iter().enumerate() {
                    let id = if macs.len() == 1 { name.clone() } else { format!("{name}{i}") };
                    let mut value = ethernet(mac, &id);
                    if let Some(map) = value.as_object_mut() {
                        map.extend(config.clone());
                    }
                    ethernets.insert(id, value);
                }
            }
        }
        for (vlan_name, vlan) in &role.vlans {
            let mut value = interface(&vlan.interface, attributes, &format!("{at}/vlans/{vlan_name}/interface"))?;
            value.insert("id".to_owned(), json!(vlan.id));
            value.insert("link".to_owned(), json!(name));
            vlans.insert(vlan_name.clone(), Value::Object(value));
        }
    }
    let mut config = Map::new();
    config.insert("version".to_owned(), json!(2));
    for (kind, map) in [("ethernets", ethernets), ("bonds", bonds), ("vlans", vlans)] {
        if !map.is_empty() {
            config.insert(kind.to_owned(), Value::Object(map));
        }
    }
    Ok(Value::Object(config))
}

fn interface(config: &Interface, attributes: &Attributes, at: &str) -> Result<Map<String, Value>, Reason> {
    let mut map = Map::new();
    for (key, value) in [("dhcp4", config.dhcp4), ("dhcp6", config.dhcp6), ("optional", config.optional)] {
        if let Some(value) = value {
            map.insert(key.to_owned(), json!(value));
        }
    }
    if let Some(mtu) = config.mtu {
        map.insert("mtu".to_owned(), json!(mtu));
    }
    let addresses = attributes.texts(&config.addresses, &format!("{at}/addresses"))?;
    for address in &addresses {
        prefix(address).ok_or_else(|| bad(at, "addresses", address, "an address with its prefix length"))?;
    }
    if !addresses.is_empty() {
        map.insert("addresses".to_owned(), json!(addresses));
    }
    let mut routes = Vec::new();
    if let Some(gateway) = &config.gateway {
        let via = attributes.text(gateway, &format!("{at}/gateway"))?;
        let address: IpAddr = via.parse().map_err(|_| bad(at, "gateway", &via, "an IP address"))?;
        // `default` would do for netplan, but older cloud-init renderers know only the written-out form.
        let to = if address.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        routes.push(json!({ "to": to, "via": via }));
    }
    for (i, route) in config.routes.iter().enumerate() {
        let via = attributes.text(&route.via, &format!("{at}/routes/{i}/via"))?;
        let address: IpAddr = via.parse().map_err(|_| bad(at, "routes", &via, "an IP address"))?;
        let mut to = attributes.text(&route.to, &format!("{at}/routes/{i}/to"))?;
        if to == "default" {
            to = if address.is_ipv4() { "0.0.0.0/0" } else { "::/0" }.to_owned();
        }
        prefix(&to).ok_or_else(|| bad(at, "routes", &to, "a network with its prefix length, or `default`"))?;
        let mut value = json!({ "to": to, "via": via });
        if let (Some(metric), Some(map)) = (route.metric, value.as_object_mut()) {
            map.insert("metric".to_owned(), json!(metric));
        }
        routes.push(value);
    }
    if !routes.is_empty() {
        map.insert("routes".to_owned(), json!(routes));
    }
    if let Some(dns) = &config.dns {
        let mut servers = Map::new();
        let addresses = attributes.texts(&dns.addresses, &format!("{at}/dns/addresses"))?;
        for address in &addresses {
            address.parse::<IpAddr>().map_err(|_| bad(at, "dns/addresses", address, "an IP address"))?;
        }
        let search = attributes.texts(&dns.search, &format!("{at}/dns/search"))?;
        for (key, list) in [("addresses", addresses), ("search", search)] {
            if !list.is_empty() {
                servers.insert(key.to_owned(), json!(list));
            }
        }
        map.insert("nameservers".to_owned(), Value::Object(servers));
    }
    Ok(map)
}

fn bad(at: &str, field: &str, value: &str, expected: &str) -> Reason {
    Reason::BadValue { at: format!("{at}/{field}"), message: format!("`{value}` is not {expected}") }
}

/// `10.0.0.5/24`, `2001:db8::/32`.
fn prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}
