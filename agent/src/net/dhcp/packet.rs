//! DHCP inside UDP inside IPv4, as a packet socket wants it.

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use std::net::Ipv4Addr;

pub const CLIENT_PORT: u16 = 68;
pub const SERVER_PORT: u16 = 67;

/// A broadcast from a machine without an address.
pub fn wrap(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(Ipv4Addr::UNSPECIFIED.octets(), Ipv4Addr::BROADCAST.octets(), 64)
        .udp(CLIENT_PORT, SERVER_PORT);
    let mut packet = Vec::with_capacity(builder.size(payload.len()));
    // Fails only for payloads over 64 KiB, which a DHCP message is not; an empty packet is then dropped by the kernel.
    if builder.write(&mut packet, payload).is_err() {
        packet.clear();
    }
    packet
}

/// The payload of a UDP packet to a DHCP client, from whatever port: relays and servers behind address translation answer
/// from others than 67. Checksums are not looked at: between virtual machines,
/// and with offloading NICs, a packet socket sees them before anybody has filled them in, and DHCP has its own marks.
pub fn unwrap(packet: &[u8]) -> Option<&[u8]> {
    match SlicedPacket::from_ip(packet).ok()?.transport? {
        TransportSlice::Udp(udp) if udp.destination_port() == CLIENT_PORT => Some(udp.payload()),
        _ => None,
    }
}
