//! The client's identifiers for DHCPv6 servers.

use crate::config::Mac;
use std::path::Path;

/// A DHCP unique identifier (RFC 8415, 11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duid(pub Vec<u8>);

impl Duid {
    /// From the machine's UUID (RFC 6355), as iPXE and UEFI do, so that firmware and agent are one client. Without a
    /// UUID, from the MAC.
    pub fn of_machine(root: &Path, mac: Mac) -> Self {
        let text = std::fs::read_to_string(root.join("sys/class/dmi/id/product_uuid")).unwrap_or_default();
        Self::new(&text, mac)
    }

    pub(super) fn new(uuid: &str, mac: Mac) -> Self {
        let uuid = uuid.trim().parse::<uuid::Uuid>().ok();
        let fair = |uuid: &uuid::Uuid| {
            let bytes = uuid.as_bytes();
            bytes.iter().any(|byte| Some(byte) != bytes.first())
        };
        match uuid.filter(fair) {
            Some(uuid) => Self([&[0, 4], uuid.as_bytes().as_slice()].concat()),
            None => Self([&[0, 3, 0, 1], mac.0.as_slice()].concat()),
        }
    }
}

/// The identity association of an interface: the last four bytes of its MAC, as in iPXE.
pub fn association(mac: Mac) -> u32 {
    let [_, _, c, d, e, f] = mac.0;
    u32::from_be_bytes([c, d, e, f])
}
