//! Checks an image against an order, step by step: its partition table, as `burin agent` does before the first write
//! ([`burin_plan::check_head`]), and its contents, which the agent sees only after writing.

use crate::boot_faults::has_loader;
use crate::look::Look;
use crate::report::{OrderReport, StepReport};
use burin_plan::{HeadError, check_head, plan};
use burin_protocol::Plan;
use burin_protocol::error::Coded;
use burin_protocol::order::{DiskSet, Layout, OnExisting, Order, PartitionPick, PickName, Tie};
use burin_protocol::plan::{SeedTarget, Step};
use hwinventory_types::{BootMode, Inventory};
use serde_json::json;
use std::collections::BTreeMap;

/// Disk size of the simulated machine.
const DISK_SIZE: u64 = 4 << 40;
/// Filesystems that burin grows.
const GROWABLE: [&str; 3] = ["ext4", "xfs", "btrfs"];

/// Why an order cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("the order has {count} images, and none of them is called `{name}`")]
    NoImage { name: String, count: usize },
    #[error("the order has the images {}: it is not clear which of them this is", .0.join(", "))]
    WhichImage(Vec<String>),
    #[error("no layout of the order puts the image `{0}` on a disk")]
    NotUsed(String),
    #[error("the order cannot be planned: {0}")]
    NoPlan(Box<burin_plan::Refusal>),
    #[error("no machine that fits the order can be made up: {0}")]
    Machine(String),
}

impl Coded for OrderError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoImage { .. } => "check.order_no_image",
            Self::WhichImage(_) => "check.order_which_image",
            Self::NotUsed(_) => "check.order_not_used",
            Self::NoPlan(refusal) => refusal.code(),
            Self::Machine(_) => "check.order_machine",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoImage { .. } | Self::WhichImage(_) => {
                Some("choose one of the order's `images` with --order-image NAME".into())
            }
            Self::NotUsed(_) => Some("use the image in a disk set of a layout: \"image\"".into()),
            Self::NoPlan(refusal) => refusal.hint(),
            Self::Machine(_) => Some("give one with --inventory FILE, as `burin inventory` prints it".into()),
        }
    }
}

/// Checks every step that touches the image. Without a machine, one is simulated: it has as many disks as the order
/// needs, with the image's sector size, and rules about disks are left out, because the image is checked, not the
/// machine.
pub fn check(
    order: &Order,
    image: Option<&str>,
    machine: Option<&Inventory>,
    look: &Look,
) -> Result<OrderReport, OrderError> {
    let image = which(order, image)?;
    let plan = match machine {
        Some(machine) => plan(machine, order, &BTreeMap::new()),
        None => {
            let order = simplified(order, &image)?;
            let machine = made_up(&order, look)?;
            plan(&machine, &order, &BTreeMap::new())
        }
    };
    let plan = plan.map_err(|refusal| OrderError::NoPlan(Box::new(refusal)))?;
    let chosen = order.layouts.iter().find(|layout| layout.name == plan.layout);
    if !chosen.is_some_and(|layout| uses(layout, &image)) {
        return Err(OrderError::NotUsed(image));
    }
    let steps = steps(order, &plan, &image, look);
    Ok(OrderReport { id: order.id.clone(), image, layout: plan.layout, steps })
}

fn which(order: &Order, wanted: Option<&str>) -> Result<String, OrderError> {
    let names: Vec<String> = order.images.keys().cloned().collect();
    match (wanted, names.as_slice()) {
        (Some(name), _) if order.images.contains_key(name) => Ok(name.to_owned()),
        (Some(name), _) => Err(OrderError::NoImage { name: name.to_owned(), count: names.len() }),
        (None, [one]) => Ok(one.clone()),
        (None, _) => Err(OrderError::WhichImage(names)),
    }
}

/// Whether a layout uses the image, on a disk or as a tree.
fn uses(layout: &Layout, image: &str) -> bool {
    let tree = layout.tree.as_ref().is_some_and(|tree| tree.image == image);
    tree || layout.disks.values().any(|set| set.image.as_deref() == Some(image))
}

/// The first layout that uses the image, for any machine and any disks.
fn simplified(order: &Order, image: &str) -> Result<Order, OrderError> {
    let mut order = order.clone();
    order.layouts.retain(|layout| uses(layout, image));
    order.layouts.truncate(1);
    let layout = order.layouts.first_mut().ok_or_else(|| OrderError::NotUsed(image.to_owned()))?;
    layout.when = None;
    layout.disks.retain(|_, set| !set.is_preserved());
    let names: Vec<String> = layout.disks.keys().cloned().collect();
    for (index, set) in layout.disks.values_mut().enumerate() {
        (set.matches, set.spread) = (None, None);
        set.same.clear();
        set.order_by.clear();
        (set.tie, set.on_existing) = (Tie::Identity, OnExisting::Destroy);
        set.count = Some(wanted(set));
        (set.min, set.max) = (None, None);
        set.except = names.iter().take(index).cloned().collect();
    }
    order.policies.expected_disks = None;
    order.network.clear();
    Ok(order)
}

fn wanted(set: &DiskSet) -> u32 {
    set.count.or(set.min).unwrap_or(1).clamp(1, 64)
}

