//! Reads one network interface from sysfs.

use crate::collect::{by_path, netnames, place};
use crate::model::{Nic, SrIov};
use crate::source::Reader;

/// Reads one interface. `real` and `device` are free of links.
pub fn collect(reader: &Reader, name: String, real: &str, device: &str, bootif: Option<&str>) -> Nic {
    let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
    let number = |attribute: &str| reader.quiet_number(&format!("{real}/{attribute}"));
    let pci = place::pci(device);
    let mac = text("address").filter(|m| m.bytes().any(|b| !matches!(b, b'0' | b':')));
    let flags = text("flags").and_then(|t| u64::from_str_radix(t.trim_start_matches("0x"), 16).ok());
    let mut nic = Nic {
        index: number("ifindex"),
        kind: number("type").map(kind),
        driver: reader.link_name(&format!("{device}/driver")).or_else(|| place::driver(reader, device)),
        pci_address: pci.map(|(address, _)| address.to_owned()),
        numa_node: place::numa_node(reader, device),
        port: number("dev_port"),
        physical_port_id: text("phys_port_id"),
        physical_port_name: text("phys_port_name"),
        by_path: by_path::of_device(reader, device),
        up: flags.map(|f| f & 1 != 0),
        carrier: text("carrier").map(|c| c == "1"),
        carrier_changes: number("carrier_changes"),
        operstate: text("operstate").filter(|s| s != "unknown"),
        // Down or without carrier the kernel says -1 or refuses.
        speed: text("speed")
            .and_then(|t| t.parse::<u64>().ok())
            .filter(|&s| s > 0 && s < u64::from(u32::MAX))
            .map(|mbit| mbit * 1_000_000),
        duplex: text("duplex").filter(|d| d != "unknown"),
        mtu: number("mtu"),
        bootif: bootif.is_some() && mac.as_deref() == bootif,
        master: reader.link_name(&format!("{real}/master")),
        mac,
        name,
        ..Nic::default()
    };
    // 0: the address is the device's own, neither random nor set by somebody.
    if number("addr_assign_type") == Some(0) {
        nic.permanent_mac = nic.mac.clone();
    }
    if let Some((_, directory)) = pci {
        let id = |name: &str| {
            reader.quiet_text(&format!("{directory}/{name}")).map(|t| t.trim_start_matches("0x").to_owned())
        };
        nic.pci_id = id("vendor").zip(id("device")).map(|(vendor, device)| format!("{vendor}:{device}"));
        let total_vfs = reader.quiet_number(&format!("{directory}/sriov_totalvfs"));
        let is_vf = reader.source().link(&format!("{directory}/physfn")).is_ok();
        if total_vfs.is_some() || is_vf {
            let num_vfs = reader.quiet_number(&format!("{directory}/sriov_numvfs")).unwrap_or(0);
            nic.sriov = Some(SrIov { total_vfs: total_vfs.unwrap_or(0), num_vfs, is_vf });
        }
    }
    infiniband(reader, device, &mut nic);
    nic.names = netnames::names(reader, &nic, real);
    if nic.carrier != Some(true) {
        (nic.speed, nic.duplex) = (None, None);
    }
    nic
}

/// GUIDs of the RDMA device behind the interface; its port is the interface's, counted from 1.
fn infiniband(reader: &Reader, device: &str, nic: &mut Nic) {
    let base = format!("{device}/infiniband");
    let Some(name) = reader.source().list(&base).ok().and_then(|names| names.into_iter().next()) else { return };
    nic.infiniband_node_guid = reader.quiet_text(&format!("{base}/{name}/node_guid"));
    let port = nic.port.unwrap_or(0) + 1;
    // The lower half of the first GID is the port's GUID.
    let gid = reader.quiet_text(&format!("{base}/{name}/ports/{port}/gids/0"));
    nic.infiniband_port_guid = gid.and_then(|g| g.get(20..39).map(str::to_owned));
}

/// ARPHRD numbers of <linux/if_arp.h>.
fn kind(number: u64) -> String {
    match number {
        1 => "ethernet".to_owned(),
        32 => "infiniband".to_owned(),
        801..=803 => "wireless".to_owned(),
        n => n.to_string(),
    }
}
