//! Detects whether an IPv4 address is already in use (RFC 5227). No I/O.

use crate::config::Mac;
use std::net::Ipv4Addr;

pub const ETHERTYPE: u16 = 0x0806;
const LENGTH: usize = 28;
/// Hardware type Ethernet, protocol IPv4, and their address lengths.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// An ARP probe for `address`. It does not announce an address of the sender.
pub fn probe(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    let mut packet = Vec::with_capacity(LENGTH);
    packet.extend(KIND);
    packet.extend([0, 1]);
    packet.extend(mac.0);
    packet.extend([0; 4]);
    packet.extend([0; 6]);
    packet.extend(address.octets());
    packet
}

/// The MAC of another host that uses `address` or is probing for it.
pub fn rival(packet: &[u8], mac: Mac, address: Ipv4Addr) -> Option<Mac> {
    let field = |at: usize, length: usize| packet.get(at..at + length);
    if field(0, 6)? != KIND {
        return None;
    }
    let theirs = Mac(field(8, 6)?.try_into().ok()?);
    let (sender, target) = (field(14, 4)?, field(24, 4)?);
    let asks = field(6, 2)? == [0, 1] && sender == [0; 4] && target == address.octets();
    (theirs != mac && (sender == address.octets() || asks)).then_some(theirs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 9]);

    fn reply(from: Mac, address: Ipv4Addr) -> Vec<u8> {
        let mut packet = [KIND.as_slice(), &[0, 2], &from.0, &address.octets(), &OURS.0].concat();
        packet.extend([0; 4]);
        // Ethernet pads frames to 46 bytes.
        packet.resize(46, 0);
        packet
    }

    #[test]
    fn an_owner_is_heard() {
        let address = Ipv4Addr::new(10, 0, 0, 5);
        assert_eq!(rival(&reply(THEIRS, address), OURS, address), Some(THEIRS));
        assert_eq!(rival(&reply(THEIRS, Ipv4Addr::new(10, 0, 0, 6)), OURS, address), None, "another address");
        assert_eq!(rival(&reply(OURS, address), OURS, address), None, "our own");
        assert_eq!(rival(&probe(THEIRS, address), OURS, address), Some(THEIRS), "somebody else is about to take it");
        assert_eq!(rival(&probe(OURS, address), OURS, address), None);
    }

    proptest! {
        #[test]
        fn no_packet_panics(packet in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = rival(&packet, OURS, Ipv4Addr::new(10, 0, 0, 5));
        }
    }
}
