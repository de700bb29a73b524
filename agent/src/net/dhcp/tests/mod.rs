mod machine;

use super::machine::{Action, Machine};
use super::message::{Ask, Kind, Lease, Reply, build, parse};
use super::packet::{unwrap, wrap};
use super::*;
use crate::config::{ClientId, Mac};
use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder};
use etherparse::PacketBuilder;
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::time::Duration;

const MAC: Mac = Mac([0x52, 0x54, 0, 1, 2, 3]);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A server's reply: type, server, our address, and these raw options.
fn reply(kind: u8, xid: u32, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 240];
    bytes[..3].copy_from_slice(&[2, 1, 6]);
    bytes[4..8].copy_from_slice(&xid.to_be_bytes());
    bytes[16..20].copy_from_slice(&ADDRESS.octets());
    bytes[28..34].copy_from_slice(&MAC.0);
    bytes[236..240].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend([53, 1, kind, 54, 4, 10, 0, 0, 1]);
    bytes.extend(options);
    bytes.push(255);
    bytes
}

fn lease_of(options: &[u8]) -> Lease {
    parse(&reply(5, 1, options), MAC).unwrap().lease.unwrap()
}

/// The message that an action sends.
fn sent(action: &Action) -> Message {
    let (Action::Broadcast(payload) | Action::Send(payload, _)) = action else { panic!("{action:?}") };
    Message::decode(&mut Decoder::new(payload)).unwrap()
}

fn kind(action: &Action) -> MessageType {
    sent(action).opts().msg_type().unwrap()
}

#[test]
fn a_full_lease_is_read() {
    let mut options = vec![1, 4, 255, 255, 252, 0, 3, 4, 10, 0, 0, 254, 6, 8, 10, 0, 0, 2, 10, 0, 0, 3];
    options.extend([51, 4, 0, 0, 14, 16, 26, 2, 0x23, 0x28, 42, 4, 10, 0, 0, 4]);
    options.extend([7, 4, 10, 0, 0, 5]);
    options.extend([12, 5]);
    options.extend(b"node7");
    options.extend([15, 12]);
    options.extend(b"rack.example");
    options.extend([119, 11, 1, b'a', 7, b'e', b'x', b'a', b'm', b'p', b'l', b'e', 0]);
    let lease = lease_of(&options);
    let default = DhcpRoute { destination: [0; 4].into(), prefix: 0, gateway: Some([10, 0, 0, 254].into()) };
    assert_eq!((lease.address, lease.prefix, lease.server), (ADDRESS, 22, SERVER));
    assert_eq!(lease.routes, [default]);
    assert_eq!(lease.dns, [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3)]);
    assert_eq!((lease.mtu, lease.ntp.as_slice()), (Some(9000), &[Ipv4Addr::new(10, 0, 0, 4)][..]));
    assert_eq!(lease.log_servers, [Ipv4Addr::new(10, 0, 0, 5)]);
    assert_eq!(lease.hostname.as_deref(), Some("node7"));
    assert_eq!(lease.search, ["a.example", "rack.example"]);
    assert_eq!((lease.seconds, lease.renew, lease.rebind), (Some(3600), seconds(1800), seconds(3150)));
}

#[test]
fn classless_routes_replace_the_router() {
    let routes = [0, 10, 0, 0, 9, 8, 172, 0, 0, 0, 0, 24, 192, 168, 5, 10, 0, 0, 8];
    let lease = lease_of(&[&[3, 4, 10, 0, 0, 254, 121, 19], routes.as_slice()].concat());
    let route = |destination: [u8; 4], prefix, gateway: Option<[u8; 4]>| DhcpRoute {
        destination: destination.into(),
        prefix,
        gateway: gateway.map(Ipv4Addr::from),
    };
    let expected = [
        route([0; 4], 0, Some([10, 0, 0, 9])),
        route([172, 0, 0, 0], 8, None),
        route([192, 168, 5, 0], 24, Some([10, 0, 0, 8])),
    ];
    assert_eq!(lease.routes, expected);
}

/// Option 249 is the old Windows number of option 121, which takes precedence.
#[test]
fn microsofts_routes_count_where_there_are_no_others() {
    let default = [249, 5, 0, 10, 0, 0, 9];
    let gateways = |options: &[u8]| lease_of(options).routes.iter().map(|route| route.gateway).collect::<Vec<_>>();
    let ninth = Some(Ipv4Addr::new(10, 0, 0, 9));
    assert_eq!(gateways(&[&[3, 4, 10, 0, 0, 254], default.as_slice()].concat()), [ninth]);
    assert_eq!(gateways(&[&[121, 5, 0, 10, 0, 0, 8], default.as_slice()].concat()), [Some([10, 0, 0, 8].into())]);
}

