//! What runs on an interface: clients that obtain addresses, or fixed addresses, and LACP.

use super::choose::is;
use super::dhcp::{Change, Client, Lease, News};
use super::netlink::Link;
use super::registry::Registry;
use super::six::{Client6, Duid};
use super::state::{Interface, Method, NetRoute};
use super::{NetError, lacp};
use crate::config::{Addressing, FixedAddress, Ipv4Method, Ipv6Method, Mac, NetworkPlan};
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

/// An interface in use.
#[derive(Debug)]
pub struct Running {
    pub link: Link,
    pub news: Arc<News>,
}

/// The planned addressing of this interface.
pub fn addressing(plan: &NetworkPlan, link: &Link, boot: Option<Mac>) -> Addressing {
    let named = plan.addressing.iter().find(|one| match one.device.as_deref() {
        Some("BOOTIF") => boot.is_none() || link.mac == boot,
        Some(device) => is(link, device),
        None => false,
    });
    let general = plan.addressing.iter().find(|one| one.device.is_none());
    named.or(general).cloned().unwrap_or_default()
}

/// Starts everything. `nic` is the card below a VLAN, or the interface itself.
pub fn start(
    link: &Link,
    nic: Option<&Link>,
    addressing: &Addressing,
    boot: bool,
    registry: &Arc<Registry>,
) -> Result<Running, NetError> {
    let news = Arc::new(News::default());
    let spawned = |name: String, run: Box<dyn FnOnce() + Send>| {
        let started = thread::Builder::new().name(name).spawn(run);
        started.map(drop).map_err(|source| NetError::Socket { link: link.name.clone(), source })
    };
    let mac = link.mac.unwrap_or(Mac([0; 6]));
    match addressing.ipv4 {
        Ipv4Method::Off => {}
        Ipv4Method::Fixed(fixed) => registry.apply(link, fixed4(link, &fixed, addressing, boot))?,
        Ipv4Method::Dhcp => {
            let (client_id, news) = (registry.plan().client_id.clone(), Arc::clone(&news));
            let client = Client { index: link.index, name: link.name.clone(), mac, client_id, news: Arc::clone(&news) };
            let (registry, link, addressing) = (Arc::clone(registry), link.clone(), addressing.clone());
            let run = move || {
                client.run(seed(), |change| {
                    let applied = match change {
                        Change::Leased(lease) => {
                            news.leased.store(true, Ordering::Relaxed);
                            registry.apply(&link, leased4(&link, &lease, &addressing, boot))
                        }
                        Change::Withdrawn => registry.remove(&link, true),
                    };
                    if let Err(error) = applied {
                        log::error!("{error}");
                    }
                });
            };
            spawned(format!("dhcp-{}", mac), Box::new(run))?;
        }
    }
    if !matches!(addressing.ipv6, Ipv6Method::Off | Ipv6Method::LinkLocal) {
        let client = Client6 {
            link: link.clone(),
            mac,
            method: addressing.ipv6,
            duid: Duid::of_machine(registry.root(), mac),
            boot,
            registry: Arc::clone(registry),
            news: Arc::clone(&news),
            dns: addressing.dns.iter().filter(|server| server.is_ipv6()).copied().collect(),
            ntp: addressing.ntp.iter().filter(|server| server.is_ipv6()).map(IpAddr::to_string).collect(),
            hostname: addressing.hostname.clone(),
        };
        spawned("ipv6".to_owned(), Box::new(move || client.run(seed())))?;
    }
    if let Some(nic) = nic.filter(|nic| nic.is_nic()).cloned() {
        let news = Arc::clone(&news);
        spawned("lacp".to_owned(), Box::new(move || lacp::run(&nic, &news.gone, &news.leased)))?;
    }
    Ok(Running { link: link.clone(), news })
}

fn blank(link: &Link, boot: bool, addressing: &Addressing, method: Method) -> Interface {
    Interface {
        name: link.name.clone(),
        mac: link.mac.unwrap_or(Mac([0; 6])),
        boot,
        method,
        addresses: Vec::new(),
        routes: Vec::new(),
        metric: 0,
        dns: addressing.dns.iter().filter(|server| server.is_ipv4()).copied().collect(),
        search: Vec::new(),
        ntp: addressing.ntp.iter().filter(|server| server.is_ipv4()).map(IpAddr::to_string).collect(),
        log_servers: Vec::new(),
        mtu: addressing.mtu,
        hostname: addressing.hostname.clone(),
        server: None,
        lease_seconds: None,
    }
}

fn fixed4(link: &Link, fixed: &FixedAddress, addressing: &Addressing, boot: bool) -> Interface {
    let default = IpNet::V4(Ipv4Net::default());
    let route = fixed.gateway.map(|gateway| NetRoute { destination: default, gateway: Some(gateway) });
    Interface {
        addresses: vec![fixed.address],
        routes: route.into_iter().collect(),
        ..blank(link, boot, addressing, Method::Static)
    }
}

/// The kernel command line takes precedence over the server.
fn leased4(link: &Link, lease: &Lease, addressing: &Addressing, boot: bool) -> Interface {
    let mut interface = blank(link, boot, addressing, Method::Dhcp);
    let net = |address: Ipv4Addr, prefix| Ipv4Net::new(address, prefix).unwrap_or_else(|_| address.into());
    interface.addresses = vec![net(lease.address, lease.prefix).into()];
    let route = |route: &super::dhcp::DhcpRoute| NetRoute {
        destination: net(route.destination, route.prefix).trunc().into(),
        gateway: route.gateway.map(IpAddr::V4),
    };
    interface.routes = lease.routes.iter().map(route).collect();
    interface.dns.extend(lease.dns.iter().map(|&server| IpAddr::V4(server)));
    interface.search.extend(lease.search.iter().cloned());
    interface.ntp.extend(lease.ntp.iter().map(Ipv4Addr::to_string));
    interface.log_servers.extend(lease.log_servers.iter().map(|&server| IpAddr::V4(server)));
    interface.mtu = interface.mtu.or(lease.mtu);
    interface.hostname = interface.hostname.or_else(|| lease.hostname.clone());
    interface.server = Some(IpAddr::V4(lease.server));
    interface.lease_seconds = lease.seconds;
    interface
}

/// Differs between machines and boots, so that a rack does not send in lockstep.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => std::process::id().into(),
    }
}
