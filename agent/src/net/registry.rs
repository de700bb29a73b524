//! The shared state of the network threads, kept consistent with the kernel's addresses and routes.

use super::NetError;
use super::netlink::{Link, Netlink, Route};
use super::state::{Goal, Interface, Known, NetworkState, rank};
use crate::config::NetworkPlan;
use ipnet::IpNet;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The metric of the first interface; each further one adds this much.
const METRIC: u32 = 100;
/// How long to wait for IPv4 when IPv6 is available.
const OTHER_FAMILY: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub struct Registry {
    root: PathBuf,
    plan: NetworkPlan,
    goal: Goal,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    /// The interface through which the controller answered.
    answered: Option<String>,
    lenient: bool,
    /// When the first usable address arrived.
    since: Option<Instant>,
    /// Increases with every change.
    version: u64,
}

/// An interface, and what the kernel has been given for it.
#[derive(Debug)]
struct Entry {
    link: Link,
    shown: Interface,
    routes: Vec<Route>,
}

impl Inner {
    fn interfaces(&self) -> Vec<Interface> {
        self.entries.iter().map(|entry| entry.shown.clone()).collect()
    }

    fn known(&self) -> Known {
        let aged = self.since.is_some_and(|since| since.elapsed() >= OTHER_FAMILY);
        Known { answered: self.answered.is_some(), lenient: self.lenient, aged }
    }
}

