//! From bare links to an address: the thread that watches links and starts what they need.

use super::NetError;
use super::choose::{Choice, Situation, Want, choose};
use super::dhcp::{Change, Client, News};
use super::netlink::{Link, Monitor, Netlink};
use super::state::{NetworkState, Registry};
use crate::config::{Config, IpMethod, StaticIp};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// The first word on what is being waited for, and how often it is repeated.
const PROGRESS: Duration = Duration::from_secs(2);
const PROGRESS_AGAIN: Duration = Duration::from_secs(10);

/// The network of this machine. Leases are renewed, and late links used, as long as the process lives.
#[derive(Debug)]
pub struct Network {
    registry: Arc<Registry>,
    want: Want,
    off: bool,
    failures: mpsc::Receiver<NetError>,
}

/// Brings the network up as `config` says and returns once one interface has an address; the others go on behind.
///
/// [`Network::start`] and [`Network::wait`] in one. A caller that wants to say something and go on waiting after
/// `limit` uses those two: a second `up` in one process would ask for every address twice.
pub fn up(config: &Config, root: &Path, limit: Duration) -> Result<Network, NetError> {
    let network = Network::start(config, root)?;
    network.wait(limit)?;
    Ok(network)
}

impl Network {
    /// Starts all that leads to addresses, and returns at once.
    ///
    /// Sets every Ethernet link up, waits for carrier by the kernel's announcements (a link without costs nothing),
    /// and runs DHCP on the NIC that booted, or on every one with carrier at once. Writes `etc/resolv.conf` below
    /// `root`. With `ip=off` nothing is started.
    pub fn start(config: &Config, root: &Path) -> Result<Self, NetError> {
        let registry = Arc::new(Registry::new(root));
        let (device, fixed) = match &config.ip {
            IpMethod::Off => (None, None),
            IpMethod::Dhcp { device } => (device.as_deref(), None),
            IpMethod::Static(ip) => (ip.device.as_deref(), Some(ip.clone())),
        };
        let (failed, failures) = mpsc::channel();
        let want = Want::new(device, config.boot_mac);
        let network =
            Self { registry: Arc::clone(&registry), want: want.clone(), off: config.ip == IpMethod::Off, failures };
        if network.off {
            return Ok(network);
        }
        let monitor = Monitor::open()?;
        let watcher =
            Watcher { want, fixed, registry, began: Instant::now(), named: None, clients: HashMap::new(), told: None };
        thread::Builder::new()
            .name("net".to_owned())
            .spawn(move || watcher.run(&monitor, &failed))
            .map_err(|source| NetError::Socket { link: "every link".to_owned(), source })?;
        Ok(network)
    }

    /// Waits until an interface has an address, at most `limit`. With `ip=off` there is nothing to wait for.
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
                return Err(diagnosis(&self.want, &Netlink::open()?.links()?, limit.as_secs()));
            }
        }
    }

    /// The network as it is now.
    pub fn state(&self) -> NetworkState {
        self.registry.state()
    }
}

/// Why there is no address, from what links look like.
fn diagnosis(want: &Want, links: &[Link], seconds: u64) -> NetError {
    let names = |filter: &dyn Fn(&Link) -> bool| {
        let names: Vec<&str> = links.iter().filter(|link| filter(link)).map(|link| link.name.as_str()).collect();
        names.join(" ")
    };
    let candidates = names(&|link| link.candidate);
    let asked = names(&|link| link.candidate && link.carrier && (!matches!(want, Want::Device(_)) || want.names(link)));
    match want {
        _ if candidates.is_empty() => NetError::NoLink { seconds },
        Want::Device(device) if !links.iter().any(|link| want.names(link)) => {
            NetError::NoSuchDevice { device: device.clone(), links: candidates }
        }
        _ if asked.is_empty() => NetError::NoCarrier { links: candidates, seconds },
        _ => NetError::NoLease { links: asked, seconds },
    }
}

struct Watcher {
    want: Want,
    fixed: Option<StaticIp>,
    registry: Arc<Registry>,
    began: Instant,
    /// When the named NIC was first seen.
    named: Option<Instant>,
    clients: HashMap<u32, Running>,
    told: Option<Instant>,
}

struct Running {
    link: Link,
    news: Arc<News>,
}

