//! Links from the kernel command line: renames, bonds and VLANs, made as soon as what they need exists.

use super::NetError;
use super::choose::is;
use super::netlink::{Link, Netlink};
use crate::config::{BondLink, Mac, NetworkPlan, VlanChoice};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long to wait for a bond's members before it is made of those that exist.
const MEMBERS: Duration = Duration::from_secs(15);
/// The longest interface name.
const NAME: usize = 15;

/// VLANs announced by LLDP, by the index of the link that heard them.
pub type Heard = Arc<Mutex<HashMap<u32, Vec<u16>>>>;

#[derive(Debug)]
pub struct Made {
    plan: NetworkPlan,
    boot: Option<Mac>,
    sysfs: PathBuf,
    /// Names of links that we made.
    ours: HashSet<String>,
    pub heard: Heard,
    complaints: HashSet<String>,
}

impl Made {
    pub fn new(plan: &NetworkPlan, boot: Option<Mac>, root: &Path) -> Self {
        let (ours, heard, complaints) = (HashSet::new(), Heard::default(), HashSet::new());
        Self { plan: plan.clone(), boot, sysfs: root.join("sys/class/net"), ours, heard, complaints }
    }

    /// Whether there are no links to make.
    pub fn is_idle(&self) -> bool {
        let plan = &self.plan;
        let macs = plan.addressing.iter().any(|one| one.mac.is_some());
        plan.vlans.is_empty() && plan.bonds.is_empty() && plan.renames.is_empty() && plan.vlan.is_none() && !macs
    }

    /// Makes whatever can be made now. Returns true if something changed and links must be listed again.
    pub fn make(&mut self, netlink: &mut Netlink, links: &[Link], elapsed: Duration) -> bool {
        let mut changed = false;
        for result in [self.names(netlink, links), self.bonds(netlink, links, elapsed), self.vlans(netlink, links)] {
            match result {
                Ok(some) => changed |= some,
                // Reported once, not at every attempt.
                Err(error) => {
                    let text = chain(&error);
                    if self.complaints.insert(text.clone()) {
                        log::warn!("network: {text}");
                    }
                }
            }
        }
        changed
    }

    /// `ifname=`, and the MAC of `ip=`.
    fn names(&self, netlink: &mut Netlink, links: &[Link]) -> Result<bool, NetError> {
        let mut changed = false;
        for (name, mac) in &self.plan.renames {
            if let Some(link) = links.iter().find(|link| link.is_nic() && link.mac == Some(*mac) && link.name != *name)
            {
                netlink.set_down(link)?;
                netlink.rename(link, name)?;
                changed = true;
            }
        }
        for one in &self.plan.addressing {
            let (Some(device), Some(mac)) = (&one.device, one.mac) else { continue };
            if let Some(link) = links.iter().find(|link| link.name == *device && link.mac != Some(mac)) {
                netlink.set_down(link)?;
                netlink.set_mac(link, mac)?;
                changed = true;
            }
        }
        Ok(changed)
    }

