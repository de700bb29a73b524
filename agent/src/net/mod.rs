//! Links, IPv4 and IPv6 addresses, routes, name resolution, clock.
//!
//! The entry point is [`Network`]: it is started once and keeps running. Decisions (which links, which order of
//! networks, the meaning of a reply) are free of I/O and in files of their own. Threads carry them out and share state
//! in the registry.

mod arp;
mod assign;
mod bound;
mod choose;
pub mod clock;
mod dhcp;
mod error;
mod lacp;
mod lldp;
mod lock;
mod made;
mod management;
pub mod names;
mod netlink;
mod reach;
mod registry;
mod six;
mod state;
mod up;
mod watcher;

#[cfg(test)]
mod state_tests;

pub use error::NetError;
pub use lock::lock_down;
pub use state::{Interface, Method, NetRoute, NetworkState};
pub use up::Network;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Sets the loopback interface up; the kernel then gives it 127.0.0.1.
pub fn loopback_up() -> Result<(), NetError> {
    let mut netlink = netlink::Netlink::open()?;
    for link in netlink.links()?.iter().filter(|link| link.loopback && !link.up) {
        netlink.set_up(link)?;
    }
    Ok(())
}

/// This machine's source address for a URL's host, by current routes and names.
pub fn address_towards(url: &str) -> Option<IpAddr> {
    let (host, port) = state::host_port(url)?;
    let addresses = names::resolve(&host).ok()?;
    addresses.into_iter().find_map(|address| state::source_address(SocketAddr::new(address, port)))
}

/// The wildcard address for a server of ours: for both families, if the kernel has both.
pub fn listen_anywhere(root: &Path) -> IpAddr {
    match root.join("proc/net/if_inet6").exists() {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    }
}
