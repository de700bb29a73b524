//! What the network is now, and how a lease or a static address becomes part of it.

use super::NetError;
use super::dhcp::{DhcpRoute, Lease};
use super::netlink::{Link, Netlink, Route};
use crate::config::{Mac, StaticIp};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The metric of the first interface; each further one adds as much again.
const METRIC: u32 = 100;

/// Where an address came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    Dhcp,
    Static,
}

/// An interface with an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub name: String,
    #[serde(with = "mac_text")]
    pub mac: Mac,
    /// The NIC that booted, as BOOTIF says.
    pub boot: bool,
    pub method: Method,
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub routes: Vec<DhcpRoute>,
    /// Lower wins: the default route of the first lease.
    pub metric: u32,
    pub dns: Vec<Ipv4Addr>,
    pub domain: Option<String>,
    pub search: Vec<String>,
    pub ntp: Vec<Ipv4Addr>,
    pub mtu: Option<u16>,
    pub hostname: Option<String>,
    /// The DHCP server.
    pub server: Option<Ipv4Addr>,
    /// Length of the lease; `None` for ever.
    pub lease_seconds: Option<u32>,
}

impl Interface {
    /// The router of the default route.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.routes.iter().find(|route| route.prefix == 0).and_then(|route| route.gateway)
    }
}

/// A snapshot of the network: interfaces with addresses, the one with the default route first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkState {
    pub interfaces: Vec<Interface>,
}

impl NetworkState {
    /// The interface that a controller is reached through, as far as routes tell.
    pub fn primary(&self) -> Option<&Interface> {
        self.interfaces.first()
    }

    /// Time servers of DHCP option 42 or `ip=`, each once.
    pub fn ntp_servers(&self) -> Vec<Ipv4Addr> {
        distinct(self.interfaces.iter().flat_map(|interface| interface.ntp.iter().copied()))
    }

    pub fn dns_servers(&self) -> Vec<Ipv4Addr> {
        distinct(self.interfaces.iter().flat_map(|interface| interface.dns.iter().copied()))
    }

