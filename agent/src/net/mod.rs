//! Links, addresses of both families, routes, names, clock.
//!
//! The way in is [`Network`]: it is started once and goes on by itself. What is decided (which links, which order of
//! networks, what a reply means) is pure and in files of its own; threads carry it out, and meet in the registry.

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

/// This machine's address on the way to a URL's host, as routes and names are now.
pub fn address_towards(url: &str) -> Option<IpAddr> {
    let (host, port) = state::host_port(url)?;
    let addresses = names::resolve(&host).ok()?;
    addresses.into_iter().find_map(|address| state::source_address(SocketAddr::new(address, port)))
}

/// Where a server of ours listens to be found under every address: both families, where the kernel has both.
pub fn listen_anywhere(root: &Path) -> IpAddr {
    match root.join("proc/net/if_inet6").exists() {
        true => Ipv6Addr::UNSPECIFIED.into(),
        false => Ipv4Addr::UNSPECIFIED.into(),
    }
}
