//! What ironic-python-agent posts to `/v1/continue_inspection` (its `hardware.py` and `inspector.py`, version 13).

use super::ipa_collectors;
use crate::model::{BootMode, Disk, Inventory, Media, Nic, Transport};
use serde_json::{Map, Value, json};

/// What the body says beside the machine.
#[derive(Debug, Clone, Default)]
pub struct IpaOptions {
    /// As in `ipa-inspection-collectors`: `default`, `pci-devices`, `usb-devices`, `lldp`, `numa-topology`, `dmi-decode`.
    /// Empty is `default`. Names that are not known here (`extra-hardware`) are passed on and add nothing.
    pub collectors: Vec<String>,
    /// Name and version of what stands in for IPA's hardware managers.
    pub managers: Vec<(String, String)>,
    /// Kernel name of the disk that a deployment would choose. Without one it is IPA's guess: the smallest disk of at
    /// least 4 GiB, the first by name among equals.
    pub root_disk: Option<String>,
    /// Ironic asked not to look for the BMC (`agent_skip_bmc_detect`).
    pub skip_bmc: bool,
    /// What went wrong while collecting.
    pub error: Option<String>,
    /// A gzipped tar archive in base64.
    pub logs: Option<String>,
}

/// The whole body. `inventory.interfaces` is empty where the machine has none: Ironic refuses such a body.
pub fn ipa(inventory: &Inventory, options: &IpaOptions) -> Value {
    let machine = ipa_inventory(inventory, options.skip_bmc);
    let mut collectors = options.collectors.clone();
    if collectors.is_empty() {
        collectors.push("default".to_owned());
    }
    let root = match &options.root_disk {
        Some(name) => disks(inventory).find(|d| d.name == *name),
        None => guessed_root(inventory),
    };
    let managers = options.managers.iter().map(|(name, version)| json!({"name": name, "version": version}));
    let mut body = json!({
        "boot_interface": machine["boot"]["pxe_interface"],
        "configuration": {"collectors": collectors, "managers": managers.collect::<Vec<_>>()},
        "error": options.error,
        "inventory": machine,
    });
    if let Some(body) = body.as_object_mut() {
        body.extend(root.map(|disk| ("root_disk".to_owned(), block_device(disk))));
        body.extend(options.logs.as_ref().map(|logs| ("logs".to_owned(), json!(logs))));
        for name in &collectors {
            body.extend(ipa_collectors::collected(inventory, name));
        }
    }
    body
}

/// The `inventory` of the body, which IPA also keeps for itself.
pub fn ipa_inventory(inventory: &Inventory, skip_bmc: bool) -> Value {
    let mut machine = json!({
        "interfaces": inventory.nics.data.iter().filter_map(interface).collect::<Vec<_>>(),
        "cpu": cpu(inventory),
        "disks": disks(inventory).map(block_device).collect::<Vec<_>>(),
        "memory": {
            "total": inventory.memory.data.usable,
            "physical_mb": inventory.memory.data.physical.map(|bytes| bytes >> 20),
        },
        "system_vendor": system_vendor(inventory),
        "boot": {
            "current_boot_mode": if inventory.firmware.data.boot_mode == BootMode::Uefi { "uefi" } else { "bios" },
            "pxe_interface": inventory.firmware.data.bootif,
        },
        "hostname": inventory.kernel.data.hostname,
    });
    if let Some(machine) = machine.as_object_mut() {
        bmc(inventory, skip_bmc, machine);
    }
    machine
}

