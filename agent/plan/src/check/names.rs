//! Checks names that refer to each other across the whole order: images, layouts, seed, network roles.

use super::super::fields::Scope;
use super::super::steps;
use super::{Mistakes, images, predicates, token};
use burin_protocol::order::{Order, Role, Seed, SeedPlace, time};
use std::collections::{BTreeMap, BTreeSet};

pub fn check(order: &Order, mistakes: &mut Mistakes) {
    let named = !order.id.trim().is_empty() && order.id.len() <= 128 && !order.id.chars().any(char::is_control);
    mistakes.ensure(named, "/id", "expected a name of 1 to 128 characters");
    validity(order, mistakes);
    for (name, image) in &order.images {
        images::check(image, &format!("/images/{}", token(name)), order.policies.require_signature, mistakes);
    }
    mistakes.ensure(!order.layouts.is_empty(), "/layouts", "an order has at least one layout");
    let mut seen = BTreeSet::new();
    for (i, layout) in order.layouts.iter().enumerate() {
        let at = format!("/layouts/{i}/name");
        mistakes.ensure(!layout.name.trim().is_empty(), &at, "a layout has a name");
        mistakes.ensure(seen.insert(&layout.name), &at, "another layout has this name");
        let label = layout.boot.as_ref().and_then(|boot| boot.label.as_deref());
        let at = format!("/layouts/{i}/boot/label");
        mistakes.ensure(label.is_none_or(steps::is_boot_label), &at, "expected 1 to 64 printable characters");
    }
    seed(order, mistakes);
    network(order, mistakes);
}

fn validity(order: &Order, mistakes: &mut Mistakes) {
    let Some(valid) = &order.valid else { return };
    for (name, text) in [("not_before", &valid.not_before), ("not_after", &valid.not_after)] {
        let right = text.as_ref().is_none_or(|text| time(text).is_some());
        mistakes.ensure(right, &format!("/valid/{name}"), "expected a time as 2026-11-22T09:00:00Z");
    }
    for (i, name) in valid.machines.iter().enumerate() {
        mistakes.ensure(!name.trim().is_empty(), &format!("/valid/machines/{i}"), "expected a name of a machine");
    }
    if let Some(when) = &valid.when {
        predicates::when(when, "/valid/when", mistakes);
    }
}

fn seed(order: &Order, mistakes: &mut Mistakes) {
    let Some(seed) = &order.seed else {
        mistakes.ensure(
            order.network.is_empty(),
            "/network",
            "network roles are written into the seed, and there is none",
        );
        return;
    };
    let both = seed.network_config.is_some() && !order.network.is_empty();
    mistakes.ensure(!both, "/seed/network_config", "expected either this or the order's `network`, not both");
    let own = seed.format.place() == SeedPlace::OwnPartition;
    if seed.volume.is_some() {
        let alone = Seed { format: seed.format, set: seed.set.clone(), volume: seed.volume.clone(), ..Seed::default() };
        mistakes.ensure(own, "/seed/volume", "this needs a format with a partition of its own");
        mistakes.ensure(
            *seed == alone && order.network.is_empty(),
            "/seed/volume",
            "this is in place of all other values",
        );
    }
    mistakes.ensure(
        seed.partition.is_none() || !own,
        "/seed/partition",
        "this format has a partition of its own; leave `partition` out",
    );
    if seed.format.place() == SeedPlace::IgnitionPartition {
        for (word, given) in [
            ("instance_id", seed.instance_id.is_some()),
            ("vendor_data", seed.vendor_data.is_some()),
            ("network_config", seed.network_config.is_some() || !order.network.is_empty()),
        ] {
            mistakes.ensure(!given, &format!("/seed/{word}"), "Ignition has no such thing; say it in `user_data`");
        }
        let something = seed.user_data.is_some() || seed.hostname.is_some() || !seed.ssh_authorized_keys.is_empty();
        mistakes.ensure(
            something,
            "/seed",
            "expected `user_data` with an Ignition configuration, a `hostname` or keys",
        );
        let trees = order.layouts.iter().any(|layout| layout.tree.is_some());
        mistakes.ensure(!trees, "/seed/format", "a tree has no partition that Ignition looks into");
    }
    for layout in &order.layouts {
        match steps::seed_set(order, layout) {
            None => mistakes.add(
                "/seed/set",
                format!("in layout `{}` nothing says which disk set gets the seed: name one", layout.name),
            ),
            Some(set) => match layout.disks.get(set) {
                None => mistakes.add("/seed/set", format!("the layout `{}` has no disk set `{set}`", layout.name)),
                Some(disks) if disks.is_preserved() => {
                    mistakes.add("/seed/set", format!("nothing may be put on the disks of `{set}`"));
                }
                Some(_) => {}
            },
        }
    }
}

