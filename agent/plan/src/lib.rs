//! burin's planner: a pure function that turns the machine's state ([`Inventory`]) and the wanted state ([`Order`])
//! into the work to be done ([`Plan`]), or into a typed refusal. No I/O, no clock, no randomness.
//!
//! Attributes are merged, the one layout that applies is chosen, each disk set gets its disks and each network role its
//! NIC, and the work is turned into a list of steps. Every choice leaves a trace: each candidate with each condition
//! and the observed value, so that "why this disk" has an answer.
//!
//! The rest of the system relies on three properties:
//!
//! - **The same input gives the same plan**, byte for byte, with the same digest. Identifiers are derived from the
//!   order and the disk. Nothing depends on what the kernel calls a device or in which order it found it.
//! - **Pinning means planning again.** To apply a plan, take a new inventory, plan again and compare digests: an equal
//!   digest means that identity, size and contents of every planned disk are as agreed.
//! - **Ambiguity is refused**, not guessed away: two disks that match, unknown contents, one half of an array. So is an
//!   image that cannot become what the order wants, judging by its first bytes ([`check_head`]).
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! let inventory = serde_json::from_str(r#"{
//!     "schema_version": "inventory/v1",
//!     "disks": { "status": "ok", "data": [ {
//!         "name": "sda", "path": "/dev/sda", "status": "ok", "size": 480103981056, "logical_block_size": 512,
//!         "identities": [{ "kind": "naa", "value": "5000c500a1b2c3d4", "strength": "strong" }],
//!         "mounts": [], "signatures": [], "samples": { "looked_at_bytes": 2228224, "blank": true }
//!     } ] }
//! }"#)?;
//! let order = burin_protocol::order::parse(r#"{
//!     "version": "order/v1", "id": "example",
//!     "images": { "debian": { "urls": ["https://images.example/debian.raw"] } },
//!     "layouts": [ { "name": "only", "disks": { "root": { "image": "debian" } } } ]
//! }"#)?;
//! let plan = burin_plan::plan(&inventory, &order, &BTreeMap::new())?;
//! assert_eq!(plan.disks[0].device, "/dev/sda");
//! println!("{}", burin_plan::explain(&plan));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attributes;
mod candidates;
mod canonical;
mod check;
mod collisions;
mod disks;
mod erase;
mod eval;
mod existing;
mod explain;
mod fields;
mod files;
mod fresh;
mod gates;
mod glob;
mod groups;
mod head;
mod identity;
mod keep;
mod layers;
mod layout;
mod luks;
mod lvm;
mod machine;
mod meant;
mod mirror;
mod mkfs;
mod netplan;
mod network_data;
mod nics;
mod partition_images;
mod paths;
mod quantity;
mod raids;
mod refusal;
mod seed;
mod select;
mod simulate;
mod stacks;
mod steps;
mod table;
mod tree;

pub use attributes::PREFIX as ATTRIBUTE_PREFIX;
pub use burin_protocol::plan::Identifier;
pub use check::check;
pub use collisions::{Collision, find as find_collisions, of_content as content_identifiers};
pub use explain::{explain, explain_refusal, explain_trace};
pub use files::{FileContents, PlacedFile};
pub use head::{HeadError, check_head, check_partition_head, copied_guid};
pub use identity::identities;
pub use keep::entry as kept_entry;
pub use paths::merged as one_disk_each;
pub use refusal::{Reason, Refusal};
pub use seed::{SeedFile, SeedFiles, labels as seed_labels};
pub use simulate::{Outcome, Overlap, Row, overlaps, simulate};

use attributes::Attributes;
use burin_protocol::Plan;
use burin_protocol::order::{Collisions, Layout, OnExisting, Order};
use burin_protocol::plan::steps::{CreateRaid, WriteImage};
use burin_protocol::plan::{Device, Fate, PlannedDisk, Step, Strength, Trace, VERSION, Warning, words};
use hwinventory_types::BootMode;
use hwinventory_types::Inventory;
use machine::Machine;
use std::collections::{BTreeMap, BTreeSet};

/// Plans an order for this machine. `command_line` holds the `burin.attr.` words of the kernel command line, by name
/// without that prefix.
pub fn plan(inventory: &Inventory, order: &Order, command_line: &BTreeMap<String, String>) -> Result<Plan, Refusal> {
    let mut trace = Trace::default();
    match planned(&paths::merged(inventory), order, command_line, &mut trace) {
        Ok(mut plan) => {
            plan.trace = trace;
            plan.digest = canonical::plan_digest(&plan);
            Ok(plan)
        }
        Err(reason) => Err(Refusal { reason, trace: Box::new(trace) }),
    }
}

/// What a planned order writes into systems but keeps out of plans: its seed for `Step::WriteSeed`, its files for
/// `Step::WriteFiles`, and passphrases for `Step::CreateLuks`. `None`: the order has none of them.
pub fn seed(
    inventory: &Inventory,
    order: &Order,
    command_line: &BTreeMap<String, String>,
) -> Result<Option<SeedFiles>, Refusal> {
    let mut trace = Trace::default();
    let inventory = &*paths::merged(inventory);
    let attributes = Attributes::gather(inventory, order, command_line);
    let machine = Machine::new(inventory);
    let all = seed_files(order, &machine, &attributes, &mut trace).and_then(|seed| {
        let placed = files::files(order, &attributes)?;
        let passphrases = luks::all_passphrases(order, &attributes);
        Ok(match seed {
            None if placed.is_empty() && passphrases.is_empty() => None,
            seed => Some(SeedFiles { placed, passphrases, ..seed.unwrap_or_default() }),
        })
    });
    all.map_err(|reason| Refusal { reason, trace: Box::new(trace) })
}

fn seed_files(
    order: &Order,
    machine: &Machine<'_>,
    attributes: &Attributes,
    trace: &mut Trace,
) -> Result<Option<SeedFiles>, Reason> {
    if order.network.is_empty() {
        return seed::files(order, attributes, None);
    }
    let (chosen, traces) = nics::choose(&order.network, machine, attributes);
    trace.roles = traces;
    let config = netplan::netplan(&order.network, &chosen?, attributes)?;
    seed::files(order, attributes, Some(&config))
}

fn planned(
    inventory: &Inventory,
    order: &Order,
    command_line: &BTreeMap<String, String>,
    trace: &mut Trace,
) -> Result<Plan, Reason> {
    check(order).map_err(Reason::Order)?;
    let attributes = Attributes::gather(inventory, order, command_line);
    trace.attributes = attributes.trace();
    let machine = Machine::new(inventory);

    meant::check(order, &machine, &attributes)?;
    let found = machine.usable_disks();
    if let Some(expected) = order.policies.expected_disks.filter(|expected| found < *expected as usize) {
        return Err(Reason::FewDisks { expected, found });
    }

    let (layout, traces) = layout::choose(&order.layouts, machine.view(&attributes));
    trace.layouts = traces;
    let position = layout?;
    let layout = order.layouts.get(position).ok_or_else(|| Reason::NoLayout(Vec::new()))?;

    let (chosen, traces) = disks::choose(layout, &machine, &attributes);
    trace.sets = traces;
    let architecture = &inventory.cpu.data.architecture;
    let architecture = architecture.as_deref().or(inventory.kernel.data.architecture.as_deref());
    let (disks, optimal_io) = planned_disks(order, layout, &machine, &chosen?, architecture)?;

    let seed = seed_files(order, &machine, &attributes, trace)?;
    let seed_digest = seed.as_ref().map(|seed| seed.digest(&canonical::order_bytes(order)));
    let placed = files::files(order, &attributes)?;
    let context = steps::Context {
        order,
        layout,
        disks: &disks,
        architecture,
        uefi: inventory.firmware.data.boot_mode == BootMode::Uefi,
        seed_digest: seed_digest.as_deref(),
        placed: &placed,
        optimal_io: &optimal_io,
        memory: inventory.memory.data.physical.or(inventory.memory.data.usable),
    };
    luks::passphrases(layout, &format!("/layouts/{position}"), &attributes)?;
    let stacks = stacks::fates(inventory, layout, &disks);
    if !stacks.split.is_empty() {
        return Err(Reason::SplitArray(stacks.split));
    }
    let mut steps = steps::steps(context)?;
    let first = usize::from(matches!(steps.first(), Some(Step::Preserve(_))));
    steps.splice(first..first, stacks.stop);

    let mut plan = Plan {
        version: VERSION.to_owned(),
        order: order.id.clone(),
        order_digest: canonical::order_digest(order),
        digest: String::new(),
        layout: layout.name.clone(),
        disks,
        steps,
        finish: order.policies.finish,
        warnings: Vec::new(),
        trace: Trace::default(),
    };
    plan.warnings = warnings(&plan);
    plan.warnings.extend(stacks.warnings);
    let several: Vec<Warning> = paths::warnings(&plan).collect();
    plan.warnings.extend(several);
    collide(inventory, order, &mut plan, &stacks.stopped)?;
    // Warnings about possible data loss come first.
    plan.warnings.extend(meant::unproven(order, &plan));
    Ok(plan)
}

/// The chosen disks in the order of their sets, with their contents, and their optimal I/O sizes.
fn planned_disks(
    order: &Order,
    layout: &Layout,
    machine: &Machine<'_>,
    chosen: &disks::Chosen,
    architecture: Option<&str>,
) -> Result<(Vec<PlannedDisk>, Vec<Option<u64>>), Reason> {
    let (mut planned, mut optimal) = (Vec::new(), Vec::new());
    for (name, set) in &layout.disks {
        for facts in chosen.get(name).into_iter().flatten().filter_map(|position| machine.disks.get(*position)) {
            let existing = existing::existing(facts.disk);
            let keep = keep::of(name, set, facts.disk, architecture)?;
            let ours = existing.is_unfinished_work_of(&order.id) && !keep::loses(facts.disk, &keep);
            let free = existing.is_blank() || ours;
            if !set.is_preserved() && set.on_existing == OnExisting::Refuse && !free {
                let found = existing::words(&existing);
                return Err(Reason::OnExisting { set: name.clone(), disk: facts.name(), found });
            }
            if let Some(want) = set.sector_size {
                formattable(name, facts, want)?;
            }
            erase::possible(name, facts, set.erase)?;
            // Protected disks need not be found again.
            let Some(identity) = facts.identity.clone() else { continue };
            planned.push(PlannedDisk {
                set: name.clone(),
                identity,
                // Any path leads to a disk with several.
                by_path: facts.disk.by_path.clone().filter(|_| !paths::stands_for_several(facts.disk)),
                device: facts.disk.path.clone(),
                model: facts.disk.model.clone(),
                serial: facts.disk.serial.clone(),
                size: facts.disk.size,
                logical_block_size: facts.disk.logical_block_size.and_then(|n| u32::try_from(n).ok()).unwrap_or(512),
                // Preserved disks may be in use, and are compared at the end.
                edges: facts.disk.edges.clone().filter(|_| !set.is_preserved()),
                fate: if set.is_preserved() { Fate::Preserved } else { Fate::Overwritten },
                existing,
                keep,
                paths: paths::planned(facts),
            });
            optimal.push(facts.disk.optimal_io_size);
        }
    }
    Ok((planned, optimal))
}

/// Whether a disk has these sectors or can be formatted to them.
fn formattable(set: &str, facts: &machine::DiskFacts<'_>, want: u32) -> Result<(), Reason> {
    let disk = facts.disk;
    let has = disk.logical_block_size == Some(u64::from(want));
    let offers = disk.nvme.as_ref().map(|nvme| nvme.lba_formats.as_slice()).unwrap_or_default();
    let formats = disk.erase.as_ref().and_then(|erase| erase.nvme_format) == Some(true);
    if has || (formats && offers.contains(&u64::from(want))) {
        return Ok(());
    }
    let offers: Vec<String> = offers.iter().filter(|_| formats).map(u64::to_string).collect();
    let offers = if offers.is_empty() { "no other sectors".to_owned() } else { offers.join(", ") };
    Err(Reason::NoFormat { set: set.to_owned(), disk: facts.name(), want, offers })
}

fn warnings(plan: &Plan) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for disk in plan.disks.iter().filter(|disk| disk.fate == Fate::Overwritten) {
        if disk.identity.strength == Strength::Weak {
            let message = format!(
                "{} has no identity of its own; it is found again by its place {} and its size",
                disk.device, disk.identity.value
            );
            warnings.push(Warning { code: "plan.weak_identity".to_owned(), message });
        }
    }
    for step in &plan.steps {
        if let Step::WriteImage(WriteImage { image, disks, .. }) = step
            && disks.len() > 1
            && !is_mirrored(plan, disks)
        {
            let message =
                format!("{} disks get the image `{image}`: its filesystem UUIDs and labels are on each", disks.len());
            warnings.push(Warning { code: "plan.same_image_twice".to_owned(), message });
        }
        // Levels without redundancy use each member to its end.
        if let Step::CreateRaid(raid @ CreateRaid { name, members, .. }) = step
            && raid.level.is_redundant()
        {
            // An image's partition grows with its disk.
            let disk = |member: &Device| member.disk().and_then(|disk| plan.shape_of(disk)).map(|(size, _)| size);
            let sizes = || members.iter().filter_map(|member| plan.size_of(member).or_else(|| disk(member)));
            if let (Some(least), Some(most)) = (sizes().min(), sizes().max())
                && most - least > most / 100
            {
                let lost = words::decimal(most - least);
                let message = format!("the members of the array `{name}` differ: {lost} of the largest stay unused");
                warnings.push(Warning { code: "plan.uneven_array".to_owned(), message });
            }
        }
    }
    warnings
}

