//! From bare links to a network: what the agent holds of it.

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

/// The network of this machine. Leases are renewed, and late links used, as long as the process lives.
#[derive(Debug)]
pub struct Network {
    registry: Arc<Registry>,
    want: Want,
    off: bool,
    failures: mpsc::Receiver<NetError>,
    seen: Seen,
}

impl Network {
    /// Starts all that leads to addresses, and returns at once.
    ///
    /// Makes the links of the kernel command line, sets every Ethernet link up, waits for carrier by the kernel's
    /// announcements (a link without costs nothing), and asks for addresses on the NIC that booted, or on every one with
    /// carrier at once. The controller, or the place of the order, is tried through each network in turn. Writes
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

    /// Waits until there is a network to work with, at most `limit`. With `ip=off` there is nothing to wait for.
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

    /// The network as it is now.
    pub fn state(&self) -> NetworkState {
        self.registry.state()
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), NetError> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(run);
    started.map(drop).map_err(|source| NetError::Socket { link: "every link".to_owned(), source })
}

/// Where the machine's work comes from: the controller, or an order by URL.
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

/// The kernel would make addresses and routes of router advertisements by itself, with metrics of its own and without
/// their name servers.
fn leave_routers_to_us(root: &Path) {
    let Ok(interfaces) = std::fs::read_dir(root.join("proc/sys/net/ipv6/conf")) else { return };
    for interface in interfaces.flatten() {
        if let Err(error) = std::fs::write(interface.path().join("accept_ra"), "0") {
            log::debug!("{}: {error}", interface.path().display());
        }
    }
}

/// Why there is no network, from what links look like.
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
