//! Decides which interfaces to use. No I/O.

use super::netlink::Link;
use crate::config::Mac;
use std::time::Duration;

/// How long to wait for the NIC that booted, at each step: to appear (drivers load firmware), to get a carrier, and to
/// be answered after that (a port with spanning tree forwards after 30 s; a switch that restarts takes longer).
const PATIENCE: Duration = Duration::from_secs(60);

/// What the user or the boot loader asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// Only these: kernel names, or MACs.
    Devices(Vec<String>),
    /// This one first; any other only if it fails.
    Boot(Mac),
    Any,
}

impl Want {
    /// `BOOTIF` among the devices means the NIC that booted.
    pub fn new<'a>(devices: impl Iterator<Item = &'a str>, boot: Option<Mac>) -> Self {
        let devices: Vec<String> = devices
            .map(|device| match boot {
                Some(mac) if device == "BOOTIF" => mac.to_string(),
                _ => device.to_owned(),
            })
            .filter(|device| device != "BOOTIF")
            .collect();
        match boot {
            _ if !devices.is_empty() => Self::Devices(devices),
            Some(mac) => Self::Boot(mac),
            None => Self::Any,
        }
    }

    /// Whether the link is named.
    pub fn names(&self, link: &Link) -> bool {
        match self {
            Self::Devices(devices) => devices.iter().any(|device| is(link, device)),
            Self::Boot(mac) => link.mac == Some(*mac),
            Self::Any => false,
        }
    }
}

/// Whether a device named on the kernel command line is this link.
pub fn is(link: &Link, device: &str) -> bool {
    link.name == device || link.mac.is_some() && link.mac == Mac::parse(device)
}

/// The current situation.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// Links that may be used at all.
    pub links: &'a [Link],
    /// Time since the network was requested.
    pub elapsed: Duration,
    /// Time since the NIC that booted got a carrier.
    pub carrier: Option<Duration>,
    /// A usable network exists.
    pub ready: bool,
}

/// The links to use now, and a readable reason if others must be waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub links: Vec<u32>,
    pub waiting: String,
}

pub fn choose(want: &Want, now: Situation<'_>) -> Choice {
    let dark = |links: &[&Link]| {
        let dark: Vec<&str> = links.iter().filter(|link| !link.carrier).map(|link| link.name.as_str()).collect();
        if dark.is_empty() { String::new() } else { format!("no carrier on {}", dark.join(" ")) }
    };
    let lit = |links: &[&Link]| links.iter().filter(|link| link.carrier).map(|link| link.index).collect::<Vec<_>>();
    let all: Vec<&Link> = now.links.iter().collect();
    let named: Vec<&Link> = now.links.iter().filter(|link| want.names(link)).collect();
    match want {
        Want::Any if all.is_empty() => wait("no network interface yet"),
        Want::Any => Choice { links: lit(&all), waiting: dark(&all) },
        Want::Devices(devices) => {
            let missing: Vec<&str> = devices
                .iter()
                .filter(|device| !named.iter().any(|link| is(link, device)))
                .map(String::as_str)
                .collect();
            let absent =
                if missing.is_empty() { String::new() } else { format!("no interface {} yet", missing.join(" ")) };
            let reasons: Vec<String> = [absent, dark(&named)].into_iter().filter(|why| !why.is_empty()).collect();
            Choice { links: lit(&named), waiting: reasons.join("; ") }
        }
        // Once the machine has a network, NICs that were not asked for are left alone; the one that booted is always
        // used.
        Want::Boot(_) if now.ready => Choice { links: lit(&named), waiting: String::new() },
        Want::Boot(mac) => {
            let (what, since) = match named.first() {
                None => (format!("no interface with {mac} (BOOTIF) yet"), now.elapsed),
                Some(link) if link.carrier => {
                    (format!("no answer on {} (BOOTIF)", link.name), now.carrier.unwrap_or_default())
                }
                Some(link) => (format!("no carrier on {} (BOOTIF)", link.name), now.elapsed),
            };
            if since < PATIENCE {
                return Choice { links: lit(&named), waiting: what };
            }
            Choice { links: lit(&all), waiting: format!("{what}, trying every NIC") }
        }
    }
}

/// Whether to accept an address without a router: there is no other link, or the waiting time is over.
pub fn lenient(now: Situation<'_>) -> bool {
    now.links.len() == 1 || now.elapsed >= PATIENCE
}

