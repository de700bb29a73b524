//! `ip=` as the kernel's nfsroot documentation (Documentation/admin-guide/nfs/nfsroot) has it:
//! `ip=<client>:<server>:<gateway>:<netmask>:<hostname>:<device>:<autoconf>:<dns0>:<dns1>:<ntp0>`, or one word.

use super::ConfigError;
use std::net::Ipv4Addr;

/// How the machine comes by an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IpMethod {
    /// DHCP on `device` (a kernel name, or a MAC written with hyphens), or where carrier is.
    Dhcp {
        device: Option<String>,
    },
    Static(StaticIp),
    /// No network at all: the order is in the ramdisk.
    Off,
}

impl Default for IpMethod {
    fn default() -> Self {
        Self::Dhcp { device: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticIp {
    pub address: Ipv4Addr,
    /// 1 to 32.
    pub prefix: u8,
    pub gateway: Option<Ipv4Addr>,
    pub hostname: Option<String>,
    /// A kernel name, or a MAC written with hyphens.
    pub device: Option<String>,
    pub dns: Vec<Ipv4Addr>,
    pub ntp: Vec<Ipv4Addr>,
}

impl IpMethod {
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let bad = |why| ConfigError::Ip { value: text.to_owned(), why };
        if !text.contains(':') {
            return match text {
                "dhcp" | "on" | "any" | "both" => Ok(Self::default()),
                "off" | "none" => Ok(Self::Off),
                _ => Err(bad("a single word is dhcp, on, any, off or none")),
            };
        }
        let fields: Vec<&str> = text.split(':').collect();
        if fields.len() > 10 {
            return Err(bad("it has more than ten fields (IPv6 is not supported here)"));
        }
        let field = |index: usize| fields.get(index).copied().filter(|field| !field.is_empty());
        // The kernel reads 0.0.0.0 as "not given".
        let address = |index, why| match field(index).map(str::parse::<Ipv4Addr>) {
            None => Ok(None),
            Some(Ok(address)) => Ok(Some(address).filter(|address| !address.is_unspecified())),
            Some(Err(_)) => Err(bad(why)),
        };
        let device = field(5).map(str::to_owned);
        let client = address(0, "the first field is not an IPv4 address")?;
        address(1, "the server is not an IPv4 address")?;
        let gateway = address(2, "the gateway is not an IPv4 address")?;
        match (client, field(6)) {
            (None, None | Some("dhcp" | "on" | "any" | "both")) => return Ok(Self::Dhcp { device }),
            (Some(_), Some("dhcp" | "on" | "any" | "both")) => {
                return Err(bad("it has an address, and asks for DHCP too"));
            }
            (None, Some("off" | "none" | "static")) if fields.iter().take(6).all(|field| field.is_empty()) => {
                return Ok(Self::Off);
            }
            (None, Some("off" | "none" | "static")) => return Err(bad("it names no address")),
            (_, Some("bootp" | "rarp")) => return Err(bad("BOOTP and RARP are not supported")),
            (Some(_), None | Some("off" | "none" | "static")) => {}
            (_, Some(_)) => return Err(bad("the seventh field is dhcp, on, any, off or none")),
        }
        let client = client.ok_or_else(|| bad("it names no address"))?;
        if client.is_loopback() || client.is_multicast() || client.is_broadcast() {
            return Err(bad("the address is not one a machine can have"));
        }
        let prefix = match field(3) {
            None => classful(client),
            Some(mask) => parse_mask(mask).ok_or_else(|| bad("the netmask is not a netmask"))?,
        };
        let list = |indices: &[usize], why| {
            indices.iter().filter_map(|&index| address(index, why).transpose()).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self::Static(StaticIp {
            address: client,
            prefix,
            gateway,
            hostname: field(4).map(str::to_owned),
            device,
            dns: list(&[7, 8], "a DNS server is not an IPv4 address")?,
            ntp: list(&[9], "the NTP server is not an IPv4 address")?,
        }))
    }
}

/// The kernel's fallback for a missing netmask.
fn classful(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

/// A dotted netmask, or a prefix length as other initramfs systems allow.
fn parse_mask(text: &str) -> Option<u8> {
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
