//! The client's state machine: what it sends when, and that no server can make it misbehave.

use super::*;

/// A state machine with a lease of an hour since time 10.
fn bound() -> Machine {
    let mut machine = Machine::new(MAC, ClientId::Mac, 42, seconds(10));
    let discover = machine.tick(seconds(10));
    assert_eq!((discover.len(), kind(&discover[0])), (1, MessageType::Discover));
    let xid = sent(&discover[0]).xid();
    let request = machine.receive(seconds(10), &parse(&reply(2, xid, &[51, 4, 0, 0, 14, 16]), MAC).unwrap());
    assert_eq!(request[0], Action::Probe(ADDRESS));
    let message = sent(&request[1]);
    assert_eq!(message.opts().msg_type(), Some(MessageType::Request));
    assert_eq!(message.opts().get(OptionCode::RequestedIpAddress), Some(&DhcpOption::RequestedIpAddress(ADDRESS)));
    assert_eq!(message.opts().get(OptionCode::ServerIdentifier), Some(&DhcpOption::ServerIdentifier(SERVER)));
    assert_eq!(message.ciaddr(), Ipv4Addr::UNSPECIFIED);
    let asked = machine.receive(seconds(10), &parse(&reply(5, xid, &[51, 4, 0, 0, 14, 16]), MAC).unwrap());
    assert_eq!(asked, [Action::Probe(ADDRESS)]);
    assert!(machine.unconfigured() && machine.due() < seconds(11));
    let done = machine.tick(machine.due());
    assert!(matches!(&done[..], [Action::Configure(lease)] if lease.address == ADDRESS), "{done:?}");
    assert!(!machine.unconfigured());
    machine
}

#[test]
fn discover_is_repeated_with_growing_pauses() {
    let mut machine = Machine::new(MAC, ClientId::Mac, 1, Duration::ZERO);
    let (mut now, mut pauses) = (Duration::ZERO, Vec::new());
    for _ in 0..7 {
        let actions = machine.tick(now);
        assert_eq!(kind(&actions[0]), MessageType::Discover);
        assert!(machine.tick(now).is_empty(), "not due twice");
        pauses.push((machine.due() - now).as_millis() as f64 / 1000.0);
        now = machine.due();
    }
    for (pause, nominal) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0]) {
        assert!((pause - nominal).abs() <= nominal / 8.0, "{pauses:?}");
    }
    assert!(sent(&machine.tick(now)[0]).secs() > 30, "the secs field counts");
}

#[test]
fn an_offer_that_goes_silent_is_given_up() {
    let mut machine = Machine::new(MAC, ClientId::Mac, 3, Duration::ZERO);
    let xid = sent(&machine.tick(Duration::ZERO)[0]).xid();
    machine.receive(Duration::ZERO, &parse(&reply(2, xid, &[]), MAC).unwrap());
    for _ in 0..3 {
        let now = machine.due();
        assert_eq!(kind(&machine.tick(now)[0]), MessageType::Request);
    }
    let now = machine.due();
    let actions = machine.tick(now);
    assert!(matches!(actions[0], Action::Say(_)));
    assert_eq!(kind(&actions[1]), MessageType::Discover);
    assert_ne!(sent(&actions[1]).xid(), xid, "a new exchange has a new number");
}

#[test]
fn renewal_by_unicast_then_rebinding_by_broadcast_then_the_end() {
    let mut machine = bound();
    assert_eq!(machine.due(), seconds(1810));
    let renew = machine.tick(seconds(1810));
    let message = sent(&renew[0]);
    assert!(matches!(renew[0], Action::Send(_, SERVER)));
    assert_eq!((message.ciaddr(), message.opts().get(OptionCode::ServerIdentifier)), (ADDRESS, None));
    assert_eq!(message.opts().get(OptionCode::RequestedIpAddress), None);
    let mut broadcasts = 0;
    let mut now = machine.due();
    loop {
        let actions = machine.tick(now);
        match &actions[0] {
            Action::Send(_, to) if now < seconds(3160) => assert_eq!(*to, SERVER),
            Action::Send(_, to) => {
                assert_eq!(*to, Ipv4Addr::BROADCAST);
                broadcasts += 1;
            }
            Action::Say(_) => {
                assert!(now >= seconds(3610) && broadcasts > 1, "{now:?} {broadcasts}");
                assert_eq!((&actions[1], kind(&actions[2])), (&Action::Withdraw, MessageType::Discover));
                return;
            }
            other => panic!("{other:?}"),
        }
        assert!(machine.due() > now);
        now = machine.due();
    }
}

