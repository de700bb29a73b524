//! What IPA's further collectors add to the body.

use crate::model::{Inventory, LldpNeighbour};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Key and value of one collector.
pub fn collected(inventory: &Inventory, collector: &str) -> Option<(String, Value)> {
    let (key, value) = match collector {
        "pci-devices" => ("pci_devices", pci(inventory)),
        "usb-devices" => ("usb_devices", usb(inventory)),
        "lldp" => ("lldp_raw", lldp(inventory)),
        "numa-topology" => ("numa_topology", numa(inventory)?),
        "dmi-decode" => ("dmi", dmi(inventory)),
        _ => return None,
    };
    Some((key.to_owned(), value))
}

fn pci(inventory: &Inventory) -> Value {
    let device = |d: &crate::model::PciDevice| {
        json!({
            "vendor_id": d.vendor_id,
            "product_id": d.device_id,
            "class": d.class_id,
            "revision": d.revision,
            "bus": d.address,
            // The kernel writes -1 where a device belongs to no node.
            "numa_node_id": d.numa_node.map_or_else(|| "-1".to_owned(), |node| node.to_string()),
        })
    };
    inventory.pci.data.iter().map(device).collect()
}

/// Devices of no class of their own, as lshw calls them generic: neither hubs, input, disks, cards nor printers.
fn usb(inventory: &Inventory) -> Value {
    const OTHER_CLASSES: &[&str] = &["01", "02", "03", "07", "08", "09", "0e", "e0"];
    let generic = inventory.usb.data.iter().filter(|d| {
        let class = d.class_id.as_deref().and_then(|c| c.get(..2)).unwrap_or_default();
        !OTHER_CLASSES.contains(&class)
    });
    let device = |d: &crate::model::UsbDevice| {
        json!({
            "product": d.product_name.as_ref().or(d.product.as_ref()).cloned().unwrap_or_default(),
            "vendor": d.manufacturer.as_ref().or(d.vendor.as_ref()).cloned().unwrap_or_default(),
            "handle": format!("USB:{}", d.port),
        })
    };
    generic.map(device).collect()
}

/// Type and value of each TLV.
pub fn tlvs(neighbour: &LldpNeighbour) -> Vec<Value> {
    neighbour.tlvs.iter().map(|tlv| json!([tlv.kind, tlv.value])).collect()
}

/// By interface, the first frame that was heard.
fn lldp(inventory: &Inventory) -> Value {
    let heard = inventory.nics.data.iter().map(|nic| {
        let tlvs = nic.lldp.first().map(tlvs).unwrap_or_default();
        (nic.name.clone(), Value::from(tlvs))
    });
    Value::Object(heard.collect::<Map<_, _>>())
}

/// A core is known by its node and the kernel's number of it.
fn numa(inventory: &Inventory) -> Option<Value> {
    let nodes = &inventory.numa.data.nodes;
    if nodes.is_empty() {
        return None;
    }
    let ram = nodes.iter().filter_map(|n| Some(json!({"numa_node": n.node, "size_kb": n.memory? / 1024})));
    let mut cores: BTreeMap<(u64, u64), Vec<u64>> = BTreeMap::new();
    for thread in &inventory.cpu.data.topology {
        if let (Some(node), Some(core)) = (thread.numa_node, thread.core) {
            cores.entry((node, core)).or_default().push(thread.cpu);
        }
    }
    let cpus = cores
        .into_iter()
        .map(|((node, core), threads)| json!({"cpu": core, "numa_node": node, "thread_siblings": threads}));
    let nics =
        inventory.nics.data.iter().filter_map(|nic| Some(json!({"name": nic.name, "numa_node": nic.numa_node?})));
    Some(json!({
        "ram": ram.collect::<Vec<_>>(),
        "cpus": cpus.collect::<Vec<_>>(),
        "nics": nics.collect::<Vec<_>>(),
    }))
}

