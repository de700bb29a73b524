//! Network settings on the kernel command line, in the syntax of dracut.cmdline(7), initramfs-tools(7), MAAS,
//! Tinkerbell and Ironic, and our own.

use super::cmdline::Word;
use super::ip::{fields, literal, parse_mask};
use super::links::{rename, vlan_id};
use super::{Addressing, BondLink, ConfigError, FixedAddress, Ipv4Method, Ipv6Method, Mac, VlanChoice, VlanLink};
use ipnet::IpNet;
use std::net::IpAddr;

/// A route from `rd.route=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedRoute {
    pub destination: IpNet,
    pub gateway: Option<IpAddr>,
    /// `None`: on the first network that reaches the gateway.
    pub device: Option<String>,
}

/// The DHCPv4 client identifier (option 61).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientId {
    /// Hardware type and MAC, as iPXE and PXELINUX send it.
    #[default]
    Mac,
    /// None at all, as EDK II does: the server uses the MAC itself.
    None,
    /// These bytes.
    Bytes(Vec<u8>),
}

/// All network settings, validated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkPlan {
    /// Empty: IPv4 and IPv6 on all interfaces that are tried.
    pub addressing: Vec<Addressing>,
    pub vlans: Vec<VlanLink>,
    pub bonds: Vec<BondLink>,
    pub renames: Vec<(String, Mac)>,
    /// Asked before those of the networks.
    pub nameservers: Vec<IpAddr>,
    /// `rd.peerdns=0`: the networks' own servers are not asked at all.
    pub only_nameservers: bool,
    pub routes: Vec<FixedRoute>,
    pub search: Vec<String>,
    /// The interface whose routes and name servers come first.
    pub boot_device: Option<String>,
    pub vlan: Option<VlanChoice>,
    pub client_id: ClientId,
}

impl NetworkPlan {
    /// Whether no network is to be set up.
    pub fn is_off(&self) -> bool {
        !self.addressing.is_empty() && self.addressing.iter().all(Addressing::is_off)
    }

    /// The named interfaces, in order.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.addressing.iter().filter(|one| !one.is_off()).filter_map(|one| one.device.as_deref())
    }
}

/// How a word is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Taken,
    /// It has no effect here, and needs none.
    Ignored,
    /// It asks for something unsupported: reported with a warning.
    Warned(&'static str),
}

use Verdict::{Ignored, Taken, Warned};

const PROXY: &str = "orders name their proxy, as transfer.proxy; the controller is asked without one";

