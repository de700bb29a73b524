//! Brings the network up; the agent's handle to it.

use super::NetError;
use super::choose::{Want, is};
use super::netlink::{Link, Monitor};
use super::registry::Registry;
use super::state::{Goal, NetworkState, host_port};
use super::watcher::{Seen, Watcher};
use super::{names, reach};
use crate::config::{Config, Ipv4Method, OrderSource};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// The network of this machine. As long as the process lives, leases are renewed and late links are used.
#[derive(Debug)]
pub struct Network {
    registry: Arc<Registry>,
    want: Want,
    off: bool,
    failures: mpsc::Receiver<NetError>,
    seen: Seen,
}

impl Network {
    /// Starts everything that obtains addresses, and returns at once.
    ///
    /// Makes the links from the kernel command line, sets every Ethernet link up, waits for carrier notifications (a
    /// link without carrier costs no time), and requests addresses on the NIC that booted, or on all NICs with a
    /// carrier in parallel. The controller, or the server of the order, is tried through each network in turn. Writes
    /// `etc/resolv.conf` below `root`. With `ip=off` nothing is started.
    pub fn start(config: &Config, root: &Path) -> Result<Self, NetError> {
        let target = target(config);
        let registry = Arc::new(Registry::new(root, config.network.clone(), goal(config, target.as_ref())));
        let (failed, failures) = mpsc::channel();
        let want = Want::new(config.network.devices(), config.boot_mac);
        let (off, seen) = (config.network.is_off(), Seen::default());
        let network =
            Self { registry: Arc::clone(&registry), want: want.clone(), off, failures, seen: Arc::clone(&seen) };
        if off {
            return Ok(network);
        }
        names::set_current(&registry);
        crate::http::resolve_by(names::resolve);
        leave_routers_to_us(root);
        let monitor = Monitor::open()?;
        let watcher = Watcher::new(config, root, want, Arc::clone(&registry), seen);
        spawn("net", move || watcher.run(&monitor, &failed))?;
        if let Some((host, port)) = target {
            spawn("reach", move || reach::run(&registry, &host, port))?;
        }
        Ok(network)
    }

    /// Waits until there is a usable network, at most `limit`. With `ip=off` it returns at once.
    pub fn wait(&self, limit: Duration) -> Result<(), NetError> {
        let deadline = Instant::now() + limit;
        loop {
            let slice = deadline.min(Instant::now() + Duration::from_millis(100));
            if self.off || self.registry.wait(slice) {
                return Ok(());
            }
            if let Ok(error) = self.failures.try_recv() {
                return Err(error);
            }
            if Instant::now() >= deadline {
                let links = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
                return Err(diagnosis(&self.want, &links, &self.state(), limit.as_secs()));
            }
        }
    }

    /// The current state of the network.
    pub fn state(&self) -> NetworkState {
        self.registry.state()
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), NetError> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(run);
    started.map(drop).map_err(|source| NetError::Socket { link: "every link".to_owned(), source })
}

/// The server that the work comes from: the controller, or that of an order by URL.
fn target(config: &Config) -> Option<(String, u16)> {
    let url = match (&config.order, &config.controller) {
        (Some(OrderSource::Url(url)), _) => url,
        (None, Some(url)) => url,
        _ => return None,
    };
    host_port(url.as_str())
}

fn goal(config: &Config, target: Option<&(String, u16)>) -> Goal {
    let addressing = &config.network.addressing;
    let ipv4 = addressing.is_empty() || addressing.iter().any(|one| one.ipv4 != Ipv4Method::Off);
    let literal = target.and_then(|(host, _)| host.parse::<IpAddr>().ok());
    Goal { literals: literal.into_iter().collect(), ipv4 }
}

/// Otherwise the kernel would configure addresses and routes from router advertisements, with metrics of its own and
/// without their name servers.
fn leave_routers_to_us(root: &Path) {
    let Ok(interfaces) = std::fs::read_dir(root.join("proc/sys/net/ipv6/conf")) else { return };
    for interface in interfaces.flatten() {
        if let Err(error) = std::fs::write(interface.path().join("accept_ra"), "0") {
            log::debug!("{}: {error}", interface.path().display());
        }
    }
}

/// Describes why there is no network, from the state of the links.
fn diagnosis(want: &Want, links: &[Link], state: &NetworkState, seconds: u64) -> NetError {
    let names = |filter: &dyn Fn(&Link) -> bool| {
        let names: Vec<&str> = links.iter().filter(|link| filter(link)).map(|link| link.name.as_str()).collect();
        names.join(" ")
    };
    let all = names(&|_| true);
    let asked = names(&|link| link.carrier && (!matches!(want, Want::Devices(_)) || want.names(link)));
    let missing = match want {
        Want::Devices(devices) => devices.iter().find(|device| !links.iter().any(|link| is(link, device))),
        _ => None,
    };
    let leased: Vec<String> =
        state.interfaces.iter().filter(|one| one.is_usable()).map(|one| one.name.clone()).collect();
    match missing {
        _ if !leased.is_empty() => NetError::NoWay { links: leased.join(" "), seconds },
        _ if links.is_empty() => NetError::NoLink { seconds },
        Some(device) => NetError::NoSuchDevice { device: device.clone(), links: all },
        None if asked.is_empty() => NetError::NoCarrier { links: all, seconds },
        None => NetError::NoLease { links: asked, seconds },
    }
}
