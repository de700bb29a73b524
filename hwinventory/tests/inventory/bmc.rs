//! A BMC that answers over IPMI.

use crate::support::{self, Machine};
use hwinventory::model::Status;
use hwinventory::source::Query;
use std::sync::Arc;

fn ask(machine: &mut Machine, netfn: u8, command: u8, data: &[u8], answer: &[u8]) {
    let query = Query::Ipmi { device: "/dev/ipmi0".into(), netfn, command, data: data.to_vec() };
    machine.answer(&query, &[&[0u8][..], answer].concat());
}

/// The BMC's LAN is channel 8; the ones before are serial lines.
fn machine() -> Machine {
    let mut machine = Machine::default();
    machine.file("/sys/class/ipmi/ipmi0/dev", "240:0\n");
    ask(&mut machine, 6, 0x01, &[], &[0x20, 0x81, 0x07, 0x12, 0x02, 0xbf, 0xa2, 0x02, 0x00, 0x00, 0x01]);
    ask(&mut machine, 6, 0x42, &[1], &[1, 5, 1, 0]);
    ask(&mut machine, 6, 0x42, &[8], &[8, 4, 1, 0]);
    let mut lan = |number: u8, set: u8, value: &[u8]| {
        ask(&mut machine, 0x0c, 0x02, &[8, number, set, 0], &[&[0x11u8][..], value].concat());
    };
    lan(3, 0, &[192, 0, 2, 10]);
    lan(4, 0, &[2]);
    lan(5, 0, &[0x00, 0x25, 0x90, 0x01, 0x02, 0x03]);
    lan(6, 0, &[255, 255, 255, 0]);
    lan(12, 0, &[192, 0, 2, 1]);
    lan(20, 0, &[0x64, 0x80]);
    machine
}

fn ipv6(set: u8, source: u8, address: &str, prefix: u8, status: u8) -> Vec<u8> {
    let address: std::net::Ipv6Addr = address.parse().expect("an address");
    [&[set, source][..], &address.octets(), &[prefix, status]].concat()
}

#[test]
fn both_families_firmware_and_mac() {
    let mut machine = machine();
    let mut lan = |number: u8, set: u8, value: &[u8]| {
        ask(&mut machine, 0x0c, 0x02, &[8, number, set, 0], &[&[0x11u8][..], value].concat());
    };
    lan(51, 0, &[2]);
    lan(55, 0, &[2, 2, 3]);
    lan(56, 0, &ipv6(0, 0x80, "2001:db8::10", 64, 0));
    lan(56, 1, &ipv6(1, 0, "::", 0, 1));
    lan(59, 0, &ipv6(0, 1, "fe80::225:90ff:fe01:203", 64, 0));
    lan(59, 1, &ipv6(1, 2, "2001:db8::1000", 128, 4));
    let inventory = support::collect(Arc::new(machine));
    let bmc = &inventory.bmc.data;
    assert_eq!(inventory.bmc.status, Status::Ok, "{:?}", inventory.bmc.problems);
    assert_eq!((bmc.firmware.as_deref(), bmc.manufacturer.as_deref()), (Some("7.12"), Some("Dell")));
    assert_eq!(
        (bmc.channel, bmc.address.as_deref(), bmc.address_source.as_deref()),
        (Some(8), Some("192.0.2.10"), Some("dhcp"))
    );
    assert_eq!(
        (bmc.netmask.as_deref(), bmc.gateway.as_deref(), bmc.vlan),
        (Some("255.255.255.0"), Some("192.0.2.1"), Some(100))
    );
    assert_eq!(bmc.mac.as_deref(), Some("00:25:90:01:02:03"));
    assert_eq!(bmc.ipv6_enabled, Some(true));
    let six: Vec<_> = bmc
        .ipv6_addresses
        .iter()
        .map(|a| (a.address.as_str(), a.source.as_deref().unwrap_or("?"), a.status.as_deref().unwrap_or("?")))
        .collect();
    assert_eq!(
        six,
        [
            ("2001:db8::10/64", "static", "active"),
            ("fe80::225:90ff:fe01:203/64", "slaac", "active"),
            ("2001:db8::1000/128", "dhcp", "deprecated"),
        ]
    );
}

#[test]
fn a_bmc_of_before_ipv6() {
    let mut machine = machine();
    // "Parameter not supported", with nothing behind.
    for number in [51, 55, 56, 59] {
        let query =
            Query::Ipmi { device: "/dev/ipmi0".into(), netfn: 0x0c, command: 0x02, data: vec![8, number, 0, 0] };
        machine.answer(&query, &[0x80]);
    }
    let inventory = support::collect(Arc::new(machine));
    assert_eq!((inventory.bmc.data.ipv6_enabled, inventory.bmc.data.ipv6_addresses.len()), (None, 0));
    assert_eq!(inventory.bmc.data.address.as_deref(), Some("192.0.2.10"));
}

/// A device node that nobody answers behind.
#[test]
fn a_bmc_that_says_nothing_is_there_all_the_same() {
    let mut machine = Machine::default();
    machine.file("/sys/class/ipmi/ipmi0/dev", "240:0\n");
    let inventory = support::collect(Arc::new(machine));
    assert_eq!(inventory.bmc.data.device.as_deref(), Some("/dev/ipmi0"));
    assert_eq!(inventory.bmc.data.firmware, None);
}

/// A dedicated port without a cable and address, one that is shared and in use, and one with IPv6 only.
#[test]
fn all_ports_are_listed_and_the_one_with_an_address_comes_first() {
    let mut machine = machine();
    for (channel, last) in [(1u8, 1u8), (3, 3)] {
        ask(&mut machine, 6, 0x42, &[channel], &[channel, 4, 1, 0]);
        let mut lan = |number: u8, value: &[u8]| {
            ask(&mut machine, 0x0c, 0x02, &[channel, number, 0, 0], &[&[0x11u8][..], value].concat());
        };
        lan(3, &[0; 4]);
        lan(4, &[2]);
        lan(5, &[0xa4, 0xbf, 1, 0, 0, last]);
    }
    let address = ipv6(0, 0x80, "2001:db8::33", 64, 0);
    ask(&mut machine, 0x0c, 0x02, &[3, 56, 0, 0], &[&[0x11u8][..], &address].concat());
    let inventory = support::collect(Arc::new(machine));
    let bmc = &inventory.bmc.data;
    let channels: Vec<_> = bmc.channels.iter().map(|c| (c.channel, c.address.as_deref(), c.mac.as_deref())).collect();
    assert_eq!(
        channels,
        [
            (8, Some("192.0.2.10"), Some("00:25:90:01:02:03")),
            (3, None, Some("a4:bf:01:00:00:03")),
            (1, None, Some("a4:bf:01:00:00:01")),
        ]
    );
    assert_eq!((bmc.channel, bmc.address.as_deref()), (Some(8), Some("192.0.2.10")));
    assert_eq!(bmc.channels[1].ipv6_addresses[0].address, "2001:db8::33/64");
}
