//! Many inventories compared: machines of one model are held against what most of them have.

mod facts;
mod render;

pub use render::render;

use crate::model::Inventory;
use facts::facts;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is compared of one machine: names of facts, and what they say. Nothing in it names the machine itself.
#[derive(Debug, Clone, Default)]
pub struct Member {
    pub name: String,
    serial: Option<String>,
    model: String,
    facts: BTreeMap<String, String>,
}

impl Member {
    /// `name` is how the machine is called in the report, e.g. the name of its file.
    pub fn new(name: &str, inventory: &Inventory) -> Member {
        let system = &inventory.system.data;
        let words = [system.manufacturer.as_deref(), system.product_name.as_deref()];
        let model = words.iter().flatten().copied().collect::<Vec<_>>().join(" ");
        Member {
            name: name.to_owned(),
            serial: system.serial_number.clone(),
            model: if model.is_empty() { "unknown model".to_owned() } else { model },
            facts: facts(inventory),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// By model, the largest first.
    pub groups: Vec<Group>,
    /// Files that are no inventories.
    pub unreadable: Vec<Unreadable>,
}

/// Machines of one model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub model: String,
    pub machines: u64,
    /// Names of those that differ from most of the others in nothing.
    pub alike: Vec<String>,
    /// How many facts were compared.
    pub facts: u64,
    pub odd: Vec<Odd>,
    /// Facts for which no value is held by more than half: none of the machines is the odd one.
    pub split: Vec<Split>,
}

/// A machine that differs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Odd {
    pub machine: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    pub differences: Vec<Difference>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    pub fact: String,
    /// What most have; absent when most do not have it at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<String>,
    /// How many have it.
    pub count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub this: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Split {
    pub fact: String,
    pub values: Vec<Share>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub machines: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Unreadable {
    pub file: String,
    pub error: String,
}

impl Fleet {
    /// Something to look at.
    pub fn is_uniform(&self) -> bool {
        self.groups.iter().all(|g| g.odd.is_empty() && g.split.is_empty())
    }
}

/// In a fixed order, whatever the order of the members.
pub fn compare(mut members: Vec<Member>, unreadable: Vec<Unreadable>) -> Fleet {
    members.sort_by(|a, b| crate::parse::names::natural(&a.name, &b.name).then_with(|| a.serial.cmp(&b.serial)));
    let mut by_model: BTreeMap<String, Vec<Member>> = BTreeMap::new();
    for member in members {
        by_model.entry(member.model.clone()).or_default().push(member);
    }
    let mut groups: Vec<Group> = by_model.into_iter().map(|(model, members)| group(model, &members)).collect();
    groups.sort_by(|a, b| b.machines.cmp(&a.machines).then_with(|| a.model.cmp(&b.model)));
    Fleet { groups, unreadable }
}

fn group(model: String, members: &[Member]) -> Group {
    let names: BTreeSet<&String> = members.iter().flat_map(|m| m.facts.keys()).collect();
    let mut differences: Vec<Vec<Difference>> = vec![Vec::new(); members.len()];
    let mut split = Vec::new();
    for fact in &names {
        // Who says what; nothing at all is a value, too.
        let mut values: BTreeMap<Option<&String>, Vec<usize>> = BTreeMap::new();
        for (index, member) in members.iter().enumerate() {
            values.entry(member.facts.get(*fact)).or_default().push(index);
        }
        if values.len() < 2 {
            continue;
        }
        match values.iter().find(|(_, holders)| holders.len() * 2 > members.len()) {
            Some((most, holders)) => {
                for (value, others) in values.iter().filter(|(value, _)| *value != most) {
                    let difference = Difference {
                        fact: (*fact).clone(),
                        most: most.cloned(),
                        count: holders.len() as u64,
                        this: value.cloned(),
                    };
                    for &index in others {
                        if let Some(own) = differences.get_mut(index) {
                            own.push(difference.clone());
                        }
                    }
                }
            }
            None => {
                let share = |(value, holders): (&Option<&String>, &Vec<usize>)| Share {
                    value: value.cloned(),
                    machines: holders.iter().filter_map(|&i| members.get(i)).map(|m| m.name.clone()).collect(),
                };
                split.push(Split { fact: (*fact).clone(), values: values.iter().map(share).collect() });
            }
        }
    }
    let mut group =
        Group { model, machines: members.len() as u64, facts: names.len() as u64, split, ..Group::default() };
    for (member, differences) in members.iter().zip(differences) {
        if differences.is_empty() {
            group.alike.push(member.name.clone());
        } else {
            let (machine, serial_number) = (member.name.clone(), member.serial.clone());
            group.odd.push(Odd { machine, serial_number, differences });
        }
    }
    // Who differs most is looked at first.
    group.odd.sort_by_key(|odd| std::cmp::Reverse(odd.differences.len()));
    group
}

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
