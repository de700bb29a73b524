//! Links, DHCPv4, addresses, routes, DNS, clock.
mod error;
mod netlink;
pub use error::NetError;

/// Sets the loopback interface up; the kernel then gives it 127.0.0.1.
pub fn loopback_up() -> Result<(), NetError> {
    let mut netlink = netlink::Netlink::open()?;
    for link in netlink.links()?.iter().filter(|link| link.loopback && !link.up) {
        netlink.set_up(link)?;
    }
    Ok(())
}