    /// The text of resolv.conf(5).
    fn resolv_conf(&self) -> String {
        let names = |interface: &Interface| {
            let search = interface.search.iter();
            search.chain(&interface.domain).cloned().collect::<Vec<_>>()
        };
        let search = distinct(self.interfaces.iter().flat_map(names));
        let mut text = String::new();
        if !search.is_empty() {
            // The C library takes six names.
            text = format!("search {}\n", search.iter().take(6).cloned().collect::<Vec<_>>().join(" "));
        }
        // It takes three servers, and waits five seconds for a dead one unless told.
        self.dns_servers().iter().take(3).for_each(|server| text.push_str(&format!("nameserver {server}\n")));
        text.push_str("options timeout:2 attempts:3\n");
        text
    }
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

/// The state, shared by the threads that change it.
#[derive(Debug)]
pub struct Registry {
    root: PathBuf,
    state: Mutex<NetworkState>,
    changed: Condvar,
}

impl Registry {
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), state: Mutex::default(), changed: Condvar::new() }
    }

    pub fn state(&self) -> NetworkState {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, NetworkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True once an interface has an address that leads anywhere.
    pub fn usable(&self) -> bool {
        self.lock().interfaces.iter().any(usable)
    }

    /// Waits for [`Registry::usable`] until `deadline`.
    pub fn wait(&self, deadline: Instant) -> bool {
        let mut state = self.lock();
        while !state.interfaces.iter().any(usable) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub fn add_static(&self, link: &Link, ip: &StaticIp, boot: bool) -> Result<(), NetError> {
        let routes = ip.gateway.map(|gateway| DhcpRoute {
            destination: Ipv4Addr::UNSPECIFIED,
            prefix: 0,
            gateway: Some(gateway),
        });
        self.apply(link, |metric| Interface {
            name: link.name.clone(),
            mac: link.mac.unwrap_or(Mac([0; 6])),
            boot,
            method: Method::Static,
            address: ip.address,
            prefix: ip.prefix,
            routes: routes.into_iter().collect(),
            metric,
            dns: ip.dns.clone(),
            domain: None,
            search: Vec::new(),
            ntp: ip.ntp.clone(),
            mtu: None,
            hostname: ip.hostname.clone(),
            server: None,
            lease_seconds: None,
        })
    }

    /// Applies a new or renewed lease.
    pub fn add_lease(&self, link: &Link, lease: &Lease, boot: bool) -> Result<(), NetError> {
        self.apply(link, |metric| Interface {
            name: link.name.clone(),
            mac: link.mac.unwrap_or(Mac([0; 6])),
            boot,
            method: Method::Dhcp,
            address: lease.address,
            prefix: lease.prefix,
            routes: lease.routes.clone(),
            metric,
            dns: lease.dns.clone(),
            domain: lease.domain.clone(),
            search: lease.search.clone(),
            ntp: lease.ntp.clone(),
            mtu: lease.mtu,
            hostname: lease.hostname.clone(),
            server: Some(lease.server),
            lease_seconds: lease.seconds,
        })
    }

    fn apply(&self, link: &Link, make: impl FnOnce(u32) -> Interface) -> Result<(), NetError> {
        let mut state = self.lock();
        let old = state.interfaces.iter().find(|interface| interface.name == link.name).cloned();
        let metric = old.as_ref().map_or_else(|| free_metric(&state), |old| old.metric);
        let new = make(metric);
        if old.as_ref() == Some(&new) {
            return Ok(());
        }
        let mut netlink = Netlink::open()?;
        if let Some(old) = &old {
            retire(&mut netlink, link, old, Some(&new))?;
        }
        // The router's word on packet size counts before the first byte; a NIC that cannot is still a NIC.
        if let Some(mtu) = new.mtu.filter(|&mtu| u32::from(mtu) != link.mtu)
            && let Err(error) = netlink.set_mtu(link, mtu.into())
        {
            log::warn!("{error}: MTU {mtu} of DHCP is not applied");
        }
        netlink.add_address(link, new.address, new.prefix)?;
        // Routes on the link first: routers may be reached through them.
        let mut routes = kernel_routes(&new);
        routes.sort_by_key(|route| route.gateway.is_some());
        for route in &routes {
            netlink.add_route(link, route)?;
        }
        log::info!("{}", describe(&new));
        state.interfaces.retain(|interface| interface.name != link.name);
        state.interfaces.push(new);
        state.interfaces.sort_by_key(|interface| (!usable(interface), interface.metric));
        self.publish(&state)
    }

    /// The lease is over: its address and routes go.
    pub fn remove(&self, link: &Link) -> Result<(), NetError> {
        let mut state = self.lock();
        let Some(old) = state.interfaces.iter().find(|interface| interface.name == link.name).cloned() else {
            return Ok(());
        };
        retire(&mut Netlink::open()?, link, &old, None)?;
        state.interfaces.retain(|interface| interface.name != link.name);
        log::warn!("{}: {} is given up", old.name, old.address);
        self.publish(&state)
    }

    fn publish(&self, state: &NetworkState) -> Result<(), NetError> {
        let path = self.root.join("etc/resolv.conf");
        let write = || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&path, state.resolv_conf())
        };
        let written = write();
        self.changed.notify_all();
        written.map_err(|source| NetError::Write { path, source })
    }
}

/// A management controller's USB NIC hands out link-local addresses: good for talking to it and for nothing else.
fn usable(interface: &Interface) -> bool {
    !interface.address.is_link_local()
}

fn free_metric(state: &NetworkState) -> u32 {
    (1..)
        .map(|place| place * METRIC)
        .find(|&metric| state.interfaces.iter().all(|i| i.metric != metric))
        .unwrap_or(METRIC)
}

fn kernel_routes(interface: &Interface) -> Vec<Route> {
    let metric = if usable(interface) { interface.metric } else { interface.metric + 10 * METRIC };
    let route = |route: &DhcpRoute| Route {
        destination: route.destination,
        prefix: route.prefix,
        gateway: route.gateway,
        metric,
    };
    interface.routes.iter().map(route).collect()
}

