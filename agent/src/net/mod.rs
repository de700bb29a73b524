//! Links, DHCPv4, addresses, routes, DNS, clock.

mod choose;
pub mod clock;
mod dhcp;
mod error;
mod netlink;
mod state;
mod up;

pub use dhcp::DhcpRoute;
pub use error::NetError;
pub use state::{Interface, Method, NetworkState};
pub use up::{Network, up};

/// Sets the loopback interface up; the kernel then gives it 127.0.0.1.
pub fn loopback_up() -> Result<(), NetError> {
    let mut netlink = netlink::Netlink::open()?;
    for link in netlink.links()?.iter().filter(|link| link.loopback && !link.up) {
        netlink.set_up(link)?;
    }
    Ok(())
}
