//! Selects how many and which of the matching devices are taken: by explicit keys, never silently. Used for disks and
//! NICs.

use super::eval::{self, View};
use burin_protocol::order::{DiskSet, Key, Role, Tie};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The order's rule for choosing among those that match.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    pub min: usize,
    /// `None`: all that match.
    pub max: Option<usize>,
    pub same: &'a [String],
    pub spread: Option<&'a str>,
    pub order_by: &'a [Key],
    pub tie: Tie,
}

/// A device that matches.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    pub view: View<'a>,
    /// Strong identity, if it has one.
    pub identity: Option<String>,
    pub by_path: Option<&'a str>,
}

/// The result; numbers are positions in the list of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// In their order.
    Chosen(Vec<usize>),
    /// At most this many fit together.
    TooFew(usize),
    /// Nothing decides between these.
    Tied(Vec<usize>),
}

impl<'a> Rule<'a> {
    pub fn of_set(set: &'a DiskSet) -> Self {
        let (min, max) = bounds(set.count, set.min, set.max, set.protect);
        let spread = set.spread.as_deref();
        Self { min, max, same: &set.same, spread, order_by: &set.order_by, tie: set.tie }
    }

    pub fn of_role(role: &'a Role) -> Self {
        let (min, max) = bounds(role.count, role.min, role.max, false);
        let spread = role.spread.as_deref();
        Self { min, max, same: &role.same, spread, order_by: &role.order_by, tie: role.tie }
    }

    /// A readable description.
    pub fn wanted(&self) -> String {
        match (self.min, self.max) {
            (min, Some(max)) if min == max => format!("exactly {min}"),
            (min, Some(max)) => format!("{min} to {max}"),
            (min, None) => format!("at least {min}"),
        }
    }
}

fn bounds(count: Option<u32>, min: Option<u32>, max: Option<u32>, protect: bool) -> (usize, Option<usize>) {
    match (count, min, max) {
        (Some(count), _, _) => (count as usize, Some(count as usize)),
        (None, None, None) if protect => (0, None),
        (None, None, None) => (1, Some(1)),
        (None, min, max) => (min.unwrap_or(if protect { 0 } else { 1 }) as usize, max.map(|max| max as usize)),
    }
}

/// One item with its sort keys.
struct Ranked {
    item: usize,
    keys: Vec<Option<Value>>,
    spread: Option<String>,
}