/// The address that Ironic knows a port by: the one that the device was made with. Addresses that begin with `fa:` are
/// made up (in-band interfaces of BMCs) and are left out, as IPA does.
fn interface(nic: &Nic) -> Option<Value> {
    let mac = nic.permanent_mac.as_ref().or(nic.mac.as_ref())?.to_ascii_lowercase();
    if mac.starts_with("fa:") {
        return None;
    }
    let address = |wanted: fn(&std::net::IpAddr) -> bool| {
        let bare = nic.addresses.iter().map(|a| a.address.split('/').next().unwrap_or_default());
        bare.filter_map(|a| a.parse().ok()).find(wanted).map(|a: std::net::IpAddr| a.to_string())
    };
    let (vendor, product) = match nic.pci_id.as_deref().and_then(|id| id.split_once(':')) {
        Some((vendor, device)) => (Some(format!("0x{vendor}")), Some(format!("0x{device}"))),
        None => (None, None),
    };
    let (mac, client_id) = infiniband(&mac, vendor.as_deref()).unwrap_or((mac, None));
    // None heard is an empty list; not listened for is null.
    let lldp: Option<Vec<Value>> = nic.lldp.first().map(ipa_collectors::tlvs);
    Some(json!({
        "name": nic.name,
        "mac_address": mac,
        "ipv4_address": address(std::net::IpAddr::is_ipv4),
        "ipv6_address": address(std::net::IpAddr::is_ipv6),
        "has_carrier": nic.carrier.unwrap_or(false),
        "lldp": lldp,
        "vendor": vendor,
        "product": product,
        "client_id": client_id,
        "biosdevname": null,
        "speed_mbps": nic.max_speed.or(nic.speed).map(|bits| bits / 1_000_000),
        "pci_address": nic.pci_address,
        "driver": nic.driver,
    }))
}

/// NVIDIA's InfiniBand: the port's GUID without its middle is the address that Ironic knows, and DHCP goes by a client
/// id (RFC 4390).
fn infiniband(address: &str, vendor: Option<&str>) -> Option<(String, Option<String>)> {
    const BYTES: usize = 20;
    if vendor != Some("0x15b3") || address.split(':').count() != BYTES || address.len() != 3 * BYTES - 1 {
        return None;
    }
    let (guid, head, tail) = (address.get(36..)?, address.get(36..45)?, address.get(51..)?);
    Some((format!("{head}{tail}"), Some(format!("ff:00:00:00:00:00:02:00:00:02:c9:00:{guid}"))))
}

fn cpu(inventory: &Inventory) -> Value {
    let cpu = &inventory.cpu.data;
    let model = cpu.models.first();
    // As lscpu prints it, and Ironic takes it: text, in MHz.
    let mhz = |hertz: u64| format!("{}.{:04}", hertz / 1_000_000, hertz % 1_000_000 / 100);
    json!({
        "model_name": model.and_then(|m| m.name.clone()).unwrap_or_default(),
        "frequency": model.and_then(|m| m.max_frequency.or(m.current_frequency)).map(mhz).unwrap_or_default(),
        "count": cpu.threads,
        "architecture": cpu.architecture.clone().unwrap_or_default(),
        "flags": cpu.flags,
        "socket_count": cpu.sockets,
    })
}

fn system_vendor(inventory: &Inventory) -> Value {
    let system = &inventory.system.data;
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    let bios = system.bios.as_ref();
    json!({
        "product_name": text(system.product_name.as_ref()),
        "serial_number": text(system.serial_number.as_ref()),
        "manufacturer": text(system.manufacturer.as_ref()),
        "firmware": {
            "vendor": text(bios.and_then(|b| b.vendor.as_ref())),
            "version": text(bios.and_then(|b| b.version.as_ref())),
            "build_date": text(bios.and_then(|b| b.date.as_ref())),
        },
    })
}

/// Without an IPMI device both addresses are null; with one that has none they are the unspecified ones.
fn bmc(inventory: &Inventory, skip: bool, machine: &mut Map<String, Value>) {
    let bmc = &inventory.bmc.data;
    let asked = !skip && bmc.device.is_some();
    let six = bmc.ipv6_addresses.iter().find(|a| a.status.as_deref().is_none_or(|s| s == "active"));
    let six = six.and_then(|a| a.address.split('/').next()).unwrap_or("::/0");
    machine.insert("bmc_address".to_owned(), json!(asked.then(|| bmc.address.as_deref().unwrap_or("0.0.0.0"))));
    machine.insert("bmc_v6address".to_owned(), json!(asked.then_some(six)));
    let reached = bmc.address.is_some() || six != "::/0";
    machine.extend(bmc.mac.as_ref().filter(|_| asked && reached).map(|mac| ("bmc_mac".to_owned(), json!(mac))));
}

