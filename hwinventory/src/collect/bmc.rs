//! The baseboard management controller: SMBIOS types 38 and 42, and IPMI.

use super::dmi;
use crate::model::{Bmc, BmcAddress, BmcChannel};
use crate::parse::names::natural;
use crate::parse::{ipmi, netlink, smbios};
use crate::source::{Query, Reader};

pub fn collect(reader: &Reader, publish: &dyn Fn(Bmc)) -> Option<Bmc> {
    let described = dmi::with_table(reader, |table| (smbios::bmc_interface(table), smbios::host_interfaces(table)));
    let (interface, host_interfaces) = described.unwrap_or_default();
    let mut names = reader.source().list("/sys/class/ipmi").unwrap_or_default();
    names.sort_by(|a, b| natural(a, b));
    let device = names.first().map(|n| format!("/dev/{n}"));
    if interface.is_none() && host_interfaces.is_empty() && device.is_none() {
        return None;
    }
    let mut bmc = Bmc { device: device.clone(), host_interfaces, ..Bmc::default() };
    if let Some((interface, version)) = interface {
        (bmc.interface, bmc.ipmi_version) = (interface, version);
    }
    publish(bmc.clone());
    if let Some(device) = device {
        ask(reader, device, &mut bmc, publish);
    }
    Some(bmc)
}

fn ask(reader: &Reader, device: String, bmc: &mut Bmc, publish: &dyn Fn(Bmc)) {
    let query = |netfn: u8, command: u8, data: &[u8]| Query::Ipmi {
        device: device.clone(),
        netfn,
        command,
        data: data.to_vec(),
    };
    let ask = |netfn: u8, command: u8, data: &[u8]| reader.quiet_query(&query(netfn, command, data)).ok();
    let Some(id) = reader.query(&query(0x06, 0x01, &[])).and_then(|a| ipmi::device_id(&a)) else { return };
    bmc.device_id = Some(id.device_id);
    bmc.firmware = Some(id.firmware);
    bmc.ipmi_version = Some(id.ipmi_version);
    bmc.manufacturer = ipmi::manufacturer(id.manufacturer_id).map(str::to_owned);
    bmc.manufacturer_id = Some(id.manufacturer_id);
    bmc.product_id = Some(id.product_id);
    publish(bmc.clone());
    bmc.guid = ask(0x06, 0x37, &[]).and_then(|a| ipmi::guid(&a));
    // Channels 1 to 11 may be anything; those that are a LAN are ports of the BMC.
    let channels = (1..=11u8).filter(|&c| ask(0x06, 0x42, &[c]).is_some_and(|a| ipmi::is_lan_channel(&a)));
    let channels: Vec<u8> = channels.collect();
    let parameter = |channel: u8, number: u8, set: u8| {
        ask(0x0c, 0x02, &[channel, number, set, 0]).and_then(|a| ipmi::parameter(&a).map(<[u8]>::to_vec))
    };
    for &channel in &channels {
        bmc.channels.push(ipv4(channel, &|number, set| parameter(channel, number, set)));
        lead(bmc);
        publish(bmc.clone());
    }
    for channel in channels {
        for step in [enabled, addresses] {
            let Some(found) = bmc.channels.iter_mut().find(|c| c.channel == u64::from(channel)) else { continue };
            step(found, &|number, set| parameter(channel, number, set));
            lead(bmc);
            publish(bmc.clone());
        }
    }
}

/// A parameter of a channel's LAN configuration, by its number and the set that is asked for.
type Parameter<'a> = &'a dyn Fn(u8, u8) -> Option<Vec<u8>>;

fn ipv4(channel: u8, parameter: Parameter<'_>) -> BmcChannel {
    let address = |number: u8| {
        let bytes = parameter(number, 0)?;
        netlink::ip(bytes.get(..4)?).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string())
    };
    BmcChannel {
        channel: u64::from(channel),
        address: address(3),
        netmask: address(6),
        gateway: address(12),
        address_source: parameter(4, 0).and_then(|p| ipmi::address_source(&p)).map(str::to_owned),
        mac: parameter(5, 0).and_then(|p| ipmi::mac(&p)),
        vlan: parameter(20, 0).and_then(|p| ipmi::vlan(&p)),
        ..BmcChannel::default()
    }
}

// IPv6: parameters 50 and up, which BMCs of before 2013 do not have.

fn enabled(channel: &mut BmcChannel, parameter: Parameter<'_>) {
    const ENABLES: u8 = 51;
    channel.ipv6_enabled = parameter(ENABLES, 0).and_then(|p| p.first().map(|&mode| mode != 0));
}

fn addresses(channel: &mut BmcChannel, parameter: Parameter<'_>) {
    const STATUS: u8 = 55;
    const STATIC: u8 = 56;
    const DYNAMIC: u8 = 59;
    let counts = parameter(STATUS, 0);
    let count = |at: usize| counts.as_ref().and_then(|c| c.get(at).copied());
    // Without the status parameter the first address of each kind is asked for all the same.
    for (number, most) in [(STATIC, count(0)), (DYNAMIC, count(1))] {
        for set in 0..most.unwrap_or(1).min(MOST_ADDRESSES) {
            let Some(answer) = parameter(number, set) else { break };
            if let Some((address, source, status)) = ipmi::ipv6_address(&answer) {
                let (source, status) = (source.map(str::to_owned), status.map(str::to_owned));
                channel.ipv6_addresses.push(BmcAddress { address, source, status });
            }
        }
    }
}

/// Each costs a question of some ten milliseconds; BMCs offer 16 places and use two.
const MOST_ADDRESSES: u8 = 16;

/// Orders the channels, the one that can be reached first, and repeats what that one says.
fn lead(bmc: &mut Bmc) {
    let routed = |c: &BmcChannel| c.ipv6_addresses.iter().any(|a| !a.address.starts_with("fe80:"));
    bmc.channels.sort_by_key(|c| (c.address.is_none(), !routed(c), c.channel));
    let Some(first) = bmc.channels.first().cloned() else { return };
    bmc.channel = Some(first.channel);
    (bmc.address, bmc.netmask, bmc.gateway) = (first.address, first.netmask, first.gateway);
    (bmc.mac, bmc.address_source, bmc.vlan) = (first.mac, first.address_source, first.vlan);
    (bmc.ipv6_addresses, bmc.ipv6_enabled) = (first.ipv6_addresses, first.ipv6_enabled);
}
