//! What a link's routers have advertised, and the resulting configuration. No I/O.

use super::advert::Advertisement;
use crate::config::Mac;
use crate::net::state::NetRoute;
use ipnet::{IpNet, Ipv6Net};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// A link has few routers; more are ignored.
const MOST: usize = 8;

#[derive(Debug, Default)]
pub struct Routers(Vec<(Ipv6Addr, Duration, Advertisement)>);

/// The configuration of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advice {
    /// Addresses to autoconfigure.
    pub addresses: Vec<IpNet>,
    pub routes: Vec<NetRoute>,
    pub dns: Vec<IpAddr>,
    pub search: Vec<String>,
    pub mtu: Option<u16>,
    pub router: Option<Ipv6Addr>,
    /// DHCPv6 should be asked for addresses, or for settings only.
    pub managed: bool,
    pub other: bool,
}

impl Routers {
    /// A router's latest advertisement replaces its earlier one.
    pub fn heard(&mut self, from: Ipv6Addr, now: Duration, advertisement: Advertisement) {
        self.0.retain(|(router, ..)| *router != from);
        if self.0.len() < MOST {
            self.0.push((from, now, advertisement));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The current configuration, without anything that has expired.
    pub fn advice(&self, mac: Mac, now: Duration) -> Advice {
        let mut advice = Advice::default();
        for (router, heard, said) in &self.0 {
            let alive =
                |seconds: u32| now.saturating_sub(*heard) < Duration::from_secs(seconds.into()) || seconds == u32::MAX;
            let gateway = Some(IpAddr::V6(*router));
            if alive(said.lifetime.into()) && said.lifetime > 0 {
                advice.router = advice.router.or(Some(*router));
                let default = NetRoute { destination: Ipv6Net::default().into(), gateway };
                if !advice.routes.iter().any(|route| route.destination == default.destination) {
                    advice.routes.push(default);
                }
            }
            for prefix in said.prefixes.iter().filter(|prefix| alive(prefix.valid) && prefix.valid > 0) {
                if prefix.on_link {
                    advice.routes.push(NetRoute { destination: prefix.net.into(), gateway: None });
                }
                if prefix.autonomous && prefix.net.prefix_len() == 64 {
                    let length = if prefix.on_link { 64 } else { 128 };
                    advice.addresses.extend(IpNet::new(own(prefix.net, mac).into(), length));
                }
            }
            for &(net, lifetime) in said.routes.iter().filter(|(_, lifetime)| *lifetime > 0 && alive(*lifetime)) {
                let _ = lifetime;
                advice.routes.push(NetRoute { destination: net.into(), gateway });
            }
            advice.dns.extend(said.dns.iter().map(|&server| IpAddr::V6(server)));
            advice.search.extend(said.search.iter().cloned());
            advice.mtu = advice.mtu.or(said.mtu);
            advice.managed |= said.managed;
            advice.other |= said.other;
        }
        // If the routers offer no way to form an address and do not mention DHCPv6, it is the only possibility left.
        advice.managed |= !self.0.is_empty() && advice.addresses.is_empty();
        let unlike = crate::net::state::distinct::<NetRoute>;
        advice.routes = unlike(advice.routes.into_iter());
        advice.dns = crate::net::state::distinct(advice.dns.into_iter());
        advice
    }
}

/// The modified EUI-64 address (RFC 4291, appendix A), which firmware uses too.
pub fn own(net: Ipv6Net, mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let id = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    let high = u128::from(net.network()) & !u128::from(u64::MAX);
    Ipv6Addr::from(high | u128::from(id))
}