/// What IPA lists: disks that have a size, arrays and multipath devices instead of the paths to them, or one path of those
/// that nothing has assembled.
fn disks(inventory: &Inventory) -> impl Iterator<Item = &Disk> {
    let is_map = |d: &&Disk| d.dm_uuid.as_deref().is_some_and(|u| u.starts_with("mpath-"));
    let is_array = |d: &&Disk| d.name.starts_with("md");
    let whole = |d: &&Disk| d.media == Media::Disk && (!d.multipath_member || !d.paths.is_empty());
    let volumes = inventory.volumes.data.iter().filter(move |d| is_map(d) || is_array(d));
    inventory.disks.data.iter().filter(whole).chain(volumes).filter(|d| d.size > 0)
}

fn guessed_root(inventory: &Inventory) -> Option<&Disk> {
    const LEAST: u64 = 4 << 30;
    disks(inventory).filter(|d| d.size >= LEAST).min_by(|a, b| (a.size, &a.path).cmp(&(b.size, &b.path)))
}

fn block_device(disk: &Disk) -> Value {
    let wwn = wwn(disk);
    // The extension is the second half of a name of 16 bytes (NAA 6), as udev splits it.
    let long = wwn.as_ref().filter(|w| w.starts_with("0x6") && w.len() == 34);
    let extension = long.and_then(|w| w.get(18..)).map(|half| format!("0x{half}"));
    let vendor = match disk.transport {
        Transport::Virtio if disk.vendor.is_none() => Some("0x1af4"),
        // The SCSI layer's word, not the maker's name that may stand in front of the model.
        Transport::Sata => Some("ATA"),
        _ => disk.vendor.as_deref(),
    };
    json!({
        "name": disk.path,
        "model": disk.model,
        "size": disk.size,
        "rotational": disk.rotational.unwrap_or(false),
        "wwn": wwn,
        "serial": disk.serial,
        "vendor": vendor,
        "wwn_with_extension": wwn.as_ref().filter(|w| w.starts_with("0x")),
        "wwn_vendor_extension": extension,
        "hctl": disk.hctl,
        "by_path": disk.by_path.as_ref().map(|place| format!("/dev/disk/by-path/{place}")),
        "logical_sectors": disk.logical_block_size,
        "physical_sectors": disk.physical_block_size,
        "tran": transport(disk.transport),
    })
}

/// As udev writes it: `0x5000...` for NAA names, NVMe's as the kernel has them. T10 names are no WWN to udev.
fn wwn(disk: &Disk) -> Option<String> {
    let wwn = disk.wwn.as_deref()?;
    match wwn.strip_prefix("naa.") {
        Some(hex) => Some(format!("0x{hex}")),
        None => disk.nvme.is_some().then(|| wwn.to_owned()),
    }
}

/// lsblk's words.
fn transport(transport: Transport) -> Option<&'static str> {
    match transport {
        Transport::Nvme | Transport::NvmeTcp | Transport::NvmeRdma | Transport::NvmeFc => Some("nvme"),
        Transport::Sata => Some("sata"),
        Transport::Sas => Some("sas"),
        Transport::Usb => Some("usb"),
        Transport::Virtio => Some("virtio"),
        Transport::Mmc => Some("mmc"),
        Transport::FibreChannel => Some("fc"),
        Transport::Iscsi => Some("iscsi"),
        Transport::Scsi | Transport::Network | Transport::Pmem | Transport::None | Transport::Unknown => None,
    }
}