/// Removes of `old` what `new` does not have too. Removing an address takes its routes with it.
fn retire(netlink: &mut Netlink, link: &Link, old: &Interface, new: Option<&Interface>) -> Result<(), NetError> {
    let kept = new.map(kernel_routes).unwrap_or_default();
    for route in kernel_routes(old).iter().filter(|route| !kept.contains(route)) {
        netlink.remove_route(link, route)?;
    }
    if new.is_none_or(|new| (new.address, new.prefix) != (old.address, old.prefix)) {
        netlink.remove_address(link, old.address, old.prefix)?;
    }
    Ok(())
}

fn describe(interface: &Interface) -> String {
    let mut text = format!("{} ({}): {}/{}", interface.name, interface.mac, interface.address, interface.prefix);
    if let Some(gateway) = interface.gateway() {
        text.push_str(&format!(", router {gateway}"));
    }
    if !interface.dns.is_empty() {
        let dns: Vec<String> = interface.dns.iter().map(Ipv4Addr::to_string).collect();
        text.push_str(&format!(", DNS {}", dns.join(" ")));
    }
    match (interface.method, interface.server, interface.lease_seconds) {
        (Method::Dhcp, Some(server), Some(seconds)) => {
            let time = Duration::from_secs(seconds.into());
            text.push_str(&format!(", DHCP {server}, for {}", humantime::format_duration(time)));
        }
        (Method::Dhcp, Some(server), None) => text.push_str(&format!(", DHCP {server}")),
        _ => text.push_str(", static"),
    }
    text
}

mod mac_text {
    use crate::config::Mac;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(mac: &Mac, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(mac)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mac, D::Error> {
        let text = String::deserialize(deserializer)?;
        Mac::parse(&text).ok_or_else(|| D::Error::custom("not an Ethernet address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: [u8; 4], metric: u32) -> Interface {
        Interface {
            name: name.into(),
            mac: Mac([2; 6]),
            boot: false,
            method: Method::Dhcp,
            address: address.into(),
            prefix: 24,
            routes: vec![DhcpRoute { destination: [0; 4].into(), prefix: 0, gateway: Some([10, 0, 0, 1].into()) }],
            metric,
            dns: vec![[10, 0, 0, 2].into(), [10, 0, 0, 3].into()],
            domain: Some("rack.example".into()),
            search: vec!["a.example".into(), "rack.example".into()],
            ntp: vec![[10, 0, 0, 4].into()],
            mtu: None,
            hostname: None,
            server: Some([10, 0, 0, 1].into()),
            lease_seconds: Some(3600),
        }
    }

    #[test]
    fn resolv_conf_lists_each_once() {
        let state =
            NetworkState { interfaces: vec![interface("a", [10, 0, 0, 9], 100), interface("b", [10, 0, 1, 9], 200)] };
        assert_eq!(
            state.resolv_conf(),
            "search a.example rack.example\nnameserver 10.0.0.2\nnameserver 10.0.0.3\noptions timeout:2 attempts:3\n"
        );
        assert_eq!(state.ntp_servers(), [Ipv4Addr::new(10, 0, 0, 4)]);
    }

    #[test]
    fn metrics_are_free_ones() {
        let mut state = NetworkState::default();
        assert_eq!(free_metric(&state), 100);
        state.interfaces = vec![interface("a", [10, 0, 0, 9], 100), interface("c", [10, 0, 2, 9], 300)];
        assert_eq!(free_metric(&state), 200);
    }

    #[test]
    fn link_local_leases_lead_nowhere() {
        let controller = interface("usb0", [169, 254, 1, 2], 100);
        assert!(!usable(&controller));
        assert!(kernel_routes(&controller).iter().all(|route| route.metric > 1000));
    }

    #[test]
    fn state_survives_json() {
        let state = NetworkState { interfaces: vec![interface("a", [10, 0, 0, 9], 100)] };
        let text = serde_json::to_string(&state).unwrap();
        assert!(text.contains("\"02:02:02:02:02:02\""), "{text}");
        assert_eq!(serde_json::from_str::<NetworkState>(&text).unwrap(), state);
    }
}
