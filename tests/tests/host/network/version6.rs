//! IPv6-only networks: radvd and dnsmasq.

use super::lab::{Lab, Place};
use super::servers::controller;
use crate::support::program::Child;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

const ROUTER: &str = "2001:db8:7::1";

/// The provisioning network with IPv6 only; the router is the controller's host.
fn lab() -> Option<Lab> {
    let missing = ["/usr/sbin/radvd", "/usr/sbin/dnsmasq"].iter().find(|path| !Path::new(path).exists());
    if let Some(missing) = missing {
        burin_skip::skip!("{missing} is not installed");
        return None;
    }
    let lab = Lab::new()?;
    lab.ip(Place::Provisioning, "addr flush dev boot0f");
    lab.boot_up();
    lab.ip(Place::Provisioning, &format!("addr add {ROUTER}/64 dev boot0f nodad"));
    Some(lab)
}

fn radvd(lab: &Lab, options: &str) -> Child {
    let path = lab.root.path().join("radvd.conf");
    let interface =
        format!("interface boot0f {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; {options} }};\n");
    std::fs::write(&path, interface).unwrap();
    // radvd requires forwarding; the namespace does nothing else.
    let forward = "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; exec radvd -n -p \"$0.pid\" -C \"$0\"";
    lab.program(Place::Provisioning, "sh", &["-c", forward, path.to_str().unwrap()])
}

fn dnsmasq(lab: &Lab, options: &[&str]) -> Child {
    let fixed =
        ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=", "--user=root"];
    let lease = format!("--dhcp-leasefile={}", lab.root.path().join("leases").display());
    let names =
        [lease.as_str(), "--host-record=ctl.prov.example,2001:db8:7::1", "--interface=boot0f", "--bind-interfaces"];
    lab.program(Place::Provisioning, "dnsmasq", &[&fixed[..], &names, options].concat())
}

fn hello(lab: &Lab) -> Ipv6Addr {
    let callers = controller(lab, Place::Provisioning, ROUTER.parse().unwrap());
    match lab.until("hello", || callers.lock().unwrap().first().map(|heard| heard.from)) {
        IpAddr::V6(address) => address,
        IpAddr::V4(address) => panic!("{address}"),
    }
}

/// SLAAC, name server and domain from the router; the controller by a short name with an AAAA record.
#[test]
fn routers_say_everything() {
    let Some(mut lab) = lab() else { return };
    let _radvd = radvd(&lab, "prefix 2001:db8:7::/64 {}; RDNSS 2001:db8:7::1 {}; DNSSL prov.example {};");
    let _names = dnsmasq(&lab, &[]);
    lab.boot("burin.controller=http://ctl:8080");
    assert_eq!(hello(&lab), "2001:db8:7:0:0:ff:fe00:2".parse::<Ipv6Addr>().unwrap(), "the address that firmware makes");
}

#[test]
fn a_literal_address_needs_no_names() {
    let Some(mut lab) = lab() else { return };
    let _radvd = radvd(&lab, "prefix 2001:db8:7::/64 {};");
    lab.boot("ip=off ip6=on burin.controller=http://[2001:db8:7::1]:8080");
    hello(&lab);
}

/// The O flag: addresses by SLAAC, other settings by DHCPv6.
#[test]
fn stateless_servers_give_names_and_time() {
    let Some(mut lab) = lab() else { return };
    let _radvd = radvd(&lab, "AdvOtherConfigFlag on; prefix 2001:db8:7::/64 {};");
    let options = ["--dhcp-range=2001:db8:7::,static,64", "--dhcp-option=option6:dns-server,[2001:db8:7::1]"];
    let domains =
        ["--dhcp-option=option6:domain-search,prov.example", "--dhcp-option=option6:ntp-server,[2001:db8:7::1]"];
    let _server = dnsmasq(&lab, &[options, domains].concat());
    lab.boot("burin.controller=http://ctl:8080");
    assert_eq!(hello(&lab).segments()[..4], [0x2001, 0xdb8, 7, 0]);
    assert!(lab.said().contains("time server 2001:db8:7::1"), "{}", lab.said());
}

/// The M flag, and no prefix for autoconfiguration; the command line words are MAAS's.
#[test]
fn stateful_servers_give_addresses() {
    let Some(mut lab) = lab() else { return };
    let _radvd = radvd(&lab, "AdvManagedFlag on; prefix 2001:db8:7::/64 { AdvAutonomous off; };");
    let options =
        ["--dhcp-range=2001:db8:7::77,2001:db8:7::77,64,1h", "--dhcp-option=option6:dns-server,[2001:db8:7::1]"];
    let _server = dnsmasq(&lab, &[&options[..], &["--dhcp-option=option6:domain-search,prov.example"]].concat());
    lab.boot("ip=off ip6=dhcp burin.controller=http://ctl.prov.example:8080");
    assert_eq!(hello(&lab), "2001:db8:7::77".parse::<Ipv6Addr>().unwrap());
}