#[test]
fn a_renewal_starts_the_lease_anew() {
    let mut machine = bound();
    let xid = sent(&machine.tick(seconds(1810))[0]).xid();
    let actions = machine.receive(seconds(1811), &parse(&reply(5, xid, &[51, 4, 0, 0, 0, 100]), MAC).unwrap());
    assert!(matches!(&actions[..], [Action::Configure(lease)] if lease.seconds == Some(100)));
    assert_eq!(machine.due(), seconds(1861));
}

#[test]
fn a_nak_starts_over_after_a_breath() {
    let nak = |xid| parse(&reply(6, xid, &[56, 2, b'n', b'o']), MAC).unwrap();
    let mut machine = bound();
    let xid = sent(&machine.tick(seconds(1810))[0]).xid();
    let actions = machine.receive(seconds(1811), &nak(xid));
    assert!(matches!(&actions[..], [Action::Say(text), Action::Withdraw] if text.contains("no")), "{actions:?}");
    assert!(machine.unconfigured() && machine.due() == seconds(1812));
    let mut machine = Machine::new(MAC, ClientId::Mac, 5, Duration::ZERO);
    let xid = sent(&machine.tick(Duration::ZERO)[0]).xid();
    machine.receive(Duration::ZERO, &parse(&reply(2, xid, &[]), MAC).unwrap());
    assert!(matches!(&machine.receive(Duration::ZERO, &nak(xid))[..], [Action::Say(_)]));
    assert_eq!(machine.due(), seconds(1));
}

#[test]
fn strangers_are_not_heard() {
    let mut machine = Machine::new(MAC, ClientId::Mac, 9, Duration::ZERO);
    let xid = sent(&machine.tick(Duration::ZERO)[0]).xid();
    let offer = parse(&reply(2, xid, &[]), MAC).unwrap();
    assert!(machine.receive(Duration::ZERO, &Reply { xid: xid ^ 1, ..offer.clone() }).is_empty());
    assert!(machine.receive(Duration::ZERO, &Reply { kind: Kind::Ack, ..offer.clone() }).is_empty(), "no ack unasked");
    machine.receive(Duration::ZERO, &offer);
    let other = Reply { kind: Kind::Ack, server: [10, 0, 0, 2].into(), ..offer };
    assert!(machine.receive(Duration::ZERO, &other).is_empty(), "an ack of a server that we did not ask");
}

#[test]
fn carrier_asks_again_at_once_but_keeps_a_lease() {
    let mut machine = Machine::new(MAC, ClientId::Mac, 9, Duration::ZERO);
    machine.tick(Duration::ZERO);
    machine.carrier(Duration::from_millis(100));
    assert_eq!(kind(&machine.tick(Duration::from_millis(100))[0]), MessageType::Discover);
    let mut machine = bound();
    machine.carrier(seconds(20));
    assert_eq!(machine.due(), seconds(1810));
}

#[test]
fn several_domains_in_option_15() {
    let text = b"prov.example lab.example,corp.example";
    let lease = lease_of(&[&[15, text.len() as u8], text.as_slice()].concat());
    assert_eq!(lease.search, ["prov.example", "lab.example", "corp.example"]);
}

#[test]
fn replies_come_from_any_port_and_without_a_server_identifier() {
    let mut answer = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [255; 4], 64).udp(10067, 68).write(&mut answer, b"payload").unwrap();
    assert_eq!(unwrap(&answer), Some(b"payload".as_slice()));
    let mut bytes = reply(2, 1, &[]);
    // Option 54 becomes an unknown option.
    bytes[243] = 224;
    bytes[20..24].copy_from_slice(&[10, 0, 0, 7]);
    assert_eq!(parse(&bytes, MAC).unwrap().server, Ipv4Addr::new(10, 0, 0, 7));
}

const RIVAL: Mac = Mac([2, 0, 0, 0, 0, 9]);

