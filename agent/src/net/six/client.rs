//! The loop that handles routers and DHCPv6 servers: one thread per interface, for the life of the agent.

use super::advert::{self, solicitation};
use super::duid::Duid;
use super::machine::{Action6, Machine6, Need};
use super::message::{self, Lease6};
use super::routers::{Advice, Routers};
use super::socket::{Heard, Sockets};
use crate::config::{Ipv6Method, Mac};
use crate::net::NetError;
use crate::net::dhcp::News;
use crate::net::netlink::{Held, Link, Netlink};
use crate::net::registry::Registry;
use crate::net::state::{Interface, Method, NetRoute, distinct};
use ipnet::{IpNet, Ipv6Net};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

const GLANCE: Duration = Duration::from_millis(250);
/// While duplicate address detection runs, which takes about a second.
const SHORT_GLANCE: Duration = Duration::from_millis(50);
const FIRST_SOLICITATION: Duration = Duration::from_secs(1);
const LAST_SOLICITATION: Duration = Duration::from_secs(16);

/// A client on one interface.
#[derive(Debug)]
pub struct Client6 {
    pub link: Link,
    pub mac: Mac,
    pub method: Ipv6Method,
    pub duid: Duid,
    pub boot: bool,
    pub registry: Arc<Registry>,
    pub news: Arc<News>,
    /// Name servers from `ip=`.
    pub dns: Vec<IpAddr>,
    pub ntp: Vec<String>,
    pub hostname: Option<String>,
}

/// The state so far.
struct Progress {
    origin: Instant,
    seed: u64,
    routers: Routers,
    solicit: Duration,
    pause: Duration,
    machine: Option<Machine6>,
    lease: Option<Lease6>,
    /// The last state given to the registry.
    applied: Option<Interface>,
    /// Addresses that other hosts have.
    taken: Vec<IpAddr>,
}

impl Client6 {
    /// Runs until the interface is gone.
    pub fn run(self, seed: u64) {
        let mut progress = Progress {
            origin: Instant::now(),
            seed,
            routers: Routers::default(),
            solicit: Duration::ZERO,
            pause: FIRST_SOLICITATION,
            machine: None,
            lease: None,
            applied: None,
            taken: Vec::new(),
        };
        let (mut sockets, mut complained) = (None, false);
        while !self.news.gone.load(Ordering::Relaxed) {
            match self.turn(&mut progress, &mut sockets) {
                Ok(()) => complained = false,
                Err(error) => {
                    // The interface is down or gone at the moment, or has no source address yet.
                    if !complained {
                        log::debug!("{}: IPv6: {error}", self.link.name);
                    }
                    complained = true;
                    sockets = None;
                    thread::sleep(GLANCE);
                }
            }
        }
    }

    fn turn(&self, progress: &mut Progress, sockets: &mut Option<Sockets>) -> io::Result<()> {
        let now = progress.origin.elapsed();
        if self.news.carrier6.swap(false, Ordering::Relaxed) {
            progress.solicit = now;
            progress.pause = FIRST_SOLICITATION;
            if let Some(machine) = &mut progress.machine {
                machine.carrier(now);
            }
        }
        let sockets = match sockets {
            Some(sockets) => sockets,
            None => sockets.insert(Sockets::open(self.link.index, &self.link.name)?),
        };
        if self.asks() {
            self.solicit(progress, sockets, now)?;
            self.consult(progress, sockets, now);
        }
        let pending = self.settle(progress).map_err(io::Error::other)?;
        let due =
            progress.machine.as_ref().map_or(Duration::MAX, Machine6::due).saturating_sub(progress.origin.elapsed());
        let limit = due.clamp(Duration::from_millis(1), if pending { SHORT_GLANCE } else { GLANCE });
        let mut buffer = [0; 4096];
        match sockets.hear(&mut buffer, limit)? {
            Some(Heard::Neighbour(from, message)) if self.asks() => {
                if let Some(advertisement) = advert::parse(message) {
                    progress.routers.heard(from, progress.origin.elapsed(), advertisement);
                }
            }
            Some(Heard::Server(payload)) => self.served(progress, sockets, payload),
            _ => {}
        }
        Ok(())
    }

    fn asks(&self) -> bool {
        matches!(self.method, Ipv6Method::Auto | Ipv6Method::Dhcp)
    }

    fn solicit(&self, progress: &mut Progress, sockets: &Sockets, now: Duration) -> io::Result<()> {
        if progress.routers.is_empty() && now >= progress.solicit {
            sockets.solicit(&solicitation())?;
            progress.solicit = now + progress.pause;
            progress.pause = (progress.pause * 2).min(LAST_SOLICITATION);
        }
        Ok(())
    }

    /// Runs DHCPv6 as routers or the kernel command line request it.
    fn consult(&self, progress: &mut Progress, sockets: &Sockets, now: Duration) {
        let advice = progress.routers.advice(self.mac, now);
        let need = match (self.method, advice.managed, advice.other) {
            (Ipv6Method::Dhcp, ..) | (_, true, _) => Some(Need::Addresses),
            (_, _, true) => Some(Need::Rest),
            _ => None,
        };
        match (need, progress.machine.as_ref().map(Machine6::need)) {
            (Some(need), known) if known.is_none() || known == Some(Need::Rest) && need == Need::Addresses => {
                progress.machine = Some(Machine6::new(self.duid.clone(), self.mac, need, progress.seed, now));
            }
            _ => {}
        }
        let actions = progress.machine.as_mut().map(|machine| machine.tick(now)).unwrap_or_default();
        self.perform(progress, sockets, actions);
    }

