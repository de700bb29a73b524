//! The thread that watches links, makes configured ones, and starts the clients on each.

use super::NetError;
use super::assign::{self, Running};
use super::choose::{Choice, Situation, Want, choose, is, lenient};
use super::lldp;
use super::made::Made;
use super::management::Management;
use super::netlink::{Link, Monitor, Netlink};
use super::registry::Registry;
use crate::config::{Config, Mac};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// When to report for the first time what is being waited for, and the interval after that.
const PROGRESS: Duration = Duration::from_secs(2);
const PROGRESS_AGAIN: Duration = Duration::from_secs(10);

/// The usable links, as last seen.
pub type Seen = Arc<Mutex<Vec<Link>>>;

pub struct Watcher {
    want: Want,
    boot: Option<Mac>,
    registry: Arc<Registry>,
    management: Management,
    made: Made,
    seen: Seen,
    began: Instant,
    /// When each link got its carrier.
    lit: HashMap<u32, Instant>,
    clients: HashMap<u32, Running>,
    listening: HashSet<u32>,
    /// Links that the kernel failed to set up.
    refused: HashMap<u32, Refused>,
    told: Option<Instant>,
}

/// A NIC without its firmware fails the same way each time, with ten lines in the kernel log.
#[derive(Debug, Clone, Copy)]
struct Refused {
    tries: u32,
    next: Instant,
}

/// The pause after this many failures: 1 s, doubling to about a minute.
fn again(tries: u32) -> Duration {
    Duration::from_secs(1 << tries.min(6))
}

impl Watcher {
    pub fn new(config: &Config, root: &Path, want: Want, registry: Arc<Registry>, seen: Seen) -> Self {
        Self {
            want,
            boot: config.boot_mac,
            registry,
            management: Management::read(root),
            made: Made::new(&config.network, config.boot_mac, root),
            seen,
            began: Instant::now(),
            lit: HashMap::new(),
            clients: HashMap::new(),
            listening: HashSet::new(),
            refused: HashMap::new(),
            told: None,
        }
    }

    pub fn run(mut self, monitor: &Monitor, failed: &mpsc::Sender<NetError>) {
        while !super::lock::is_locked() {
            if let Err(error) = self.look() {
                log::warn!("network: {error}");
                // The waiting thread is told, and may wait again.
                let _ = failed.send(error);
                thread::sleep(Duration::from_secs(1));
            }
            let pause = if self.registry.is_ready() { Duration::from_secs(60) } else { Duration::from_millis(500) };
            monitor.wait(pause);
        }
    }

    fn look(&mut self) -> Result<(), NetError> {
        let mut netlink = Netlink::open()?;
        let mut links = netlink.links()?;
        let elapsed = self.began.elapsed();
        // A VLAN on a bond takes two rounds.
        for _ in 0..3 {
            if self.made.is_idle() || !self.made.make(&mut netlink, &links, elapsed) {
                break;
            }
            links = netlink.links()?;
        }
        links.retain(|link| link.loopback || !self.management.is_one(link));
        for link in links.iter().filter(|link| (link.is_nic() || link.loopback || self.made.is_ours(link)) && !link.up)
        {
            if self.refused.get(&link.index).is_some_and(|refused| Instant::now() < refused.next) {
                continue;
            }
            // One broken NIC must not affect the others.
            match netlink.set_up(link) {
                Ok(()) => drop(self.refused.remove(&link.index)),
                Err(error) => {
                    log::debug!("{error}");
                    let tries = self.refused.get(&link.index).map_or(0, |refused| refused.tries);
                    let next = Instant::now() + again(tries);
                    self.refused.insert(link.index, Refused { tries: tries.saturating_add(1), next });
                }
            }
        }
        self.keep_time(&links);
        self.listen(&links);
        let usable: Vec<Link> = self.made.usable(&links, |link| self.want.names(link)).into_iter().cloned().collect();
        let situation = self.situation(&usable);
        let choice = choose(&self.want, situation);
        self.registry.set_lenient(lenient(situation));
        for link in usable.iter().filter(|link| choice.links.contains(&link.index)) {
            self.use_link(link, &links)?;
        }
        self.follow(&links)?;
        self.tell(&choice);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = usable;
        Ok(())
    }

