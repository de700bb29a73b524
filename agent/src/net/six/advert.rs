//! Parses router advertisements (RFC 4861, 4.2), with the options for DNS (RFC 8106) and routes (RFC 4191).

use ipnet::Ipv6Net;
use std::net::Ipv6Addr;

const ADVERTISEMENT: u8 = 134;
/// At most this many of each kind are stored: a hostile neighbour must not fill our memory.
const MOST: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    pub net: Ipv6Net,
    /// Its addresses are reached without a router.
    pub on_link: bool,
    /// Addresses may be autoconfigured from it.
    pub autonomous: bool,
    /// Seconds.
    pub valid: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advertisement {
    /// Seconds; 0: not a default router.
    pub lifetime: u16,
    /// Addresses are assigned by DHCPv6.
    pub managed: bool,
    /// Other settings are available by DHCPv6.
    pub other: bool,
    pub prefixes: Vec<Prefix>,
    /// Networks behind this router besides the default route, with their lifetime in seconds.
    pub routes: Vec<(Ipv6Net, u32)>,
    pub mtu: Option<u16>,
    pub dns: Vec<Ipv6Addr>,
    pub search: Vec<String>,
}

/// The solicitation that makes routers advertise at once. It omits the link-layer address, because it may be sent from
/// an address that is not yet verified.
pub fn solicitation() -> [u8; 8] {
    // The kernel fills in the checksum of ICMPv6 sockets.
    [133, 0, 0, 0, 0, 0, 0, 0]
}

/// Parses an ICMPv6 message; `None` if it is something else or malformed (RFC 4861, 6.1.2).
pub fn parse(message: &[u8]) -> Option<Advertisement> {
    let byte = |at: usize| message.get(at).copied();
    if byte(0)? != ADVERTISEMENT || byte(1)? != 0 {
        return None;
    }
    let flags = byte(5)?;
    let lifetime = u16::from_be_bytes([byte(6)?, byte(7)?]);
    let mut found =
        Advertisement { lifetime, managed: flags & 0x80 != 0, other: flags & 0x40 != 0, ..Advertisement::default() };
    let mut rest = message.get(16..)?;
    while let [kind, units, ..] = *rest {
        let option = rest.get(..usize::from(units) * 8).filter(|_| units > 0)?;
        take(&mut found, kind, option);
        rest = rest.get(option.len()..)?;
    }
    Some(found)
}

fn take(found: &mut Advertisement, kind: u8, option: &[u8]) {
    let word = |at: usize| Some(u32::from_be_bytes(option.get(at..at + 4)?.try_into().ok()?));
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(option.get(at..at + 16)?).ok()?));
    match kind {
        3 if found.prefixes.len() < MOST => {
            let (Some(&length), Some(&flags), Some(valid), Some(address)) =
                (option.get(2), option.get(3), word(4), address(16))
            else {
                return;
            };
            let Ok(net) = Ipv6Net::new(address, length) else { return };
            if address.is_multicast() || address.is_unicast_link_local() {
                return;
            }
            let (on_link, autonomous) = (flags & 0x80 != 0, flags & 0x40 != 0);
            found.prefixes.push(Prefix { net: net.trunc(), on_link, autonomous, valid });
        }
        // RFC 8200: no network has an MTU below 1280.
        5 => found.mtu = word(4).and_then(|mtu| u16::try_from(mtu).ok()).filter(|&mtu| mtu >= 1280),
        24 if found.routes.len() < MOST => {
            let (Some(&length), Some(lifetime)) = (option.get(2), word(4)) else { return };
            // The prefix is as long as the option's size allows.
            let mut bytes = [0; 16];
            for (to, from) in bytes.iter_mut().zip(option.get(8..).unwrap_or_default()) {
                *to = *from;
            }
            if let Ok(net) = Ipv6Net::new(bytes.into(), length) {
                found.routes.push((net.trunc(), lifetime));
            }
        }
        25 if word(4) != Some(0) => {
            let list = option.get(8..).unwrap_or_default().chunks_exact(16);
            let servers = list.filter_map(|bytes| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)));
            found.dns.extend(servers.filter(|server| !server.is_unspecified() && !server.is_multicast()));
            found.dns.truncate(MOST);
        }
        31 if word(4) != Some(0) => {
            found.search.extend(names(option.get(8..).unwrap_or_default()));
            found.search.truncate(MOST);
        }
        _ => {}
    }
}

/// Names in DNS format without compression, padded with zeros. Only names that are safe in resolv.conf are accepted.
pub fn names(mut bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut labels: Vec<&str> = Vec::new();
    while let Some((&length, rest)) = bytes.split_first() {
        if length == 0 {
            if !labels.is_empty() {
                found.push(labels.join("."));
            }
            labels.clear();
            bytes = rest;
            continue;
        }
        let Some((label, rest)) = rest.split_at_checked(length.into()).filter(|_| length < 64) else { break };
        let fair = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        match std::str::from_utf8(label) {
            Ok(text) if label.iter().all(fair) => labels.push(text),
            _ => break,
        }
        bytes = rest;
    }
    found.retain(|name| name.len() <= 253);
    found
}
