//! `ip=` in the forms of the kernel's nfsroot documentation, dracut.cmdline(7), initramfs-tools(7) and MAAS:
//! `ip=METHOD`, `ip=DEVICE:METHOD[:MTU[:MAC]]`, and
//! `ip=CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:METHOD[:MTU[:MAC]]` or `...[:DNS[:DNS[:NTP]]]`. IPv6 addresses are
//! in brackets.

use super::{ConfigError, Mac};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};

/// A static address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedAddress {
    /// The address with its prefix length.
    pub address: IpNet,
    pub gateway: Option<IpAddr>,
}

/// How an interface gets IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv4Method {
    Off,
    Dhcp,
    Fixed(FixedAddress),
}

/// How an interface gets IPv6 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv6Method {
    Off,
    /// Nothing beyond the kernel's own link-local address.
    LinkLocal,
    /// As routers advertise: SLAAC, DHCPv6 for addresses, or DHCPv6 for other settings.
    Auto,
    /// Addresses by DHCPv6, whatever routers say.
    Dhcp,
    Fixed(FixedAddress),
}

/// The contents of one `ip=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressing {
    /// A kernel name, a MAC with hyphens, or `BOOTIF`. `None`: every interface that is tried.
    pub device: Option<String>,
    pub ipv4: Ipv4Method,
    pub ipv6: Ipv6Method,
    pub hostname: Option<String>,
    pub mtu: Option<u16>,
    /// A MAC to set on the interface.
    pub mac: Option<Mac>,
    pub dns: Vec<IpAddr>,
    pub ntp: Vec<IpAddr>,
}

impl Default for Addressing {
    fn default() -> Self {
        Self::asking(None, Ipv4Method::Dhcp, Ipv6Method::Auto)
    }
}

impl Addressing {
    fn asking(device: Option<String>, ipv4: Ipv4Method, ipv6: Ipv6Method) -> Self {
        Self { device, ipv4, ipv6, hostname: None, mtu: None, mac: None, dns: Vec::new(), ntp: Vec::new() }
    }

    pub fn is_off(&self) -> bool {
        self.ipv4 == Ipv4Method::Off && matches!(self.ipv6, Ipv6Method::Off | Ipv6Method::LinkLocal)
    }

    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let bad = |why| ConfigError::Ip { value: text.to_owned(), why };
        let fields = fields(text);
        let field = |index: usize| fields.get(index).copied().filter(|field| !field.is_empty());
        if fields.len() == 1 {
            let (ipv4, ipv6) = method(text)
                .ok_or_else(|| bad("a single word is dhcp, on, any, dhcp6, auto6, either6, link6, off or none"))?;
            return Ok(Self::asking(None, ipv4, ipv6));
        }
        // DEVICE:METHOD, which cannot be confused with a server's address.
        if let (Some(device), Some((ipv4, ipv6))) = (field(0), field(1).and_then(method))
            && literal(device).is_none()
        {
            let mut addressing = Self::asking(Some(device.to_owned()), ipv4, ipv6);
            addressing.tail(&fields, 2).map_err(bad)?;
            return Ok(addressing);
        }
        let address = |index, why| match field(index).map(literal) {
            None => Ok(None),
            // The kernel treats 0.0.0.0 as "not given".
            Some(Some(address)) => Ok(Some(address).filter(|address: &IpAddr| !address.is_unspecified())),
            Some(None) => Err(bad(why)),
        };
        let client = address(0, "the first field is neither an address nor an interface with a method behind it")?;
        let peer = field(1).map(|peer| peer.split_once('/').map_or(peer, |(address, _)| address));
        if peer.is_some_and(|peer| literal(peer).is_none()) {
            return Err(bad("the server is not an address"));
        }
        let gateway = address(2, "the gateway is not an address")?;
        let asked = match field(6) {
            Some("bootp" | "rarp") => return Err(bad("BOOTP and RARP are not supported")),
            Some("ibft") => return Err(bad("the iSCSI boot firmware table is not read")),
            Some("static") => Some((Ipv4Method::Off, Ipv6Method::Off)),
            Some(word) => Some(method(word).ok_or_else(|| bad("the seventh field is not a method"))?),
            None => None,
        };
        let mut addressing = match (client, asked) {
            (None, None) => Self::default(),
            (None, Some((ipv4, ipv6))) => Self::asking(None, ipv4, ipv6),
            (Some(client), None | Some((Ipv4Method::Off, _))) if !asked.is_some_and(asks) => {
                Self::fixed(client, gateway, field(3)).map_err(bad)?
            }
            (Some(_), Some(_) | None) => return Err(bad("it has an address, and asks for one too")),
        };
        addressing.device = field(5).map(str::to_owned);
        if client.is_none()
            && addressing.is_off()
            && addressing.device.is_none()
            && fields.iter().take(5).any(|f| !f.is_empty())
        {
            return Err(bad("it names no address"));
        }
        addressing.hostname = field(4).map(str::to_owned);
        addressing.tail(&fields, 7).map_err(bad)?;
        Ok(addressing)
    }

    fn fixed(client: IpAddr, gateway: Option<IpAddr>, mask: Option<&str>) -> Result<Self, &'static str> {
        let broadcast = matches!(client, IpAddr::V4(client) if client.is_broadcast());
        if client.is_loopback() || client.is_multicast() || broadcast {
            return Err("the address is not one a machine can have");
        }
        if gateway.is_some_and(|gateway| gateway.is_ipv4() != client.is_ipv4()) {
            return Err("address and gateway are not of one family");
        }
        let prefix = match (mask, client) {
            (None, IpAddr::V4(client)) => Some(classful(client)),
            (None, IpAddr::V6(_)) => Some(64),
            (Some(mask), IpAddr::V4(_)) => parse_mask(mask),
            (Some(mask), IpAddr::V6(_)) => mask.parse().ok().filter(|prefix| (1..=128).contains(prefix)),
        };
        let address =
            prefix.and_then(|prefix| IpNet::new(client, prefix).ok()).ok_or("the netmask is not a netmask")?;
        let fixed = FixedAddress { address, gateway };
        Ok(match client {
            IpAddr::V4(_) => Self::asking(None, Ipv4Method::Fixed(fixed), Ipv6Method::Off),
            IpAddr::V6(_) => Self::asking(None, Ipv4Method::Off, Ipv6Method::Fixed(fixed)),
        })
    }

    /// Parses what follows the method: MTU and MAC, or name and time servers.
    fn tail(&mut self, fields: &[&str], at: usize) -> Result<(), &'static str> {
        let rest = fields.get(at..).unwrap_or_default();
        let Some(first) = rest.first().filter(|_| rest.iter().any(|field| !field.is_empty())) else { return Ok(()) };
        if first.is_empty() && rest.len() > 4 || first.parse::<u16>().is_ok() {
            self.mtu = match first.parse::<u16>() {
                Ok(mtu) if mtu >= 68 => Some(mtu),
                Ok(_) => return Err("no network has so small an MTU"),
                Err(_) => None,
            };
            let mac = rest.get(1..).unwrap_or_default().join(":");
            self.mac = match mac.as_str() {
                "" => None,
                mac => Some(Mac::parse(mac).ok_or("what stands behind the MTU is not a MAC address")?),
            };
            return Ok(());
        }
        if rest.len() > 3 {
            return Err("it has more fields than any form of it");
        }
        for (index, field) in rest.iter().enumerate().filter(|(_, field)| !field.is_empty()) {
            let server = literal(field).ok_or("a server for names or time is not an address")?;
            let list = if index < 2 { &mut self.dns } else { &mut self.ntp };
            list.extend(Some(server).filter(|server| !server.is_unspecified()));
        }
        Ok(())
    }
}

