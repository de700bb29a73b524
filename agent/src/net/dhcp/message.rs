//! Encodes requests and parses replies.
//!
//! Options are parsed independently: a malformed option must not make the reply's other options unusable.

use crate::config::{ClientId, Mac, prefix_of};
use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Length of the fixed part, magic cookie included.
const FIXED: usize = 240;
const MAGIC: [u8; 4] = [99, 130, 83, 99];
/// RFC 2131, 2: clients must accept at least 576; Ethernet carries this.
const MAX_MESSAGE: u16 = 1472;
/// A shorter lease would be renewed without pause.
const SHORTEST: u32 = 10;

/// Used by old Windows servers instead of option 121, in the same format ([MS-DHCPE] 2.2.8).
const MICROSOFT_ROUTES: u8 = 249;

/// A destination and the router to it, from option 121.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DhcpRoute {
    pub destination: Ipv4Addr,
    pub prefix: u8,
    /// `None`: on the link itself.
    pub gateway: Option<Ipv4Addr>,
}

/// A lease granted by a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub server: Ipv4Addr,
    /// Routers of option 3, or with option 121 exactly its routes (RFC 3442).
    pub routes: Vec<DhcpRoute>,
    pub dns: Vec<Ipv4Addr>,
    /// Search domains: those of option 119, then those of option 15, where some servers put several.
    pub search: Vec<String>,
    pub ntp: Vec<Ipv4Addr>,
    /// Option 7: the site's log servers (RFC 2132 section 3.9).
    pub log_servers: Vec<Ipv4Addr>,
    pub mtu: Option<u16>,
    pub hostname: Option<String>,
    /// `None`: unlimited.
    pub seconds: Option<u32>,
    /// When to ask this server again (T1), and when to ask any server (T2).
    pub renew: Duration,
    pub rebind: Duration,
}

impl Lease {
    pub fn expiry(&self) -> Option<Duration> {
        self.seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Offer,
    Ack,
    Nak,
}

/// A reply to our request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub kind: Kind,
    pub xid: u32,
    pub server: Ipv4Addr,
    /// Missing in a NAK.
    pub lease: Option<Lease>,
    /// The server's message, mostly in a NAK.
    pub text: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("it is shorter than a DHCP message")]
    Short,
    #[error("it is not a DHCP reply")]
    NotAReply,
    #[error("it is for another client")]
    NotForUs,
    #[error("its type is not offer, ack or nak")]
    Type,
    #[error("it has no server identifier")]
    Server,
    #[error("it grants an address that no machine can have")]
    Address,
}

/// Parses the UDP payload of a reply to `mac`.
pub fn parse(payload: &[u8], mac: Mac) -> Result<Reply, Malformed> {
    let fixed = payload.get(..FIXED).ok_or(Malformed::Short)?;
    let field = |at: usize, length: usize| payload.get(at..at + length).unwrap_or_default();
    // The library trusts the length field of the hardware address, so check it first.
    if field(236, 4) != MAGIC || field(0, 3) != [2, 1, 6] {
        return Err(Malformed::NotAReply);
    }
    if field(28, 6) != mac.0 {
        return Err(Malformed::NotForUs);
    }
    let message = Message::decode(&mut Decoder::new(fixed)).map_err(|_| Malformed::NotAReply)?;
    if message.opcode() != Opcode::BootReply {
        return Err(Malformed::NotAReply);
    }
    let options = Options::gather(payload);
    let kind = match options.get(OptionCode::MessageType) {
        Some(DhcpOption::MessageType(MessageType::Offer)) => Kind::Offer,
        Some(DhcpOption::MessageType(MessageType::Ack)) => Kind::Ack,
        Some(DhcpOption::MessageType(MessageType::Nak)) => Kind::Nak,
        _ => return Err(Malformed::Type),
    };
    let server = match options.get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) => server,
        // Simple servers leave it out, and mean the server from which a boot loader would continue.
        _ if !message.siaddr().is_unspecified() => message.siaddr(),
        _ => return Err(Malformed::Server),
    };
    let lease = match kind {
        Kind::Nak => None,
        Kind::Offer | Kind::Ack => Some(lease(message.yiaddr(), server, &options)?),
    };
    let text = match options.get(OptionCode::Message) {
        Some(DhcpOption::Message(text)) => Some(printable(&text)),
        _ => None,
    };
    Ok(Reply { kind, xid: message.xid(), server, lease, text })
}