#[test]
fn an_address_that_somebody_has_is_declined() {
    // The owner answers before the grant, after it, and after the address is in use.
    for when in 0..3 {
        let mut machine = Machine::new(MAC, ClientId::Mac, 4, Duration::ZERO);
        let xid = sent(&machine.tick(Duration::ZERO)[0]).xid();
        machine.receive(Duration::ZERO, &parse(&reply(2, xid, &[]), MAC).unwrap());
        assert_eq!(machine.watched(Duration::ZERO), Some(ADDRESS));
        if when == 0 {
            assert!(machine.taken(Duration::ZERO, RIVAL).is_empty(), "there is nothing to decline yet");
        }
        let mut actions = machine.receive(Duration::ZERO, &parse(&reply(5, xid, &[]), MAC).unwrap());
        if when == 1 {
            actions = machine.taken(Duration::ZERO, RIVAL);
        }
        if when == 2 {
            let now = machine.due();
            assert!(matches!(machine.tick(now)[..], [Action::Configure(_)]));
            actions = machine.taken(now, RIVAL);
            assert_eq!(actions.remove(0), Action::Withdraw);
            assert_eq!(machine.watched(now + seconds(60)), None);
        }
        assert!(matches!(&actions[0], Action::Say(text) if text.contains("02:00:00:00:00:09")), "{actions:?}");
        let decline = sent(&actions[1]);
        assert_eq!(decline.opts().msg_type(), Some(MessageType::Decline));
        assert_eq!(decline.opts().get(OptionCode::RequestedIpAddress), Some(&DhcpOption::RequestedIpAddress(ADDRESS)));
        assert_eq!(decline.opts().get(OptionCode::ServerIdentifier), Some(&DhcpOption::ServerIdentifier(SERVER)));
        assert!(machine.unconfigured() && machine.due() >= seconds(1));
        let now = machine.due();
        assert_eq!(kind(&machine.tick(now)[0]), MessageType::Discover);
    }
}

#[test]
fn the_client_identifier_is_as_told() {
    for (client_id, wanted) in
        [(ClientId::None, None), (ClientId::Bytes(vec![0, 9, 9]), Some(DhcpOption::ClientIdentifier(vec![0, 9, 9])))]
    {
        let mut machine = Machine::new(MAC, client_id, 4, Duration::ZERO);
        let message = sent(&machine.tick(Duration::ZERO)[0]);
        assert_eq!(message.opts().get(OptionCode::ClientIdentifier).cloned(), wanted);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = unwrap(&bytes);
        let _ = parse(&bytes, MAC);
    }

    #[test]
    fn no_options_panic(kind in 1u8..9, options in prop::collection::vec(any::<u8>(), 0..400), cut in 0usize..700) {
        let mut bytes = reply(kind, 1, &options);
        let _ = parse(&bytes, MAC);
        bytes.truncate(cut);
        let _ = parse(&bytes, MAC);
    }

    #[test]
    fn no_option_value_panics(
        options in prop::collection::vec((prop::sample::select(vec![1u8, 3, 6, 12, 15, 26, 42, 51, 56, 58, 59, 119, 121]),
            prop::collection::vec(any::<u8>(), 0..300)), 0..8),
    ) {
        let mut bytes = Vec::new();
        for (code, value) in &options {
            for piece in value.chunks(255) {
                bytes.push(*code);
                bytes.push(piece.len() as u8);
                bytes.extend(piece);
            }
        }
        if let Ok(Reply { lease: Some(lease), .. }) = parse(&reply(5, 1, &bytes), MAC) {
            prop_assert!((1..=32).contains(&lease.prefix));
            prop_assert!(lease.renew <= lease.rebind);
            prop_assert!(lease.expiry().is_none_or(|expiry| lease.rebind <= expiry));
        }
    }

    /// Whatever arrives at whatever time: the next action is always in the future, and nothing is sent without pause.
    #[test]
    fn the_machine_never_storms(
        seed: u64,
        steps in prop::collection::vec((0u8..5, any::<bool>(), 0u32..200_000, 0u32..100), 1..60),
    ) {
        let mut now = Duration::ZERO;
        let mut machine = Machine::new(MAC, ClientId::Mac, seed, now);
        let mut xid = 0;
        for (what, ours, wait, lease) in steps {
            now += Duration::from_millis(wait.into());
            let mut actions = machine.tick(now);
            for action in &actions {
                if let Action::Broadcast(_) | Action::Send(..) = action {
                    xid = sent(action).xid();
                }
            }
            if what == 4 {
                actions.extend(machine.taken(now, RIVAL));
            } else if what > 0 {
                let kind = [2, 5, 6][usize::from(what) - 1];
                let options = [&[51, 4][..], &lease.to_be_bytes()].concat();
                let bytes = reply(kind, if ours { xid } else { !xid }, &options);
                actions.extend(machine.receive(now, &parse(&bytes, MAC).unwrap()));
            }
            prop_assert!(actions.len() <= 5);
            prop_assert!(machine.due() > now, "due {:?} at {now:?}", machine.due());
        }
    }
}
