//! Errors before there is a network.

use crate::error::Coded;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum NetError {
    #[error("the kernel refused to {operation} {link}")]
    Netlink { operation: &'static str, link: String, source: std::io::Error },
    #[error("cannot open a DHCP socket on {link}")]
    Socket { link: String, source: std::io::Error },
    #[error("no network interface appeared within {seconds} s")]
    NoLink { seconds: u64 },
    #[error("no interface is {device}; there are: {links}")]
    NoSuchDevice { device: String, links: String },
    #[error("no carrier within {seconds} s on any of: {links}")]
    NoCarrier { links: String, seconds: u64 },
    #[error("no DHCP lease within {seconds} s on any of: {links}")]
    NoLease { links: String, seconds: u64 },
    #[error("addresses on {links}, but after {seconds} s none of them leads to the controller")]
    NoWay { links: String, seconds: u64 },
    #[error("cannot write {path}", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

impl Coded for NetError {
    fn code(&self) -> &'static str {
        match self {
            Self::Netlink { .. } => "net.kernel",
            Self::Socket { .. } => "net.socket",
            Self::NoLink { .. } => "net.no_link",
            Self::NoSuchDevice { .. } => "net.no_such_device",
            Self::NoCarrier { .. } => "net.no_carrier",
            Self::NoLease { .. } => "net.no_lease",
            Self::NoWay { .. } => "net.no_way",
            Self::Write { .. } => "net.write",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoLink { .. } => "check that the ramdisk has the NIC's driver, and its firmware in /lib/firmware",
            Self::NoSuchDevice { .. } => "name the NIC by its MAC address, with hyphens: kernel names change",
            Self::NoCarrier { .. } => "check the cable and the switch port",
            Self::NoLease { .. } => "check that a DHCP server answers on this network, or set the address with ip=",
            Self::NoWay { .. } => {
                "check that the controller's network is among them, with a router if one is needed; BOOTIF= or ip= selects the NIC"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