    fn served(&self, progress: &mut Progress, sockets: &Sockets, payload: &[u8]) {
        let now = progress.origin.elapsed();
        let Some(reply) = message::parse(payload, &self.duid, self.mac) else { return };
        let actions = progress.machine.as_mut().map(|machine| machine.receive(now, &reply)).unwrap_or_default();
        self.perform(progress, sockets, actions);
    }

    fn perform(&self, progress: &mut Progress, sockets: &Sockets, actions: Vec<Action6>) {
        for action in actions {
            match action {
                Action6::Send(message) => {
                    if let Err(error) = sockets.ask(&message) {
                        // Usually there is no source address yet: the next attempt is due anyway.
                        log::debug!("{}: DHCPv6: {error}", self.link.name);
                    }
                }
                Action6::Configure(lease) => progress.lease = Some(lease),
                Action6::Withdraw => progress.lease = None,
                Action6::Say(text) => log::warn!("{}: DHCPv6: {text}", self.link.name),
            }
        }
    }

    /// Updates the kernel to the current state. Returns true while duplicate address detection runs.
    fn settle(&self, progress: &mut Progress) -> Result<bool, NetError> {
        let advice = progress.routers.advice(self.mac, progress.origin.elapsed());
        let wanted = self.wanted(&advice, progress.lease.as_ref(), &progress.taken);
        let Some(wanted) = wanted else {
            if progress.applied.take().is_some() {
                self.registry.remove(&self.link, false)?;
            }
            return Ok(false);
        };
        if progress.applied.as_ref() == Some(&wanted) {
            return Ok(false);
        }
        let mut netlink = Netlink::open()?;
        let held = netlink.addresses6(self.link.index)?;
        let find = |net: &IpNet| held.iter().find(|held| held.address == net.addr());
        let mut pending = false;
        for net in &wanted.addresses {
            match find(net) {
                None => {
                    netlink.add_address(&self.link, *net)?;
                    pending = true;
                }
                Some(Held { taken: true, .. }) => self.give_up(progress, &mut netlink, *net)?,
                Some(Held { tentative, .. }) => pending |= tentative,
            }
        }
        if pending || wanted.addresses.iter().any(|net| progress.taken.contains(&net.addr())) {
            return Ok(true);
        }
        self.registry.apply(&self.link, wanted.clone())?;
        progress.applied = Some(wanted);
        Ok(false)
    }

    fn give_up(&self, progress: &mut Progress, netlink: &mut Netlink, net: IpNet) -> Result<(), NetError> {
        log::warn!("{}: another host already has {}", self.link.name, net.addr());
        netlink.remove_address(&self.link, net)?;
        let leased = progress.lease.as_ref().is_some_and(|lease| lease.addresses.iter().any(|&a| net.addr() == a));
        if leased && let Some(machine) = &mut progress.machine {
            let now = progress.origin.elapsed();
            for action in machine.taken(now) {
                match action {
                    Action6::Withdraw => progress.lease = None,
                    Action6::Send(message) => {
                        let sent = Sockets::open(self.link.index, &self.link.name).and_then(|s| s.ask(&message));
                        sent.unwrap_or_else(|error| log::debug!("{}: DHCPv6: {error}", self.link.name));
                    }
                    _ => {}
                }
            }
        } else {
            progress.taken.push(net.addr());
        }
        Ok(())
    }

    fn wanted(&self, advice: &Advice, lease: Option<&Lease6>, taken: &[IpAddr]) -> Option<Interface> {
        let mut addresses = Vec::new();
        let mut routes = advice.routes.clone();
        let method = match self.method {
            Ipv6Method::Fixed(fixed) => {
                addresses.push(fixed.address);
                let default = IpNet::V6(Ipv6Net::default());
                routes = fixed
                    .gateway
                    .map(|gateway| NetRoute { destination: default, gateway: Some(gateway) })
                    .into_iter()
                    .collect();
                Method::Static
            }
            _ => {
                let leased = lease.map(|lease| lease.addresses.as_slice()).unwrap_or_default();
                addresses.extend(leased.iter().map(|&address| IpNet::V6(address.into())));
                let method = if addresses.is_empty() { Method::Auto } else { Method::Dhcp };
                // The kernel command line demands stateful configuration: only the server's addresses.
                if self.method == Ipv6Method::Auto {
                    addresses.extend(advice.addresses.iter().filter(|net| !taken.contains(&net.addr())));
                }
                method
            }
        };
        if addresses.is_empty() {
            return None;
        }
        let served =
            lease.map(|lease| lease.dns.iter().map(|&server| IpAddr::V6(server)).collect()).unwrap_or_default();
        let dns = distinct([self.dns.clone(), served, advice.dns.clone()].concat().into_iter());
        let search = lease.map(|lease| lease.search.clone()).unwrap_or_default();
        let ntp = lease.map(|lease| lease.ntp.clone()).unwrap_or_default();
        Some(Interface {
            name: self.link.name.clone(),
            mac: self.mac,
            boot: self.boot,
            method,
            addresses,
            routes,
            metric: 0,
            dns,
            search: distinct(search.into_iter().chain(advice.search.iter().cloned())),
            ntp: [self.ntp.clone(), ntp].concat(),
            log_servers: Vec::new(),
            mtu: advice.mtu,
            hostname: self.hostname.clone(),
            server: advice.router.map(IpAddr::V6),
            lease_seconds: lease.filter(|lease| !lease.addresses.is_empty()).and_then(|lease| lease.seconds),
        })
    }
}
