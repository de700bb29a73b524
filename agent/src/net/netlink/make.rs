//! Creates links.

use super::{Link, Netlink, refused};
use crate::net::NetError;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVlan, LinkAttribute, LinkInfo, LinkMessage};
use std::io::ErrorKind;

impl Netlink {
    pub fn make_vlan(&mut self, name: &str, parent: &Link, id: u16) -> Result<(), NetError> {
        let info = vec![LinkInfo::Kind(InfoKind::Vlan), LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(id)]))];
        self.make(name, &[LinkAttribute::Link(parent.index), LinkAttribute::LinkInfo(info)])
    }

    /// Creates a bond without members; its options are set later, through sysfs. The driver, which this request loads,
    /// creates a `bond0` by itself: an existing one is accepted.
    pub fn make_bond(&mut self, name: &str) -> Result<(), NetError> {
        match self.make(name, &[LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bond)])]) {
            Err(NetError::Netlink { source, .. }) if source.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    fn make(&mut self, name: &str, attributes: &[LinkAttribute]) -> Result<(), NetError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        message.attributes.extend_from_slice(attributes);
        self.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL).map_err(refused("make", name))
    }
}
