//! rtnetlink dumps (RFC 3549): messages and their attributes.

use super::bytes::{le16, le32, slice, u8_at};

pub const ERROR: u16 = 2;
pub const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;

/// One message, header included, without padding.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub kind: u16,
    pub bytes: &'a [u8],
}

/// Netlink is in host byte order; the hosts of this program are little-endian.
pub fn messages(mut bytes: &[u8]) -> Vec<Message<'_>> {
    let mut found = Vec::new();
    while let (Some(length), Some(kind)) = (le32(bytes, 0), le16(bytes, 4)) {
        let length = length as usize;
        let Some(message) = slice(bytes, 0, length).filter(|m| m.len() >= 16) else { break };
        let padded = length.next_multiple_of(4).min(bytes.len());
        found.push(Message { kind, bytes: slice(bytes, 0, padded).unwrap_or(message) });
        bytes = bytes.get(padded..).unwrap_or_default();
    }
    found
}

fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let (Some(length), Some(kind)) = (le16(bytes, 0), le16(bytes, 2)) {
        let length = usize::from(length);
        let Some(value) = length.checked_sub(4).and_then(|n| slice(bytes, 4, n)) else { break };
        // The two highest bits are flags.
        found.push((kind & 0x3fff, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// An attribute as it is sent, padded to four bytes. None of ours is longer than its length can say.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [(value.len() as u16 + 4).to_le_bytes(), kind.to_le_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The first of a kind.
pub fn attribute_in(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).into_iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// Index and permanent address of each link, where the driver knows one (`IFLA_PERM_ADDRESS`).
pub fn permanent_addresses(dump: &[u8]) -> Vec<(u64, Vec<u8>)> {
    const IFLA_PERM_ADDRESS: u16 = 54;
    messages(dump)
        .into_iter()
        .filter(|m| m.kind == NEW_LINK)
        .filter_map(|m| {
            let index = u64::from(le32(m.bytes, 20)?);
            let all = attributes(m.bytes.get(32..)?);
            let (_, value) = all.into_iter().find(|(kind, _)| *kind == IFLA_PERM_ADDRESS)?;
            Some((index, value.to_vec()))
        })
        .collect()
}

/// Every hardware address in a dump of links: of bridges and tunnels too, of virtual functions, ports and switches.
pub fn hardware_addresses(dump: &[u8]) -> Vec<Vec<u8>> {
    const IFLA_ADDRESS: u16 = 1;
    const IFLA_VFINFO_LIST: u16 = 22;
    const IFLA_PHYS_PORT_ID: u16 = 34;
    const IFLA_PHYS_SWITCH_ID: u16 = 36;
    const IFLA_PERM_ADDRESS: u16 = 54;
    let mut found = Vec::new();
    for message in messages(dump).into_iter().filter(|m| m.kind == NEW_LINK) {
        for (kind, value) in message.bytes.get(32..).map(attributes).unwrap_or_default() {
            match kind {
                IFLA_ADDRESS | IFLA_PERM_ADDRESS | IFLA_PHYS_PORT_ID | IFLA_PHYS_SWITCH_ID => {
                    found.push(value.to_vec())
                }
                // Lists of lists; the first attribute of each function is its number and its address in 32 bytes.
                IFLA_VFINFO_LIST => {
                    let functions = attributes(value).into_iter().flat_map(|(_, one)| attributes(one));
                    found.extend(
                        functions.filter(|(kind, _)| *kind == 1).filter_map(|(_, v)| Some(slice(v, 4, 6)?.to_vec())),
                    );
                }
                _ => {}
            }
        }
    }
    found.retain(|address| address.len() >= 6 && address.iter().any(|&b| b != 0));
    found
}

/// Index, address with prefix length, and scope.
pub fn addresses(dump: &[u8]) -> Vec<(u64, String, &'static str)> {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    messages(dump)
        .into_iter()
        .filter(|m| m.kind == NEW_ADDRESS)
        .filter_map(|m| {
            let (prefix, scope) = (u8_at(m.bytes, 17)?, u8_at(m.bytes, 19)?);
            let index = u64::from(le32(m.bytes, 20)?);
            let all = attributes(m.bytes.get(24..)?);
            let get = |wanted: u16| all.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
            // On point-to-point links IFA_ADDRESS is the other end.
            let address = ip(get(IFA_LOCAL).or_else(|| get(IFA_ADDRESS))?)?;
            let scope = match scope {
                0 => "global",
                200 => "site",
                253 => "link",
                254 => "host",
                _ => "other",
            };
            Some((index, format!("{address}/{prefix}"), scope))
        })
        .collect()
}

pub fn ip(bytes: &[u8]) -> Option<std::net::IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    Some(<[u8; 16]>::try_from(bytes).ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_message() {
        let mut message = vec![0u8; 16];
        message.extend([2, 24, 0, 0]);
        message.extend(7u32.to_le_bytes());
        message.extend([8, 0, 2, 0, 10, 0, 2, 15]);
        message[0] = message.len() as u8;
        message[4] = 20;
        assert_eq!(addresses(&message), [(7, "10.0.2.15/24".to_owned(), "global")]);
    }

    #[test]
    fn addresses_of_links_and_of_virtual_functions() {
        let function = [&[0u8; 4][..], &[2, 0, 0, 0, 0, 9], &[0; 26]].concat();
        let functions = attribute(22, &attribute(1, &attribute(1, &function)));
        let mut message = vec![0u8; 32];
        message.extend(attribute(1, &[2, 0, 0, 0, 0, 1]));
        message.extend(attribute(2, &[0xff; 6]));
        message.extend(functions);
        let length = (message.len() as u16).to_le_bytes();
        message[..2].copy_from_slice(&length);
        message[4] = NEW_LINK as u8;
        assert_eq!(hardware_addresses(&message), [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9]]);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..32, length in 0u8..200) {
            let mut bytes = bytes;
            for (at, value) in [(0, length), (1, 0), (2, 0), (3, 0), (4, kind), (5, 0)] {
                if let Some(b) = bytes.get_mut(at) { *b = value; }
            }
            permanent_addresses(&bytes);
            hardware_addresses(&bytes);
            addresses(&bytes);
        }
    }
}