    fn situation<'a>(&self, usable: &'a [Link]) -> Situation<'a> {
        let named = usable.iter().find(|link| self.want.names(link));
        let carrier = named.and_then(|link| self.lit.get(&link.index)).map(Instant::elapsed);
        Situation { links: usable, elapsed: self.began.elapsed(), carrier, ready: self.registry.is_ready() }
    }

    /// Waiting times count from the last time that the carrier came.
    fn keep_time(&mut self, links: &[Link]) {
        self.lit.retain(|index, _| links.iter().any(|link| link.index == *index && link.carrier));
        for link in links.iter().filter(|link| link.carrier) {
            self.lit.entry(link.index).or_insert_with(Instant::now);
        }
    }

    /// Asks each switch port for its VLANs, once.
    fn listen(&mut self, links: &[Link]) {
        if !self.made.listens() {
            return;
        }
        for link in links.iter().filter(|link| link.is_nic() && link.carrier) {
            if self.listening.insert(link.index) {
                let (link, heard) = (link.clone(), self.made.heard.clone());
                let listener =
                    thread::Builder::new().name("lldp".to_owned()).spawn(move || lldp::listen(&link, &heard));
                if let Err(error) = listener {
                    log::warn!("cannot listen for LLDP: {error}");
                }
            }
        }
    }

    fn use_link(&mut self, link: &Link, links: &[Link]) -> Result<(), NetError> {
        if self.clients.contains_key(&link.index) {
            return Ok(());
        }
        let plan = self.registry.plan();
        let boot = match &plan.boot_device {
            Some(device) => is(link, device),
            None => {
                self.boot.is_some_and(|mac| link.mac == Some(mac))
                    || matches!(&self.want, Want::Devices(one) if one.len() == 1)
            }
        };
        let addressing = assign::addressing(plan, link, self.boot);
        let fixed = matches!(addressing.ipv4, crate::config::Ipv4Method::Fixed(_))
            || matches!(addressing.ipv6, crate::config::Ipv6Method::Fixed(_));
        // A fixed address without a device name is used once.
        if fixed && addressing.device.is_none() && !self.clients.is_empty() {
            return Ok(());
        }
        let parent = links.iter().find(|other| link.software && Some(other.index) == link.parent);
        let nic = if link.software { parent } else { Some(link) };
        let running = assign::start(link, nic, &addressing, boot, &self.registry)?;
        self.clients.insert(link.index, running);
        Ok(())
    }

    /// Tells clients about changes of their links.
    fn follow(&mut self, links: &[Link]) -> Result<(), NetError> {
        for running in self.clients.values_mut() {
            match links.iter().find(|link| link.index == running.link.index) {
                Some(link) => {
                    if link.carrier && !running.link.carrier {
                        running.news.carrier.store(true, Ordering::Relaxed);
                        running.news.carrier6.store(true, Ordering::Relaxed);
                    }
                    running.link = link.clone();
                }
                None => {
                    running.news.gone.store(true, Ordering::Relaxed);
                    self.registry.remove(&running.link, true)?;
                    self.registry.remove(&running.link, false)?;
                }
            }
        }
        self.clients.retain(|_, running| !running.news.gone.load(Ordering::Relaxed));
        Ok(())
    }

    /// Reports after two seconds, and then every ten, what is being waited for.
    fn tell(&mut self, choice: &Choice) {
        if self.registry.is_ready() || self.began.elapsed() < PROGRESS {
            return;
        }
        if self.told.is_some_and(|told| told.elapsed() < PROGRESS_AGAIN) {
            return;
        }
        self.told = Some(Instant::now());
        let mut parts = Vec::new();
        let (mut asking, mut leased) = (Vec::new(), Vec::new());
        for running in self.clients.values() {
            let list = if running.news.leased.load(Ordering::Relaxed) { &mut leased } else { &mut asking };
            list.push(running.link.name.as_str());
        }
        if !asking.is_empty() {
            parts.push(format!("asking for a lease on {}", asking.join(" ")));
        }
        if !leased.is_empty() {
            parts.push(format!("trying the controller through {}", leased.join(" ")));
        }
        if !choice.waiting.is_empty() {
            parts.push(choice.waiting.clone());
        }
        log::info!("network: {} ({} s)", parts.join("; "), self.began.elapsed().as_secs());
    }
}
