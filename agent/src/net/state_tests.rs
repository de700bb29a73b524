use super::state::{Goal, Known, NetRoute, distinct, host_port, rank};
use super::{Interface, Method, NetworkState};
use crate::config::Mac;
use std::net::IpAddr;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn interface(name: &str, net: &str, router: Option<&str>) -> Interface {
    let any = if net.contains(':') { "::/0" } else { "0.0.0.0/0" };
    Interface {
        name: name.into(),
        mac: Mac([2; 6]),
        boot: false,
        method: Method::Dhcp,
        addresses: vec![net.parse().unwrap()],
        routes: router
            .map(|router| NetRoute { destination: any.parse().unwrap(), gateway: Some(ip(router)) })
            .into_iter()
            .collect(),
        metric: 100,
        dns: vec![ip("10.0.0.2"), ip("10.0.0.3")],
        search: vec!["a.example".into(), "rack.example".into()],
        ntp: vec!["10.0.0.4".into()],
        log_servers: vec![ip("10.0.0.5")],
        mtu: None,
        hostname: None,
        server: Some(ip("10.0.0.1")),
        lease_seconds: Some(3600),
    }
}

fn met(goal: &Goal, interfaces: &[Interface]) -> bool {
    goal.is_met(interfaces, Known::default())
}

fn goal(literal: &str) -> Goal {
    Goal { literals: vec![ip(literal)], ipv4: true }
}

#[test]
fn resolv_conf_lists_each_once() {
    let state =
        NetworkState { interfaces: vec![interface("a", "10.0.0.9/24", None), interface("b", "10.0.1.9/24", None)] };
    assert_eq!(
        state.resolv_conf(),
        "search a.example rack.example\nnameserver 10.0.0.2\nnameserver 10.0.0.3\noptions timeout:2 attempts:3\n"
    );
    assert_eq!(state.ntp_servers(), ["10.0.0.4"]);
    assert_eq!(state.addresses(), [ip("10.0.0.9"), ip("10.0.1.9")]);
}

#[test]
fn who_booted_and_who_answered_come_first() {
    let boot = Interface { boot: true, ..interface("boot", "10.0.3.9/24", None) };
    let link_local = interface("usb", "169.254.1.2/16", Some("169.254.1.1"));
    let bare = interface("bare", "10.0.1.9/24", None);
    let routed = interface("routed", "10.0.2.9/24", Some("10.0.2.1"));
    let ordered = |answered: Option<&str>| {
        let mut all = [link_local.clone(), bare.clone(), routed.clone(), boot.clone()];
        all.sort_by_key(|one| rank(one, answered));
        all.map(|one| one.name)
    };
    assert_eq!(ordered(None), ["boot", "routed", "bare", "usb"]);
    assert_eq!(ordered(Some("bare")), ["bare", "boot", "routed", "usb"]);
}

#[test]
fn an_address_without_a_router_is_not_yet_a_network() {
    let any = Goal { literals: Vec::new(), ipv4: true };
    let bare = [interface("a", "16.1.15.2/30", None)];
    assert!(!met(&any, &bare));
    assert!(!met(&any, &[]));
    assert!(met(&any, &[interface("a", "10.0.0.9/24", Some("10.0.0.1"))]));
    let lenient = Known { lenient: true, ..Known::default() };
    let answered = Known { answered: true, ..Known::default() };
    assert!(any.is_met(&bare, lenient) && any.is_met(&bare, answered));
    assert!(met(&any, &[Interface { boot: true, ..bare[0].clone() }]), "the NIC that booted");
    assert!(met(&goal("16.1.15.1"), &bare), "the controller is there");
    assert!(!met(&goal("192.0.2.10"), &bare));
    assert!(!any.is_met(&[interface("usb0", "169.254.1.2/16", None)], lenient), "leads to a management controller");
}

#[test]
fn the_family_of_the_controller_counts() {
    let six = [interface("a", "2001:db8::9/64", Some("fe80::1"))];
    assert!(met(&goal("2001:db8:7::1"), &six));
    assert!(!met(&goal("192.0.2.10"), &six));
    let any = Goal { literals: Vec::new(), ipv4: true };
    assert!(!met(&any, &six), "IPv4 may come in a moment");
    assert!(any.is_met(&six, Known { aged: true, ..Known::default() }));
    assert!(met(&Goal { ipv4: false, ..any }, &six));
}

#[test]
fn routes_lead_where_they_lead() {
    let mut one = interface("a", "10.0.0.9/24", None);
    assert!(one.leads_to(ip("10.0.0.77")) && !one.leads_to(ip("10.0.1.1")) && !one.leads_to(ip("::1")));
    one.routes.push(NetRoute { destination: "192.168.0.0/16".parse().unwrap(), gateway: Some(ip("10.0.0.1")) });
    assert!(one.leads_to(ip("192.168.3.4")) && one.is_near(ip("192.168.3.4")));
    let routed = interface("a", "10.0.0.9/24", Some("10.0.0.1"));
    assert!(routed.leads_to(ip("8.8.8.8")) && !routed.is_near(ip("8.8.8.8")));
}

#[test]
fn hosts_of_urls() {
    for (url, wanted) in [
        ("http://[2001:db8::1]:8080/x", Some(("2001:db8::1", 8080))),
        ("https://ctl.example/", Some(("ctl.example", 443))),
        ("http://u:p@10.0.0.1", Some(("10.0.0.1", 80))),
        ("nonsense", None),
    ] {
        let found = host_port(url);
        assert_eq!(found.as_ref().map(|(host, port)| (host.as_str(), *port)), wanted, "{url}");
    }
    assert_eq!(distinct([1, 2, 1, 3].into_iter()), [1, 2, 3]);
}
