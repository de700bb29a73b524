//! Converts netplan version 2 to OpenStack's network metadata (network_data.json), which a config drive carries. It
//! contains no kernel names; links are found by their MAC address.

use super::refusal::Reason;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// netplan's bond parameters, and cloud-init's names for them in a link of type `bond`.
const BOND: [(&str, &str); 4] = [
    ("mode", "bond_mode"),
    ("mii-monitor-interval", "bond_miimon"),
    ("lacp-rate", "bond_lacp_rate"),
    ("transmit-hash-policy", "bond_xmit_hash_policy"),
];

/// Refuses, by name, what this format cannot express.
pub fn network_data(netplan: &Value) -> Result<Value, Reason> {
    let (mut links, mut networks) = (Vec::new(), Vec::new());
    let top = object(netplan, "the network configuration")?;
    let known = ["version", "ethernets", "bonds", "vlans", "renderer"];
    if let Some(key) = top.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(unsupported(&format!("`{key}`")));
    }
    for (kind, link) in [("ethernets", ethernet as Link), ("bonds", bond), ("vlans", vlan)] {
        let Some(section) = top.get(kind) else { continue };
        for (name, config) in object(section, kind)? {
            let config = object(config, name)?;
            links.push(link(top, name, config)?);
            addresses(name, config, &mut networks)?;
        }
    }
    Ok(json!({ "links": links, "networks": networks, "services": [] }))
}

type Link = fn(&Map<String, Value>, &str, &Map<String, Value>) -> Result<Value, Reason>;

fn ethernet(_: &Map<String, Value>, name: &str, config: &Map<String, Value>) -> Result<Value, Reason> {
    known(name, config, &["match", "set-name"])?;
    let mac = config.get("match").and_then(|rule| rule.get("macaddress")).and_then(Value::as_str);
    let mac = mac.ok_or_else(|| unsupported(&format!("the interface `{name}` without a MAC address")))?;
    let shown = config.get("set-name").and_then(Value::as_str).unwrap_or(name);
    Ok(with_mtu(json!({ "id": name, "name": shown, "type": "phy", "ethernet_mac_address": mac }), config))
}

fn bond(_: &Map<String, Value>, name: &str, config: &Map<String, Value>) -> Result<Value, Reason> {
    known(name, config, &["interfaces", "macaddress", "parameters"])?;
    let mut link = json!({ "id": name, "name": name, "type": "bond", "bond_links": config.get("interfaces") });
    if let Some(mac) = config.get("macaddress") {
        link["ethernet_mac_address"] = mac.clone();
    }
    let parameters = config.get("parameters").map(|parameters| object(parameters, name)).transpose()?;
    for (key, value) in parameters.into_iter().flatten() {
        let (_, theirs) = BOND.iter().find(|(ours, _)| ours == key).ok_or_else(|| unsupported(&format!("`{key}`")))?;
        link[*theirs] = value.clone();
    }
    Ok(with_mtu(link, config))
}

fn vlan(top: &Map<String, Value>, name: &str, config: &Map<String, Value>) -> Result<Value, Reason> {
    known(name, config, &["id", "link"])?;
    let below = config.get("link").and_then(Value::as_str).unwrap_or_default();
    let of = |kind: &str| top.get(kind).and_then(|section| section.get(below));
    let mac = of("bonds").and_then(|bond| bond.get("macaddress"));
    let mac = mac.or_else(|| of("ethernets").and_then(|link| link.get("match")?.get("macaddress")));
    let mac =
        mac.ok_or_else(|| unsupported(&format!("the VLAN `{name}` on `{below}`, whose MAC address is not known")))?;
    let link = json!({
        "id": name, "type": "vlan", "vlan_link": below, "vlan_id": config.get("id"), "vlan_mac_address": mac
    });
    Ok(with_mtu(link, config))
}

fn with_mtu(mut link: Value, config: &Map<String, Value>) -> Value {
    if let Some(mtu) = config.get("mtu") {
        link["mtu"] = mtu.clone();
    }
    link
}