#[test]
fn a_bad_option_costs_only_itself() {
    // A host name that is not UTF-8, a mask of three bytes, an empty router list, an invalid vendor option.
    let lease = lease_of(&[12, 2, 0xff, 0xfe, 1, 3, 255, 255, 0, 3, 0, 43, 3, 1, 200, 9, 6, 4, 10, 0, 0, 2]);
    assert_eq!((lease.hostname, lease.prefix, lease.routes.len()), (None, 24, 0));
    assert_eq!(lease.dns, [Ipv4Addr::new(10, 0, 0, 2)]);
}

#[test]
fn names_cannot_write_lines_into_resolv_conf() {
    let name = b"a\nnameserver 6.6.6.6";
    let lease = lease_of(&[&[15, name.len() as u8], name.as_slice()].concat());
    assert_eq!(lease.search, ["a", "nameserver", "6.6.6.6"]);
}

#[test]
fn options_go_on_in_the_name_fields() {
    let mut bytes = reply(5, 1, &[52, 1, 3]);
    bytes[108..115].copy_from_slice(&[6, 4, 10, 0, 0, 2, 255]);
    bytes[44..51].copy_from_slice(&[42, 4, 10, 0, 0, 4, 255]);
    let lease = parse(&bytes, MAC).unwrap().lease.unwrap();
    assert_eq!((lease.dns.len(), lease.ntp.len()), (1, 1));
}

#[test]
fn lease_times_make_sense() {
    let with = |lease: u32, renew: u32, rebind: u32| {
        let mut options = Vec::new();
        for (code, value) in [(51, lease), (58, renew), (59, rebind)] {
            options.extend([code, 4]);
            options.extend(value.to_be_bytes());
        }
        let lease = lease_of(&options);
        (lease.seconds, lease.renew.as_secs(), lease.rebind.as_secs())
    };
    assert_eq!(with(1000, 100, 200), (Some(1000), 100, 200));
    assert_eq!(with(1000, 900, 200), (Some(1000), 200, 200), "T1 after T2");
    assert_eq!(with(1000, 0, 2000), (Some(1000), 500, 875), "T2 after the end");
    assert_eq!(with(0, 0, 0).0, Some(10), "no storm of renewals");
    assert_eq!(with(u32::MAX, 5, 6), (None, u64::MAX, u64::MAX), "for ever");
}

#[test]
fn replies_that_are_not_ours_are_refused() {
    let good = reply(5, 1, &[]);
    let spoil = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        parse(&bytes, MAC)
    };
    assert!(parse(&good, MAC).is_ok());
    assert!(spoil(0, 1).is_err(), "a request");
    assert!(spoil(2, 200).is_err(), "a hardware address longer than its field");
    assert!(spoil(33, 9).is_err(), "another client");
    assert!(spoil(236, 0).is_err(), "no DHCP at all");
    assert!(spoil(16, 127).is_err(), "an address of no machine");
    assert!(spoil(242, 8).is_err(), "neither offer, ack nor nak");
    assert!(spoil(243, 0).is_err(), "no server");
    assert!(parse(&good[..239], MAC).is_err());
}

#[test]
fn what_we_ask() {
    let bytes = build(&Ask {
        kind: MessageType::Discover,
        xid: 7,
        mac: MAC,
        seconds: 3,
        client_id: &ClientId::Mac,
        current: None,
        requested: None,
        server: None,
    });
    assert!(bytes.len() >= 300);
    let message = Message::decode(&mut Decoder::new(&bytes)).unwrap();
    let option = |code| message.opts().get(code).cloned();
    assert_eq!((message.xid(), message.secs(), message.chaddr()), (7, 3, MAC.0.as_slice()));
    assert_eq!(
        option(OptionCode::ClientIdentifier),
        Some(DhcpOption::ClientIdentifier(vec![1, 0x52, 0x54, 0, 1, 2, 3]))
    );
    assert_eq!(option(OptionCode::ClassIdentifier), Some(DhcpOption::ClassIdentifier(b"burin".to_vec())));
    let Some(DhcpOption::ParameterRequestList(list)) = option(OptionCode::ParameterRequestList) else { panic!() };
    for code in [1, 3, 6, 15, 26, 42, 119, 121, 249] {
        assert!(list.contains(&OptionCode::from(code)), "{code}");
    }
}

#[test]
fn packets_wrap_and_unwrap() {
    let packet = wrap(b"payload");
    assert_eq!((&packet[12..16], &packet[16..20]), ([0; 4].as_slice(), [255; 4].as_slice()));
    assert_eq!(unwrap(&packet), None, "our own request is no reply");
    let mut answer = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [255; 4], 64).udp(67, 68).write(&mut answer, b"payload").unwrap();
    assert_eq!(unwrap(&answer), Some(b"payload".as_slice()));
    answer[26..28].fill(0xee);
    assert_eq!(unwrap(&answer), Some(b"payload".as_slice()), "a checksum that nobody filled in");
    assert_eq!(unwrap(&answer[..30]), None);
}