fn wait(why: &str) -> Choice {
    Choice { links: Vec::new(), waiting: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, carrier: bool) -> Link {
        Link {
            index,
            name: format!("eth{index}"),
            mac: Some(Mac([2, 0, 0, 0, 0, index as u8])),
            up: true,
            carrier,
            mtu: 1500,
            ethernet: true,
            software: false,
            enslaved: false,
            loopback: false,
            parent: None,
        }
    }

    fn at(want: &Want, links: &[Link], seconds: u64, ready: bool) -> Vec<u32> {
        let carrier = links.iter().any(|link| want.names(link) && link.carrier).then(|| Duration::from_secs(seconds));
        choose(want, Situation { links, elapsed: Duration::from_secs(seconds), carrier, ready }).links
    }

    #[test]
    fn without_a_boot_nic_carrier_decides_at_once() {
        let links = [link(1, false), link(2, true), link(3, true)];
        assert_eq!(at(&Want::Any, &links, 0, false), [2, 3]);
        assert_eq!(at(&Want::Any, &[], 100, false), [0; 0]);
    }

    #[test]
    fn the_boot_nic_goes_alone_while_it_may_still_work() {
        let boot = Want::Boot(Mac([2, 0, 0, 0, 0, 1]));
        let links = [link(1, true), link(2, true)];
        assert_eq!(at(&boot, &links, 0, false), [1]);
        assert_eq!(at(&boot, &links, 59, false), [1]);
        assert_eq!(at(&boot, &links, 60, false), [1, 2], "no answer: the others too");
        assert_eq!(at(&boot, &links, 100, true), [1], "there is a network: nobody else");
    }

    #[test]
    fn patience_counts_from_carrier() {
        let boot = Want::Boot(Mac([2, 0, 0, 0, 0, 1]));
        let links = [link(1, true), link(2, true)];
        let late = |carrier: u64| {
            let carrier = Some(Duration::from_secs(carrier));
            choose(&boot, Situation { links: &links, elapsed: Duration::from_secs(100), carrier, ready: false }).links
        };
        assert_eq!(late(45), [1], "carrier came at 55 s");
        assert_eq!(late(60), [1, 2]);
    }

    #[test]
    fn a_boot_nic_without_carrier_gets_a_minute() {
        let boot = Want::Boot(Mac([2, 0, 0, 0, 0, 1]));
        let links = [link(1, false), link(2, true)];
        assert_eq!(at(&boot, &links, 59, false), [0; 0]);
        assert_eq!(at(&boot, &links, 60, false), [2]);
    }

    #[test]
    fn a_boot_nic_that_is_not_there_gets_time_to_appear() {
        let boot = Want::Boot(Mac([9; 6]));
        let links = [link(1, true)];
        assert_eq!(at(&boot, &links, 59, false), [0; 0]);
        assert_eq!(at(&boot, &links, 60, false), [1]);
    }

    #[test]
    fn named_devices_are_the_only_ones() {
        let links = [link(1, false), link(2, true), link(3, true)];
        let devices = |names: &[&str], boot| Want::new(names.iter().copied(), boot);
        assert_eq!(at(&devices(&["eth1"], None), &links, 500, false), [0; 0]);
        assert_eq!(at(&devices(&["eth2"], None), &links, 0, false), [2]);
        assert_eq!(at(&devices(&["02-00-00-00-00-02", "eth1"], None), &links, 0, false), [2]);
        assert_eq!(at(&devices(&["BOOTIF"], Some(Mac([2, 0, 0, 0, 0, 3]))), &links, 0, false), [3]);
        assert_eq!(devices(&["BOOTIF"], None), Want::Any, "nobody knows which that is");
        let waiting = choose(
            &devices(&["eth1", "eth9"], None),
            Situation { links: &links, elapsed: Duration::ZERO, carrier: None, ready: false },
        );
        assert_eq!(waiting.waiting, "no interface eth9 yet; no carrier on eth1");
    }

    #[test]
    fn an_only_link_is_as_good_as_it_is() {
        let links = [link(1, true), link(2, false)];
        let at = |links: &[Link], seconds| {
            lenient(Situation { links, elapsed: Duration::from_secs(seconds), carrier: None, ready: false })
        };
        assert!(at(&links[..1], 0) && !at(&links, 59) && at(&links, 60));
    }
}
