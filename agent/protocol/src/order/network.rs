//! Network roles: NICs chosen by rule, and how each is configured in the installed system.

use super::layout::{Key, Tie};
use super::predicate::Predicate;
use super::value::{Text, Texts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// NICs with one role in the machine's network. The role's name becomes the interface's (or the bond's) name: at most
/// 13 characters of a-z, 0-9 and `-`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// What a NIC must satisfy: `mac`, `speed_mbps`, `carrier`, `driver`, `lldp...`, `pci...`, as in the inventory.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<Predicate>,
    /// Exactly this many; 1 unless `min` or `max` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order_by: Vec<Key>,
    #[serde(default)]
    pub tie: Tie,
    /// NICs chosen for these roles are excluded here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Combines the NICs into one interface. Needed for addresses on a role with several NICs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bond: Option<Bond>,
    #[serde(default)]
    pub interface: Interface,
    /// VLAN interfaces on top, by interface name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "super::maps::unique")]
    pub vlans: BTreeMap<String, Vlan>,
}

/// netplan's bond parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bond {
    /// `active-backup`, `802.3ad`, `balance-rr`, `balance-xor`, `broadcast`, `balance-tlb` or `balance-alb`.
    pub mode: String,
    /// `slow` or `fast`, with 802.3ad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacp_rate: Option<String>,
    /// `layer2`, `layer3+4`, `layer2+3`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transmit_hash_policy: Option<String>,
    /// Link check interval in milliseconds; default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mii_monitor_interval: Option<u32>,
}

/// Addresses and routes of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dhcp4: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dhcp6: Option<bool>,
    /// With prefix length: `10.0.0.5/24`, `2001:db8::5/64`.
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub addresses: Texts,
    /// Next hop of a default route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Text>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The system does not wait for it at boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// `192.168.0.0/16`, or `default`.
    pub to: Text,
    pub via: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub addresses: Texts,
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub search: Texts,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vlan {
    /// 1 to 4094.
    pub id: u16,
    #[serde(default)]
    pub interface: Interface,
}
