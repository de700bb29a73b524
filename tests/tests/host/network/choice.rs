//! The choice of the network.

use super::lab::{BOOT_MAC, CONTROLLER, DATA_MAC, Lab, Place};
use super::servers::{Dhcp, Heard, controller, dns};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

fn hello(lab: &Lab, callers: &Mutex<Vec<Heard>>) -> IpAddr {
    lab.until("hello", || callers.lock().unwrap().first().map(|heard| heard.from))
}

fn words() -> String {
    format!("BOOTIF=01-{BOOT_MAC} burin.controller=http://{CONTROLLER}:8080")
}

#[test]
fn the_nic_that_booted_is_waited_for_when_its_carrier_is_slow() {
    let Some(mut lab) = Lab::new() else { return };
    lab.data_up();
    let data = Dhcp::new("data0f", 1).serve(&lab, Place::Data);
    Dhcp::new("boot0f", 2).serve(&lab, Place::Provisioning);
    let callers = controller(&lab, Place::Provisioning, CONTROLLER.parse().unwrap());
    lab.boot(&words());
    thread::sleep(Duration::from_secs(14));
    assert!(data.lock().unwrap().is_empty(), "the other NIC was asked");
    lab.boot_up();
    assert_eq!(hello(&lab, &callers), Ipv4Addr::new(10, 9, 2, 50));
    assert!(data.lock().unwrap().is_empty());
}

#[test]
fn a_port_with_spanning_tree_is_waited_for() {
    let Some(mut lab) = Lab::new() else { return };
    lab.data_up();
    lab.ip(Place::Provisioning, "link add sw type bridge stp_state 1 forward_delay 1500");
    lab.ip(Place::Provisioning, "addr flush dev boot0f");
    lab.ip(Place::Provisioning, "link set boot0f master sw");
    lab.ip(Place::Provisioning, "addr add 10.9.2.1/24 dev sw");
    lab.ip(Place::Provisioning, "link set sw up");
    lab.boot_up();
    Dhcp::new("data0f", 1).serve(&lab, Place::Data);
    Dhcp::new("sw", 2).serve(&lab, Place::Provisioning);
    let callers = controller(&lab, Place::Provisioning, CONTROLLER.parse().unwrap());
    lab.boot(&words());
    assert_eq!(hello(&lab, &callers), Ipv4Addr::new(10, 9, 2, 50));
}

#[test]
fn a_substitute_steps_back_when_the_nic_that_booted_comes() {
    let Some(mut lab) = Lab::new() else { return };
    lab.data_up();
    Dhcp::new("data0f", 1).serve(&lab, Place::Data);
    Dhcp::new("boot0f", 2).serve(&lab, Place::Provisioning);
    let callers = controller(&lab, Place::Provisioning, CONTROLLER.parse().unwrap());
    lab.boot(&words());
    lab.until("the substitute", || lab.resolv_conf().contains("10.9.1.1").then_some(()));
    lab.boot_up();
    assert_eq!(hello(&lab, &callers), Ipv4Addr::new(10, 9, 2, 50));
    let best = lab.ip(Place::Machine, &format!("route get {CONTROLLER}"));
    assert!(best.contains("dev boot0"), "{best}");
    let servers = lab.resolv_conf();
    assert!(servers.find("10.9.2.1") < servers.find("10.9.1.1"), "{servers}");
}

#[test]
fn a_lease_that_leads_nowhere_is_not_the_network() {
    let Some(mut lab) = Lab::new() else { return };
    lab.data_up();
    lab.boot_up();
    lab.ip(Place::Data, "addr add 16.1.15.1/30 dev data0f");
    let [server, first] = [1, 2].map(|last| Ipv4Addr::new(16, 1, 15, last));
    let mask = Ipv4Addr::new(255, 255, 255, 252);
    let dead = Dhcp { server, first, mask, router: None, dns: None, ..Dhcp::new("data0f", 1) };
    dead.serve(&lab, Place::Data);
    Dhcp { delay: Duration::from_secs(2), ..Dhcp::new("boot0f", 2) }.serve(&lab, Place::Provisioning);
    let callers = controller(&lab, Place::Provisioning, CONTROLLER.parse().unwrap());
    lab.boot(&format!("burin.controller=http://{CONTROLLER}:8080 burin.api=8443"));
    assert_eq!(hello(&lab, &callers), Ipv4Addr::new(10, 9, 2, 50));
    // Hello says where callers can reach the agent: on the network through which it was sent.
    let body = callers.lock().unwrap()[0].body.clone();
    assert!(body.contains("https://10.9.2.50:8443"), "{body}");
}

/// Both networks have a router; the first one's leads nowhere, and its name server does not know the name.
#[test]
fn the_network_through_which_the_controller_answers_becomes_the_first() {
    let Some(mut lab) = Lab::new() else { return };
    lab.data_up();
    lab.boot_up();
    let [data, provisioning] = [1, 2].map(|third| Ipv4Addr::new(10, 9, third, 1));
    Dhcp { domain: "corp.example", ..Dhcp::new("data0f", 1) }.serve(&lab, Place::Data);
    dns(&lab, Place::Data, data, "nothing.example", data);
    let late = Dhcp { domain: "prov.example", delay: Duration::from_secs(2), ..Dhcp::new("boot0f", 2) };
    late.serve(&lab, Place::Provisioning);
    dns(&lab, Place::Provisioning, provisioning, "ctl.prov.example", CONTROLLER.parse().unwrap());
    let callers = controller(&lab, Place::Provisioning, CONTROLLER.parse().unwrap());
    lab.boot("burin.controller=http://ctl:8080");
    assert_eq!(hello(&lab, &callers), Ipv4Addr::new(10, 9, 2, 50));
    let best = lab.ip(Place::Machine, &format!("route get {CONTROLLER}"));
    assert!(best.contains("dev boot0"), "{best}");
    assert!(lab.resolv_conf().starts_with("search prov.example"), "{}", lab.resolv_conf());
}

#[test]
fn the_management_controllers_nic_is_left_alone() {
    let Some(mut lab) = Lab::new() else { return };
    lab.data_up();
    lab.boot_up();
    let tables = lab.root.path().join("sys/firmware/dmi/tables");
    std::fs::create_dir_all(&tables).unwrap();
    // SMBIOS type 42: a USB network interface (version 2 of the description), with the NIC's MAC.
    let mac = DATA_MAC.split('-').map(|byte| u8::from_str_radix(byte, 16).unwrap());
    let mut device = vec![4, 17, 0x6b, 0x1d, 0x04, 0x01, 0];
    device.extend(mac);
    device.resize(17, 0);
    let mut table = vec![42, 0, 1, 0, 0x40, device.len() as u8];
    table.extend(device);
    table.push(0);
    table[1] = table.len() as u8;
    table.extend([0, 0, 127, 4, 2, 0, 0, 0]);
    std::fs::write(tables.join("DMI"), table).unwrap();
    let data = Dhcp::new("data0f", 1).serve(&lab, Place::Data);
    Dhcp { delay: Duration::from_secs(3), ..Dhcp::new("boot0f", 2) }.serve(&lab, Place::Provisioning);
    let callers = controller(&lab, Place::Provisioning, CONTROLLER.parse().unwrap());
    lab.boot(&format!("burin.controller=http://{CONTROLLER}:8080"));
    assert_eq!(hello(&lab, &callers), Ipv4Addr::new(10, 9, 2, 50));
    assert!(data.lock().unwrap().is_empty(), "it was asked for an address");
    assert!(lab.said().contains("data0: leads to the management controller"), "{}", lab.said());
}
