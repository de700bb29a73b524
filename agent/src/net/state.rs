//! What the network is now: values and their order, nothing that changes the machine.

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

/// A destination and the way to it.
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
    /// The NIC that booted, as BOOTIF says.
    pub boot: bool,
    pub method: Method,
    /// At least one, all of one family; the first is the one that packets come from.
    pub addresses: Vec<IpNet>,
    /// Those to the addresses' own networks are not among them.
    pub routes: Vec<NetRoute>,
    /// Lower wins.
    pub metric: u32,
    pub dns: Vec<IpAddr>,
    /// Domains in which short names are looked for.
    pub search: Vec<String>,
    /// Addresses or names.
    pub ntp: Vec<String>,
    /// Syslog servers that DHCPv4 names.
    pub log_servers: Vec<IpAddr>,
    pub mtu: Option<u16>,
    pub hostname: Option<String>,
    /// The DHCP server, or the router that advertised.
    pub server: Option<IpAddr>,
    /// Length of the lease; `None` for ever.
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

    /// A management controller's USB NIC hands out link-local addresses: good for talking to it and for nothing else.
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

    /// Whether the address is in a network that was given by name, not only behind the default route.
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
    /// The interface that a controller is reached through, as far as is known.
    pub fn primary(&self) -> Option<&Interface> {
        self.interfaces.first()
    }

    /// Every address of the machine that leads anywhere, the best first.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let usable = self.interfaces.iter().filter(|interface| interface.is_usable());
        usable.flat_map(|interface| interface.addresses.iter().map(IpNet::addr)).collect()
    }

    /// Time servers of DHCP or `ip=`, each once.
    pub fn ntp_servers(&self) -> Vec<String> {
        distinct(self.interfaces.iter().flat_map(|interface| interface.ntp.iter().cloned()))
    }

    pub fn log_servers(&self) -> Vec<IpAddr> {
        distinct(self.interfaces.iter().flat_map(|interface| interface.log_servers.iter().copied()))
    }

    pub fn dns_servers(&self) -> Vec<IpAddr> {
        distinct(self.interfaces.iter().flat_map(|interface| interface.dns.iter().copied()))
    }

    /// The text of resolv.conf(5), for programs that burin starts; burin itself asks each network's servers.
    pub fn resolv_conf(&self) -> String {
        let search = distinct(self.interfaces.iter().flat_map(|interface| interface.search.iter().cloned()));
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

pub fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

/// Orders interfaces: the one that the controller answered through, the NIC that booted, one with a router, then as they
/// came.
pub fn rank(interface: &Interface, answered: Option<&str>) -> impl Ord + use<> {
    let answered = answered == Some(interface.name.as_str());
    (!interface.is_usable(), !answered, !interface.boot, interface.gateway().is_none())
}

/// What the network is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Goal {
    /// Hosts of controller, order and events that are written as addresses.
    pub literals: Vec<IpAddr>,
    /// IPv4 is asked for.
    pub ipv4: bool,
}

/// What is known beside the interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// The controller has answered through one of them.
    pub answered: bool,
    /// There is no other interface to wait for, or it was waited for long enough.
    pub lenient: bool,
    /// An address that is not IPv4 has been there long enough for IPv4 to come too.
    pub aged: bool,
}

impl Goal {
    /// Whether there is something to work with. An address without a router leads nowhere, unless somebody said that it
    /// is the right one: BOOTIF, `ip=`, the place of the controller.
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

/// The address that packets to `to` come from, as routes are now.
pub fn source_address(to: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = std::net::UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_unspecified())
}
