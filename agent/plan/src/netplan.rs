//! The network configuration of the installed system, in netplan version 2 as cloud-init reads it: MAC matches instead
//! of kernel names, and interfaces named after their roles.

use super::attributes::Attributes;
use super::nics::Chosen;
use super::refusal::Reason;
use burin_protocol::order::{Interface, Role};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

pub fn netplan(roles: &BTreeMap<String, Role>, chosen: &Chosen, attributes: &Attributes) -> Result<Value, Reason> {
    let (mut ethernets, mut bonds, mut vlans) = (Map::new(), Map::new(), Map::new());
    for (name, role) in roles {
        let at = format!("/network/{}", name.replace('~', "~0").replace('/', "~1"));
        let macs = chosen.get(name).map(Vec::as_slice).unwrap_or_default();
        let config = interface(&role.interface, attributes, &format!("{at}/interface"))?;
        let Some(first) = macs.first() else { continue };
        let ethernet = |mac: &str, name: &str| json!({ "match": { "macaddress": mac }, "set-name": name });
        match &role.bond {
            Some(bond) => {
                let mut members = Vec::new();
                for (i, mac) in macs.iter().enumerate() {
                    let member = format!("{name}{i}");
                    ethernets.insert(member.clone(), ethernet(mac, &member));
                    members.push(member);
                }
                let mut parameters = Map::new();
                parameters.insert("mode".to_owned(), json!(bond.mode));
                parameters.insert("mii-monitor-interval".to_owned(), json!(bond.mii_monitor_interval.unwrap_or(100)));
                if let Some(rate) = &bond.lacp_rate {
                    parameters.insert("lacp-rate".to_owned(), json!(rate));
                }
                if let Some(policy) = &bond.transmit_hash_policy {
                    parameters.insert("transmit-hash-policy".to_owned(), json!(policy));
                }
                let mut value = config;
                value.insert("interfaces".to_owned(), json!(members));
                // The first member's address: DHCP servers know the machine by it.
                value.insert("macaddress".to_owned(), json!(first));
                value.insert("parameters".to_owned(), Value::Object(parameters));
                bonds.insert(name.clone(), Value::Object(value));
            }
            None => {
                for (i, mac) in macs.iter().enumerate() {
                    let id = if macs.len() == 1 { name.clone() } else { format!("{name}{i}") };
                    let mut value = ethernet(mac, &id);
                    if let Some(map) = value.as_object_mut() {
                        map.extend(config.clone());
                    }
                    ethernets.insert(id, value);
                }
            }
        }
        for (vlan_name, vlan) in &role.vlans {
            let mut value = interface(&vlan.interface, attributes, &format!("{at}/vlans/{vlan_name}/interface"))?;
            value.insert("id".to_owned(), json!(vlan.id));
            value.insert("link".to_owned(), json!(name));
            vlans.insert(vlan_name.clone(), Value::Object(value));
        }
    }
    let mut config = Map::new();
    config.insert("version".to_owned(), json!(2));
    for (kind, map) in [("ethernets", ethernets), ("bonds", bonds), ("vlans", vlans)] {
        if !map.is_empty() {
            config.insert(kind.to_owned(), Value::Object(map));
        }
    }
    Ok(Value::Object(config))
}

fn interface(config: &Interface, attributes: &Attributes, at: &str) -> Result<Map<String, Value>, Reason> {
    let mut map = Map::new();
    for (key, value) in [("dhcp4", config.dhcp4), ("dhcp6", config.dhcp6), ("optional", config.optional)] {
        if let Some(value) = value {
            map.insert(key.to_owned(), json!(value));
        }
    }
    if let Some(mtu) = config.mtu {
        map.insert("mtu".to_owned(), json!(mtu));
    }
    let addresses = attributes.texts(&config.addresses, &format!("{at}/addresses"))?;
    for address in &addresses {
        prefix(address).ok_or_else(|| bad(at, "addresses", address, "an address with its prefix length"))?;
    }
    if !addresses.is_empty() {
        map.insert("addresses".to_owned(), json!(addresses));
    }
    let mut routes = Vec::new();
    if let Some(gateway) = &config.gateway {
        let via = attributes.text(gateway, &format!("{at}/gateway"))?;
        let address: IpAddr = via.parse().map_err(|_| bad(at, "gateway", &via, "an IP address"))?;
        // netplan accepts `default`, but older cloud-init renderers know only the written-out form.
        let to = if address.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        routes.push(json!({ "to": to, "via": via }));
    }
    for (i, route) in config.routes.iter().enumerate() {
        let via = attributes.text(&route.via, &format!("{at}/routes/{i}/via"))?;
        let address: IpAddr = via.parse().map_err(|_| bad(at, "routes", &via, "an IP address"))?;
        let mut to = attributes.text(&route.to, &format!("{at}/routes/{i}/to"))?;
        if to == "default" {
            to = if address.is_ipv4() { "0.0.0.0/0" } else { "::/0" }.to_owned();
        }
        prefix(&to).ok_or_else(|| bad(at, "routes", &to, "a network with its prefix length, or `default`"))?;
        let mut value = json!({ "to": to, "via": via });
        if let (Some(metric), Some(map)) = (route.metric, value.as_object_mut()) {
            map.insert("metric".to_owned(), json!(metric));
        }
        routes.push(value);
    }
    if !routes.is_empty() {
        map.insert("routes".to_owned(), json!(routes));
    }
    if let Some(dns) = &config.dns {
        let mut servers = Map::new();
        let addresses = attributes.texts(&dns.addresses, &format!("{at}/dns/addresses"))?;
        for address in &addresses {
            address.parse::<IpAddr>().map_err(|_| bad(at, "dns/addresses", address, "an IP address"))?;
        }
        let search = attributes.texts(&dns.search, &format!("{at}/dns/search"))?;
        for (key, list) in [("addresses", addresses), ("search", search)] {
            if !list.is_empty() {
                servers.insert(key.to_owned(), json!(list));
            }
        }
        map.insert("nameservers".to_owned(), Value::Object(servers));
    }
    Ok(map)
}

fn bad(at: &str, field: &str, value: &str, expected: &str) -> Reason {
    Reason::BadValue { at: format!("{at}/{field}"), message: format!("`{value}` is not {expected}") }
}

/// `10.0.0.5/24`, `2001:db8::/32`.
fn prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}