fn lease(address: Ipv4Addr, server: Ipv4Addr, options: &Options) -> Result<Lease, Malformed> {
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || address.is_broadcast() {
        return Err(Malformed::Address);
    }
    let prefix = match options.get(OptionCode::SubnetMask) {
        Some(DhcpOption::SubnetMask(mask)) => prefix_of(mask).filter(|&prefix| prefix > 0),
        _ => None,
    };
    let list = |code| match options.get(code) {
        Some(
            DhcpOption::DomainNameServer(list)
            | DhcpOption::LogServer(list)
            | DhcpOption::NtpServers(list)
            | DhcpOption::Router(list),
        ) => list.into_iter().filter(|address| !address.is_unspecified() && !address.is_broadcast()).collect(),
        _ => Vec::new(),
    };
    let seconds = |code| match options.get(code) {
        Some(DhcpOption::AddressLeaseTime(time) | DhcpOption::Renewal(time) | DhcpOption::Rebinding(time)) => {
            Some(time).filter(|&time| time != u32::MAX)
        }
        _ => None,
    };
    let routes = match options.get(OptionCode::ClasslessStaticRoute) {
        Some(DhcpOption::ClasslessStaticRoute(routes)) if !routes.is_empty() => routes
            .into_iter()
            .map(|(net, gateway)| DhcpRoute {
                destination: net.network(),
                prefix: net.prefix_len(),
                gateway: Some(gateway).filter(|gateway| !gateway.is_unspecified()),
            })
            .collect(),
        _ => list(OptionCode::Router)
            .into_iter()
            .take(1)
            .map(|gateway| DhcpRoute { destination: Ipv4Addr::UNSPECIFIED, prefix: 0, gateway: Some(gateway) })
            .collect(),
    };
    let duration = seconds(OptionCode::AddressLeaseTime).map(|seconds| seconds.max(SHORTEST));
    let (renew, rebind) = timers(duration, seconds(OptionCode::Renewal), seconds(OptionCode::Rebinding));
    Ok(Lease {
        address,
        // A lease should have a mask; servers that leave it out usually mean a /24.
        prefix: prefix.unwrap_or(24),
        server,
        routes,
        dns: list(OptionCode::DomainNameServer),
        search: search(options),
        ntp: list(OptionCode::NtpServers),
        log_servers: list(OptionCode::LogServer),
        mtu: match options.get(OptionCode::InterfaceMtu) {
            Some(DhcpOption::InterfaceMtu(mtu)) if mtu >= 576 => Some(mtu),
            _ => None,
        },
        hostname: match options.get(OptionCode::Hostname) {
            Some(DhcpOption::Hostname(name)) => domain(&name),
            _ => None,
        },
        seconds: duration,
        renew,
        rebind,
    })
}

/// T1 and T2 if they are valid, else half and seven eighths of the lease (RFC 2131, 4.4.5).
fn timers(lease: Option<u32>, renew: Option<u32>, rebind: Option<u32>) -> (Duration, Duration) {
    let Some(lease) = lease else { return (Duration::MAX, Duration::MAX) };
    let rebind = rebind.filter(|&rebind| rebind > 0 && rebind < lease).unwrap_or(lease - lease / 8);
    let renew = renew.filter(|&renew| renew > 0 && renew < rebind).unwrap_or((lease / 2).min(rebind));
    (Duration::from_secs(renew.into()), Duration::from_secs(rebind.into()))
}