/// Every word about the network, in the kernel's folded spelling. docs/operations.md has a row for each.
pub const NETWORK_WORDS: &[(&str, Verdict)] = &[
    ("ip", Taken),
    ("ip6", Taken),
    ("ifname", Taken),
    ("vlan", Taken),
    ("bond", Taken),
    ("nameserver", Taken),
    ("rd.route", Taken),
    ("rd.peerdns", Taken),
    ("rd.bootif", Taken),
    ("bootdev", Taken),
    ("burin.vlan", Taken),
    ("burin.client_id", Taken),
    ("vlan_id", Taken),
    ("hw_addr", Taken),
    ("packet_bootdev_mac", Taken),
    ("ipam", Taken),
    ("rd.neednet", Ignored),
    ("rd.net.dhcp.retry", Ignored),
    ("rd.net.timeout.dhcp", Ignored),
    ("rd.net.timeout.iflink", Ignored),
    ("rd.net.timeout.ifup", Ignored),
    ("rd.net.timeout.route", Ignored),
    ("rd.net.timeout.ipv6dad", Ignored),
    ("rd.net.timeout.ipv6auto", Ignored),
    ("rd.net.timeout.carrier", Ignored),
    ("rd.ip.legacy", Ignored),
    ("biosdevname", Ignored),
    ("net.ifnames", Ignored),
    ("netwait", Ignored),
    ("dhcp_hostname", Ignored),
    ("root", Ignored),
    ("boot", Ignored),
    ("boot_server", Ignored),
    ("grpc_authority", Ignored),
    ("tinkerbell", Ignored),
    ("docker_registry", Ignored),
    ("ipa_collect_lldp", Ignored),
    ("team", Warned("teaming is not supported: use bond= with mode=802.3ad or active-backup")),
    ("bridge", Warned("bridges are not made: name the NIC itself with ip=")),
    (
        "netroot",
        Warned("burin mounts no root filesystem: what is to be done comes from burin.controller or burin.order"),
    ),
    (
        "nfsroot",
        Warned("burin mounts no root filesystem: what is to be done comes from burin.controller or burin.order"),
    ),
    (
        "cloud_config_url",
        Warned("cloud-init does not run here: burin.controller or burin.order says what is to be done"),
    ),
    ("HTTP_PROXY", Warned(PROXY)),
    ("HTTPS_PROXY", Warned(PROXY)),
    ("http_proxy", Warned(PROXY)),
    ("https_proxy", Warned(PROXY)),
    ("iscsi_auto", Warned("iSCSI is not started")),
    ("rd.iscsi.firmware", Warned("iSCSI is not started")),
    ("rd.iscsi.ibft", Warned("the iSCSI boot firmware table is not read")),
    ("rd.iscsi.initiator", Warned("iSCSI is not started")),
    ("rd.iscsi.target.name", Warned("iSCSI is not started")),
    ("rd.iscsi.target.ip", Warned("iSCSI is not started")),
    ("rd.iscsi.target.port", Ignored),
    ("rd.iscsi.target.group", Ignored),
    ("rd.iscsi.username", Ignored),
    ("rd.iscsi.password", Ignored),
    ("rd.iscsi.in.username", Ignored),
    ("rd.iscsi.in.password", Ignored),
    ("rd.iscsi.login_retry_max", Ignored),
    ("rd.iscsi.mp", Ignored),
    ("rd.iscsi.param", Ignored),
    ("rd.iscsi.testroute", Ignored),
    ("rd.iscsi.waitnet", Ignored),
    ("rd.nvmf.discover", Warned("NVMe over Fabrics is not connected")),
    ("rd.nvmf.hostnqn", Ignored),
    ("rd.nvmf.hostid", Ignored),
    ("rd.nonvmf", Ignored),
    ("fcoe", Warned("Fibre Channel over Ethernet is not started")),
    ("rd.fcoe", Ignored),
    ("rd.nfs.domain", Ignored),
    ("netconsole", Warned("netconsole is not loaded: burin.log=udp://HOST sends burin's log")),
    ("log_host", Ignored),
    ("log_port", Ignored),
    ("syslog_host", Ignored),
    ("rd.znet", Warned("network devices of s390 are not set up")),
    ("rd.znet_ifname", Warned("network devices of s390 are not set up")),
    ("rd.ethtool", Warned("links negotiate by themselves")),
    ("rd.net.dns", Warned("write nameserver=ADDRESS")),
    ("rd.net.dns_backend", Ignored),
    ("rd.net.dns_resolve_mode", Ignored),
    ("ipa_enable_vlan_interfaces", Warned("write burin.vlan=ID or burin.vlan=lldp")),
];

/// How a word in its folded spelling is handled; `None` if it is not about the network.
pub fn verdict(folded: &str) -> Option<Verdict> {
    NETWORK_WORDS.iter().find(|(word, _)| *word == folded).map(|(_, verdict)| *verdict)
}

/// Words in order of increasing precedence.
pub(super) fn plan(
    words: &[Word],
    warnings: &mut Vec<String>,
) -> Result<(NetworkPlan, Option<Mac>, bool), ConfigError> {
    let mut reader = Reader { plan: NetworkPlan::default(), warnings, hw_addr: None, bootif: true };
    for word in words {
        reader.take(word)?;
    }
    let Reader { mut plan, warnings, hw_addr, bootif } = reader;
    if plan.addressing.iter().any(|one| one.device.is_some() && !one.is_off()) {
        let spare = plan.addressing.iter().any(|one| one.device.is_none() && !one.is_off());
        if spare {
            warnings.push("ip= without an interface is ignored, for another ip= names one".to_owned());
        }
        plan.addressing.retain(|one| one.device.is_some());
    }
    Ok((plan, hw_addr, bootif))
}

struct Reader<'a> {
    plan: NetworkPlan,
    warnings: &'a mut Vec<String>,
    hw_addr: Option<Mac>,
    bootif: bool,
}

