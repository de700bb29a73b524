//! The state of the network: values and their order. Changes nothing on the machine.

use crate::config::Mac;
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Where an address came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// DHCPv4 or DHCPv6.
    Dhcp,
    Static,
    /// A router's advertisement.
    Auto,
}

/// A destination and its next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetRoute {
    pub destination: IpNet,
    /// `None`: on the link itself.
    pub gateway: Option<IpAddr>,
}

/// An interface with its addresses of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub mac: Mac,
    /// The NIC that booted, according to BOOTIF.
    pub boot: bool,
    pub method: Method,
    /// At least one, all of one family; the first is the source address.
    pub addresses: Vec<IpNet>,
    /// Routes, without those to the addresses' own networks.
    pub routes: Vec<NetRoute>,
    /// Lower is better.
    pub metric: u32,
    pub dns: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// Addresses or names.
    pub ntp: Vec<String>,
    /// Syslog servers from DHCPv4.
    pub log_servers: Vec<IpAddr>,
    pub mtu: Option<u16>,
    pub hostname: Option<String>,
    /// The DHCP server, or the router that advertised.
    pub server: Option<IpAddr>,
    /// Length of the lease; `None`: unlimited.
    pub lease_seconds: Option<u32>,
}

impl Interface {
    pub fn is_ipv4(&self) -> bool {
        self.addresses.first().is_some_and(|net| net.addr().is_ipv4())
    }

    /// The router of the default route.
    pub fn gateway(&self) -> Option<IpAddr> {
        self.routes.iter().find(|route| route.destination.prefix_len() == 0).and_then(|route| route.gateway)
    }

    /// Whether it leads anywhere. A management controller's USB NIC hands out link-local addresses, which reach only
    /// the controller itself.
    pub fn is_usable(&self) -> bool {
        self.addresses.iter().any(|net| match net.addr() {
            IpAddr::V4(address) => !address.is_link_local(),
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        })
    }

    /// Whether a route of this interface leads to the address.
    pub fn leads_to(&self, address: IpAddr) -> bool {
        let routes = self.routes.iter().map(|route| &route.destination);
        self.is_usable() && self.addresses.iter().chain(routes).any(|net| net.contains(&address))
    }

    /// Whether the address is in an explicitly routed network, not only behind the default route.
    pub fn is_near(&self, address: IpAddr) -> bool {
        let routes = self.routes.iter().map(|route| &route.destination).filter(|net| net.prefix_len() > 0);
        self.is_usable() && self.addresses.iter().chain(routes).any(|net| net.contains(&address))
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: Vec<String>| items.join(" ");
        let addresses = list(self.addresses.iter().map(IpNet::to_string).collect());
        write!(f, "{} ({}): {addresses}", self.name, self.mac)?;
        if let Some(gateway) = self.gateway() {
            write!(f, ", router {gateway}")?;
        }
        if !self.dns.is_empty() {
            write!(f, ", DNS {}", list(self.dns.iter().map(IpAddr::to_string).collect()))?;
        }
        match (self.method, self.server) {
            (Method::Dhcp, Some(server)) => write!(f, ", DHCP {server}")?,
            (Method::Dhcp, None) => write!(f, ", DHCP")?,
            (Method::Auto, _) => write!(f, ", as the router advertises")?,
            (Method::Static, _) => write!(f, ", static")?,
        }
        match self.lease_seconds {
            Some(seconds) => write!(f, ", for {}", humantime::format_duration(Duration::from_secs(seconds.into()))),
            None => Ok(()),
        }
    }
}

/// A snapshot of the network: interfaces with addresses, the best first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkState {
    pub interfaces: Vec<Interface>,
}

impl NetworkState {
    /// The interface through which a controller is reached, as far as known.
    pub fn primary(&self) -> Option<&Interface> {
        self.interfaces.first()
    }

    /// Every routable address of the machine, the best first.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let usable = self.interfaces.iter().filter(|interface| interface.is_usable());
        usable.flat_map(|interface| interface.addresses.iter().map(IpNet::addr)).collect()
    }

    /// Time servers from DHCP or `ip=`, without duplicates.
    pub fn ntp_servers(&self) -> Vec<String> {
        distinct(self.interfaces.iter().flat_map(|interface| interface.ntp.iter().cloned()))
    }

    pub fn log_servers(&self) -> Vec<IpAddr> {
        distinct(self.interfaces.iter().flat_map(|interface| interface.log_servers.iter().copied()))
    }

    pub fn dns_servers(&self) -> Vec<IpAddr> {
        distinct(self.interfaces.iter().flat_map(|interface| interface.dns.iter().copied()))
    }

    /// The contents of resolv.conf(5), for programs that burin starts; burin itself asks each network's servers.
    pub fn resolv_conf(&self) -> String {
        let search = distinct(self.interfaces.iter().flat_map(|interface| interface.search.iter().cloned()));
        let mut text = String::new();
        if !search.is_empty() {
            // The C library accepts six domains.
            text = format!("search {}\n", search.iter().take(6).cloned().collect::<Vec<_>>().join(" "));
        }
        // It accepts three servers, and waits five seconds for a dead one unless configured.
        self.dns_servers().iter().take(3).for_each(|server| text.push_str(&format!("nameserver {server}\n")));
        text.push_str("options timeout:2 attempts:3\n");
        text
    }
}

pub fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

/// The order of interfaces: the one through which the controller answered, the NIC that booted, those with a router,
/// then by arrival.
pub fn rank(interface: &Interface, answered: Option<&str>) -> impl Ord + use<> {
    let answered = answered == Some(interface.name.as_str());
    (!interface.is_usable(), !answered, !interface.boot, interface.gateway().is_none())
}

/// What the network must reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Goal {
    /// Literal addresses among the hosts of controller, order and events.
    pub literals: Vec<IpAddr>,
    /// IPv4 is requested.
    pub ipv4: bool,
}

/// Further facts besides the interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// The controller has answered through one of them.
    pub answered: bool,
    /// There is no other interface to wait for, or the wait is over.
    pub lenient: bool,
    /// An IPv6 address has existed long enough for IPv4 to have come too.
    pub aged: bool,
}

impl Goal {
    /// Whether there is a usable network. An address without a router leads nowhere, unless it is known to be the right
    /// one by BOOTIF, `ip=`, or the controller's address.
    pub fn is_met(&self, interfaces: &[Interface], known: Known) -> bool {
        let good = |interface: &Interface| {
            let leads = self.literals.iter().any(|&literal| interface.leads_to(literal));
            let near = self.literals.iter().any(|&literal| interface.is_near(literal));
            let family = interface.is_ipv4() || !self.ipv4 || known.aged || leads;
            let right = near || interface.boot || interface.gateway().is_some() || known.lenient || known.answered;
            interface.is_usable() && family && right && (leads || self.literals.is_empty() || known.lenient)
        };
        interfaces.iter().any(good)
    }
}

/// The host of a URL's authority, with its port.
pub fn host_port(url: &str) -> Option<(String, u16)> {
    let url = url::Url::parse(url).ok()?;
    let host = url.host_str()?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((bare.to_owned(), url.port_or_known_default()?))
}

/// The source address of packets to `to`, by the current routes.
pub fn source_address(to: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = std::net::UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_unspecified())
}
