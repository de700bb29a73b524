//! Gathers the values that identify a machine: from fields of the inventory, from files with telling names (`serial`),
//! and from directory listings and network frames.

use super::atoms::{atoms, uuids};
use super::{names, told};
use crate::model::Inventory;
use crate::parse::names::{is_hypervisor_default, is_placeholder, real_uuid};
use crate::parse::{bytes, ethtool, netlink, scsi};
use crate::source::Recording;
use serde_json::Value;
use std::collections::BTreeSet;

/// Fields of the inventory that identify one machine.
const FIELDS: &[&str] = &[
    "serial",
    "serial_number",
    "asset_tag",
    "uuid",
    "partition_uuid",
    "partition_table_id",
    "dm_uuid",
    "wwn",
    "nguid",
    "eui64",
    "mac",
    "permanent_mac",
    "bootif",
    "guid",
    "infiniband_node_guid",
    "infiniband_port_guid",
    "physical_port_id",
    "chassis_id",
    "subsystem_nqn",
    "hostname",
    "boot_id",
];

/// Files of sysfs and procfs whose whole content does.
const FILES: &[&str] = &[
    "address",
    "board_asset_tag",
    "board_serial",
    "boot_id",
    "chassis_asset_tag",
    "chassis_serial",
    "enclosure_identifier",
    "eui",
    "fabric_name",
    "hostid",
    "hostnqn",
    "initiatorname",
    "nguid",
    "node_guid",
    "node_name",
    "phys_port_id",
    "phys_switch_id",
    "port_name",
    "product_serial",
    "product_uuid",
    "sas_address",
    "serial",
    "serial-number",
    "serial_number",
    "subsysnqn",
    "sys_image_guid",
    "targetname",
    "uid",
    "unique_id",
    "uuid",
    "wwid",
];

/// Whether a file of sysfs holds nothing but a name.
pub fn is_name(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    FILES.contains(&name)
        || name.starts_with("vpd_pg")
        || path.contains("/gids/")
        || (name == "id" && path.contains("/enclosure/"))
}

/// Secret parts of names, as they are written.
pub fn all(recording: &Recording, inventory: &Inventory) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // Not by `to_value`: text is what every program that has inventories can write already.
    let document = serde_json::to_vec(inventory).and_then(|text| serde_json::from_slice(&text));
    if let Ok(document) = document {
        fields(&document, &mut names);
    }
    files(recording, &mut names);
    for (key, answer) in &recording.queries {
        let answer = answer.as_deref().unwrap_or_default();
        if key == "links" {
            names.extend(netlink::hardware_addresses(answer).iter().map(|a| ethtool::address(a)));
        } else if key.starts_with("lldp_") {
            senders(answer, &mut names);
        } else if key.starts_with("scsi_") {
            pages(answer, &mut names);
        }
    }
    let places: BTreeSet<&str> = recording.lists.keys().flat_map(|path| path.split('/')).collect();
    names
        .iter()
        .flat_map(|name| atoms(name))
        // What names a directory is a place (USB calls a controller's address its serial number): replaced, it would take
        // the machine apart.
        .filter(|atom| is_telling(atom) && !places.contains(atom.as_str()))
        .collect()
}

fn is_telling(atom: &str) -> bool {
    // One character tells nobody, zeros stand for none, and a PCI address without its function is what a slot is for.
    if atom.len() < 2 || atom.bytes().all(|b| b == b'0') || crate::collect::is_pci_address(&format!("{atom}.0")) {
        return false;
    }
    !is_placeholder(atom) && !crate::collect::is_pci_address(atom) && !is_hypervisor_default(&atom.to_ascii_lowercase())
}

fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                names::gather(name, value, found);
                match value {
                    Value::String(text) if name == "by_path" => addresses(text, found),
                    Value::String(text) if name == "port_id" && fields.get("port_id_kind") == Some(&"mac".into()) => {
                        found.insert(text.clone());
                    }
                    // `host:0`: who made an array.
                    Value::String(text) if name == "name" && fields.contains_key("level") => {
                        found.extend(text.contains(':').then(|| text.clone()));
                    }
                    Value::String(text) if name == "dm_name" => found.extend(uuids(&text.replace("--", "-"))),
                    Value::String(text) if FIELDS.contains(&name.as_str()) => drop(found.insert(text.clone())),
                    other => self::fields(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, found)),
        _ => {}
    }
}

fn files(recording: &Recording, found: &mut BTreeSet<String>) {
    for (path, answer) in &recording.files {
        let Ok(content) = answer else { continue };
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.starts_with("vpd_pg") {
            pages(content, found);
        } else if path == "/proc/cpuinfo" {
            told::processors(&String::from_utf8_lossy(content), found);
        } else if path.starts_with("/proc/") {
            told::gather(&String::from_utf8_lossy(content), found);
        } else if is_name(path) {
            let text = String::from_utf8_lossy(content);
            let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
            // NVMe's address is a place; over Fibre Channel it is made of the names of ports.
            if text.contains(['=', '\n']) {
                told::ids(text, found);
            } else if name == "product_uuid" {
                // What nobody filled in must stay what nobody filled in.
                found.extend(real_uuid(Some(text.to_owned())));
            } else if !text.is_empty() {
                found.insert(text.to_owned());
            }
        }
    }
}

/// Pages 80h and 83h: of ports and targets, too.
fn pages(page: &[u8], found: &mut BTreeSet<String>) {
    found.extend(scsi::serial(page));
    for designator in scsi::all_designators(page) {
        match designator.kind {
            1 => found.extend(Some(format!("t10.{}", designator.value))),
            2 | 3 | 8 => drop(found.insert(designator.value)),
            _ => {}
        }
    }
}

/// `0x5000c500a1b2c3d5`: addresses of SAS and Fibre Channel ports in the name of a place.
fn addresses(place: &str, found: &mut BTreeSet<String>) {
    for (at, _) in place.match_indices("0x") {
        let digits = place.get(at + 2..at + 18).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        // A logical unit's number is written alike.
        let is_unit = place.get(..at).is_some_and(|before| before.ends_with("lun-"));
        found.extend(digits.filter(|_| !is_unit).map(str::to_owned));
    }
}

/// Whose frames were heard: the sender's address stands before what LLDP says.
fn senders(mut frames: &[u8], found: &mut BTreeSet<String>) {
    while let Some(length) = bytes::be16(frames, 0).map(usize::from) {
        found.extend(bytes::slice(frames, 8, 6).filter(|_| length >= 12).map(ethtool::address));
        frames = frames.get(2 + length..).unwrap_or_default();
    }
}
