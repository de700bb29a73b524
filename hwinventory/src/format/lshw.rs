//! The tree that `lshw -json` prints (version B.02.19 of Debian 12: one object), as far as the inventory knows it.

use super::lshw_devices::{disk, nic, pci_node, usb};
use crate::model::{CpuSocket, Dimm, Inventory};
use serde_json::{Map, Value, json};

/// A node: `id`, `class`, what is known of it, and its children.
pub(super) struct Node {
    fields: Map<String, Value>,
    pub children: Vec<Node>,
}

impl Node {
    pub fn new(id: &str, class: &str, description: &str) -> Node {
        let mut node = Node { fields: Map::new(), children: Vec::new() };
        for (key, value) in [("id", id), ("class", class), ("description", description)] {
            node.fields.insert(key.to_owned(), json!(value));
        }
        node.fields.insert("claimed".to_owned(), json!(true));
        node
    }

    /// Left out where there is no value.
    pub fn set(&mut self, key: &str, value: Option<impl Into<Value>>) -> &mut Node {
        if let Some(value) = value {
            self.fields.insert(key.to_owned(), value.into());
        }
        self
    }

    pub fn sized(&mut self, size: Option<u64>, units: &str) -> &mut Node {
        self.set("size", size).set("units", size.map(|_| units))
    }

    /// A word of `configuration`.
    pub fn configure(&mut self, key: &str, value: Option<impl Into<Value>>) -> &mut Node {
        if let Some(value) = value {
            let entry = self.fields.entry("configuration").or_insert_with(|| json!({}));
            entry.as_object_mut().map(|words| words.insert(key.to_owned(), value.into()));
        }
        self
    }

    fn value(mut self) -> Value {
        if !self.children.is_empty() {
            let children: Vec<Value> = self.children.into_iter().map(Node::value).collect();
            self.fields.insert("children".to_owned(), json!(children));
        }
        Value::Object(self.fields)
    }
}

pub fn lshw(inventory: &Inventory) -> Value {
    let system = &inventory.system.data;
    let hostname = inventory.kernel.data.hostname.as_deref().unwrap_or("computer");
    let chassis = system.chassis.first();
    let kind = chassis.and_then(|c| c.kind.as_deref()).unwrap_or("Computer");
    let mut root = Node::new(hostname, "system", kind);
    root.set("vendor", system.manufacturer.clone())
        .set("product", system.product_name.clone())
        .set("version", system.version.clone())
        .set("serial", system.serial_number.clone())
        .set("width", width(inventory))
        .configure("uuid", system.uuid.clone())
        .configure("family", system.family.clone())
        .configure("sku", system.sku_number.clone())
        .configure("chassis", chassis.and_then(|c| c.kind.clone()));
    root.children.push(core(inventory));
    root.children.extend(system.power_supplies.iter().enumerate().map(|(at, supply)| {
        let mut node = Node::new(&format!("power:{at}"), "power", "Power supply");
        node.set("vendor", supply.manufacturer.clone())
            .set("product", supply.name.clone())
            .set("serial", supply.serial_number.clone())
            .set("capacity", supply.max_power)
            .set("units", supply.max_power.map(|_| "mWh"));
        node
    }));
    root.value()
}

fn width(inventory: &Inventory) -> Option<u64> {
    let architecture = inventory.cpu.data.architecture.as_deref()?;
    Some(if architecture.contains("64") || architecture == "s390x" { 64 } else { 32 })
}

fn core(inventory: &Inventory) -> Node {
    let mut core = Node::new("core", "bus", "Motherboard");
    if let Some(board) = inventory.system.data.baseboards.first() {
        core.set("vendor", board.manufacturer.clone())
            .set("product", board.product_name.clone())
            .set("version", board.version.clone())
            .set("serial", board.serial_number.clone());
    }
    core.set("physid", Some("0"));
    core.children.extend(firmware(inventory));
    core.children.push(memory(inventory));
    core.children.extend(cpus(inventory));
    let mut placed = vec![false; inventory.disks.data.len()];
    core.children.extend(pci(inventory, None, &mut placed));
    // What no PCI function leads to: virtual buses, device trees.
    let left = inventory.disks.data.iter().zip(&placed).filter(|(_, placed)| !**placed);
    core.children.extend(left.map(|(d, _)| disk(d)));
    core.children.extend(inventory.nics.data.iter().filter(|n| n.pci_address.is_none()).map(|n| nic(n, None)));
    core.children.extend(inventory.usb.data.iter().map(usb));
    core
}

fn firmware(inventory: &Inventory) -> Option<Node> {
    let bios = inventory.system.data.bios.as_ref()?;
    let mut node = Node::new("firmware", "memory", "BIOS");
    node.set("vendor", bios.vendor.clone())
        .set("version", bios.version.clone())
        .set("date", bios.date.clone())
        .sized(bios.rom_size, "bytes");
    Some(node)
}