impl Registry {
    pub fn new(root: &Path, plan: NetworkPlan, goal: Goal) -> Self {
        Self { root: root.to_owned(), plan, goal, inner: Mutex::default(), changed: Condvar::new() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn plan(&self) -> &NetworkPlan {
        &self.plan
    }

    pub fn state(&self) -> NetworkState {
        NetworkState { interfaces: self.lock().interfaces() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a usable network.
    pub fn is_ready(&self) -> bool {
        let inner = self.lock();
        self.goal.is_met(&inner.interfaces(), inner.known())
    }

    /// Waits for [`Registry::is_ready`] until `deadline`.
    pub fn wait(&self, deadline: Instant) -> bool {
        let mut inner = self.lock();
        while !self.goal.is_met(&inner.interfaces(), inner.known()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits for a change after `version`, at most `limit`; returns the new version.
    pub fn wait_change(&self, version: u64, limit: Duration) -> u64 {
        let inner = self.lock();
        let waited = self.changed.wait_timeout_while(inner, limit, |inner| inner.version == version);
        waited.unwrap_or_else(PoisonError::into_inner).0.version
    }

    /// Stop waiting for a better network.
    pub fn set_lenient(&self, lenient: bool) {
        let mut inner = self.lock();
        if inner.lenient != lenient {
            inner.lenient = lenient;
            self.changed.notify_all();
        }
    }

    /// The controller answers through this interface: its routes and name servers come first from now on.
    pub fn answered(&self, name: &str) -> Result<(), NetError> {
        let mut inner = self.lock();
        if inner.answered.as_deref() == Some(name) || !inner.entries.iter().any(|entry| entry.shown.name == name) {
            return Ok(());
        }
        let first = inner.entries.first().is_some_and(|entry| entry.shown.name == name);
        if !first {
            log::info!("the controller answers through {name}: its routes and name servers come first");
        }
        inner.answered = Some(name.to_owned());
        self.settle(inner)
    }

    pub fn has_answered(&self) -> bool {
        self.lock().answered.is_some()
    }

    /// Applies new or renewed addresses of one family; `shown.metric` is set here.
    pub fn apply(&self, link: &Link, mut shown: Interface) -> Result<(), NetError> {
        self.add_planned(&mut shown);
        let mut inner = self.lock();
        let same = |entry: &Entry| entry.shown.name == shown.name && entry.shown.is_ipv4() == shown.is_ipv4();
        let place = inner.entries.iter().position(same);
        if let Some(old) = place.and_then(|place| inner.entries.get(place)) {
            shown.metric = old.shown.metric;
            if old.shown == shown {
                return Ok(());
            }
        }
        let mut netlink = Netlink::open()?;
        // The router's MTU must apply before the first byte; a NIC that does not support it is still usable.
        if let Some(mtu) = shown.mtu.filter(|&mtu| u32::from(mtu) != link.mtu)
            && let Err(error) = netlink.set_mtu(link, mtu.into())
        {
            log::warn!("{error}: MTU {mtu} is not applied");
        }
        for &address in &shown.addresses {
            netlink.add_address(link, address)?;
        }
        log::info!("{shown}");
        // The NIC that booted has precedence whenever it comes, unless the controller could not be reached through its
        // network.
        if shown.boot && place.is_none() && inner.answered.as_deref() != Some(shown.name.as_str()) {
            inner.answered = None;
        }
        match place.and_then(|place| inner.entries.get_mut(place)) {
            Some(entry) => {
                let gone: Vec<IpNet> =
                    entry.shown.addresses.iter().filter(|old| !shown.addresses.contains(old)).copied().collect();
                entry.shown = shown;
                entry.link = link.clone();
                for address in gone {
                    netlink.remove_address(link, address)?;
                    // The kernel has removed the routes that used it.
                    entry.routes.retain(|route| route.source != Some(address.addr()));
                }
            }
            None => inner.entries.push(Entry { link: link.clone(), shown, routes: Vec::new() }),
        }
        self.settle(inner)
    }

    /// Adds settings from the kernel command line to those of the network.
    fn add_planned(&self, shown: &mut Interface) {
        if self.plan.only_nameservers {
            shown.dns.clear();
        }
        let given = self.plan.nameservers.iter().copied();
        shown.dns = super::state::distinct(given.chain(shown.dns.iter().copied()));
        shown.search.extend(self.plan.search.iter().cloned());
        for route in &self.plan.routes {
            let family = route.destination.addr().is_ipv4() == shown.is_ipv4();
            let here = match (&route.device, route.gateway) {
                (Some(device), _) => *device == shown.name,
                (None, Some(gateway)) => shown.addresses.iter().any(|net| net.contains(&gateway)),
                (None, None) => false,
            };
            if family && here {
                let route = super::state::NetRoute { destination: route.destination, gateway: route.gateway };
                shown.routes.retain(|known| known.destination != route.destination);
                shown.routes.push(route);
            }
        }
    }

    /// The lease has ended or the interface is gone: removes its addresses and routes of one family.
    pub fn remove(&self, link: &Link, ipv4: bool) -> Result<(), NetError> {
        let mut inner = self.lock();
        let found = |entry: &Entry| entry.shown.name == link.name && entry.shown.is_ipv4() == ipv4;
        let Some(place) = inner.entries.iter().position(found) else { return Ok(()) };
        let entry = inner.entries.remove(place);
        let mut netlink = Netlink::open()?;
        for route in &entry.routes {
            netlink.remove_route(link, route)?;
        }
        for &address in &entry.shown.addresses {
            netlink.remove_address(link, address)?;
            log::warn!("{}: {} is dropped", entry.shown.name, address.addr());
        }
        if inner.answered.as_deref() == Some(link.name.as_str()) {
            inner.answered = None;
        }
        self.settle(inner)
    }

    /// Sorts the interfaces and updates the kernel's routes: new ones first, so that there is always a route.
    fn settle(&self, mut inner: MutexGuard<'_, Inner>) -> Result<(), NetError> {
        let answered = inner.answered.clone();
        inner.entries.sort_by_key(|entry| rank(&entry.shown, answered.as_deref()));
        let mut netlink = Netlink::open()?;
        for (place, entry) in inner.entries.iter_mut().enumerate() {
            entry.shown.metric = METRIC.saturating_mul(u32::try_from(place + 1).unwrap_or(u32::MAX));
            let wanted = kernel_routes(&entry.shown);
            let mut standing = Vec::new();
            for route in wanted {
                if entry.routes.contains(&route) {
                    standing.push(route);
                    continue;
                }
                match netlink.add_route(&entry.link, &route) {
                    Ok(()) => standing.push(route),
                    // One invalid route from a server must not prevent the others.
                    Err(error) => log::warn!("{}: route to {}: {error}", entry.shown.name, route.destination),
                }
            }
            for route in entry.routes.iter().filter(|route| !standing.contains(route)) {
                netlink.remove_route(&entry.link, route)?;
            }
            entry.routes = standing;
        }
        if inner.since.is_none() && inner.entries.iter().any(|entry| entry.shown.is_usable()) {
            inner.since = Some(Instant::now());
        }
        inner.version += 1;
        let text = NetworkState { interfaces: inner.interfaces() }.resolv_conf();
        // Before the lock is released: programs started by waiting threads read the file.
        let published = self.publish(&text);
        self.changed.notify_all();
        published
    }

    fn publish(&self, text: &str) -> Result<(), NetError> {
        let path = self.root.join("etc/resolv.conf");
        let write = || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&path, text)
        };
        write().map_err(|source| NetError::Write { path, source })
    }
}

/// On-link routes first, because routers may be reached through them.
fn kernel_routes(interface: &Interface) -> Vec<Route> {
    let metric = if interface.is_usable() { interface.metric } else { interface.metric + 10 * METRIC };
    // IPv6 selects among several source addresses by its own rules.
    let source = interface.addresses.first().map(IpNet::addr).filter(|address| address.is_ipv4());
    let own = interface.addresses.iter().filter(|net| net.prefix_len() < net.max_prefix_len()).map(|net| Route {
        destination: net.trunc(),
        gateway: None,
        metric,
        source,
    });
    let given = interface.routes.iter().map(|route| Route {
        destination: route.destination,
        gateway: route.gateway,
        metric,
        source,
    });
    let mut routes = super::state::distinct(own.chain(given));
    routes.sort_by_key(|route| route.gateway.is_some());
    routes
}
