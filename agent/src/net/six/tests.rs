use super::advert::{Advertisement, names, parse as advertisement, solicitation};
use super::duid::association;
use super::machine::{Action6, Machine6, Need};
use super::message::{Reply6, ReplyType, parse};
use super::routers::{Routers, own};
use super::*;
use crate::config::Mac;
use dhcproto::v6::{DhcpOption, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder};
use proptest::prelude::*;
use std::net::Ipv6Addr;
use std::time::Duration;

const MAC: Mac = Mac([0x52, 0x54, 0, 1, 2, 3]);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn duid() -> Duid {
    Duid::new("", MAC)
}

/// A router's message with these options; lifetime 1800 s.
fn advert(flags: u8, options: &[&[u8]]) -> Vec<u8> {
    [&[134, 0, 0, 0, 64, flags, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0], options.concat().as_slice()].concat()
}

fn prefix(net: &str, flags: u8, valid: u32) -> Vec<u8> {
    let head = [&[3, 4, 64, flags][..], &valid.to_be_bytes(), &[0, 0, 56, 64, 0, 0, 0, 0]].concat();
    [head.as_slice(), &ip(net).octets()].concat()
}

fn rdnss(server: &str, lifetime: u32) -> Vec<u8> {
    [&[25, 3, 0, 0][..], &lifetime.to_be_bytes(), &ip(server).octets()].concat()
}

const DNSSL: &[u8] = b"\x1f\x03\x00\x00\x00\x00\x0e\x10\x04prov\x07example\x00\x00\x00";

#[test]
fn an_advertisement_is_read() {
    let mtu = [5, 1, 0, 0, 0, 0, 5, 220];
    let route = [&[24, 2, 48, 0, 0, 0, 14, 16][..], &ip("2001:db8:9::").octets()[..8]].concat();
    let said = advertisement(&advert(
        0x40,
        &[&prefix("2001:db8:7::", 0xc0, 86400), &rdnss("2001:db8:7::53", 600), DNSSL, &mtu, &route],
    ))
    .unwrap();
    assert_eq!((said.lifetime, said.managed, said.other, said.mtu), (1800, false, true, Some(1500)));
    assert_eq!((said.dns.as_slice(), said.search.join(" ").as_str()), (&[ip("2001:db8:7::53")][..], "prov.example"));
    assert_eq!(said.routes, [("2001:db8:9::/48".parse().unwrap(), 3600)]);
    let [prefix] = said.prefixes.as_slice() else { panic!("{said:?}") };
    assert!(prefix.on_link && prefix.autonomous);
    assert!(advertisement(&advert(0, &[&[3, 0]])).is_none(), "an option without a length");
    assert!(advertisement(&solicitation()).is_none());
    assert_eq!(advertisement(&advert(0, &[&rdnss("2001:db8::1", 0)])).unwrap().dns, [] as [Ipv6Addr; 0], "taken back");
}

#[test]
fn names_cannot_write_lines_into_resolv_conf() {
    assert_eq!(names(b"\x01a\x00\x0fb\nnameserver 6\x00"), ["a"]);
    assert_eq!(names(b"\x04prov\x07example\x00\x03lab\x00\x00\x00"), ["prov.example", "lab"]);
    assert_eq!(names(b"\xc0\x0c"), [] as [String; 0], "compression is not for here");
}

#[test]
fn hosts_make_their_address_as_firmware_does() {
    assert_eq!(own("2001:db8:7::/64".parse().unwrap(), MAC), ip("2001:db8:7:0:5054:ff:fe01:203"));
}

#[test]
fn advice_follows_what_routers_say() {
    let mut routers = Routers::default();
    let router = ip("fe80::1");
    let said = |flags, options: &[&[u8]]| advertisement(&advert(flags, options)).unwrap();
    routers.heard(router, seconds(0), said(0, &[&prefix("2001:db8:7::", 0xc0, 86400)]));
    let advice = routers.advice(MAC, seconds(1));
    assert_eq!(advice.addresses, ["2001:db8:7:0:5054:ff:fe01:203/64".parse().unwrap()]);
    assert_eq!((advice.router, advice.managed, advice.other), (Some(router), false, false));
    assert!(advice.routes.iter().any(|route| route.destination.prefix_len() == 0));
    // The router's lifetime is over, but not the prefix's.
    let later = routers.advice(MAC, seconds(1801));
    assert!(later.router.is_none() && later.addresses.len() == 1);
    // It announces that it is no longer a router.
    routers.heard(
        router,
        seconds(10),
        Advertisement { lifetime: 0, ..said(0, &[&prefix("2001:db8:7::", 0x40, 86400)]) },
    );
    let advice = routers.advice(MAC, seconds(11));
    assert_eq!(advice.router, None);
    assert_eq!(advice.addresses, ["2001:db8:7:0:5054:ff:fe01:203/128".parse().unwrap()], "not on the link");
    // A network that forbids autoconfiguration must have a server that assigns addresses.
    let mut routers = Routers::default();
    assert!(!routers.advice(MAC, seconds(1)).managed, "no router, no server");
    routers.heard(router, seconds(0), said(0, &[&prefix("2001:db8:7::", 0x80, 86400)]));
    assert!(routers.advice(MAC, seconds(1)).managed);
}