/// One network for each address, and one for each kind of DHCP.
fn addresses(name: &str, config: &Map<String, Value>, networks: &mut Vec<Value>) -> Result<(), Reason> {
    let list = |key: &str| config.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let servers = config.get("nameservers");
    let told = |key: &str| servers.and_then(|servers| servers.get(key)).and_then(Value::as_array).cloned();
    let services: Vec<Value> = told("addresses")
        .unwrap_or_default()
        .iter()
        .map(|server| json!({ "type": "dns", "address": server }))
        .collect();
    let search = told("search").unwrap_or_default();
    let mut own = Vec::new();
    for (key, kind) in [("dhcp4", "ipv4_dhcp"), ("dhcp6", "ipv6_dhcp")] {
        if config.get(key).and_then(Value::as_bool) == Some(true) {
            own.push((None, json!({ "type": kind })));
        }
    }
    for address in list("addresses") {
        let (address, mask) = network(address.as_str().unwrap_or_default())?;
        let kind = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        own.push((
            Some(address.is_ipv4()),
            json!({ "type": kind, "ip_address": address, "netmask": mask, "routes": [] }),
        ));
    }
    for route in list("routes") {
        let text = |key: &str| route.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let to = match text("to").as_str() {
            "default" if text("via").contains(':') => "::/0".to_owned(),
            "default" => "0.0.0.0/0".to_owned(),
            other => other.to_owned(),
        };
        if route.get("metric").is_some() {
            return Err(unsupported("a route's `metric`"));
        }
        let (to, mask) = network(&to)?;
        // A route belongs to an address of the same family.
        let home = own.iter_mut().find(|(ipv4, _)| *ipv4 == Some(to.is_ipv4()));
        let (_, home) = home.ok_or_else(|| unsupported(&format!("a route of `{name}`, which has no such address")))?;
        if let Some(routes) = home.get_mut("routes").and_then(Value::as_array_mut) {
            routes.push(json!({ "network": to, "netmask": mask, "gateway": text("via") }));
        }
    }
    for (number, (_, mut network)) in own.into_iter().enumerate() {
        network["id"] = json!(format!("{name}-{number}"));
        network["network_id"] = network["id"].clone();
        network["link"] = json!(name);
        // Name servers are listed only once.
        if number == 0 && !services.is_empty() {
            network["services"] = json!(services);
        }
        if number == 0 && !search.is_empty() {
            network["dns_search"] = json!(search);
        }
        networks.push(network);
    }
    Ok(())
}

/// `10.0.0.5/24` as an address and a netmask.
fn network(text: &str) -> Result<(IpAddr, IpAddr), Reason> {
    let parsed = || {
        let (address, length) = text.split_once('/')?;
        let (address, length): (IpAddr, u32) = (address.parse().ok()?, length.parse().ok()?);
        let mask = match address {
            IpAddr::V4(_) if length <= 32 => IpAddr::V4(u32::MAX.checked_shl(32 - length).unwrap_or(0).into()),
            IpAddr::V6(_) if length <= 128 => IpAddr::V6(u128::MAX.checked_shl(128 - length).unwrap_or(0).into()),
            _ => return None,
        };
        Some((address, mask))
    };
    parsed().ok_or_else(|| unsupported(&format!("the address `{text}`")))
}

/// Checks that every key can be expressed in the result.
fn known(name: &str, config: &Map<String, Value>, own: &[&str]) -> Result<(), Reason> {
    const COMMON: [&str; 6] = ["dhcp4", "dhcp6", "mtu", "addresses", "routes", "nameservers"];
    let strange = config.iter().find(|(key, value)| {
        let nothing = key.as_str() == "optional" && **value == Value::Bool(false);
        !nothing && !own.contains(&key.as_str()) && !COMMON.contains(&key.as_str())
    });
    strange.map_or(Ok(()), |(key, _)| Err(unsupported(&format!("`{key}` of `{name}`"))))
}

fn object<'v>(value: &'v Value, what: &str) -> Result<&'v Map<String, Value>, Reason> {
    value.as_object().ok_or_else(|| unsupported(&format!("{what} as anything but an object")))
}