fn network(order: &Order, mistakes: &mut Mistakes) {
    let mut interfaces: BTreeMap<&str, String> = BTreeMap::new();
    for (name, role) in &order.network {
        let at = format!("/network/{}", token(name));
        mistakes.ensure(is_interface(name, 13), &at, "expected a name of 1 to 13 characters of a-z, 0-9 and `-`");
        self::role(name, role, &order.network, &at, mistakes);
        let vlans = role.vlans.keys().map(|vlan| (vlan.as_str(), format!("{at}/vlans/{}", token(vlan))));
        for (interface, place) in std::iter::once((name.as_str(), at.clone())).chain(vlans) {
            if let Some(other) = interfaces.insert(interface, place.clone()) {
                mistakes.add(place, format!("{other} has this interface name too"));
            }
        }
    }
    circles(order.network.iter().map(|(name, role)| (name.as_str(), role.except.as_slice())), "/network", mistakes);
}

fn role(name: &str, role: &Role, roles: &BTreeMap<String, Role>, at: &str, mistakes: &mut Mistakes) {
    if let Some(predicate) = &role.matches {
        predicates::check(predicate, Scope::Nic, &format!("{at}/match"), mistakes);
    }
    counts(role.count, role.min, role.max, at, mistakes);
    for (i, field) in role.same.iter().enumerate() {
        predicates::plain_field(field, Scope::Nic, &format!("{at}/same/{i}"), mistakes);
    }
    if let Some(field) = &role.spread {
        predicates::plain_field(field, Scope::Nic, &format!("{at}/spread"), mistakes);
    }
    predicates::keys(&role.order_by, Scope::Nic, &format!("{at}/order_by"), mistakes);
    for (i, other) in role.except.iter().enumerate() {
        mistakes.ensure(roles.contains_key(other), &format!("{at}/except/{i}"), "there is no such network role");
    }
    let several = role.count.or(role.max).is_none_or(|most| most > 1)
        && (role.count.is_some() || role.max.is_some() || role.min.is_some());
    let address = !role.interface.addresses.is_empty() || !role.vlans.is_empty();
    mistakes.ensure(
        role.bond.is_some() || !(several && address),
        at,
        "several NICs cannot have one address or the same VLANs: add `bond`, or set `count` to 1",
    );
    if let Some(bond) = &role.bond {
        const MODES: [&str; 7] =
            ["active-backup", "802.3ad", "balance-rr", "balance-xor", "broadcast", "balance-tlb", "balance-alb"];
        let known = MODES.contains(&bond.mode.as_str());
        mistakes.ensure(known, &format!("{at}/bond/mode"), &format!("expected one of {}", MODES.join(", ")));
        let rate = bond.lacp_rate.as_deref().is_none_or(|rate| matches!(rate, "slow" | "fast"));
        mistakes.ensure(rate, &format!("{at}/bond/lacp_rate"), "expected slow or fast");
    }
    for (vlan_name, vlan) in &role.vlans {
        let at = format!("{at}/vlans/{}", token(vlan_name));
        mistakes.ensure(
            is_interface(vlan_name, 15),
            &at,
            "expected a name of 1 to 15 characters of a-z, 0-9, `.` and `-`",
        );
        mistakes.ensure((1..=4094).contains(&vlan.id), &format!("{at}/id"), "expected 1 to 4094");
        mistakes.ensure(vlan_name != name, &at, "a VLAN cannot have the name of its role");
    }
}

fn is_interface(name: &str, longest: usize) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || (b == b'.' && longest > 13);
    (1..=longest).contains(&name.len()) && name.bytes().all(fits)
}

/// Checks that `count`, or `min` and `max`, make sense.
pub fn counts(count: Option<u32>, min: Option<u32>, max: Option<u32>, at: &str, mistakes: &mut Mistakes) {
    if count.is_some() && (min.is_some() || max.is_some()) {
        mistakes.add(format!("{at}/count"), "expected either `count` or `min` and `max`");
    }
    mistakes.ensure(count != Some(0), &format!("{at}/count"), "expected 1 or more; use `min`: 0 for none");
    mistakes.ensure(max != Some(0), &format!("{at}/max"), "expected 1 or more");
    if let (Some(min), Some(max)) = (min, max) {
        mistakes.ensure(min <= max, &format!("{at}/min"), "expected no more than `max`");
    }
}

/// Cycles in `except`.
pub fn circles<'a>(all: impl Iterator<Item = (&'a str, &'a [String])>, at: &str, mistakes: &mut Mistakes) {
    let edges: BTreeMap<&str, &[String]> = all.collect();
    for start in edges.keys() {
        let (mut open, mut seen) = (vec![*start], BTreeSet::new());
        while let Some(name) = open.pop() {
            for next in edges.get(name).copied().unwrap_or_default() {
                if next == start {
                    mistakes.add(format!("{at}/{}/except", token(start)), "this leads back to itself");
                    open.clear();
                    break;
                }
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
    }
}
