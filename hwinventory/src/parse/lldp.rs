//! LLDP frames (IEEE 802.1AB-2016, with the 802.1 and 802.3 organisation TLVs).

use super::bytes::{ascii, be16, hex, slice, u8_at};
use super::ethtool::address;
use super::netlink::ip;
use crate::model::{LldpNeighbour, LldpTlv, LldpVlan};

/// Frames as the source keeps them, each preceded by its length. The same neighbour is listed once.
pub fn frames(mut bytes: &[u8]) -> Vec<LldpNeighbour> {
    let mut found: Vec<LldpNeighbour> = Vec::new();
    while let Some(length) = be16(bytes, 0) {
        let length = usize::from(length);
        let Some(frame) = slice(bytes, 2, length) else { break };
        if let Some(neighbour) = neighbour(frame)
            && !found.iter().any(|f| f.chassis_id == neighbour.chassis_id && f.port_id == neighbour.port_id)
        {
            found.push(neighbour);
        }
        bytes = bytes.get(2 + length..).unwrap_or_default();
    }
    found
}

/// An Ethernet frame, with or without a VLAN tag. The three mandatory TLVs must come first and in order (8.2).
pub fn neighbour(frame: &[u8]) -> Option<LldpNeighbour> {
    let at = match be16(frame, 12)? {
        0x88cc => 14,
        0x8100 if be16(frame, 16)? == 0x88cc => 18,
        _ => return None,
    };
    let mut rest = frame.get(at..)?;
    let mut neighbour = LldpNeighbour::default();
    let mut number = 0;
    while let Some(head) = be16(rest, 0) {
        let (kind, length) = (head >> 9, usize::from(head & 0x1ff));
        // A TLV that runs over the end of the frame makes it malformed; what stood before is kept.
        let Some(value) = slice(rest, 2, length) else { break };
        neighbour.tlvs.push(LldpTlv { kind: u64::from(kind), value: hex(value) });
        match (number, kind) {
            (0, 1) => (neighbour.chassis_id_kind, neighbour.chassis_id) = identifier(value, CHASSIS)?,
            (1, 2) => (neighbour.port_id_kind, neighbour.port_id) = identifier(value, PORT)?,
            (2, 3) => neighbour.ttl = u64::from(be16(value, 0)?),
            (0..=2, _) => return None,
            (_, 0) => break,
            _ => optional(kind, value, &mut neighbour),
        }
        number += 1;
        rest = rest.get(2 + length..).unwrap_or_default();
    }
    (number >= 3).then_some(neighbour)
}

const CHASSIS: &[&str] =
    &["", "component", "interface-alias", "port-component", "mac", "network", "interface", "local"];
const PORT: &[&str] =
    &["", "interface-alias", "port-component", "mac", "network", "interface", "agent-circuit", "local"];

/// Subtype and id (8.5.2.2, 8.5.3.2).
fn identifier(value: &[u8], kinds: &'static [&'static str]) -> Option<(String, String)> {
    let (&subtype, id) = value.split_first()?;
    let kind = kinds.get(usize::from(subtype)).copied().filter(|k| !k.is_empty()).unwrap_or("reserved");
    let text = match kind {
        "mac" => address(id),
        "network" => id.get(1..).and_then(ip).map_or_else(|| hex(id), |ip| ip.to_string()),
        _ => text(id)?,
    };
    Some((kind.to_owned(), text))
}

fn text(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_matches(|c: char| c.is_control() || c.is_whitespace());
    (!text.is_empty()).then(|| text.to_owned())
}

fn optional(kind: u16, value: &[u8], neighbour: &mut LldpNeighbour) {
    match kind {
        4 => neighbour.port_description = text(value),
        5 => neighbour.system_name = text(value),
        6 => neighbour.system_description = text(value),
        7 => {
            neighbour.capabilities = be16(value, 0).map(capabilities).unwrap_or_default();
            neighbour.enabled_capabilities = be16(value, 2).map(capabilities).unwrap_or_default();
        }
        8 => neighbour.management_addresses.extend(management_address(value)),
        127 => organisation(value, neighbour),
        _ => {}
    }
}

fn capabilities(bits: u16) -> Vec<String> {
    const WORDS: &[&str] = &[
        "other",
        "repeater",
        "bridge",
        "wlan-ap",
        "router",
        "telephone",
        "docsis",
        "station",
        "c-vlan",
        "s-vlan",
        "two-port-mac-relay",
    ];
    WORDS.iter().enumerate().filter(|(i, _)| bits >> i & 1 != 0).map(|(_, w)| (*w).to_owned()).collect()
}

