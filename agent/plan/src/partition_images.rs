//! Steps for filesystem images: each is written to its partition of a fresh table, and the root among them is made
//! bootable.

use super::fresh;
use super::refusal::Reason;
use super::steps::Context;
use burin_protocol::order::{BootOrder, Bootloader, Layout, Partition};
use burin_protocol::plan::steps::{InstallBoot, Mount, WritePartition};
use burin_protocol::plan::{Device, Step};
use std::collections::BTreeMap;

/// The partition whose image is the system, and its set.
pub fn root(layout: &Layout) -> Option<(&str, &Partition)> {
    layout.disks.iter().find_map(|(name, set)| {
        let root = |one: &&Partition| one.image.is_some() && one.mount.as_deref() == Some("/");
        Some((name.as_str(), set.partitions.iter().find(root)?))
    })
}

/// `esps` are the EFI system partitions that have a filesystem at that point.
pub fn steps(context: Context<'_>, esps: Vec<Device>, steps: &mut Vec<Step>) -> Result<(), Reason> {
    let mut targets: BTreeMap<&str, Vec<Device>> = BTreeMap::new();
    let mut root = None;
    for (name, set) in &context.layout.disks {
        for (index, disk) in context.of_set(name) {
            for (partition, number) in set.partitions.iter().zip(fresh::numbers(&set.partitions, disk)) {
                let Some(image) = &partition.image else { continue };
                let on = Device::Partition { disk: index, name: partition.name.clone(), number: Some(number) };
                if partition.mount.as_deref() == Some("/") {
                    root = Some(on.clone());
                }
                targets.entry(image).or_default().push(on);
            }
        }
    }
    let verify = context.order.policies.verify;
    for (image, on) in targets.into_iter().filter(|(_, on)| !on.is_empty()) {
        steps.push(Step::WritePartition(WritePartition { image: image.to_owned(), on, verify }));
    }
    match root {
        Some(root) => boot(context, root, esps, steps),
        None => Ok(()),
    }
}

/// The image is the system: it contains what belongs on the ESP.
fn boot(context: Context<'_>, root: Device, esps: Vec<Device>, steps: &mut Vec<Step>) -> Result<(), Reason> {
    if !context.uefi {
        // Boot sectors and core images would require GRUB's own programs.
        let what = "an image of a root filesystem on a machine that was not started by UEFI firmware";
        return Err(Reason::Unsupported { what: what.to_owned() });
    }
    steps.push(Step::Mount(Mount { on: root, at: "/".to_owned(), kind: None, options: Vec::new() }));
    if context.order.policies.boot_order != BootOrder::Keep {
        let (bootloader, root_uuid, cmdline) = (Bootloader::Auto, None, Vec::new());
        steps.push(Step::InstallBoot(InstallBoot { bootloader, esps, root_uuid, cmdline, bios: Vec::new() }));
    }
    Ok(())
}
