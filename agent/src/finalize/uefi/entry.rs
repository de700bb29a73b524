//! The boot entry of the new system: made once, ordered by the policy, and verified.

use super::load_option::{ACTIVE, HardDrive, LoadOption, Node, Signature};
use super::variables::{VariableError, Variables};
use crate::finalize::gpt::Partition;
use crate::protocol::order::BootOrder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The title in firmware menus.
    pub label: String,
    /// The ESP, with LBAs in the disk's sectors.
    pub esp: HardDrive,
    /// With backslashes, from [`super::loader::find`].
    pub loader: String,
    /// GUIDs of partitions that were on the disk before it was imaged and are gone: entries for them are dead.
    pub gone: Vec<Uuid>,
}

/// Changes to the boot entries, for the receipt. Numbers as in `Boot####`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BootReceipt {
    /// The entry of the new system; `None` if the policy says to make none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loader: Option<String>,
    /// Whether the entry was created now, or an equivalent one existed.
    pub created: bool,
    /// Entries for the previous contents of this disk.
    pub removed: Vec<String>,
    pub order_before: Vec<String>,
    /// As read back after setting.
    pub order_after: Vec<String>,
}

/// A partition in device path notation.
pub fn hard_drive(partition: &Partition) -> HardDrive {
    HardDrive {
        number: partition.number,
        first_lba: partition.first_lba,
        sectors: partition.sectors(),
        signature: Signature::Guid(partition.guid),
    }
}

/// Makes the entry and sets BootOrder. The entry is complete before BootOrder names it, and a dead entry is removed
/// from BootOrder before it is deleted: after an interruption at any point the machine still boots. A second run
/// changes nothing.
pub fn install(variables: &Variables, target: &Target, policy: BootOrder) -> Result<BootReceipt, VariableError> {
    let before = order(variables)?;
    if policy == BootOrder::Keep {
        return Ok(BootReceipt { order_before: shown(&before), order_after: shown(&before), ..BootReceipt::default() });
    }
    let wanted = LoadOption {
        attributes: ACTIVE,
        description: target.label.clone(),
        path: vec![Node::HardDrive(target.esp), Node::File(target.loader.clone())],
        more_paths: Vec::new(),
        optional_data: Vec::new(),
    };
    let mut numbers = variables.boot_numbers()?;
    let mut same = None;
    let mut dead = Vec::new();
    for &number in &numbers {
        let Some(bytes) = variables.get(&name(number))? else { continue };
        // An unreadable entry belongs to somebody else and stays.
        let Ok(option) = LoadOption::parse(&bytes) else { continue };
        if starts_same(&option, target) {
            // One is enough; the entry of an earlier order has another label, and gets this one.
            match same {
                None => same = Some((number, option == wanted)),
                Some(_) => dead.push(number),
            }
        } else if is_dead(&option, target) {
            dead.push(number);
        }
    }
    let (entry, created) = match same {
        Some((number, as_wanted)) => {
            if !as_wanted {
                variables.set(&name(number), &wanted.encode())?;
            }
            (number, false)
        }
        None => {
            // Numbers that only BootOrder contains are left alone too.
            numbers.extend(&before);
            let free = (0..=u16::MAX).find(|number| !numbers.contains(number)).unwrap_or(u16::MAX);
            variables.set(&name(free), &wanted.encode())?;
            (free, true)
        }
    };
    let current = variables.get("BootCurrent")?.and_then(|bytes| bytes.first_chunk().copied().map(u16::from_le_bytes));
    // A one-time choice may have booted something that has no variable.
    let current = current.filter(|number| numbers.contains(number));
    let after = arrange(&before, entry, &dead, current, policy);
    let bytes: Vec<u8> = after.iter().flat_map(|number| number.to_le_bytes()).collect();
    variables.set("BootOrder", &bytes)?;
    for &number in &dead {
        variables.delete(&name(number))?;
    }
    Ok(BootReceipt {
        entry: Some(name(entry)),
        label: Some(target.label.clone()),
        loader: Some(target.loader.clone()),
        created,
        removed: dead.into_iter().map(name).collect(),
        order_before: shown(&before),
        order_after: shown(&order(variables)?),
    })
}

/// The same loader on the same partition: neither firmware nor people can distinguish such entries.
fn starts_same(option: &LoadOption, target: &Target) -> bool {
    let [Node::HardDrive(drive), Node::File(file)] = option.path.as_slice() else { return false };
    drive.signature == target.esp.signature && file.eq_ignore_ascii_case(&target.loader)
}

/// Entries for the previous contents of this disk; with the same label, also those for the same partition.
fn is_dead(option: &LoadOption, target: &Target) -> bool {
    let Some(HardDrive { signature: Signature::Guid(guid), .. }) = option.hard_drive() else { return false };
    let same_partition = target.esp.signature == Signature::Guid(guid);
    if same_partition { option.description == target.label } else { target.gone.contains(&guid) }
}

/// The new BootOrder. Pure.
///
/// Network first keeps what booted this machine (BootCurrent) in front, even if it was not in BootOrder. If firmware
/// does not report what booted, the entry is placed right after the first one.
pub fn arrange(before: &[u16], entry: u16, dead: &[u16], current: Option<u16>, policy: BootOrder) -> Vec<u16> {
    let mut order: Vec<u16> = Vec::with_capacity(before.len() + 2);
    let rest = before.iter().copied().filter(|number| *number != entry && !dead.contains(number));
    match policy {
        BootOrder::Keep => return before.to_vec(),
        BootOrder::DiskFirst => order.push(entry),
        BootOrder::NetworkFirst => {
            let first = current.filter(|number| !dead.contains(number)).or_else(|| rest.clone().next());
            order.extend(first.filter(|number| *number != entry));
            order.push(entry);
        }
    }
    for number in rest {
        if !order.contains(&number) {
            order.push(number);
        }
    }
    order
}

fn order(variables: &Variables) -> Result<Vec<u16>, VariableError> {
    let bytes = variables.get("BootOrder")?.unwrap_or_default();
    let (units, _) = bytes.as_chunks::<2>();
    Ok(units.iter().map(|&unit| u16::from_le_bytes(unit)).collect())
}

fn name(number: u16) -> String {
    format!("Boot{number:04X}")
}

fn shown(order: &[u16]) -> Vec<String> {
    order.iter().map(|&number| name(number)).collect()
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
