//! Decodes onboard devices, and the interfaces to a management controller.

use super::table::{Structure, Table};
use super::words;
use crate::model::{HostInterface, OnboardDevice, RedfishService};
use crate::parse::bytes::{ascii, le16, le32, slice, u8_at};
use crate::parse::names::real_uuid;
use crate::parse::netlink::ip;

/// Type 41, and the obsolete type 10 where there is no type 41.
pub fn onboard(table: &Table<'_>) -> Vec<OnboardDevice> {
    let devices: Vec<OnboardDevice> = table.of(41).map(extended).collect();
    if devices.is_empty() { table.of(10).flat_map(obsolete).collect() } else { devices }
}

fn extended(s: &Structure<'_>) -> OnboardDevice {
    let kind = s.byte(0x05);
    OnboardDevice {
        designation: s.string(0x04),
        kind: kind.and_then(|k| words::onboard(k & 0x7f)),
        enabled: kind.map(|k| k & 0x80 != 0),
        instance: s.byte(0x06).map(u64::from),
        pci_address: super::decode::pci_address(s.word(0x07), s.byte(0x09), s.byte(0x0a)),
    }
}

/// 7.11: pairs of kind and description.
fn obsolete(s: &Structure<'_>) -> Vec<OnboardDevice> {
    let mut devices = Vec::new();
    let mut at = 4;
    while let Some(kind) = s.byte(at) {
        devices.push(OnboardDevice {
            designation: s.string(at + 1),
            kind: words::onboard_obsolete(kind & 0x7f),
            enabled: Some(kind & 0x80 != 0),
            ..OnboardDevice::default()
        });
        at += 2;
    }
    devices
}

/// Type 42 (7.43): how the host talks to its management controller.
pub fn host_interfaces(table: &Table<'_>) -> Vec<HostInterface> {
    table.of(42).filter_map(host_interface).collect()
}

fn host_interface(s: &Structure<'_>) -> Option<HostInterface> {
    let kind = s.byte(0x04)?;
    let mut found = HostInterface { kind: words::host_interface(kind), ..HostInterface::default() };
    // Tables before 3.2 have the length of the data only by convention; those that overrun are left there.
    let length = usize::from(s.byte(0x05)?);
    if let Some(data) = s.bytes(0x06, length).filter(|_| kind == 0x40) {
        device(data, &mut found);
    }
    let mut at = 0x06 + length;
    let count = s.byte(at).unwrap_or(0);
    at += 1;
    for _ in 0..count {
        let (Some(protocol), Some(length)) = (s.byte(at), s.byte(at + 1)) else { break };
        let Some(data) = s.bytes(at + 2, usize::from(length)) else { break };
        found.protocols.extend(words::host_protocol(protocol));
        if protocol == 4 {
            found.redfish = redfish(data);
        }
        at += 2 + usize::from(length);
    }
    Some(found)
}

/// DSP0270 table 5 on: 2 and 4 are USB, 3 and 5 PCI; the later ones have a length before the ids and the MAC behind.
fn device(data: &[u8], found: &mut HostInterface) {
    let Some(kind) = u8_at(data, 0) else { return };
    let ids = if matches!(kind, 4 | 5) { 2 } else { 1 };
    let id = |at: usize| le16(data, at).map(|n| format!("{n:04x}"));
    (found.device, found.vendor_id, found.product_id) = match kind {
        2 | 4 => (Some("usb".to_owned()), id(ids), id(ids + 2)),
        3 | 5 => (Some("pci".to_owned()), id(ids), id(ids + 2)),
        _ => return,
    };
    let mac = match kind {
        // Behind the string descriptor's index.
        4 => slice(data, 7, 6),
        5 => slice(data, 10, 6),
        _ => None,
    };
    found.mac = mac.filter(|m| m.iter().any(|&b| b != 0 && b != 0xff)).map(crate::parse::ethtool::address);
}

/// DSP0270: "Redfish over IP" protocol-specific data.
fn redfish(data: &[u8]) -> Option<RedfishService> {
    let assignment = |value: Option<u8>| match value? {
        1 => Some("static".to_owned()),
        2 => Some("dhcp".to_owned()),
        3 => Some("autoconf".to_owned()),
        4 => Some("host-selected".to_owned()),
        _ => None,
    };
    let address = |format: usize, at: usize| {
        let length = match u8_at(data, format)? {
            1 => 4,
            2 => 16,
            _ => return None,
        };
        ip(slice(data, at, length)?).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string())
    };
    let uuid: [u8; 16] = slice(data, 0, 16)?.try_into().ok()?;
    let hostname = u8_at(data, 90).and_then(|length| slice(data, 91, usize::from(length))).and_then(ascii);
    Some(RedfishService {
        uuid: real_uuid(Some(uuid::Uuid::from_bytes_le(uuid).to_string())),
        host_address_source: assignment(u8_at(data, 16)),
        host_address: address(17, 18),
        host_netmask: address(17, 34),
        address_source: assignment(u8_at(data, 50)),
        address: address(51, 52),
        netmask: address(51, 68),
        port: le16(data, 84).filter(|&p| p != 0).map(u64::from),
        vlan: le32(data, 86).filter(|&v| v != 0).map(u64::from),
        hostname,
    })
}