fn memory(inventory: &Inventory) -> Node {
    let memory = &inventory.memory.data;
    let mut node = Node::new("memory", "memory", "System Memory");
    node.sized(memory.physical.or(memory.usable), "bytes");
    if let Some(array) = memory.arrays.first() {
        node.set("slot", array.location.clone()).configure("errordetection", array.error_correction.clone());
    }
    node.children = memory.dimms.iter().enumerate().map(|(at, dimm)| bank(at, dimm)).collect();
    node
}

fn bank(at: usize, dimm: &Dimm) -> Node {
    let words = [dimm.form_factor.as_deref(), dimm.kind.as_deref()];
    let description = words.iter().flatten().copied().collect::<Vec<_>>().join(" ");
    let description = match (dimm.populated, dimm.rated_speed) {
        (false, _) => format!("{description} [empty]"),
        (true, Some(rate)) => format!("{description} {} MHz", rate / 1_000_000),
        (true, None) => description,
    };
    let mut node = Node::new(&format!("bank:{at}"), "memory", description.trim());
    node.set("physid", Some(format!("{at:x}")))
        .set("slot", dimm.locator.clone())
        .set("vendor", dimm.manufacturer.clone())
        .set("product", dimm.part_number.clone())
        .set("serial", dimm.serial_number.clone());
    if dimm.populated {
        node.sized(dimm.size, "bytes")
            .set("width", dimm.data_width)
            .set("clock", dimm.configured_speed.or(dimm.rated_speed));
    }
    node
}

/// One for each socket; where firmware describes none, one for each kind of processor.
fn cpus(inventory: &Inventory) -> Vec<Node> {
    let cpu = &inventory.cpu.data;
    let id = |at: usize, count: usize| if count == 1 { "cpu".to_owned() } else { format!("cpu:{at}") };
    let mut nodes: Vec<Node> = if cpu.packages.is_empty() {
        let count = cpu.models.len();
        let kinds = cpu.models.iter().enumerate();
        kinds
            .map(|(at, m)| {
                let mut node = Node::new(&id(at, count), "processor", "CPU");
                node.set("product", m.name.clone())
                    .set("vendor", m.vendor.clone())
                    .set("size", m.current_frequency)
                    .set("capacity", m.max_frequency)
                    .set("units", m.current_frequency.or(m.max_frequency).map(|_| "Hz"))
                    .configure("threads", m.threads.map(|n| n.to_string()));
                node
            })
            .collect()
    } else {
        let count = cpu.packages.len();
        cpu.packages.iter().enumerate().map(|(at, socket)| package(&id(at, count), socket, inventory)).collect()
    };
    for (at, node) in nodes.iter_mut().enumerate() {
        node.set("businfo", Some(format!("cpu@{at}"))).set("width", width(inventory));
        let words: Map<String, Value> = cpu.flags.iter().map(|f| (f.clone(), json!(true))).collect();
        node.set("capabilities", (!words.is_empty()).then_some(Value::Object(words)));
    }
    nodes
}

fn package(id: &str, socket: &CpuSocket, inventory: &Inventory) -> Node {
    let model = inventory.cpu.data.models.first();
    let mut node = Node::new(id, "processor", if socket.populated { "CPU" } else { "CPU [empty]" });
    node.set("vendor", socket.manufacturer.clone())
        .set("slot", socket.designation.clone())
        .set("serial", socket.serial_number.clone());
    if socket.populated {
        node.set("product", model.and_then(|m| m.name.clone()).or_else(|| socket.version.clone()))
            .set("version", socket.version.clone())
            .set("size", socket.current_speed)
            .set("capacity", model.and_then(|m| m.max_frequency).or(socket.max_speed))
            .set("units", socket.current_speed.map(|_| "Hz"))
            .set("clock", socket.external_clock)
            .configure("cores", socket.cores.map(|n| n.to_string()))
            .configure("enabledcores", socket.enabled_cores.map(|n| n.to_string()))
            .configure("threads", socket.threads.map(|n| n.to_string()))
            .configure("microcode", model.and_then(|m| m.microcode.clone()));
    }
    node
}

/// The devices below a bridge, or those below none. A parent is never below its child, so this ends.
fn pci(inventory: &Inventory, parent: Option<&str>, placed: &mut [bool]) -> Vec<Node> {
    let devices = &inventory.pci.data;
    let known = |address: &str| devices.iter().any(|d| d.address == address);
    let below: Vec<_> = devices
        .iter()
        .filter(|d| d.parent.as_deref().filter(|a| known(a)) == parent && Some(d.address.as_str()) != parent)
        .collect();
    let mut nodes = Vec::new();
    for device in below {
        let mut node = pci_node(device, inventory, placed);
        if device.class_id.starts_with("0604") {
            node.children.extend(pci(inventory, Some(&device.address), placed));
        }
        nodes.push(node);
    }
    nodes
}
