//! Routes.

use super::{Link, Netlink, refused};
use crate::net::NetError;
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use std::net::IpAddr;

/// A route to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub destination: IpNet,
    /// `None`: the destination is on the link itself.
    pub gateway: Option<IpAddr>,
    pub metric: u32,
    /// The source address of packets on this route.
    pub source: Option<IpAddr>,
}

impl Netlink {
    pub fn add_route(&mut self, link: &Link, route: &Route) -> Result<(), NetError> {
        let message = RouteNetlinkMessage::NewRoute(message(link, route));
        self.change(message, NLM_F_CREATE | NLM_F_REPLACE).map_err(refused("add a route to", &link.name))
    }

    pub fn remove_route(&mut self, link: &Link, route: &Route) -> Result<(), NetError> {
        match self.change(RouteNetlinkMessage::DelRoute(message(link, route)), 0) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENODEV)) => Ok(()),
            other => other.map_err(refused("remove a route from", &link.name)),
        }
    }
}

fn family(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

fn message(link: &Link, route: &Route) -> RouteMessage {
    let version4 = route.destination.addr().is_ipv4();
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: if version4 { AddressFamily::Inet } else { AddressFamily::Inet6 },
        destination_prefix_length: route.destination.prefix_len(),
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Dhcp,
        // IPv6 routes have no scope.
        scope: if route.gateway.is_some() || !version4 { RouteScope::Universe } else { RouteScope::Link },
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    if route.destination.prefix_len() > 0 {
        message.attributes.push(RouteAttribute::Destination(family(route.destination.addr())));
    }
    if let Some(gateway) = route.gateway {
        // Clouds and routed racks hand out /32 addresses whose router is in no subnet of theirs.
        message.header.flags |= RouteFlags::Onlink;
        message.attributes.push(RouteAttribute::Gateway(family(gateway)));
    }
    if let Some(source) = route.source {
        message.attributes.push(RouteAttribute::PrefSource(family(source)));
    }
    message.attributes.push(RouteAttribute::Oif(link.index));
    message.attributes.push(RouteAttribute::Priority(route.metric));
    message
}
