//! DHCP in UDP in IPv4, for packet sockets.

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use std::net::Ipv4Addr;

pub const CLIENT_PORT: u16 = 68;
pub const SERVER_PORT: u16 = 67;

/// A broadcast from a machine without an address.
pub fn wrap(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(Ipv4Addr::UNSPECIFIED.octets(), Ipv4Addr::BROADCAST.octets(), 64)
        .udp(CLIENT_PORT, SERVER_PORT);
    let mut packet = Vec::with_capacity(builder.size(payload.len()));
    // Fails only for payloads over 64 KiB, which DHCP never has; the kernel would drop the empty packet.
    if builder.write(&mut packet, payload).is_err() {
        packet.clear();
    }
    packet
}

/// The payload of a UDP packet to a DHCP client, from any port: relays and servers behind NAT do not answer from port
/// 67. Checksums are not verified: between virtual machines and with offloading NICs, a packet socket sees packets
/// before they are filled in, and DHCP has its own magic cookie.
pub fn unwrap(packet: &[u8]) -> Option<&[u8]> {
    match SlicedPacket::from_ip(packet).ok()?.transport? {
        TransportSlice::Udp(udp) if udp.destination_port() == CLIENT_PORT => Some(udp.payload()),
        _ => None,
    }
}