impl Reader<'_> {
    fn take(&mut self, word: &Word) -> Result<(), ConfigError> {
        let folded = word.folded();
        let Some(value) = word.value.as_deref().filter(|value| !value.is_empty()) else {
            match folded.as_str() {
                // Tinkerbell writes it like this if there is none; dracut's bond has defaults.
                "vlan_id" | "hw_addr" | "packet_bootdev_mac" | "ipam" => {}
                "bond" => self.bond("bond0"),
                _ if verdict(&folded) == Some(Taken) => {
                    self.warnings.push(format!("{} has no value: ignored", word.key))
                }
                _ => {}
            }
            return Ok(());
        };
        match folded.as_str() {
            "ip" if value == "ibft" => self.refuse("ip", value, "the iSCSI boot firmware table is not read"),
            "ip" => self.address(Addressing::parse(value)?),
            "ip6" => self.ip6(value),
            "ifname" => match rename(value) {
                Ok(rename) => self.plan.renames.push(rename),
                Err(why) => self.refuse("ifname", value, why),
            },
            "vlan" => match VlanLink::parse(value) {
                Ok(vlan) => self.plan.vlans.push(vlan),
                Err(why) => self.refuse("vlan", value, why),
            },
            "bond" => self.bond(value),
            "nameserver" => match literal(value) {
                Some(server) if !self.plan.nameservers.contains(&server) => self.plan.nameservers.push(server),
                Some(_) => {}
                None => self.refuse("nameserver", value, "it is not an address"),
            },
            "rd.route" => match route(value) {
                Ok(route) => self.plan.routes.push(route),
                Err(why) => self.refuse("rd.route", value, why),
            },
            "rd.peerdns" => self.plan.only_nameservers = value == "0",
            "rd.bootif" => self.bootif = value != "0",
            "bootdev" => self.plan.boot_device = Some(value.to_owned()),
            "burin.vlan" if value == "lldp" => self.plan.vlan = Some(VlanChoice::Lldp),
            "burin.vlan" | "vlan_id" => match (value, vlan_id(value)) {
                (_, Some(id)) => self.plan.vlan = Some(VlanChoice::Id(id)),
                ("0", None) => self.plan.vlan = None,
                _ => self.refuse(&word.key, value, "a VLAN has a number of 1 to 4094"),
            },
            "hw_addr" | "packet_bootdev_mac" => match Mac::parse(value) {
                Some(mac) => self.hw_addr = Some(mac),
                None => self.refuse(&word.key, value, "it is not a MAC address"),
            },
            "ipam" => self.ipam(value),
            "burin.client_id" => match client_id(value) {
                Some(id) => self.plan.client_id = id,
                None => self.refuse("burin.client_id", value, "write mac, none, or the bytes in hexadecimal"),
            },
            other => {
                if let Some(Warned(why)) = verdict(other) {
                    self.refuse(&word.key, value, why);
                }
            }
        }
        Ok(())
    }

    fn refuse(&mut self, word: &str, value: &str, why: &str) {
        self.warnings.push(format!("{word}={value} is ignored: {why}"));
    }

    /// The later of two for the same interface applies.
    fn address(&mut self, addressing: Addressing) {
        self.plan.addressing.retain(|one| one.device != addressing.device);
        self.plan.addressing.push(addressing);
    }

    fn ip6(&mut self, value: &str) {
        let (device, method) = match value {
            "off" | "none" => (None, Ipv6Method::Off),
            "dhcp" | "dhcp6" => (None, Ipv6Method::Dhcp),
            "on" | "any" | "both" | "auto" | "auto6" => (None, Ipv6Method::Auto),
            // initramfs-tools: the interface to configure.
            device if !device.contains(':') => (Some(device.to_owned()), Ipv6Method::Dhcp),
            _ => return self.refuse("ip6", value, "write ip6=dhcp, on or off, or an interface"),
        };
        match device {
            Some(_) => {
                let known = self.plan.addressing.iter_mut().find(|one| one.device == device);
                match known {
                    Some(one) => one.ipv6 = method,
                    None => self.address(Addressing {
                        device,
                        ipv4: Ipv4Method::Off,
                        ipv6: method,
                        ..Addressing::default()
                    }),
                }
            }
            None => {
                if self.plan.addressing.is_empty() {
                    self.plan.addressing.push(Addressing::default());
                }
                self.plan.addressing.iter_mut().for_each(|one| one.ipv6 = method);
            }
        }
    }

    fn bond(&mut self, value: &str) {
        match BondLink::parse(value) {
            Ok(bond) => self.plan.bonds.push(bond),
            Err(why) => self.refuse("bond", value, why),
        }
    }

    /// Tinkerbell: `MAC:VLAN:ADDRESS:NETMASK:GATEWAY:HOSTNAME:DNS,DNS:SEARCH,SEARCH:NTP,NTP`.
    fn ipam(&mut self, value: &str) {
        let parts: Vec<&str> = fields(value);
        let part = |index: usize| parts.get(index).copied().filter(|part| !part.is_empty());
        let mac = part(0).filter(|mac| Mac::parse(mac).is_some());
        let address = part(2).and_then(literal);
        let mask = part(3).and_then(parse_mask);
        let net = address.zip(mask).and_then(|(address, mask)| IpNet::new(address, mask).ok());
        let (Some(mac), Some(address @ IpNet::V4(_))) = (mac, net) else {
            return self.refuse("ipam", value, "it is not MAC:VLAN:ADDRESS:NETMASK:GATEWAY and so on");
        };
        let list = |index| part(index).map(|text| text.split(',').filter_map(literal).collect()).unwrap_or_default();
        let fixed = FixedAddress { address, gateway: part(4).and_then(literal).filter(IpAddr::is_ipv4) };
        if let Some(id) = part(1).and_then(vlan_id) {
            self.plan.vlan = Some(VlanChoice::Id(id));
        }
        let names = part(7).unwrap_or_default().split(',').filter(|name| !name.is_empty());
        self.plan.search.extend(names.map(str::to_owned));
        self.address(Addressing {
            device: Some(mac.replace(':', "-")),
            ipv4: Ipv4Method::Fixed(fixed),
            ipv6: Ipv6Method::Off,
            hostname: part(5).map(str::to_owned),
            dns: list(6),
            ntp: list(8),
            ..Addressing::default()
        });
    }
}