fn asks((ipv4, ipv6): (Ipv4Method, Ipv6Method)) -> bool {
    ipv4 != Ipv4Method::Off || !matches!(ipv6, Ipv6Method::Off)
}

/// One method, or several separated by commas, such as `dhcp,dhcp6`.
fn method(text: &str) -> Option<(Ipv4Method, Ipv6Method)> {
    let mut methods = (Ipv4Method::Off, Ipv6Method::Off);
    for word in text.split(',') {
        match word {
            // Like NetworkManager in an initrd: IPv6 is configured too if a router offers it.
            "dhcp" | "on" | "any" | "both" | "single-dhcp" => {
                methods.0 = Ipv4Method::Dhcp;
                if methods.1 == Ipv6Method::Off && !text.contains(',') {
                    methods.1 = Ipv6Method::Auto;
                }
            }
            "dhcp4" => methods.0 = Ipv4Method::Dhcp,
            "dhcp6" => methods.1 = Ipv6Method::Dhcp,
            "auto6" | "either6" => methods.1 = Ipv6Method::Auto,
            "link6" | "link-local" => methods.1 = Ipv6Method::LinkLocal,
            "off" | "none" => {}
            _ => return None,
        }
    }
    Some(methods)
}

/// An address, IPv6 with or without brackets.
pub(super) fn literal(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok()
}

/// Splits at colons outside of brackets.
pub(super) fn fields(text: &str) -> Vec<&str> {
    let mut inside = false;
    text.split(move |c: char| {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            _ => {}
        }
        c == ':' && !inside
    })
    .collect()
}

/// The kernel's default for a missing netmask.
fn classful(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

/// A dotted netmask, or a prefix length, as other initramfs systems allow.
pub(super) fn parse_mask(text: &str) -> Option<u8> {
    let prefix = match text.parse::<u8>() {
        Ok(prefix) => prefix,
        Err(_) => prefix_of(text.parse().ok()?)?,
    };
    (1..=32).contains(&prefix).then_some(prefix)
}

/// The prefix length of a netmask whose ones are contiguous.
pub fn prefix_of(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    (bits.leading_ones() + bits.trailing_zeros() == 32).then(|| bits.leading_ones() as u8)
}
