//! Encodes DHCPv6 requests and parses replies.
//!
//! Options are parsed independently: a malformed one must not make the others unusable.

use super::advert::names;
use super::duid::{Duid, association};
use crate::config::Mac;
use dhcproto::v6::{DhcpOption, DhcpOptions, IAAddr, IANA, Message, MessageType, ORO, OptionCode};
use dhcproto::{Encodable, Encoder};
use std::net::Ipv6Addr;
use std::time::Duration;

/// A shorter lease would be renewed without pause.
const SHORTEST: u32 = 10;

/// What a server granted: addresses and settings, or settings only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lease6 {
    pub addresses: Vec<Ipv6Addr>,
    pub server: Vec<u8>,
    pub dns: Vec<Ipv6Addr>,
    pub search: Vec<String>,
    /// Addresses or names.
    pub ntp: Vec<String>,
    /// `None`: unlimited.
    pub seconds: Option<u32>,
    pub renew: Duration,
    pub rebind: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyType {
    Advertise,
    Reply,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply6 {
    pub kind: ReplyType,
    pub xid: [u8; 3],
    pub lease: Lease6,
    /// The server's refusal message.
    pub refusal: Option<String>,
}

/// The contents of a request.
#[derive(Debug, Clone, Copy)]
pub struct Ask6<'a> {
    pub kind: MessageType,
    pub xid: [u8; 3],
    pub duid: &'a Duid,
    pub mac: Mac,
    /// Time since the exchange began.
    pub elapsed: Duration,
    pub server: Option<&'a [u8]>,
    pub addresses: &'a [Ipv6Addr],
}

/// Builds the UDP payload of a message.
pub fn build(ask: &Ask6<'_>) -> Vec<u8> {
    let mut message = Message::new_with_id(ask.kind, ask.xid);
    let options = message.opts_mut();
    options.insert(DhcpOption::ClientId(ask.duid.0.clone()));
    if let Some(server) = ask.server {
        options.insert(DhcpOption::ServerId(server.to_vec()));
    }
    let hundredths = u16::try_from(ask.elapsed.as_millis() / 10).unwrap_or(u16::MAX);
    options.insert(DhcpOption::ElapsedTime(hundredths));
    if ask.kind != MessageType::InformationRequest {
        let mut inside = DhcpOptions::new();
        for &addr in ask.addresses {
            let opts = DhcpOptions::new();
            inside.insert(DhcpOption::IAAddr(IAAddr { addr, preferred_life: 0, valid_life: 0, opts }));
        }
        options.insert(DhcpOption::IANA(IANA { id: association(ask.mac), t1: 0, t2: 0, opts: inside }));
    }
    if ask.kind != MessageType::Decline {
        options.insert(DhcpOption::ORO(ORO {
            opts: vec![
                OptionCode::DomainNameServers,
                OptionCode::DomainSearchList,
                OptionCode::NtpServer,
                OptionCode::SntpServers,
            ],
        }));
    }
    let mut bytes = Vec::with_capacity(200);
    // Cannot fail: the message is ours and the vector grows.
    if message.encode(&mut Encoder::new(&mut bytes)).is_err() {
        bytes.clear();
    }
    bytes
}

/// Options as code and value; truncated ones are left out.
fn options(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let [a, b, c, d, rest @ ..] = bytes else { return None };
        let (value, after) = rest.split_at_checked(u16::from_be_bytes([*c, *d]).into())?;
        bytes = after;
        Some((u16::from_be_bytes([*a, *b]), value))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn address(bytes: &[u8]) -> Option<Ipv6Addr> {
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(..16)?).ok()?);
    let fair = !address.is_unspecified() && !address.is_multicast() && !address.is_loopback();
    Some(address).filter(|_| fair)
}

/// Parses a reply to the client `duid`; `None` if it is invalid or for another client.
pub fn parse(payload: &[u8], duid: &Duid, mac: Mac) -> Option<Reply6> {
    let kind = match payload.first()? {
        2 => ReplyType::Advertise,
        7 => ReplyType::Reply,
        _ => return None,
    };
    let xid = payload.get(1..4)?.try_into().ok()?;
    let mut reply = Reply6 { kind, xid, lease: Lease6::default(), refusal: None };
    let (mut ours, mut times) = (false, None);
    for (code, value) in options(payload.get(4..)?) {
        match code {
            1 => ours = value == duid.0,
            2 => reply.lease.server = value.to_vec(),
            3 if word(value, 0) == Some(association(mac)) => times = Some(granted(value, &mut reply)),
            13 => reply.refusal = reply.refusal.take().or_else(|| refusal(value)),
            23 => reply.lease.dns.extend(value.chunks_exact(16).filter_map(address)),
            24 => reply.lease.search.extend(names(value)),
            31 => reply.lease.ntp.extend(value.chunks_exact(16).filter_map(address).map(|server| server.to_string())),
            56 => reply.lease.ntp.extend(options(value).filter_map(|(code, value)| ntp(code, value))),
            _ => {}
        }
    }
    if !ours || reply.lease.server.is_empty() {
        return None;
    }
    let (t1, t2, valid) = times.unwrap_or((0, 0, u32::MAX));
    reply.lease.seconds = Some(valid).filter(|&valid| valid != u32::MAX).map(|valid| valid.max(SHORTEST));
    (reply.lease.renew, reply.lease.rebind) = timers(reply.lease.seconds, t1, t2);
    Some(reply)
}

/// T1, T2 and the shortest lifetime of an identity association's addresses.
fn granted(value: &[u8], reply: &mut Reply6) -> (u32, u32, u32) {
    let mut shortest = u32::MAX;
    for (code, value) in options(value.get(12..).unwrap_or_default()) {
        match code {
            5 => {
                // A lifetime of zero withdraws an address.
                if let (Some(address), Some(valid)) = (address(value), word(value, 20).filter(|&valid| valid > 0)) {
                    reply.lease.addresses.push(address);
                    shortest = shortest.min(valid);
                }
            }
            13 => reply.refusal = refusal(value),
            _ => {}
        }
    }
    (word(value, 4).unwrap_or(0), word(value, 8).unwrap_or(0), shortest)
}

fn refusal(value: &[u8]) -> Option<String> {
    let [a, b, text @ ..] = value else { return None };
    let code = u16::from_be_bytes([*a, *b]);
    let text: String = String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(200).collect();
    (code != 0).then(|| if text.is_empty() { format!("status {code}") } else { text })
}

/// RFC 5908: an address, a multicast group, or a name.
fn ntp(code: u16, value: &[u8]) -> Option<String> {
    match code {
        1 => address(value).map(|server| server.to_string()),
        3 => names(value).into_iter().next(),
        _ => None,
    }
}

/// T1 and T2 if they are valid, else half and four fifths of the lifetime (RFC 8415, 14.2).
fn timers(lease: Option<u32>, renew: u32, rebind: u32) -> (Duration, Duration) {
    let Some(lease) = lease else { return (Duration::MAX, Duration::MAX) };
    let rebind = if rebind > 0 && rebind < lease { rebind } else { lease - lease / 5 };
    let renew = if renew > 0 && renew < rebind { renew } else { (lease / 2).min(rebind) };
    (Duration::from_secs(renew.into()), Duration::from_secs(rebind.into()))
}