/// `NET/NETMASK:GATEWAY[:INTERFACE]`; an IPv6 network is in brackets with its prefix length.
fn route(text: &str) -> Result<FixedRoute, &'static str> {
    let parts = fields(text);
    let part = |index: usize| parts.get(index).copied().filter(|part| !part.is_empty());
    let net = part(0).ok_or("it names no network")?;
    let net = net.strip_prefix('[').and_then(|net| net.strip_suffix(']')).unwrap_or(net);
    let (network, mask) = net.split_once('/').ok_or("it names no network with its netmask")?;
    let network = literal(network).ok_or("its network is not an address")?;
    let prefix = match network {
        IpAddr::V4(_) if mask == "0" || mask == "0.0.0.0" => Some(0),
        IpAddr::V4(_) => parse_mask(mask),
        IpAddr::V6(_) => mask.parse().ok(),
    };
    let destination =
        prefix.and_then(|prefix| IpNet::new(network, prefix).ok()).ok_or("its netmask is not one")?.trunc();
    let gateway = match part(1).map(literal) {
        None => None,
        Some(Some(gateway)) if gateway.is_ipv4() == network.is_ipv4() => Some(gateway),
        Some(_) => return Err("its gateway is not an address of the same family"),
    };
    let device = part(2).map(str::to_owned);
    if gateway.is_none() && device.is_none() {
        return Err("it names neither gateway nor interface");
    }
    Ok(FixedRoute { destination, gateway, device })
}

fn client_id(text: &str) -> Option<ClientId> {
    match text {
        "mac" => return Some(ClientId::Mac),
        "none" => return Some(ClientId::None),
        _ => {}
    }
    let digits: Option<Vec<u8>> =
        text.chars().filter(|c| !matches!(c, ':' | '-')).map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0 && (4..=510).contains(&digits.len()))?;
    Some(ClientId::Bytes(
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |all, digit| all << 4 | digit)).collect(),
    ))
}