    fn find<'a>(&self, links: &'a [Link], device: &str) -> Option<&'a Link> {
        let boot = |link: &&Link| device == "BOOTIF" && self.boot.is_some() && link.mac == self.boot;
        // If a NIC and a VLAN on it have the same MAC, the NIC is meant.
        let found = |link: &&Link| is(link, device) || boot(link);
        links.iter().filter(found).min_by_key(|link| link.software && link.name != device)
    }

    fn bonds(&mut self, netlink: &mut Netlink, links: &[Link], elapsed: Duration) -> Result<bool, NetError> {
        let mut changed = false;
        for bond in self.plan.bonds.clone() {
            let members: Vec<&Link> = bond.members.iter().filter_map(|member| self.find(links, member)).collect();
            let master = links.iter().find(|link| link.name == bond.name);
            let complete = members.len() == bond.members.len() || (elapsed >= MEMBERS && !members.is_empty());
            match master {
                None if complete => {
                    netlink.make_bond(&bond.name)?;
                    self.options(&bond, false);
                    self.ours.insert(bond.name.clone());
                    changed = true;
                }
                None => {}
                Some(master) => {
                    // bond0 may exist because the driver was loaded by something else, with another mode. A mode can be
                    // set only while there are no members, and other options after the mode.
                    if self.ours.insert(bond.name.clone()) {
                        self.options(&bond, false);
                    }
                    for member in members.iter().filter(|member| !member.enslaved && !member.software) {
                        if member.up {
                            netlink.set_down(member)?;
                        }
                        netlink.enslave(member, master.index)?;
                        log::info!("{}: {} is a member", bond.name, member.name);
                        changed = true;
                    }
                    if changed {
                        self.options(&bond, true);
                        if let Some(mtu) = bond.mtu {
                            netlink.set_mtu(master, mtu.into())?;
                        }
                    }
                }
            }
        }
        Ok(changed)
    }

    /// Set through sysfs, which accepts readable names; the primary only once it is a member.
    fn options(&self, bond: &BondLink, members: bool) {
        for (key, value) in bond.options.iter().filter(|(key, _)| (key == "primary") == members) {
            let path = self.sysfs.join(&bond.name).join("bonding").join(key);
            for value in value.split(',') {
                // Several targets must be added one by one.
                let value = if key.ends_with("_target") { format!("+{value}") } else { value.to_owned() };
                if let Err(error) = std::fs::write(&path, &value) {
                    log::warn!("{}: option {key}={value} is not accepted: {error}", bond.name);
                }
            }
        }
    }

    fn vlans(&mut self, netlink: &mut Netlink, links: &[Link]) -> Result<bool, NetError> {
        let mut wanted: Vec<(String, Link, u16)> = Vec::new();
        for vlan in &self.plan.vlans {
            wanted.extend(self.find(links, &vlan.parent).map(|parent| (vlan.name.clone(), parent.clone(), vlan.id)));
        }
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for link in links.iter().filter(|link| link.is_nic()) {
            let ids = match self.plan.vlan {
                None => continue,
                Some(VlanChoice::Id(id)) => vec![id],
                Some(VlanChoice::Lldp) => heard.get(&link.index).cloned().unwrap_or_default(),
            };
            wanted.extend(ids.into_iter().map(|id| (name(link, id), link.clone(), id)));
        }
        let mut changed = false;
        for (name, parent, id) in wanted {
            if !links.iter().any(|link| link.name == name) {
                netlink.make_vlan(&name, &parent, id)?;
                log::info!("{name}: VLAN {id} on {}", parent.name);
                changed = true;
            }
            self.ours.insert(name);
        }
        Ok(changed)
    }

    /// The links that may have addresses. A link that carries a VLAN or belongs to a bond is left out, unless it is
    /// named explicitly.
    pub fn usable<'a>(&self, links: &'a [Link], named: impl Fn(&Link) -> bool) -> Vec<&'a Link> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let members: Vec<&str> = self
            .plan
            .bonds
            .iter()
            .flat_map(|bond| &bond.members)
            .filter_map(|m| Some(self.find(links, m)?.name.as_str()))
            .collect();
        let parents: Vec<&str> =
            self.plan.vlans.iter().filter_map(|vlan| Some(self.find(links, &vlan.parent)?.name.as_str())).collect();
        let carries = |link: &Link| match self.plan.vlan {
            None => false,
            Some(VlanChoice::Id(_)) => true,
            // Not known until the switch has sent LLDP; if it announces no VLAN, the link itself is used.
            Some(VlanChoice::Lldp) => heard.get(&link.index).is_none_or(|ids| !ids.is_empty()),
        };
        let usable = |link: &&Link| {
            let name = link.name.as_str();
            let by_name = self.plan.devices().any(|device| device == name);
            if self.ours.contains(name) {
                return !parents.contains(&name) || by_name;
            }
            link.is_nic()
                && !members.contains(&name)
                && (!parents.contains(&name) || by_name)
                && (!carries(link) || by_name)
        };
        let mut usable: Vec<&Link> = links.iter().filter(usable).collect();
        // Named links first, so that a MAC shared by several means the one to be used.
        usable.sort_by_key(|link| !named(link));
        usable
    }

    pub fn is_ours(&self, link: &Link) -> bool {
        self.ours.contains(&link.name)
    }

    /// Whether VLANs are learnt from the switch.
    pub fn listens(&self) -> bool {
        self.plan.vlan == Some(VlanChoice::Lldp)
    }
}

fn chain(error: &NetError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

/// `eth0.100`, or a shorter name if that is too long for the kernel.
fn name(link: &Link, id: u16) -> String {
    let name = format!("{}.{id}", link.name);
    if name.len() <= NAME { name } else { format!("v{}.{id}", link.index) }
}
