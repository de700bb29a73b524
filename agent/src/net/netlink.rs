//! Links, addresses and routes over rtnetlink, synchronously.

use super::NetError;
use crate::config::Mac;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::time::Duration;

const RTNLGRP_LINK: u32 = 1;
/// The kernel's dumps come in pieces of at most 32 KiB.
const RECEIVE: usize = 64 << 10;

/// A network interface as the kernel has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mac: Option<Mac>,
    pub up: bool,
    pub carrier: bool,
    pub mtu: u32,
    /// Ethernet, and neither made by software nor enslaved: a thing to run DHCP on.
    pub candidate: bool,
    pub loopback: bool,
}

/// One route to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub destination: Ipv4Addr,
    pub prefix: u8,
    /// `None`: the destination is on the link itself.
    pub gateway: Option<Ipv4Addr>,
    pub metric: u32,
}

#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    pub fn open() -> Result<Self, NetError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        };
        let socket = open().map_err(refused("open", "rtnetlink"))?;
        Ok(Self { socket, sequence: 0 })
    }

    pub fn links(&mut self) -> Result<Vec<Link>, NetError> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let replies = self.request(request, NLM_F_DUMP).map_err(refused("list", "links"))?;
        let links = replies.into_iter().filter_map(|reply| match reply {
            RouteNetlinkMessage::NewLink(message) => Some(link(&message)),
            _ => None,
        });
        Ok(links.collect())
    }

    pub fn set_up(&mut self, link: &Link) -> Result<(), NetError> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.change(RouteNetlinkMessage::SetLink(message), 0).map_err(refused("set up", &link.name))
    }

    pub fn set_mtu(&mut self, link: &Link, mtu: u32) -> Result<(), NetError> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.change(RouteNetlinkMessage::SetLink(message), 0).map_err(refused("set the MTU of", &link.name))
    }

    pub fn add_address(&mut self, link: &Link, address: Ipv4Addr, prefix: u8) -> Result<(), NetError> {
        let message = RouteNetlinkMessage::NewAddress(address_message(link, address, prefix));
        self.change(message, NLM_F_CREATE | NLM_F_REPLACE).map_err(refused("add an address to", &link.name))
    }

    pub fn remove_address(&mut self, link: &Link, address: Ipv4Addr, prefix: u8) -> Result<(), NetError> {
        let message = RouteNetlinkMessage::DelAddress(address_message(link, address, prefix));
        match self.change(message, 0) {
            // Gone already, or the whole link is.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => Ok(()),
            other => other.map_err(refused("remove an address from", &link.name)),
        }
    }

    pub fn add_route(&mut self, link: &Link, route: &Route) -> Result<(), NetError> {
        let message = RouteNetlinkMessage::NewRoute(route_message(link, route));
        self.change(message, NLM_F_CREATE | NLM_F_REPLACE).map_err(refused("add a route to", &link.name))
    }

    pub fn remove_route(&mut self, link: &Link, route: &Route) -> Result<(), NetError> {
        match self.change(RouteNetlinkMessage::DelRoute(route_message(link, route)), 0) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENODEV)) => Ok(()),
            other => other.map_err(refused("remove a route from", &link.name)),
        }
    }

    fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.request(message, flags | NLM_F_ACK).map(drop)
    }

    /// Sends one request and gathers its replies up to the acknowledgement or the end of the dump.
    fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut replies = Vec::new();
        let mut buffer = Vec::with_capacity(RECEIVE);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, 0) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for message in split(&buffer) {
                // A message of a newer kernel that the library cannot read must not hide the others.
                let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) else {
                    log::debug!("rtnetlink: a message that cannot be read was skipped");
                    continue;
                };
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(reply) => replies.push(reply),
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(replies),
                    _ => {}
                }
            }
        }
    }
}

fn refused(operation: &'static str, link: &str) -> impl FnOnce(io::Error) -> NetError {
    let link = link.to_owned();
    move |source| NetError::Netlink { operation, link, source }
}

/// The messages of one datagram by their length field, each padded to four bytes.
fn split(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = bytes.get(..4).and_then(|field| <[u8; 4]>::try_from(field).ok()).map(u32::from_ne_bytes)? as usize;
        if length < 16 {
            return None;
        }
        let message = bytes.get(..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

fn link(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let ethernet = message.header.link_layer_type == LinkLayerType::Ether;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        mtu: 0,
        candidate: ethernet && !flags.contains(LinkFlags::Loopback),
        loopback: flags.contains(LinkFlags::Loopback),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(address) => link.mac = <[u8; 6]>::try_from(address.as_slice()).ok().map(Mac),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Controller(_) => link.candidate = false,
            // Hardware has no kind; a veth is the end of somebody's cable.
            LinkAttribute::LinkInfo(infos) => {
                link.candidate &=
                    infos.iter().all(|info| !matches!(info, LinkInfo::Kind(kind) if *kind != InfoKind::Veth));
            }
            _ => {}
        }
    }
    link.candidate &= link.mac.is_some();
    link
}

fn address_message(link: &Link, address: Ipv4Addr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.index = link.index;
    message.header.prefix_len = prefix;
    message.header.scope = if address.is_loopback() { AddressScope::Host } else { AddressScope::Universe };
    message.attributes.push(AddressAttribute::Local(IpAddr::V4(address)));
    message.attributes.push(AddressAttribute::Address(IpAddr::V4(address)));
    if prefix < 31 {
        let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        message.attributes.push(AddressAttribute::Broadcast(Ipv4Addr::from(u32::from(address) | host)));
    }
    message
}

fn route_message(link: &Link, route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: AddressFamily::Inet,
        destination_prefix_length: route.prefix,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Dhcp,
        scope: if route.gateway.is_some() { RouteScope::Universe } else { RouteScope::Link },
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    if route.prefix > 0 {
        message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(route.destination)));
    }
    if let Some(gateway) = route.gateway {
        // Clouds and routed racks hand out /32 addresses whose router is on no subnet of theirs.
        message.header.flags |= RouteFlags::Onlink;
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gateway)));
    }
    message.attributes.push(RouteAttribute::Oif(link.index));
    message.attributes.push(RouteAttribute::Priority(route.metric));
    message
}

/// Wakes up when any link changes.
#[derive(Debug)]
pub struct Monitor(Socket);

impl Monitor {
    pub fn open() -> Result<Self, NetError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.add_membership(RTNLGRP_LINK)?;
            socket.set_non_blocking(true)?;
            Ok(socket)
        };
        open().map(Self).map_err(refused("watch", "links"))
    }

    /// Returns after `limit` at the latest. What changed is for the caller to list: messages can be lost.
    pub fn wait(&self, limit: Duration) {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        if !matches!(poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout), Ok(1..) | Err(Errno::EINTR))
        {
            return;
        }
        let mut buffer = Vec::with_capacity(RECEIVE);
        // An overrun is reported once as an error; then the queue goes on.
        for _ in 0..1000 {
            buffer.clear();
            match self.0.recv(&mut buffer, 0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn loopback_is_listed_and_no_candidate() {
        let links = Netlink::open().unwrap().links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert!(lo.loopback && !lo.candidate && lo.index == 1, "{lo:?}");
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0u32..220) {
            let mut framed = length.to_ne_bytes().to_vec();
            framed.extend(&bytes);
            for message in split(&framed).chain(split(&bytes)) {
                if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message)
                    && let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) = message.payload
                {
                    let _ = link(&message);
                }
            }
        }
    }
}
