//! Reading and changing network interfaces.

use super::{Netlink, refused};
use crate::config::Mac;
use crate::net::NetError;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};

/// A network interface as the kernel has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mac: Option<Mac>,
    pub up: bool,
    pub carrier: bool,
    pub mtu: u32,
    pub ethernet: bool,
    /// A software device: a VLAN, a bond, a bridge. A veth does not count, because it acts as a cable.
    pub software: bool,
    /// A member of a bond or bridge.
    pub enslaved: bool,
    pub loopback: bool,
    /// The interface below a VLAN.
    pub parent: Option<u32>,
}

impl Link {
    pub(super) fn read(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            mac: None,
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
            mtu: 0,
            ethernet: message.header.link_layer_type == LinkLayerType::Ether,
            software: false,
            enslaved: false,
            loopback: flags.contains(LinkFlags::Loopback),
            parent: None,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(address) => link.mac = <[u8; 6]>::try_from(address.as_slice()).ok().map(Mac),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Controller(_) => link.enslaved = true,
                LinkAttribute::Link(parent) => link.parent = Some(*parent),
                LinkAttribute::LinkInfo(infos) => {
                    link.software |=
                        infos.iter().any(|info| matches!(info, LinkInfo::Kind(kind) if *kind != InfoKind::Veth));
                }
                _ => {}
            }
        }
        link
    }

    /// An Ethernet card that is not a member of another link: suitable for DHCP.
    pub fn is_nic(&self) -> bool {
        self.ethernet && !self.software && !self.enslaved && !self.loopback && self.mac.is_some()
    }
}

impl Netlink {
    pub fn set_up(&mut self, link: &Link) -> Result<(), NetError> {
        self.flag(link, LinkFlags::Up).map_err(refused("set up", &link.name))
    }

    pub fn set_down(&mut self, link: &Link) -> Result<(), NetError> {
        self.flag(link, LinkFlags::empty()).map_err(refused("set down", &link.name))
    }

    fn flag(&mut self, link: &Link, flags: LinkFlags) -> std::io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.header.flags = flags;
        message.header.change_mask = LinkFlags::Up;
        self.change(RouteNetlinkMessage::SetLink(message), 0)
    }

    pub fn set_mtu(&mut self, link: &Link, mtu: u32) -> Result<(), NetError> {
        self.set(link, LinkAttribute::Mtu(mtu)).map_err(refused("set the MTU of", &link.name))
    }

    /// The interface must be down.
    pub fn set_mac(&mut self, link: &Link, mac: Mac) -> Result<(), NetError> {
        self.set(link, LinkAttribute::Address(mac.0.to_vec())).map_err(refused("set the MAC of", &link.name))
    }

    /// The interface must be down.
    pub fn rename(&mut self, link: &Link, name: &str) -> Result<(), NetError> {
        self.set(link, LinkAttribute::IfName(name.to_owned())).map_err(refused("rename", &link.name))
    }

    /// Makes `link`, which must be down, a member of the bond `master`.
    pub fn enslave(&mut self, link: &Link, master: u32) -> Result<(), NetError> {
        self.set(link, LinkAttribute::Controller(master)).map_err(refused("bond", &link.name))
    }

    fn set(&mut self, link: &Link, attribute: LinkAttribute) -> std::io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.attributes.push(attribute);
        self.change(RouteNetlinkMessage::SetLink(message), 0)
    }
}
