//! A plan, or why there is none, for people: every candidate with its verdict, then the steps.

use super::existing;
use super::machine::decimal;
use super::refusal::Refusal;
use burin_protocol::Plan;
use burin_protocol::error::Coded;
use burin_protocol::order::{PartitionPick, PickName, Size};
use burin_protocol::plan::{Device, Fate, LayoutVerdict, SeedTarget, SetTrace, Step, Strength, Trace, Truth, Verdict};
use std::fmt::Write;

/// The whole plan.
pub fn explain(plan: &Plan) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "Plan for order {}, layout {}", plan.order, plan.layout);
    let _ = writeln!(out, "{}\n", plan.digest);
    out.push_str(&explain_trace(&plan.trace));
    out.push_str("Disks of the plan\n");
    for (i, disk) in plan.disks.iter().enumerate() {
        let strength = if disk.identity.strength == Strength::Weak { " (weak)" } else { "" };
        let model = disk.model.as_deref().unwrap_or("unnamed model").trim();
        let _ = writeln!(
            out,
            "  [{i}] {}: {} {model}, {} ({} bytes)",
            disk.set,
            disk.device,
            decimal(disk.size),
            disk.size
        );
        let _ = writeln!(out, "      found again by {} {}{strength}", word(&disk.identity.kind), disk.identity.value);
        let fate = match disk.fate {
            Fate::Overwritten => "will be LOST",
            Fate::Preserved => "stays",
        };
        let _ = writeln!(out, "      {fate}: {}", existing::words(&disk.existing));
    }
    out.push_str("\nSteps\n");
    for (i, step) in plan.steps.iter().enumerate() {
        let _ = writeln!(out, "  {:>2}. {}", i + 1, step_words(plan, step));
    }
    let _ = writeln!(out, "  then {}", word(&plan.finish));
    for warning in &plan.warnings {
        let _ = writeln!(out, "\nWarning ({}): {}", warning.code, warning.message);
    }
    out
}

/// Why there is no plan.
pub fn explain_refusal(refusal: &Refusal) -> String {
    let mut out = explain_trace(&refusal.trace);
    let _ = writeln!(out, "No plan ({}): {refusal}", refusal.code());
    if let Some(hint) = refusal.hint() {
        let _ = writeln!(out, "  {hint}");
    }
    out
}

/// Layouts, then candidates set by set.
pub fn explain_trace(trace: &Trace) -> String {
    let mut out = String::new();
    if !trace.attributes.is_empty() {
        let list: Vec<String> =
            trace.attributes.iter().map(|row| format!("{} ({})", row.name, word(&row.source))).collect();
        let _ = writeln!(out, "Attributes: {}\n", list.join(", "));
    }
    if !trace.layouts.is_empty() {
        out.push_str("Layouts\n");
        for row in &trace.layouts {
            let verdict = match row.verdict {
                LayoutVerdict::Chosen => "chosen".to_owned(),
                LayoutVerdict::Outranked => "applies, outranked".to_owned(),
                LayoutVerdict::Tied => "applies, and so does another".to_owned(),
                LayoutVerdict::NotApplicable => match &row.first_false {
                    Some(check) => format!("no: {}", super::candidates::check_words(check)),
                    None => "no".to_owned(),
                },
            };
            let _ = writeln!(out, "  {} (priority {}): {verdict}", row.layout, row.priority);
        }
        out.push('\n');
    }
    for set in &trace.sets {
        candidates("Disk set", set, &mut out);
    }
    for role in &trace.roles {
        candidates("Network role", role, &mut out);
    }
    out
}

fn candidates(what: &str, set: &SetTrace, out: &mut String) {
    let wanted = match set.max {
        Some(max) if max == set.min => format!("{max}"),
        Some(max) => format!("{} to {max}", set.min),
        None => format!("{} or more", set.min),
    };
    let _ = writeln!(out, "{what} {} (wants {wanted})", set.set);
    if set.candidates.is_empty() {
        out.push_str("  the machine has none\n");
    }
    let width = |text: &dyn Fn(usize) -> usize| (0..set.candidates.len()).map(text).max().unwrap_or(0);
    let get = |i: usize| set.candidates.get(i);
    let device = width(&|i| get(i).map_or(0, |c| c.device.chars().count()));
    let label = width(&|i| get(i).map_or(0, |c| c.label.chars().count()));
    // Where everything that was wanted was found, what came close is no news.
    let found = set.candidates.iter().any(|candidate| candidate.verdict == Verdict::Chosen);
    for candidate in &set.candidates {
        let close = candidate.nearest_miss && !found;
        let mark = match candidate.verdict {
            Verdict::Chosen => "+",
            Verdict::Tied => "?",
            _ if close => "~",
            _ => " ",
        };
        let verdict = word(&candidate.verdict);
        let nearest = if close { " (nearest miss)" } else { "" };
        let _ = writeln!(
            out,
            "{mark} {:device$}  {:label$}  {verdict:<11} {}{nearest}",
            candidate.device, candidate.label, candidate.reason
        );
        // A gate hides the conditions: they are worth knowing too.
        if candidate.verdict == Verdict::Gated {
            for check in candidate.checks.iter().filter(|check| check.truth != Truth::True) {
                let _ = writeln!(
                    out,
                    "  {:device$}  {:label$}  {:<11} {}",
                    "",
                    "",
                    "",
                    super::candidates::check_words(check)
                );
            }
        }
    }
    out.push('\n');
}