/// By the names that dmidecode prints; fields that the inventory leaves out are left out.
fn dmi(inventory: &Inventory) -> Value {
    let system = &inventory.system.data;
    let bios = system.bios.as_ref().map(|b| {
        rows(&[
            ("Vendor", b.vendor.clone()),
            ("Version", b.version.clone()),
            ("Release Date", b.date.clone()),
            ("BIOS Revision", b.release.clone()),
            ("Firmware Revision", b.embedded_controller_release.clone()),
        ])
    });
    let cpus = inventory.cpu.data.packages.iter().map(|c| {
        rows(&[
            ("Socket Designation", c.designation.clone()),
            ("Type", c.kind.clone()),
            ("Family", c.family.clone()),
            ("Manufacturer", c.manufacturer.clone()),
            ("Version", c.version.clone()),
            ("Status", c.status.as_ref().map(|s| if c.populated { format!("Populated, {s}") } else { s.clone() })),
            ("Max Speed", c.max_speed.map(|hz| format!("{} MHz", hz / 1_000_000))),
            ("Current Speed", c.current_speed.map(|hz| format!("{} MHz", hz / 1_000_000))),
            ("Upgrade", c.upgrade.clone()),
            ("Serial Number", c.serial_number.clone()),
            ("Part Number", c.part_number.clone()),
            ("Asset Tag", c.asset_tag.clone()),
            ("Core Count", c.cores.map(|n| n.to_string())),
            ("Core Enabled", c.enabled_cores.map(|n| n.to_string())),
            ("Thread Count", c.threads.map(|n| n.to_string())),
        ])
    });
    let memory = &inventory.memory.data;
    let slots: u64 = memory.arrays.iter().filter_map(|a| a.slots).sum();
    let array = memory.arrays.first();
    let mut described = rows(&[
        ("Location", array.and_then(|a| a.location.clone())),
        ("Use", array.and_then(|a| a.usage.clone())),
        ("Error Correction Type", array.and_then(|a| a.error_correction.clone())),
        ("Maximum Capacity", array.and_then(|a| a.max_capacity).map(size)),
    ]);
    described.insert("Number Of Devices".to_owned(), json!(slots));
    let devices: Vec<Value> = memory.dimms.iter().map(|d| Value::Object(dimm(d))).collect();
    described.insert("devices".to_owned(), Value::Array(devices));
    json!({
        "bios": bios.unwrap_or_default(),
        "cpu": cpus.collect::<Vec<_>>(),
        "memory": described,
    })
}

fn dimm(d: &crate::model::Dimm) -> Map<String, Value> {
    let speed = |rate: u64| format!("{} MT/s", rate / 1_000_000);
    rows(&[
        ("Locator", d.locator.clone()),
        ("Bank Locator", d.bank.clone()),
        ("Size", Some(d.size.filter(|_| d.populated).map_or_else(|| "No Module Installed".to_owned(), size))),
        ("Form Factor", d.form_factor.clone()),
        ("Type", d.kind.clone()),
        ("Speed", d.rated_speed.map(speed)),
        ("Configured Memory Speed", d.configured_speed.map(speed)),
        ("Manufacturer", d.manufacturer.clone()),
        ("Serial Number", d.serial_number.clone()),
        ("Asset Tag", d.asset_tag.clone()),
        ("Part Number", d.part_number.clone()),
        ("Rank", d.ranks.map(|n| n.to_string())),
        ("Total Width", d.total_width.map(|n| format!("{n} bits"))),
        ("Data Width", d.data_width.map(|n| format!("{n} bits"))),
    ])
}

fn rows(fields: &[(&str, Option<String>)]) -> Map<String, Value> {
    let known = fields.iter().filter_map(|(key, value)| Some(((*key).to_owned(), json!(value.as_ref()?))));
    known.collect()
}

/// The largest unit that leaves no remainder, as dmidecode prints sizes.
fn size(bytes: u64) -> String {
    const UNITS: &[(u32, &str)] = &[(40, "TB"), (30, "GB"), (20, "MB"), (10, "kB")];
    let whole = UNITS.iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    whole.map_or_else(|| format!("{bytes} bytes"), |(shift, unit)| format!("{} {unit}", bytes >> shift))
}
