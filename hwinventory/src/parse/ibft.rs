//! The iSCSI Boot Firmware Table (Microsoft's "iSCSI Boot Firmware Table (iBFT)" 1.02), as ACPI keeps it, and the host of
//! the NVMe Boot Firmware Table (NVM Express Boot Specification 1.0, 3.1).

use super::bytes::{le16, le32, slice, u8_at};
use super::netlink::ip;
use crate::model::{Ibft, IbftNic, IbftTarget};

const CONTROL: usize = 48;

/// Where the table's structures of one kind are: `id` of the structure, offset of its offset within the control structure.
const NICS: &[usize] = &[10, 14];
const TARGETS: &[usize] = &[12, 16];
const CHAP_SECRETS: &[usize] = &[42, 50];

pub fn ibft(table: &[u8]) -> Option<Ibft> {
    let table = whole(table, b"iBFT")?;
    (u8_at(table, CONTROL)? == 1).then_some(())?;
    let initiator = block(table, 8, 2);
    let name = initiator.and_then(|at| text(table, at + 70));
    Some(Ibft {
        initiator_name: name,
        nics: NICS.iter().filter_map(|&place| nic(table, block(table, place, 3)?)).collect(),
        targets: TARGETS.iter().filter_map(|&place| target(table, block(table, place, 4)?)).collect(),
    })
}

/// The part that the header claims: what follows is not the table's.
fn whole<'a>(table: &'a [u8], signature: &[u8; 4]) -> Option<&'a [u8]> {
    (slice(table, 0, 4)? == signature).then_some(())?;
    let length = le32(table, 4)? as usize;
    slice(table, 0, length.min(table.len()))
}

/// Offset of a structure that the control structure names and that is valid.
fn block(table: &[u8], place: usize, id: u8) -> Option<usize> {
    let at = usize::from(le16(table, CONTROL + place)?);
    let valid = at != 0 && u8_at(table, at)? == id && u8_at(table, at + 5)? & 1 == 1;
    valid.then_some(at)
}

/// Length and offset of a string in the heap.
fn text(table: &[u8], at: usize) -> Option<String> {
    let bytes = slice(table, usize::from(le16(table, at + 2)?), usize::from(le16(table, at)?))?;
    super::bytes::ascii(bytes)
}

/// Addresses are IPv6, or IPv4 mapped into it.
fn address(table: &[u8], at: usize) -> Option<std::net::IpAddr> {
    let bytes: [u8; 16] = slice(table, at, 16)?.try_into().ok()?;
    let six = std::net::Ipv6Addr::from(bytes);
    let found = match six.to_ipv4_mapped() {
        Some(four) => four.into(),
        // Some firmware leaves the prefix out.
        None if bytes.starts_with(&[0; 12]) => ip(bytes.get(12..)?)?,
        None => six.into(),
    };
    Some(found).filter(|a| !a.is_unspecified())
}

fn nic(table: &[u8], at: usize) -> Option<IbftNic> {
    let ip = |offset: usize| address(table, at + offset).map(|a| a.to_string());
    let place = le16(table, at + 96).filter(|&p| p != 0);
    Some(IbftNic {
        index: u64::from(u8_at(table, at + 4)?),
        boot_selected: u8_at(table, at + 5)? & 2 != 0,
        address: ip(6).zip(u8_at(table, at + 22)).map(|(a, prefix)| format!("{a}/{prefix}")),
        origin: u8_at(table, at + 23).and_then(origin).map(str::to_owned),
        gateway: ip(24),
        name_servers: [40, 56].into_iter().filter_map(ip).collect(),
        dhcp_server: ip(72),
        vlan: le16(table, at + 88).map(|v| u64::from(v & 0x0fff)).filter(|&v| v != 0),
        mac: slice(table, at + 90, 6).filter(|m| m.iter().any(|&b| b != 0)).map(super::ethtool::address),
        pci_address: place.map(|p| format!("0000:{:02x}:{:02x}.{:x}", p >> 8, p >> 3 & 0x1f, p & 7)),
        hostname: text(table, at + 98),
    })
}

fn origin(value: u8) -> Option<&'static str> {
    Some(match value {
        0 => "other",
        1 => "static",
        2 => "well-known",
        3 => "dhcp",
        4 => "router-advertisement",
        _ => return None,
    })
}

fn target(table: &[u8], at: usize) -> Option<IbftTarget> {
    Some(IbftTarget {
        index: u64::from(u8_at(table, at + 4)?),
        boot_selected: u8_at(table, at + 5)? & 2 != 0,
        address: address(table, at + 6).map(|a| a.to_string()),
        port: le16(table, at + 22).map(u64::from),
        lun: slice(table, at + 24, 8).map(super::bytes::hex),
        authentication: match u8_at(table, at + 32)? {
            0 => Some("none".to_owned()),
            1 => Some("chap".to_owned()),
            2 => Some("mutual-chap".to_owned()),
            _ => None,
        },
        nic: u8_at(table, at + 33).map(u64::from),
        name: text(table, at + 34),
    })
}

/// Overwrites the CHAP secrets: they belong to no record.
pub fn blank_secrets(table: &mut [u8]) {
    if whole(table, b"iBFT").is_none() {
        return;
    }
    for &place in TARGETS {
        // Valid or not: a secret is one.
        let Some(at) = le16(table, CONTROL + place).map(usize::from).filter(|&at| at != 0) else { continue };
        for &field in CHAP_SECRETS {
            let range = le16(table, at + field).zip(le16(table, at + field + 2));
            let Some((length, from)) = range.map(|(l, f)| (usize::from(l), usize::from(f))) else { continue };
            if let Some(secret) = table.get_mut(from..from + length) {
                secret.fill(b'x');
            }
        }
    }
}