/// A step in one line.
fn step_words(plan: &Plan, step: &Step) -> String {
    match step {
        Step::StopArrays { disks, arrays } => {
            let uuids = if arrays.is_empty() { String::new() } else { format!(" (UUID {})", arrays.join(", ")) };
            format!("stop the arrays that run on {}{uuids}", list(disks))
        }
        Step::Preserve { disks } => format!("watch that {} stay as they are", list(disks)),
        Step::WriteImage { image, disks, verify } => {
            format!("write image `{image}` to {}, verify: {}", list(disks), word(verify))
        }
        Step::RelocateBackupGpt { disk } => format!("[{disk}] move the backup GPT to the end of the disk"),
        Step::SetGuids { disk, disk_guid, partitions } => {
            let mut parts: Vec<String> = disk_guid.iter().map(|guid| format!("disk {guid}")).collect();
            parts.extend(partitions.iter().map(|(number, guid)| format!("partition {number} {guid}")));
            format!("[{disk}] set GUIDs: {}", parts.join(", "))
        }
        Step::GrowPartition { disk, partition, leave } => {
            let leave = if *leave == 0 { String::new() } else { format!(", leaving {}", Size::from_bytes(*leave)) };
            format!("[{disk}] grow {} into the free space{leave}", pick(*partition))
        }
        Step::GrowFilesystem { disk, partition } => format!("[{disk}] grow the filesystem on {}", pick(*partition)),
        Step::AddPartition { disk, partition } => {
            format!("[{disk}] add partition \"{}\", {}", partition.name, Size::from_bytes(partition.size))
        }
        Step::Wipe { disk } => format!("[{disk}] remove every signature"),
        Step::CreateTable { disk, partitions, .. } => {
            let parts: Vec<String> = partitions
                .iter()
                .map(|p| format!("{} \"{}\" {}", p.number.unwrap_or(0), p.name, decimal(p.size)))
                .collect();
            format!("[{disk}] create a GPT: {}", parts.join(", "))
        }
        Step::CreateRaid { name, uuid, level, metadata, members } => {
            let size = |member: &Device| member_size(plan, member).map(|bytes| format!(" {}", decimal(bytes)));
            let each = |member: &Device| format!("{}{}", device(member), size(member).unwrap_or_default());
            let members: Vec<String> = members.iter().map(each).collect();
            let members = members.join(", ");
            format!("create array {name} ({}, metadata {metadata}, UUID {uuid}) of {members}", word(level))
        }
        Step::MakeFilesystem { on, filesystem } => {
            let label = filesystem.label.as_deref().map(|label| format!(" \"{label}\"")).unwrap_or_default();
            format!("make {}{label} on {}, UUID {}", word(&filesystem.kind), device(on), filesystem.uuid)
        }
        Step::Mount { on, at, .. } => format!("mount {} at {at}", device(on)),
        Step::UnpackTree { image, .. } => format!("unpack tree `{image}`"),
        Step::WriteFstab { entries } => format!("write /etc/fstab with {} entries", entries.len()),
        Step::WriteMdadmConf { arrays } => {
            let names: Vec<&str> = arrays.iter().map(|array| array.name.as_str()).collect();
            format!("name the array {} in the tree's mdadm.conf", names.join(", "))
        }
        Step::InstallBoot { bootloader, esps, .. } => {
            let esps: Vec<String> = esps.iter().map(device).collect();
            format!("install the boot loader ({}) on {}", word(bootloader), esps.join(", "))
        }
        Step::WriteSeed { format, target, .. } => {
            let target = match target {
                SeedTarget::ImagePartition { disk, partition } => format!("{} of [{disk}]", pick(*partition)),
                SeedTarget::Tree => "the tree".to_owned(),
                SeedTarget::Own { on } => device(on),
            };
            format!("write the seed ({}) to {target}", word(format))
        }
        Step::BootEntry { disks, label, order } => {
            format!("make UEFI boot entry \"{label}\" for {} ({})", list(disks), word(order))
        }
    }
}

/// Bytes of a partition that an earlier step makes.
pub fn member_size(plan: &Plan, member: &Device) -> Option<u64> {
    let Device::Partition { disk: on, name: wanted, .. } = member else { return None };
    plan.steps.iter().find_map(|step| match step {
        Step::CreateTable { disk, partitions, .. } if disk == on => {
            partitions.iter().find(|partition| partition.name == *wanted).map(|partition| partition.size)
        }
        _ => None,
    })
}

fn list(disks: &[usize]) -> String {
    disks.iter().map(|disk| format!("[{disk}]")).collect::<Vec<_>>().join(" ")
}

fn pick(partition: PartitionPick) -> String {
    match partition {
        PartitionPick::Number(number) => format!("partition {number}"),
        PartitionPick::Named(PickName::Last) => "the last partition".to_owned(),
        PartitionPick::Named(PickName::Root) => "the root partition".to_owned(),
    }
}

fn device(device: &Device) -> String {
    match device {
        Device::Disk { disk } => format!("[{disk}]"),
        Device::Partition { disk, name, .. } => format!("[{disk}] \"{name}\""),
        Device::Raid { name } => format!("array {name}"),
    }
}

/// A closed word as its JSON has it.
fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