fn made_up(order: &Order, look: &Look) -> Result<Inventory, OrderError> {
    let count: u32 = order.layouts.iter().flat_map(|layout| layout.disks.values()).map(wanted).sum();
    let disk = |index: u32| {
        json!({
            "name": format!("disk{index}"), "path": format!("/dev/disk{index}"), "status": "ok",
            "size": DISK_SIZE, "logical_block_size": look.head.sector_size.unwrap_or(512), "class": "ssd",
            "identities": [{ "kind": "serial", "value": format!("DISK_{index}"), "strength": "strong" }],
            "identity": { "kind": "serial", "value": format!("DISK_{index}"), "strength": "strong" },
            "mounts": [], "signatures": [], "samples": { "looked_at_bytes": 2_228_224, "blank": true },
        })
    };
    let section = |data: serde_json::Value| json!({ "status": "ok", "data": data });
    let mode = if look.boot.uefi.is_empty() { BootMode::Bios } else { BootMode::Uefi };
    let value = json!({
        "schema_version": "inventory/v1",
        "firmware": section(json!({ "boot_mode": mode })),
        "cpu": section(json!({ "architecture": "x86_64" })),
        "disks": section((0..count).map(disk).collect()),
    });
    serde_json::from_value(value).map_err(|error| OrderError::Machine(error.to_string()))
}

fn steps(order: &Order, plan: &Plan, image: &str, look: &Look) -> Vec<StepReport> {
    let disks = plan.steps.iter().find_map(|step| match step {
        Step::WriteImage(step) if step.image == image => Some(step.disks.clone()),
        _ => None,
    });
    let (tree, disks) = (disks.is_none(), disks.unwrap_or_default());
    let mut trial = Plan { steps: Vec::new(), ..plan.clone() };
    let mut found = Vec::new();
    for step in &plan.steps {
        let about = match step {
            Step::BootEntry(step) => step.disks.iter().any(|disk| disks.contains(disk)),
            step => tree || step.disks().iter().any(|disk| disks.contains(disk)),
        };
        let words = step.words(plan);
        // Whether a filesystem can grow is reported with its partition.
        let hidden = matches!(step, Step::GrowPartition(_));
        trial.steps.push(step.clone());
        let grown = plan.steps.iter().find(|next| matches!(next, Step::GrowFilesystem(_)));
        let together = grown.filter(|_| hidden).cloned();
        trial.steps.extend(together.clone());
        let judged = check_head(order, &trial, image, &look.head, &|_| 0);
        if together.is_some() {
            trial.steps.pop();
        }
        if !about {
            continue;
        }
        if tree {
            let message =
                (!matches!(step, Step::UnpackTree(_))).then(|| "not judged: it follows from the order".to_owned());
            found.push(StepReport { step: words, possible: true, code: None, message, remedy: None });
            continue;
        }
        match judged {
            Err(error) => {
                trial.steps.pop();
                found.push(refused(words, &error));
            }
            Ok(warnings) => {
                let inside = inside(step, look);
                let warning = warnings.into_iter().find(|_| hidden);
                let report = StepReport { step: words, possible: true, code: None, message: None, remedy: None };
                found.push(match (inside, warning) {
                    (Some((code, message, remedy)), _) => StepReport {
                        possible: false,
                        code: Some(code.to_owned()),
                        message: Some(message),
                        remedy: Some(remedy.to_owned()),
                        ..report
                    },
                    (None, Some(warning)) => {
                        StepReport { code: Some(warning.code), message: Some(warning.message), ..report }
                    }
                    (None, None) => report,
                });
            }
        }
    }
    found
}

fn refused(step: String, error: &HeadError) -> StepReport {
    let (code, message) = (Some(error.code().to_owned()), Some(error.to_string()));
    StepReport { step, possible: false, code, message, remedy: error.hint() }
}

type Inside = (&'static str, String, &'static str);

/// Facts that the partition table does not show.
fn inside(step: &Step, look: &Look) -> Option<Inside> {
    match step {
        Step::GrowFilesystem(grow) => {
            let volume = picked(grow.partition, look)?;
            let filesystem = volume.filesystem.unwrap_or("nothing that is known");
            (!GROWABLE.contains(&filesystem)).then(|| {
                let message = format!("{} holds {filesystem}, which burin does not grow", volume.called());
                ("image.not_growable", message, "grow only the partition: {\"partition\": N, \"filesystem\": false}")
            })
        }
        Step::WriteSeed(seed) => {
            if let SeedTarget::ImagePartition { partition, .. } = &seed.target
                && let Some(volume) = picked(*partition, look)
                && look.root.is_some()
                && look.root_volume().is_some_and(|root| root.start != volume.start)
            {
                let message = format!("{} is not the root filesystem", volume.called());
                return Some((
                    "image.seed_place",
                    message,
                    "let the seed's `partition` be `root`, or its `format` be `cidata`",
                ));
            }
            let separate =
                look.root.as_ref().is_some_and(|root| root.mounts.keys().any(|at| at == "/var" || at == "/var/lib"));
            if separate && matches!(seed.target, SeedTarget::ImagePartition { .. }) {
                let message = "/var is not on the root filesystem: a seed there is hidden by it".to_owned();
                return Some(("image.seed_place", message, "let the seed's `format` be `cidata`: a volume of its own"));
            }
            None
        }
        Step::BootEntry(_) => (!has_loader(look)).then(|| {
            let message = "no EFI program for a boot entry is on the image's EFI system partition".to_owned();
            ("image.no_esp", message, "install a boot loader for UEFI, or let `policies.boot_order` be `keep`")
        }),
        _ => None,
    }
}

fn picked(pick: PartitionPick, look: &Look) -> Option<&crate::volumes::Volume> {
    match pick {
        PartitionPick::Number(number) => look.volumes.iter().find(|one| one.number == Some(number)),
        PartitionPick::Named(PickName::Root) => look.root_volume(),
        PartitionPick::Named(PickName::Last) => {
            look.volumes.iter().filter(|one| one.number.is_some()).max_by_key(|one| one.start + one.size)
        }
    }
}