/// Length (with the subtype), address family, address (8.5.9).
fn management_address(value: &[u8]) -> Option<String> {
    let length = usize::from(u8_at(value, 0)?).checked_sub(1)?;
    let bytes = slice(value, 2, length)?;
    match u8_at(value, 1)? {
        1 | 2 => ip(bytes).map(|ip| ip.to_string()),
        6 => Some(address(bytes)),
        _ => None,
    }
}

fn organisation(value: &[u8], neighbour: &mut LldpNeighbour) {
    let (Some(oui), Some(subtype), Some(info)) = (slice(value, 0, 3), u8_at(value, 3), value.get(4..)) else { return };
    match (oui, subtype) {
        // 802.1Q annex D: port VLAN, VLAN name, link aggregation.
        ([0x00, 0x80, 0xc2], 1) => neighbour.port_vlan = be16(info, 0).filter(|&v| v != 0).map(u64::from),
        ([0x00, 0x80, 0xc2], 3) => {
            let name = u8_at(info, 2).and_then(|length| slice(info, 3, usize::from(length))).and_then(ascii);
            if let (Some(id), Some(name)) = (be16(info, 0), name) {
                neighbour.vlans.push(LldpVlan { id: u64::from(id), name });
            }
        }
        ([0x00, 0x80, 0xc2], 7) | ([0x00, 0x12, 0x0f], 3) => {
            neighbour.link_aggregation = u8_at(info, 0).map(|status| status & 2 != 0);
        }
        // 802.3 79.3.4
        ([0x00, 0x12, 0x0f], 4) => neighbour.max_frame_size = be16(info, 0).map(u64::from),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tlv(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (kind << 9 | value.len() as u16).to_be_bytes().to_vec();
        bytes.extend(value);
        bytes
    }

    fn frame(tlvs: &[Vec<u8>]) -> Vec<u8> {
        let mut frame = vec![0x01, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc];
        tlvs.iter().for_each(|t| frame.extend(t));
        frame
    }

    fn mandatory() -> Vec<Vec<u8>> {
        vec![tlv(1, &[4, 2, 0, 0, 0, 0, 1]), tlv(2, b"\x05Ethernet1/7"), tlv(3, &[0, 120])]
    }

    #[test]
    fn a_switch_port() {
        let mut tlvs = mandatory();
        tlvs.push(tlv(5, b"tor-1"));
        tlvs.push(tlv(7, &[0, 0x14, 0, 0x04]));
        tlvs.push(tlv(8, &[5, 1, 192, 0, 2, 1, 2, 0, 0, 0, 1, 0]));
        tlvs.push(tlv(127, &[0, 0x80, 0xc2, 1, 0, 42]));
        tlvs.push(tlv(127, b"\x00\x80\xc2\x03\x00\x2a\x04prod"));
        tlvs.push(tlv(0, &[]));
        tlvs.push(tlv(5, b"after the end"));
        let neighbour = neighbour(&frame(&tlvs)).expect("well-formed");
        assert_eq!((neighbour.chassis_id.as_str(), neighbour.chassis_id_kind.as_str()), ("02:00:00:00:00:01", "mac"));
        assert_eq!((neighbour.port_id.as_str(), neighbour.ttl), ("Ethernet1/7", 120));
        assert_eq!(neighbour.system_name.as_deref(), Some("tor-1"));
        assert_eq!(neighbour.capabilities, ["bridge", "router"]);
        assert_eq!(neighbour.management_addresses, ["192.0.2.1"]);
        assert_eq!(neighbour.port_vlan, Some(42));
        assert_eq!(neighbour.vlans, [LldpVlan { id: 42, name: "prod".into() }]);
        assert_eq!(neighbour.tlvs.len(), 9, "up to the end, and no further");
        assert_eq!(neighbour.tlvs[3], LldpTlv { kind: 5, value: "746f722d31".into() });
    }

    #[test]
    fn mandatory_tlvs_are_mandatory_and_in_order() {
        let mut tlvs = mandatory();
        tlvs.swap(0, 1);
        assert_eq!(neighbour(&frame(&tlvs)), None);
        assert_eq!(neighbour(&frame(&mandatory()[..2])), None);
    }

    #[test]
    fn a_cut_tlv_keeps_what_stood_before() {
        let mut tlvs = mandatory();
        tlvs.push(tlv(5, b"tor-1"));
        let whole = frame(&tlvs);
        let cut = neighbour(&whole[..whole.len() - 2]).expect("mandatory part is whole");
        assert_eq!(cut.system_name, None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 14usize..60, b in any::<u8>()) {
            frames(&bytes);
            let mut all = vec![0u8; 12];
            all.extend([0x88, 0xcc]);
            all.extend(&bytes);
            neighbour(&all);
            let mut tlvs = mandatory();
            tlvs.push(tlv(127, &bytes));
            let mut near = frame(&tlvs);
            if let Some(byte) = near.get_mut(at) { *byte = b; }
            neighbour(&near);
        }
    }
}