impl Watcher {
    fn run(mut self, monitor: &Monitor, failed: &mpsc::Sender<NetError>) {
        loop {
            if let Err(error) = self.look() {
                log::warn!("network: {error}");
                // Who waits hears of it, and may wait again.
                let _ = failed.send(error);
                thread::sleep(Duration::from_secs(1));
            }
            let pause = if self.registry.usable() { Duration::from_secs(60) } else { Duration::from_millis(500) };
            monitor.wait(pause);
        }
    }

    fn look(&mut self) -> Result<(), NetError> {
        let mut netlink = Netlink::open()?;
        let links = netlink.links()?;
        for link in links.iter().filter(|link| (link.candidate || link.loopback) && !link.up) {
            if let Err(error) = netlink.set_up(link) {
                // One broken NIC is no reason to give up the others.
                log::debug!("{error}");
            }
        }
        if self.named.is_none() && links.iter().any(|link| self.want.names(link)) {
            self.named = Some(Instant::now());
        }
        let situation = Situation {
            links: &links,
            elapsed: self.began.elapsed(),
            named: self.named.map(|since| since.elapsed()),
            leased: self.registry.usable(),
        };
        let choice = choose(&self.want, situation);
        for link in links.iter().filter(|link| choice.links.contains(&link.index)) {
            self.use_link(link)?;
        }
        for running in self.clients.values_mut() {
            match links.iter().find(|link| link.index == running.link.index) {
                Some(link) => {
                    if link.carrier && !running.link.carrier {
                        running.news.carrier.store(true, Ordering::Relaxed);
                    }
                    running.link = link.clone();
                }
                None => {
                    running.news.gone.store(true, Ordering::Relaxed);
                    self.registry.remove(&running.link)?;
                }
            }
        }
        self.clients.retain(|_, running| !running.news.gone.load(Ordering::Relaxed));
        self.tell(&links, &choice);
        Ok(())
    }

    fn use_link(&mut self, link: &Link) -> Result<(), NetError> {
        let boot = matches!(self.want, Want::Boot(_)) && self.want.names(link);
        if self.clients.contains_key(&link.index) || (self.fixed.is_some() && !self.clients.is_empty()) {
            return Ok(());
        }
        let news = Arc::new(News::default());
        match (&self.fixed, link.mac) {
            (Some(ip), _) => self.registry.add_static(link, ip, boot)?,
            (None, None) => return Ok(()),
            (None, Some(mac)) => {
                let client = Client { index: link.index, name: link.name.clone(), mac, news: Arc::clone(&news) };
                let (registry, link) = (Arc::clone(&self.registry), link.clone());
                let (name, shown) = (format!("dhcp-{}", link.name), link.name.clone());
                let started = thread::Builder::new().name(name).spawn(move || {
                    client.run(seed(), |change| {
                        let applied = match change {
                            Change::Leased(lease) => registry.add_lease(&link, &lease, boot),
                            Change::Withdrawn => registry.remove(&link),
                        };
                        if let Err(error) = applied {
                            log::error!("{error}");
                        }
                    });
                });
                started.map_err(|source| NetError::Socket { link: shown, source })?;
            }
        }
        self.clients.insert(link.index, Running { link: link.clone(), news });
        Ok(())
    }

    /// Says after two seconds, and again every ten, what is being waited for.
    fn tell(&mut self, links: &[Link], choice: &Choice) {
        if self.registry.usable() || self.began.elapsed() < PROGRESS {
            return;
        }
        if self.told.is_some_and(|told| told.elapsed() < PROGRESS_AGAIN) {
            return;
        }
        self.told = Some(Instant::now());
        let mut parts = Vec::new();
        let asking: Vec<&str> =
            links.iter().filter(|l| self.clients.contains_key(&l.index)).map(|l| l.name.as_str()).collect();
        if !asking.is_empty() {
            parts.push(format!("asking for a lease on {}", asking.join(" ")));
        }
        if !choice.waiting.is_empty() {
            parts.push(choice.waiting.clone());
        }
        log::info!("network: {} ({} s)", parts.join("; "), self.began.elapsed().as_secs());
    }
}

/// Differs between machines and boots, so that a rack does not ask in step.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => std::process::id().into(),
    }
}
