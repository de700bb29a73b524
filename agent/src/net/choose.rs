//! Which interfaces to use, pure.

use super::netlink::Link;
use crate::config::Mac;
use std::time::Duration;

/// A driver may need this long before the NIC that booted appears.
const APPEAR: Duration = Duration::from_secs(20);
/// Autonegotiation with a slow partner, from when the NIC that booted was set up.
const NEGOTIATE: Duration = Duration::from_secs(10);
/// The NIC that booted has carrier and no server answers it.
const ANSWER: Duration = Duration::from_secs(30);

/// What the user or the boot loader said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// Only this one: a kernel name, or a MAC.
    Device(String),
    /// This one first, any other only when it fails.
    Boot(Mac),
    Any,
}

impl Want {
    pub fn new(device: Option<&str>, boot: Option<Mac>) -> Self {
        match (device, boot) {
            (Some(device), _) => Self::Device(device.to_owned()),
            (None, Some(mac)) => Self::Boot(mac),
            (None, None) => Self::Any,
        }
    }

    /// True when the link is the one named.
    pub fn names(&self, link: &Link) -> bool {
        match self {
            Self::Device(device) => link.name == *device || link.mac.is_some() && link.mac == Mac::parse(device),
            Self::Boot(mac) => link.mac == Some(*mac),
            Self::Any => false,
        }
    }
}

/// What is known at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    pub links: &'a [Link],
    /// Since the network was asked for.
    pub elapsed: Duration,
    /// Since the named NIC appeared and was set up.
    pub named: Option<Duration>,
    /// Some interface has an address.
    pub leased: bool,
}

/// The links to use now, and why not more, in plain words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub links: Vec<u32>,
    pub waiting: String,
}

pub fn choose(want: &Want, now: Situation<'_>) -> Choice {
    let candidates = || now.links.iter().filter(|link| link.candidate);
    let any = || candidates().filter(|link| link.carrier).map(|link| link.index).collect::<Vec<_>>();
    let named = candidates().find(|link| want.names(link));
    let only = |link: &Link| if link.carrier { vec![link.index] } else { Vec::new() };
    match (want, named) {
        (Want::Any, _) if candidates().next().is_none() => wait("no network interface yet"),
        (Want::Any, _) => {
            let dark: Vec<&str> = candidates().filter(|link| !link.carrier).map(|link| link.name.as_str()).collect();
            let waiting = if dark.is_empty() { String::new() } else { format!("no carrier on {}", dark.join(" ")) };
            Choice { links: any(), waiting }
        }
        (Want::Device(device), None) => wait(&format!("no interface {device} yet")),
        (Want::Device(_), Some(link)) if link.carrier => Choice { links: only(link), waiting: String::new() },
        (Want::Device(_), Some(link)) => wait(&format!("no carrier on {}", link.name)),
        // Once the machine has a network, NICs that nobody asked for stay alone.
        (Want::Boot(_), named) if now.leased => {
            Choice { links: named.map(only).unwrap_or_default(), waiting: String::new() }
        }
        (Want::Boot(mac), None) if now.elapsed < APPEAR => wait(&format!("no interface with {mac} (BOOTIF) yet")),
        (Want::Boot(mac), None) => {
            Choice { links: any(), waiting: format!("no interface has {mac} (BOOTIF), trying every NIC") }
        }
        (Want::Boot(_), Some(link)) => {
            let since = now.named.unwrap_or_default();
            let patience = if link.carrier { ANSWER } else { NEGOTIATE };
            let what = if link.carrier { "no answer on" } else { "no carrier on" };
            let (links, others) = if since < patience { (only(link), "") } else { (any(), ", trying every NIC") };
            Choice { links, waiting: format!("{what} {} (BOOTIF){others}", link.name) }
        }
    }
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
            candidate: true,
            loopback: false,
        }
    }

    fn at(want: &Want, links: &[Link], seconds: u64, leased: bool) -> Vec<u32> {
        let named = links.iter().any(|link| want.names(link)).then(|| Duration::from_secs(seconds));
        choose(want, Situation { links, elapsed: Duration::from_secs(seconds), named, leased }).links
    }

    #[test]
    fn without_a_boot_nic_carrier_decides_at_once() {
        let links = [link(1, false), link(2, true), link(3, true)];
        assert_eq!(at(&Want::Any, &links, 0, false), [2, 3]);
        assert_eq!(at(&Want::Any, &[], 100, false), [0; 0]);
        let bridge = Link { candidate: false, ..link(4, true) };
        assert_eq!(at(&Want::Any, &[bridge], 0, false), [0; 0]);
    }

    #[test]
    fn the_boot_nic_goes_alone_while_it_may_still_work() {
        let boot = Want::Boot(Mac([2, 0, 0, 0, 0, 1]));
        let links = [link(1, true), link(2, true)];
        assert_eq!(at(&boot, &links, 0, false), [1]);
        assert_eq!(at(&boot, &links, 29, false), [1]);
        assert_eq!(at(&boot, &links, 30, false), [1, 2], "no answer: the others too");
        assert_eq!(at(&boot, &links, 100, true), [1], "leased: nobody else");
    }

    #[test]
    fn a_boot_nic_without_carrier_gets_ten_seconds() {
        let boot = Want::Boot(Mac([2, 0, 0, 0, 0, 1]));
        let links = [link(1, false), link(2, true)];
        assert_eq!(at(&boot, &links, 9, false), [0; 0]);
        assert_eq!(at(&boot, &links, 10, false), [2]);
    }

    #[test]
    fn a_boot_nic_that_is_not_there_gets_time_to_appear() {
        let boot = Want::Boot(Mac([9; 6]));
        let links = [link(1, true)];
        assert_eq!(at(&boot, &links, 19, false), [0; 0]);
        assert_eq!(at(&boot, &links, 20, false), [1]);
    }

    #[test]
    fn a_named_device_is_the_only_one() {
        let links = [link(1, false), link(2, true)];
        assert_eq!(at(&Want::Device("eth1".into()), &links, 500, false), [0; 0]);
        assert_eq!(at(&Want::Device("eth2".into()), &links, 0, false), [2]);
        assert_eq!(at(&Want::Device("02-00-00-00-00-02".into()), &links, 0, false), [2]);
    }
}
