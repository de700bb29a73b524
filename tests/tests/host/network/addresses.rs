//! Addresses from realistic servers and switches.

use super::lab::{BOOT_MAC, CONTROLLER, Lab, Place};
use super::servers::{Dhcp, Heard, controller};
use super::switch;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

fn hello(lab: &Lab, callers: &Mutex<Vec<Heard>>) -> IpAddr {
    lab.until("hello", || callers.lock().unwrap().first().map(|heard| heard.from))
}

/// Replies from another port, several domains in option 15, unknown boot options.
#[test]
fn odd_servers_are_understood() {
    let Some(mut lab) = Lab::new() else { return };
    lab.boot_up();
    let extra = [&[60, 9][..], b"PXEClient", &[43, 4, 6, 200, 1, 9, 66, 3], b"tft", &[120, 0]].concat();
    let odd = Dhcp { port: 10067, domain: "prov.example lab.example", extra, ..Dhcp::new("boot0f", 2) };
    odd.serve(&lab, Place::Provisioning);
    let callers = controller(&lab, Place::Provisioning, CONTROLLER.parse().unwrap());
    lab.boot(&format!("burin.controller=http://{CONTROLLER}:8080"));
    assert_eq!(hello(&lab, &callers), Ipv4Addr::new(10, 9, 2, 50));
    assert!(lab.resolv_conf().starts_with("search prov.example lab.example\n"), "{}", lab.resolv_conf());
}

#[test]
fn an_address_that_somebody_has_is_declined() {
    let Some(mut lab) = Lab::new() else { return };
    lab.boot_up();
    lab.ip(Place::Provisioning, "addr add 10.9.2.50/24 dev boot0f");
    let heard = Dhcp::new("boot0f", 2).serve(&lab, Place::Provisioning);
    let callers = controller(&lab, Place::Provisioning, CONTROLLER.parse().unwrap());
    lab.boot(&format!("burin.controller=http://{CONTROLLER}:8080"));
    assert_eq!(hello(&lab, &callers), Ipv4Addr::new(10, 9, 2, 51));
    assert_eq!(*heard.lock().unwrap(), [1, 3, 4, 1, 3]);
    let addresses = lab.ip(Place::Machine, "-br addr show boot0");
    assert!(!addresses.contains("10.9.2.50"), "{addresses}");
}

#[test]
fn maas_names_the_nic_that_booted() {
    let Some(mut lab) = Lab::new() else { return };
    lab.data_up();
    lab.boot_up();
    let data = Dhcp::new("data0f", 1).serve(&lab, Place::Data);
    Dhcp::new("boot0f", 2).serve(&lab, Place::Provisioning);
    let callers = controller(&lab, Place::Provisioning, CONTROLLER.parse().unwrap());
    lab.boot(&format!("ip=::::m1:BOOTIF:dhcp ip6=off BOOTIF=01-{BOOT_MAC} burin.controller=http://{CONTROLLER}:8080"));
    assert_eq!(hello(&lab, &callers), Ipv4Addr::new(10, 9, 2, 50));
    assert!(data.lock().unwrap().is_empty());
}

#[test]
fn a_fixed_address_needs_no_server() {
    let Some(mut lab) = Lab::new() else { return };
    lab.data_up();
    lab.boot_up();
    let callers = controller(&lab, Place::Provisioning, CONTROLLER.parse().unwrap());
    lab.boot(&format!(
        "ifname=prov0:{} ip=10.9.2.77:::24:n1:prov0:none rd.route=192.0.2.0/24:10.9.2.1 burin.controller=http://{CONTROLLER}:8080",
        BOOT_MAC.replace('-', ":")
    ));
    assert_eq!(hello(&lab, &callers), Ipv4Addr::new(10, 9, 2, 77));
}

/// A link that cannot be made is reported: the agent does not wait for it silently.
#[test]
fn a_vlan_that_the_kernel_refuses_is_said() {
    let Some(mut lab) = Lab::new() else { return };
    lab.boot_up();
    lab.boot(&format!("vlan=boot0.100:boot0 ip=:::::boot0.100:dhcp burin.controller=http://{CONTROLLER}:8080"));
    let made = lab.until("a word on the VLAN", || {
        let said = lab.said();
        let made = said.contains("boot0.100: VLAN 100 on boot0");
        (made || said.contains("refused to make boot0.100")).then_some(made)
    });
    if !made {
        lab.until("what is waited for", || lab.said().contains("no interface boot0.100 yet").then_some(()));
    }
}

fn behind_a_channel(active: bool) {
    let Some(mut lab) = Lab::new() else { return };
    // boot0f is the switch's port; its other side leads to the provisioning network.
    lab.ip(Place::Provisioning, "addr flush dev boot0f");
    lab.ip(Place::Provisioning, "link add inside type veth peer name outside");
    lab.ip(Place::Provisioning, "addr add 10.9.2.1/24 dev inside");
    for link in ["inside", "outside"] {
        lab.ip(Place::Provisioning, &format!("link set {link} up"));
    }
    lab.boot_up();
    let open = switch::lacp(&lab, Place::Provisioning, "boot0f", "outside", active);
    Dhcp::new("inside", 2).serve(&lab, Place::Provisioning);
    lab.boot("burin.controller=http://10.9.2.1:8080");
    lab.until("a lease", || lab.said().contains("10.9.2.50/24").then_some(()));
    assert!(open.load(Ordering::Relaxed));
}

#[test]
fn a_port_that_speaks_lacp_is_answered() {
    behind_a_channel(true);
}

#[test]
fn a_port_that_waits_for_lacp_is_spoken_to() {
    behind_a_channel(false);
}