fn unsupported(what: &str) -> Reason {
    Reason::Unsupported { what: format!("{what} in the network configuration of a config-drive seed") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_by_address_and_networks_name_them() {
        let netplan = json!({ "version": 2,
            "ethernets": {
                "lan0": { "match": { "macaddress": "52:54:00:00:00:01" }, "set-name": "lan0" },
                "lan1": { "match": { "macaddress": "52:54:00:00:00:02" }, "set-name": "lan1" },
                "oob": { "match": { "macaddress": "52:54:00:00:00:03" }, "set-name": "oob", "dhcp4": true, "optional": false }
            },
            "bonds": { "lan": {
                "interfaces": ["lan0", "lan1"], "macaddress": "52:54:00:00:00:01", "mtu": 9000,
                "parameters": { "mode": "802.3ad", "mii-monitor-interval": 100 },
                "addresses": ["10.20.0.17/24", "2001:db8::17/64"],
                "routes": [{ "to": "0.0.0.0/0", "via": "10.20.0.1" }, { "to": "default", "via": "2001:db8::1" }],
                "nameservers": { "addresses": ["10.20.0.2"], "search": ["lan"] }
            } },
            "vlans": { "storage": { "id": 42, "link": "lan", "addresses": ["10.42.0.17/16"] } }
        });
        let made = network_data(&netplan).unwrap();
        let link = |id: &str| made["links"].as_array().unwrap().iter().find(|link| link["id"] == id).unwrap();
        assert_eq!(
            *link("lan0"),
            json!({ "id": "lan0", "name": "lan0", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01" })
        );
        let bond = json!({
            "id": "lan", "name": "lan", "type": "bond", "bond_links": ["lan0", "lan1"], "mtu": 9000, "bond_mode": "802.3ad",
            "bond_miimon": 100, "ethernet_mac_address": "52:54:00:00:00:01"
        });
        assert_eq!(*link("lan"), bond);
        assert_eq!((&link("storage")["vlan_link"], &link("storage")["vlan_id"]), (&json!("lan"), &json!(42)));
        assert_eq!(link("storage")["vlan_mac_address"], "52:54:00:00:00:01");
        let wanted = json!([
            { "id": "oob-0", "network_id": "oob-0", "link": "oob", "type": "ipv4_dhcp" },
            { "id": "lan-0", "network_id": "lan-0", "link": "lan", "type": "ipv4", "ip_address": "10.20.0.17", "netmask": "255.255.255.0",
              "routes": [{ "network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.20.0.1" }],
              "services": [{ "type": "dns", "address": "10.20.0.2" }], "dns_search": ["lan"] },
            { "id": "lan-1", "network_id": "lan-1", "link": "lan", "type": "ipv6", "ip_address": "2001:db8::17",
              "netmask": "ffff:ffff:ffff:ffff::", "routes": [{ "network": "::", "netmask": "::", "gateway": "2001:db8::1" }] },
            { "id": "storage-0", "network_id": "storage-0", "link": "storage", "type": "ipv4", "ip_address": "10.42.0.17",
              "netmask": "255.255.0.0", "routes": [] }
        ]);
        assert_eq!(made["networks"], wanted);
    }

    #[test]
    fn what_has_no_place_there_is_refused_by_name() {
        let with = |config: Value| network_data(&json!({ "version": 2, "ethernets": { "x": config } }));
        let rule = json!({ "macaddress": "52:54:00:00:00:01" });
        for (config, says) in [
            (json!({ "match": rule, "wakeonlan": true }), "`wakeonlan` of `x`"),
            (json!({ "match": rule, "optional": true }), "`optional`"),
            (json!({ "match": { "driver": "ice" } }), "without a MAC"),
            (json!({ "match": rule, "addresses": ["10.0.0.1"] }), "`10.0.0.1`"),
            (
                json!({ "match": rule, "dhcp4": true, "routes": [{ "to": "default", "via": "10.0.0.1" }] }),
                "no such address",
            ),
            (
                json!({ "match": rule, "addresses": ["10.0.0.2/8"], "routes": [{ "to": "default", "via": "10.0.0.1", "metric": 5 }] }),
                "metric",
            ),
        ] {
            let said = with(config).unwrap_err().to_string();
            assert!(said.contains(says) && said.ends_with("is not supported yet"), "{said}");
        }
        assert!(network_data(&json!({ "version": 2, "wifis": {} })).is_err());
    }
}