pub fn select(items: &[Item<'_>], rule: Rule<'_>) -> Outcome {
    let mut groups: BTreeMap<String, Vec<Ranked>> = BTreeMap::new();
    for (item, candidate) in items.iter().enumerate() {
        let same: Vec<Value> = rule.same.iter().map(|field| eval::observed(field, candidate.view)).collect();
        if same.iter().any(Value::is_null) {
            continue;
        }
        let spread = rule.spread.map(|field| eval::observed(field, candidate.view));
        if spread.as_ref().is_some_and(Value::is_null) {
            continue;
        }
        let keys = rule.order_by.iter().map(|key| key_value(key, candidate.view)).collect();
        let ranked = Ranked { item, keys, spread: spread.map(|value| value.to_string()) };
        groups.entry(Value::Array(same).to_string()).or_default().push(ranked);
    }
    if groups.is_empty() && rule.min == 0 {
        return Outcome::Chosen(Vec::new());
    }

    let mut best: Option<(Vec<Ranked>, Vec<Ranked>)> = None;
    let mut most = 0;
    for (_, mut group) in groups {
        group.sort_by(|a, b| full_order(a, b, items, rule));
        let (taken, left) = take(group, rule);
        most = most.max(taken.len());
        if taken.len() < rule.min {
            continue;
        }
        best = Some(match best {
            None => (taken, left),
            Some(other) => match compare_groups(&taken, &other.0, items, rule) {
                Some(Ordering::Less) => (taken, left),
                Some(_) => other,
                None => return Outcome::Tied(taken.iter().chain(&other.0).map(|ranked| ranked.item).collect()),
            },
        });
    }
    let Some((taken, left)) = best else { return Outcome::TooFew(most) };
    match tied(&taken, &left, items, rule) {
        Some(tied) => Outcome::Tied(tied),
        None => Outcome::Chosen(taken.iter().map(|ranked| ranked.item).collect()),
    }
}

/// The best first, at most `max`, no two with the same `spread`. Greedy selection is exact here: with one spread field,
/// taking the better of two never makes the rest worse.
fn take(group: Vec<Ranked>, rule: Rule<'_>) -> (Vec<Ranked>, Vec<Ranked>) {
    let mut taken: Vec<Ranked> = Vec::new();
    let mut left = Vec::new();
    for ranked in group {
        let room = rule.max.is_none_or(|max| taken.len() < max);
        let clash = rule.spread.is_some() && taken.iter().any(|other| other.spread == ranked.spread);
        if room && !clash { taken.push(ranked) } else { left.push(ranked) }
    }
    (taken, left)
}

/// Items on both sides of the cut that could replace each other, if the tie policy cannot decide between them.
fn tied(taken: &[Ranked], left: &[Ranked], items: &[Item<'_>], rule: Rule<'_>) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    for out in left {
        for inside in taken {
            let others_clash = rule.spread.is_some()
                && taken.iter().any(|other| other.item != inside.item && other.spread == out.spread);
            let told_apart = matches!(explicit_order(inside, out, rule), Some(Ordering::Less | Ordering::Greater));
            if !others_clash && !told_apart && !breaks_tie(inside, out, items, rule) {
                for item in [inside.item, out.item] {
                    if !found.contains(&item) {
                        found.push(item);
                    }
                }
            }
        }
    }
    (!found.is_empty()).then_some(found)
}

/// `None`: a deciding key is not known for one of them.
fn explicit_order(a: &Ranked, b: &Ranked, rule: Rule<'_>) -> Option<Ordering> {
    for (i, key) in rule.order_by.iter().enumerate() {
        let (a, b) = (a.keys.get(i)?.as_ref(), b.keys.get(i)?.as_ref());
        match directed(key, value_order(a?, b?)) {
            Ordering::Equal => {}
            decided => return Some(decided),
        }
    }
    Some(Ordering::Equal)
}

/// Whether the policy may decide between two that the keys leave equal. An unknown key does not count as a tie.
fn breaks_tie(a: &Ranked, b: &Ranked, items: &[Item<'_>], rule: Rule<'_>) -> bool {
    if explicit_order(a, b, rule).is_none() {
        return false;
    }
    let both = |has: fn(&Item<'_>) -> bool| items.get(a.item).is_some_and(has) && items.get(b.item).is_some_and(has);
    match rule.tie {
        Tie::Refuse => false,
        Tie::Identity => both(|item| item.identity.is_some()),
        Tie::Path => both(|item| item.by_path.is_some()),
    }
}

/// Which of two selections is better: `None` if nothing decides.
fn compare_groups(a: &[Ranked], b: &[Ranked], items: &[Item<'_>], rule: Rule<'_>) -> Option<Ordering> {
    for (a, b) in a.iter().zip(b) {
        match explicit_order(a, b, rule) {
            Some(Ordering::Equal) => {}
            decided => return decided,
        }
    }
    let (first_a, first_b) = (a.first()?, b.first()?);
    breaks_tie(first_a, first_b, items, rule).then(|| full_order(first_a, first_b, items, rule))
}

/// Explicit keys (unknown last), then strong identity, then the path through the machine; `tie: path` swaps the last
/// two. Never the kernel's name.
fn full_order(a: &Ranked, b: &Ranked, items: &[Item<'_>], rule: Rule<'_>) -> Ordering {
    let mut order = Ordering::Equal;
    for (i, key) in rule.order_by.iter().enumerate() {
        order = order.then_with(|| {
            match (a.keys.get(i).and_then(Option::as_ref), b.keys.get(i).and_then(Option::as_ref)) {
                (Some(a), Some(b)) => directed(key, value_order(a, b)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            }
        });
    }
    let (Some(a), Some(b)) = (items.get(a.item), items.get(b.item)) else { return order };
    let identity = || last_if_none(a.identity.as_deref(), b.identity.as_deref());
    let path = || last_if_none(a.by_path, b.by_path);
    match rule.tie {
        Tie::Path => order.then_with(path).then_with(identity),
        Tie::Refuse | Tie::Identity => order.then_with(identity).then_with(path),
    }
}

fn last_if_none(a: Option<&str>, b: Option<&str>) -> Ordering {
    (a.is_none(), a).cmp(&(b.is_none(), b))
}

fn key_value(key: &Key, view: View<'_>) -> Option<Value> {
    let (Key::Asc(field) | Key::Desc(field)) = key;
    match eval::observed(field, view) {
        Value::Null => None,
        // For a list, its smallest element.
        Value::Array(list) => list.into_iter().min_by(value_order),
        value => Some(value),
    }
}

fn directed(key: &Key, order: Ordering) -> Ordering {
    match key {
        Key::Asc(_) => order,
        Key::Desc(_) => order.reverse(),
    }
}

/// A total order over scalars: false before true, numbers by value, text alphabetically.
fn value_order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => match (a.as_u64(), b.as_u64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
        },
        (Value::String(a), Value::String(b)) => a.trim().to_ascii_lowercase().cmp(&b.trim().to_ascii_lowercase()),
        _ => a.to_string().cmp(&b.to_string()),
    }
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