/// NQN and id of the host, from the NVMe Boot Firmware Table.
pub fn nbft_host(table: &[u8]) -> Option<(Option<String>, Option<String>)> {
    let table = whole(table, b"NBFT")?;
    let host = le32(table, 72)? as usize;
    // Structure id 2; bit 0 of its flags says that it is valid.
    (host != 0 && u8_at(table, host)? == 2 && u8_at(table, host.checked_add(1)?)? & 1 == 1).then_some(())?;
    let id: [u8; 16] = slice(table, host.checked_add(2)?, 16)?.try_into().ok()?;
    let id = id.iter().any(|&b| b != 0).then(|| uuid::Uuid::from_bytes(id).to_string());
    let (offset, length) = (le32(table, host.checked_add(18)?)?, le16(table, host.checked_add(22)?)?);
    let nqn = slice(table, offset as usize, usize::from(length)).and_then(super::bytes::ascii);
    Some((nqn, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As iPXE lays it out: control, initiator, one interface, one target, heap.
    pub fn table() -> Vec<u8> {
        let mut t = vec![0u8; 0x300];
        t[..4].copy_from_slice(b"iBFT");
        t[4..8].copy_from_slice(&0x300u32.to_le_bytes());
        let put16 = |t: &mut Vec<u8>, at: usize, v: u16| t[at..at + 2].copy_from_slice(&v.to_le_bytes());
        (t[48], t[49]) = (1, 1);
        for (place, at) in [(8, 72u16), (10, 152), (12, 256)] {
            put16(&mut t, 48 + place, at);
        }
        (t[72], t[77]) = (2, 3);
        (t[152], t[157]) = (3, 3);
        (t[256], t[261]) = (4, 3);
        let mut heap = 0x180usize;
        let mut string = |t: &mut Vec<u8>, at: usize, text: &[u8]| {
            put16(t, at, text.len() as u16);
            put16(t, at + 2, heap as u16);
            t[heap..heap + text.len()].copy_from_slice(text);
            heap += text.len() + 1;
        };
        string(&mut t, 72 + 70, b"iqn.2010-04.org.ipxe:host");
        string(&mut t, 152 + 98, b"node7");
        string(&mut t, 256 + 34, b"iqn.2003-01.org.linux-iscsi:disk");
        string(&mut t, 256 + 38, b"user");
        string(&mut t, 256 + 42, b"hush-hush-hush");
        let mapped = |a: [u8; 4]| [&[0u8; 10][..], &[0xff, 0xff], &a].concat();
        t[158..174].copy_from_slice(&mapped([192, 0, 2, 7]));
        (t[174], t[175]) = (24, 3);
        t[176..192].copy_from_slice(&mapped([192, 0, 2, 1]));
        t[242..248].copy_from_slice(&[0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        put16(&mut t, 248, 0x0018);
        t[262..278].copy_from_slice(&mapped([192, 0, 2, 9]));
        put16(&mut t, 278, 3260);
        (t[288], t[289]) = (1, 0);
        t
    }

    #[test]
    fn a_boot_from_iscsi() {
        let found = ibft(&table()).expect("whole");
        assert_eq!(found.initiator_name.as_deref(), Some("iqn.2010-04.org.ipxe:host"));
        let nic = &found.nics[0];
        assert_eq!((nic.address.as_deref(), nic.origin.as_deref()), (Some("192.0.2.7/24"), Some("dhcp")));
        assert_eq!((nic.mac.as_deref(), nic.pci_address.as_deref()), (Some("52:54:00:12:34:56"), Some("0000:00:03.0")));
        assert_eq!((nic.hostname.as_deref(), nic.gateway.as_deref()), (Some("node7"), Some("192.0.2.1")));
        let target = &found.targets[0];
        assert_eq!(target.name.as_deref(), Some("iqn.2003-01.org.linux-iscsi:disk"));
        assert_eq!((target.address.as_deref(), target.port), (Some("192.0.2.9"), Some(3260)));
        assert_eq!((target.authentication.as_deref(), target.boot_selected), (Some("chap"), true));
    }

    #[test]
    fn secrets_go_and_the_rest_stays() {
        let mut table = table();
        let before = ibft(&table);
        blank_secrets(&mut table);
        assert!(!table.windows(4).any(|w| w == b"hush"));
        assert_eq!(ibft(&table), before);
    }

    #[test]
    fn the_host_of_an_nvme_boot() {
        let mut t = vec![0u8; 200];
        t[..4].copy_from_slice(b"NBFT");
        t[4] = 200;
        t[72] = 100;
        (t[100], t[101]) = (2, 1);
        t[102..118].copy_from_slice(&[0x11; 16]);
        (t[118], t[122]) = (140, 12);
        t[140..152].copy_from_slice(b"nqn.2014-08.");
        let (nqn, id) = nbft_host(&t).expect("whole");
        assert_eq!(nqn.as_deref(), Some("nqn.2014-08."));
        assert_eq!(id.as_deref(), Some("11111111-1111-1111-1111-111111111111"));
        t[72..76].fill(0xff);
        assert_eq!(nbft_host(&t), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..0x300, b in any::<u8>()) {
            ibft(&bytes);
            nbft_host(&bytes);
            blank_secrets(&mut bytes.clone());
            let mut near = table();
            near[at] = b;
            ibft(&near);
            blank_secrets(&mut near);
        }
    }
}
