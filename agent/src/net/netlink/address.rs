//! Addresses of interfaces.

use super::{Link, Netlink, refused};
use crate::net::NetError;
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use std::net::{IpAddr, Ipv4Addr};

/// An address in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub address: IpAddr,
    /// Not usable yet: duplicate address detection is running.
    pub tentative: bool,
    /// Another host has it.
    pub taken: bool,
}

impl Netlink {
    pub fn add_address(&mut self, link: &Link, address: IpNet) -> Result<(), NetError> {
        let message = RouteNetlinkMessage::NewAddress(message(link, address));
        self.change(message, NLM_F_CREATE | NLM_F_REPLACE).map_err(refused("add an address to", &link.name))
    }

    pub fn remove_address(&mut self, link: &Link, address: IpNet) -> Result<(), NetError> {
        match self.change(RouteNetlinkMessage::DelAddress(message(link, address)), 0) {
            // The address or the whole link is already gone.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => Ok(()),
            other => other.map_err(refused("remove an address from", &link.name)),
        }
    }

    /// The IPv6 addresses of a link.
    pub fn addresses6(&mut self, link: u32) -> Result<Vec<Held>, NetError> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet6;
        let replies = self.request(RouteNetlinkMessage::GetAddress(message), NLM_F_DUMP);
        let replies = replies.map_err(refused("list", "addresses"))?;
        let held = replies.iter().filter_map(|reply| match reply {
            RouteNetlinkMessage::NewAddress(message) if message.header.index == link => held(message),
            _ => None,
        });
        Ok(held.collect())
    }
}

fn held(message: &AddressMessage) -> Option<Held> {
    let mut held = None;
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(address) => held = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let taken = flags.contains(AddressFlags::Dadfailed);
    Some(Held { address: held?, tentative: flags.contains(AddressFlags::Tentative) && !taken, taken })
}

/// We add routes to the address's own network ourselves, with a metric that reflects the network's rank.
fn message(link: &Link, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if address.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.index = link.index;
    message.header.prefix_len = address.prefix_len();
    message.header.scope = if address.addr().is_loopback() { AddressScope::Host } else { AddressScope::Universe };
    message.attributes.push(AddressAttribute::Local(address.addr()));
    message.attributes.push(AddressAttribute::Address(address.addr()));
    if let IpNet::V4(net) = address
        && net.prefix_len() < 31
    {
        message.attributes.push(AddressAttribute::Broadcast(Ipv4Addr::from(u32::from(net.broadcast()))));
    }
    message.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
    message
}