/// Whether an array is made over the image on these disks, so that the system sees one filesystem.
fn is_mirrored(plan: &Plan, disks: &[usize]) -> bool {
    plan.steps.iter().any(|step| match step {
        Step::CreateRaid(raid) if raid.is_over_image() => {
            raid.members.iter().filter_map(Device::disk).eq(disks.iter().copied())
        }
        _ => false,
    })
}

/// Identifiers that would exist twice on the machine. `stopped` are volumes that disappear with the disks below them.
fn collide(inventory: &Inventory, order: &Order, plan: &mut Plan, stopped: &[String]) -> Result<(), Reason> {
    let (wanted, twice) = collisions::written(plan);
    let disks = plan.disks.iter().filter(|disk| disk.fate == Fate::Overwritten).map(|disk| disk.device.as_str());
    let overwritten: Vec<&str> = disks.chain(stopped.iter().map(String::as_str)).collect();
    let mut found: Vec<String> = twice.iter().map(|identifier| format!("{identifier} is written twice")).collect();
    found.extend(find_collisions(inventory, &overwritten, &wanted).iter().map(Collision::to_string));
    let kept = collisions::of_kept(inventory, plan);
    let label = |one: &&Identifier| !matches!(one, Identifier::FilesystemLabel(_));
    found.extend(wanted.intersection(&kept).filter(label).map(|one| format!("{one} is on a partition that is kept")));
    if order.seed.is_some() {
        // Whatever the format of the order's own seed, cloud-init may find the other one first.
        let labels = seed::labels().map(|label| Identifier::FilesystemLabel(label.to_ascii_lowercase()));
        let labels: BTreeSet<Identifier> = labels.into_iter().collect();
        // A kept seed volume is another one, even with the label of the order's own.
        found.extend(labels.intersection(&kept).map(|one| format!("a seed of another order: {one} is kept")));
        let others: BTreeSet<Identifier> = labels.into_iter().filter(|label| !wanted.contains(label)).collect();
        let old = find_collisions(inventory, &overwritten, &others);
        found.extend(old.iter().map(|one| format!("a seed of another order: {one}")));
    }
    if found.is_empty() {
        return Ok(());
    }
    match order.policies.collisions {
        Collisions::Refuse => Err(Reason::Collision(found)),
        Collisions::Warn => {
            let warning = |message| Warning { code: "plan.collision".to_owned(), message };
            plan.warnings.extend(found.into_iter().map(warning));
            Ok(())
        }
    }
}

#[cfg(test)]
mod docs_tests;
#[cfg(test)]
mod examples_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