fn search(options: &Options) -> Vec<String> {
    let mut names = match options.get(OptionCode::DomainSearch) {
        Some(DhcpOption::DomainSearch(names)) => names.iter().filter_map(|name| domain(&name.to_string())).collect(),
        _ => Vec::new(),
    };
    if let Some(DhcpOption::DomainName(text)) = options.get(OptionCode::DomainName) {
        let parts = text.split(|c: char| c.is_whitespace() || c == ',' || c == '\0');
        for name in parts.filter_map(domain) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// A name that is safe in resolv.conf: a server must not be able to inject lines there.
fn domain(text: &str) -> Option<String> {
    let name = text.trim_end_matches(['.', '\0']);
    let fair = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (!name.is_empty() && name.len() <= 253 && name.chars().all(fair)).then(|| name.to_owned())
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Raw option values by code, with split options joined (RFC 3396) and options in the name fields included (option 52).
struct Options(BTreeMap<u8, Vec<u8>>);

impl Options {
    fn gather(payload: &[u8]) -> Self {
        let mut options = Self(BTreeMap::new());
        options.walk(payload.get(FIXED..).unwrap_or_default());
        let overload = options.0.get(&52).and_then(|value| value.first()).copied().unwrap_or(0);
        if overload & 1 != 0 {
            options.walk(payload.get(108..236).unwrap_or_default());
        }
        if overload & 2 != 0 {
            options.walk(payload.get(44..108).unwrap_or_default());
        }
        if let Some(routes) = options.0.remove(&MICROSOFT_ROUTES) {
            options.0.entry(OptionCode::ClasslessStaticRoute.into()).or_insert(routes);
        }
        options
    }

    fn walk(&mut self, mut bytes: &[u8]) {
        while let Some((&code, rest)) = bytes.split_first() {
            bytes = rest;
            match code {
                0 => continue,
                255 => return,
                _ => {}
            }
            let Some((&length, rest)) = bytes.split_first() else { return };
            let Some((value, rest)) = rest.split_at_checked(length.into()) else { return };
            self.0.entry(code).or_default().extend(value);
            bytes = rest;
        }
    }

    /// The option, if it exists and is valid.
    fn get(&self, code: OptionCode) -> Option<DhcpOption> {
        let number = u8::from(code);
        let value = self.0.get(&number)?;
        if value.is_empty() {
            return None;
        }
        let mut bytes = Vec::with_capacity(value.len() + 4);
        for piece in value.chunks(255) {
            bytes.push(number);
            bytes.push(piece.len() as u8);
            bytes.extend(piece);
        }
        bytes.push(255);
        let option = DhcpOption::decode(&mut Decoder::new(&bytes)).ok()?;
        (OptionCode::from(&option) == code).then_some(option)
    }
}

/// The contents of a request, besides its type.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub kind: MessageType,
    pub xid: u32,
    pub mac: Mac,
    pub seconds: u16,
    pub client_id: &'a ClientId,
    /// Our address, once it is in use.
    pub current: Option<Ipv4Addr>,
    pub requested: Option<Ipv4Addr>,
    pub server: Option<Ipv4Addr>,
}

/// Builds the UDP payload of a message.
pub fn build(ask: &Ask<'_>) -> Vec<u8> {
    let zero = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(ask.xid, ask.current.unwrap_or(zero), zero, zero, zero, &ask.mac.0);
    message.set_secs(ask.seconds);
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(ask.kind));
    // RFC 2132, 9.14: hardware type and address. iPXE sends the same, so servers recognise the machine.
    match ask.client_id {
        ClientId::Mac => drop(options.insert(DhcpOption::ClientIdentifier([&[1], ask.mac.0.as_slice()].concat()))),
        ClientId::None => {}
        ClientId::Bytes(bytes) => drop(options.insert(DhcpOption::ClientIdentifier(bytes.clone()))),
    }
    if let Some(address) = ask.requested {
        options.insert(DhcpOption::RequestedIpAddress(address));
    }
    if let Some(server) = ask.server {
        options.insert(DhcpOption::ServerIdentifier(server));
    }
    if !matches!(ask.kind, MessageType::Release | MessageType::Decline) {
        options.insert(DhcpOption::MaxMessageSize(MAX_MESSAGE));
        options.insert(DhcpOption::ClassIdentifier(b"burin".to_vec()));
        options.insert(DhcpOption::ParameterRequestList(vec![
            OptionCode::SubnetMask,
            // Before the router option, so that servers with little room send it first (RFC 3442).
            OptionCode::ClasslessStaticRoute,
            OptionCode::Router,
            OptionCode::DomainNameServer,
            OptionCode::Hostname,
            OptionCode::DomainName,
            OptionCode::InterfaceMtu,
            OptionCode::BroadcastAddr,
            OptionCode::NtpServers,
            OptionCode::LogServer,
            OptionCode::DomainSearch,
            OptionCode::Renewal,
            OptionCode::Rebinding,
            OptionCode::from(MICROSOFT_ROUTES),
        ]));
    }
    let mut bytes = Vec::with_capacity(400);
    // Cannot fail: the message is ours and the vector grows.
    if message.encode(&mut Encoder::new(&mut bytes)).is_err() {
        bytes.clear();
    }
    // Some relays drop packets shorter than a BOOTP message.
    bytes.resize(bytes.len().max(300), 0);
    bytes
}
