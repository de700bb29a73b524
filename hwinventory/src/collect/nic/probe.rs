//! Adds to an interface what ethtool, netlink and LLDP know beyond sysfs.

use crate::model::{Address, Nic};
use crate::parse::{ethtool, lldp, netlink};
use crate::source::{Query, Reader};

/// How to listen for neighbours.
#[derive(Debug, Clone, Copy)]
pub struct Listening {
    pub seconds: u32,
    pub agent_off: bool,
}

pub fn collect(reader: &Reader, nic: &mut Nic, listening: Listening, publish: &dyn Fn(&Nic)) {
    let ask = |command: u32, length: u32| {
        reader.quiet_query(&Query::Ethtool { interface: nic.name.clone(), command, length }).ok()
    };
    let driver = ask(0x03, 196);
    let private_flags = driver.as_deref().and_then(ethtool::private_flag_count).unwrap_or(0);
    let driver = driver.and_then(|d| ethtool::driver_info(&d));
    let settings = ask(0x4c, 48 + 3 * 4 * 64).and_then(|d| ethtool::link_settings(&d));
    let wake = ask(0x05, 64).and_then(|d| ethtool::wake_on_lan(&d));
    let permanent = ask(0x20, 64).and_then(|d| ethtool::permanent_address(&d));
    if let Some((name, version, firmware)) = driver {
        nic.driver = nic.driver.take().or(name);
        nic.driver_version = version;
        nic.firmware = firmware;
    }
    if let Some(settings) = settings {
        nic.supported_modes = settings.modes;
        nic.max_speed = settings.max_speed;
        nic.connector = settings.connector.map(str::to_owned);
        nic.autonegotiation = settings.autonegotiation;
        // Drivers of links that are down answer with what they would like.
        if nic.carrier == Some(true) {
            nic.speed = nic.speed.or(settings.speed);
            nic.duplex = nic.duplex.take().or(settings.duplex.map(str::to_owned));
        }
    }
    nic.wake_on_lan = wake;
    if private_flags > 0
        && let Some((names, flags)) = ask(0x1b, 12 + 32 * 32).zip(ask(0x27, 8))
    {
        nic.lldp_agent = ethtool::lldp_flag(&names, &flags).map(|flag| flag.agent_on);
    }
    nic.permanent_mac = permanent.or(nic.permanent_mac.take());
    netlink(reader, nic);
    publish(nic);
    // Over a slow bus inside the card: what is known so far is handed over before.
    nic.transceiver = super::optics::collect(reader, &nic.name);
    if nic.transceiver.is_some() {
        publish(nic);
    }
    let Listening { seconds, agent_off } = listening;
    if seconds > 0 && nic.carrier == Some(true) {
        let query = Query::Lldp { interface: nic.name.clone(), seconds, agent_off };
        nic.lldp = reader.query(&query).map(|frames| lldp::frames(&frames)).unwrap_or_default();
        publish(nic);
    }
}

fn netlink(reader: &Reader, nic: &mut Nic) {
    let Some(index) = nic.index else { return };
    if let Ok(dump) = reader.quiet_query(&Query::Links) {
        let permanent = netlink::permanent_addresses(&dump).into_iter().find(|(i, _)| *i == index);
        if let Some((_, bytes)) = permanent.filter(|(_, bytes)| bytes.iter().any(|&b| b != 0)) {
            nic.permanent_mac = Some(ethtool::address(&bytes));
        }
    }
    if let Some(dump) = reader.query(&Query::Addresses) {
        nic.addresses = netlink::addresses(&dump)
            .into_iter()
            .filter(|(i, ..)| *i == index)
            .map(|(_, address, scope)| Address { address, scope: Some(scope.to_owned()) })
            .collect();
    }
}
