//! Partition images: the sizes in the node become a new table, into which the image is written as the root filesystem.
//! The order of partitions is ironic-python-agent's (`disk_utils.make_partitions`): ESP, ephemeral, swap, root.

use super::error::CommandError;
use crate::protocol::order::{Filesystem, FsType, Partition};
use hwinventory::Inventory;
use hwinventory::model::BootMode;
use serde_json::Value;

const MIB: u64 = 1 << 20;
/// `efi_system_partition_size` of ironic-python-agent, MiB.
const ESP: u64 = 550;
/// The name of the root among the partitions.
const ROOT: &str = "root";

fn refused(message: impl Into<String>) -> CommandError {
    CommandError::new("ironic.partition_image", message)
}

/// Whether the image is a filesystem, not a disk.
pub fn is_one(info: &Value) -> bool {
    let given = |key: &str| info[key].as_str().is_some_and(|text| !text.is_empty());
    info["image_type"].as_str() == Some("partition") || (info["image_type"].is_null() && given("kernel"))
}

/// What is put on the root disk. `image` is the image's name in the order.
pub fn layout(info: &Value, node: &Value, inventory: &Inventory, image: &str) -> Result<Vec<Partition>, CommandError> {
    possible(info, node, inventory)?;
    let root = match megabytes(info, "root_mb")? {
        0 => gigabytes(info, "root_gb")?,
        size => size,
    };
    if root == 0 {
        return Err(refused("a partition image needs root_gb: the size of the root partition is not said"));
    }
    let (swap, ephemeral) = (megabytes(info, "swap_mb")?, megabytes(info, "ephemeral_mb")?);
    let mut partitions = vec![Partition {
        filesystem: Some(filesystem(FsType::Vfat, "efi-part")),
        ..Partition::sized("efi", "esp", ESP * MIB)
    }];
    if ephemeral > 0 {
        let filesystem = Some(filesystem(ephemeral_format(info)?, "ephemeral0"));
        partitions.push(Partition { filesystem, ..Partition::sized("ephemeral", "linux", ephemeral) });
    }
    if swap > 0 {
        let filesystem = Some(filesystem(FsType::Swap, "swap1"));
        partitions.push(Partition { filesystem, ..Partition::sized("swap", "swap", swap) });
    }
    let mount = Some("/".to_owned());
    partitions.push(Partition { image: Some(image.to_owned()), mount, ..Partition::sized(ROOT, "linux", root) });
    Ok(partitions)
}

/// Unsupported requests are refused before anything is written.
fn possible(info: &Value, node: &Value, inventory: &Inventory) -> Result<(), CommandError> {
    let preserve = &info["preserve_ephemeral"];
    if preserve.as_bool() == Some(true) || preserve.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        let message = "preserve_ephemeral is not done: the partition table is always made anew, and with it an ephemeral \
                       partition loses its content. Rebuild without preserve_ephemeral";
        return Err(refused(message));
    }
    let boots = boot_mode(info, node);
    let uefi = inventory.firmware.data.boot_mode == BootMode::Uefi;
    if !uefi || boots.as_deref().is_some_and(|mode| !mode.eq_ignore_ascii_case("uefi")) {
        let found = if uefi { "the node's boot mode is bios" } else { "the machine was started by BIOS" };
        let message = format!(
            "{found}: a partition image boots by UEFI only, because a boot loader for BIOS would have to be made by \
             programs of the image. Use a whole-disk image, or boot_mode:uefi"
        );
        return Err(refused(message));
    }
    let label = word(info, "disk_label").or_else(|| capability(node, "disk_label"));
    if label.as_deref().is_some_and(|label| !label.eq_ignore_ascii_case("gpt")) {
        return Err(refused("disk_label: only a GPT is made for a partition image; leave it out, or let it be gpt"));
    }
    match word(info, "boot_option") {
        Some(option) if option != "local" => {
            Err(refused(format!("boot_option is {option}: a partition image is made to boot from its disk (local)")))
        }
        _ => Ok(()),
    }
}

fn word(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn boot_mode(info: &Value, node: &Value) -> Option<String> {
    word(info, "deploy_boot_mode").or_else(|| capability(node, "boot_mode"))
}

/// `KEY:VALUE,KEY:VALUE`, or an object; the instance's take precedence over the node's.
fn capability(node: &Value, key: &str) -> Option<String> {
    [&node["instance_info"]["capabilities"], &node["properties"]["capabilities"]].into_iter().find_map(|found| {
        let text = match found {
            Value::String(text) => text,
            object => return word(object, key),
        };
        if let Ok(object @ Value::Object(_)) = serde_json::from_str(text) {
            return word(&object, key);
        }
        let pairs = text.split(',').filter_map(|pair| pair.trim().split_once(':'));
        pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value.trim().to_owned())
    })
}

/// Ironic's megabytes are MiB; 0 if not given.
fn megabytes(info: &Value, key: &str) -> Result<u64, CommandError> {
    let wrong = || refused(format!("{key} is no number of MiB: {}", info[key]));
    let number = match &info[key] {
        Value::Null => 0,
        Value::String(text) if text.trim().is_empty() => 0,
        Value::String(text) => text.trim().parse().map_err(|_| wrong())?,
        value => value.as_u64().ok_or_else(wrong)?,
    };
    number.checked_mul(MIB).ok_or_else(wrong)
}

fn gigabytes(info: &Value, key: &str) -> Result<u64, CommandError> {
    megabytes(info, key)?.checked_mul(1024).ok_or_else(|| refused(format!("{key} is larger than any disk")))
}

fn ephemeral_format(info: &Value) -> Result<FsType, CommandError> {
    match word(info, "ephemeral_format").as_deref() {
        None | Some("ext4") => Ok(FsType::Ext4),
        Some("xfs") => Ok(FsType::Xfs),
        Some("btrfs") => Ok(FsType::Btrfs),
        Some("vfat" | "fat") => Ok(FsType::Vfat),
        Some(other) => Err(refused(format!("ephemeral_format {other} is not made: ext4, xfs, btrfs and vfat are"))),
    }
}

fn filesystem(kind: FsType, label: &str) -> Filesystem {
    Filesystem { kind, label: Some(label.to_owned()), uuid: None, options: Vec::new(), mount_options: Vec::new() }
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