#[test]
fn a_machine_is_one_client_to_firmware_and_to_us() {
    let uuid = Duid::new("4c4c4544-0042-3510-8051-b4c04f333732\n", MAC);
    assert_eq!((uuid.0.len(), &uuid.0[..4]), (18, &[0, 4, 0x4c, 0x4c][..]));
    for none in ["", "ffffffff-ffff-ffff-ffff-ffffffffffff", "nonsense"] {
        assert_eq!(Duid::new(none, MAC).0, [0, 3, 0, 1, 0x52, 0x54, 0, 1, 2, 3], "{none}");
    }
    assert_eq!(association(MAC), 0x0001_0203);
}

/// A server's message: address, DNS server, domain, time server by name.
fn reply(kind: u8, xid: [u8; 3], valid: u32) -> Vec<u8> {
    let option =
        |code: u16, value: &[u8]| [&code.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat();
    let address = option(5, &[&ip("2001:db8:7::77").octets()[..], &valid.to_be_bytes(), &valid.to_be_bytes()].concat());
    let times = [0; 8];
    let association = option(3, &[&association(MAC).to_be_bytes()[..], &times, &address].concat());
    let mut bytes = [&[kind][..], &xid].concat();
    bytes.extend(option(1, &duid().0));
    bytes.extend(option(2, b"server"));
    bytes.extend(association);
    bytes.extend(option(23, &ip("2001:db8:7::53").octets()));
    bytes.extend(option(24, b"\x04prov\x07example\x00"));
    bytes.extend(option(56, &option(3, b"\x03ntp\x07example\x00")));
    // A status of one byte crashes a careless parser.
    bytes.extend(option(13, &[0]));
    bytes
}

fn sent(action: &Action6) -> Message {
    let Action6::Send(payload) = action else { panic!("{action:?}") };
    Message::decode(&mut Decoder::new(payload)).unwrap()
}

fn heard(machine_message: &Message, kind: u8, valid: u32) -> Reply6 {
    parse(&reply(kind, machine_message.xid(), valid), &duid(), MAC).unwrap()
}

/// A client with a lease since time 0.
fn bound() -> Machine6 {
    let mut machine = Machine6::new(duid(), MAC, Need::Addresses, 42, seconds(0));
    let solicit = sent(&machine.tick(seconds(0))[0]);
    assert_eq!(solicit.msg_type(), MessageType::Solicit);
    assert_eq!(solicit.opts().get(OptionCode::ClientId), Some(&DhcpOption::ClientId(duid().0)));
    let request = sent(&machine.receive(seconds(0), &heard(&solicit, 2, 3600))[0]);
    assert_eq!(request.msg_type(), MessageType::Request);
    assert_eq!(request.opts().get(OptionCode::ServerId), Some(&DhcpOption::ServerId(b"server".to_vec())));
    let done = machine.receive(seconds(0), &heard(&request, 7, 3600));
    let [Action6::Configure(lease)] = &done[..] else { panic!("{done:?}") };
    assert_eq!(
        (lease.addresses.as_slice(), lease.dns.as_slice()),
        (&[ip("2001:db8:7::77")][..], &[ip("2001:db8:7::53")][..])
    );
    assert_eq!((lease.search.join(" ").as_str(), lease.ntp.join(" ").as_str()), ("prov.example", "ntp.example"));
    assert_eq!((lease.renew, lease.rebind), (seconds(1800), seconds(2880)));
    machine
}

#[test]
fn a_lease_is_renewed_then_rebound_then_over() {
    let mut machine = bound();
    assert_eq!(machine.due(), seconds(1800));
    let (mut now, mut kinds) = (machine.due(), Vec::new());
    loop {
        let actions = machine.tick(now);
        if let Action6::Say(_) = &actions[0] {
            assert_eq!((&actions[1], sent(&actions[2]).msg_type()), (&Action6::Withdraw, MessageType::Solicit));
            break;
        }
        kinds.push(sent(&actions[0]).msg_type());
        assert!(machine.due() > now);
        now = machine.due();
    }
    assert!(
        now >= seconds(3600) && kinds.contains(&MessageType::Renew) && kinds.contains(&MessageType::Rebind),
        "{kinds:?}"
    );
    let mut machine = bound();
    let renew = sent(&machine.tick(seconds(1800))[0]);
    assert!(matches!(&machine.receive(seconds(1801), &heard(&renew, 7, 100))[..], [Action6::Configure(_)]));
    assert_eq!(machine.due(), seconds(1851));
}

#[test]
fn an_address_that_somebody_has_is_declined() {
    let mut machine = bound();
    let actions = machine.taken(seconds(2));
    assert_eq!((&actions[0], sent(&actions[1]).msg_type()), (&Action6::Withdraw, MessageType::Decline));
    assert!(machine.due() >= seconds(12));
    let now = machine.due();
    assert_eq!(sent(&machine.tick(now)[0]).msg_type(), MessageType::Solicit);
}

#[test]
fn without_addresses_the_rest_is_asked_for_once() {
    let mut machine = Machine6::new(duid(), MAC, Need::Rest, 42, seconds(0));
    let asked = sent(&machine.tick(seconds(0))[0]);
    assert_eq!((asked.msg_type(), asked.opts().get(OptionCode::IANA)), (MessageType::InformationRequest, None));
    assert!(matches!(&machine.receive(seconds(1), &heard(&asked, 7, 3600))[..], [Action6::Configure(_)]));
    assert!(machine.tick(seconds(90_000)).is_empty());
}

#[test]
fn replies_for_others_are_not_heard() {
    let other = Duid::new("", Mac([2; 6]));
    assert_eq!(parse(&reply(2, [1, 2, 3], 60), &other, MAC), None);
    assert_eq!(parse(&reply(3, [1, 2, 3], 60), &duid(), MAC), None, "a request is no reply");
    let mut machine = Machine6::new(duid(), MAC, Need::Addresses, 1, seconds(0));
    let solicit = sent(&machine.tick(seconds(0))[0]);
    let offer = heard(&solicit, 2, 60);
    assert!(machine.receive(seconds(0), &Reply6 { xid: [0; 3], ..offer.clone() }).is_empty());
    assert!(machine.receive(seconds(0), &Reply6 { kind: ReplyType::Reply, ..offer }).is_empty(), "no reply unasked");
    let taken_back = parse(&reply(2, solicit.xid(), 0), &duid(), MAC).unwrap();
    assert!(taken_back.lease.addresses.is_empty());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..200) {
        let _ = advertisement(&bytes);
        let _ = advertisement(&advert(0xc0, &[&bytes]));
        let _ = names(&bytes);
        let _ = parse(&bytes, &duid(), MAC);
        let mut reply = reply(2, [1, 2, 3], 60);
        reply.truncate(cut);
        reply.extend(&bytes);
        let _ = parse(&reply, &duid(), MAC);
    }

    /// Whatever arrives at whatever time: the next action is always in the future, and nothing is sent without pause.
    #[test]
    fn the_machine_never_storms(
        seed: u64,
        rest: bool,
        steps in prop::collection::vec((0u8..4, any::<bool>(), 0u32..200_000, 0u32..100), 1..60),
    ) {
        let need = if rest { Need::Rest } else { Need::Addresses };
        let (mut now, mut xid) = (Duration::ZERO, [0; 3]);
        let mut machine = Machine6::new(duid(), MAC, need, seed, now);
        for (what, ours, wait, valid) in steps {
            now += Duration::from_millis(wait.into());
            let mut actions = machine.tick(now);
            for action in &actions {
                if let Action6::Send(_) = action {
                    xid = sent(action).xid();
                }
            }
            match what {
                1 | 2 => {
                    let xid = if ours { xid } else { [9; 3] };
                    let bytes = reply(if what == 1 { 2 } else { 7 }, xid, valid);
                    actions.extend(machine.receive(now, &parse(&bytes, &duid(), MAC).unwrap()));
                }
                3 => actions.extend(machine.taken(now)),
                _ => {}
            }
            prop_assert!(actions.len() <= 5);
            prop_assert!(machine.due() > now, "due {:?} at {now:?}", machine.due());
        }
    }
}
