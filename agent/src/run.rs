//! The agent's sequence of stages, and nothing else.

mod api;
mod attempt;
mod evidence;
mod facts;
mod hello;
mod key;
mod late;
mod logs;
mod records;
mod serve;

use crate::api::LogRing;
use crate::apply::{self, Paths};
use crate::attest::Chip;
use crate::boot;
use crate::config::{self, ApiDoor, Config, OrderSource, SyslogTarget};
use crate::control::ControlFlag;
use crate::dialect;
use crate::error::Coded;
use crate::exit::Exit;
use crate::finalize::mount;
use crate::http::{Ca, Clock, Retry, Trust, TrustError, TrustFiles};
use crate::net::{self, Network, clock};
use crate::protocol::Identity;
use crate::report::{CONTROLLER, Emitter, SINK, Sink, SpoolLimits};
use crate::stage::{Failure, Stages};
use crate::syslog::Syslog;
use burin_sign::SecretKey;
use hwinventory::Inventory;
use logs::Logs;
use records::Records;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub use evidence::tree as ramdisk_digest;

/// Where iPXE or the ramdisk's builder places orders.
const PLACED_ORDERS: [&str; 2] = ["order.json", "etc/burin/order.json"];
/// How long an event receiver other than a controller may take for the last events.
const FLUSH_PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for the network before reporting why there is none.
const NETWORK_PATIENCE: Duration = Duration::from_secs(30);

/// Size of the log kept for callers and slow controllers.
const LOG_KEPT: usize = 1 << 20;

/// An agent process.
#[derive(Debug, Clone)]
pub struct Agent {
    /// `/`, except in tests.
    pub root: PathBuf,
    pub config: Config,
    pub paths: Paths,
    /// The logger writes to a clone of it.
    pub log: LogRing,
    pub look: Look,
    /// The BMC's records, once they are known.
    pub records: Records,
    /// The machine's TPM, used only on demand.
    pub chip: Chip,
}

/// How to take the inventory. By default from the hardware; tests provide their own.
#[derive(Clone)]
pub struct Look(pub Arc<dyn Fn() -> Inventory + Send + Sync>);

impl Look {
    /// Listens for LLDP during the first inventory; later inventories reuse the neighbours found then.
    fn hearing(wait: Duration, records: Records) -> Self {
        let heard = OnceLock::new();
        Self(Arc::new(move || {
            let mut inventory = facts::with_neighbours(wait, &heard);
            if let Some(records) = records.get() {
                hwinventory::add_bmc_records(&mut inventory, records.clone());
            }
            inventory
        }))
    }

    fn inventory(&self) -> Inventory {
        (self.0)()
    }
}

impl Default for Look {
    fn default() -> Self {
        Self::hearing(Duration::ZERO, Records::default())
    }
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("there is nothing to do: no controller and no order")]
    NothingToDo,
}

impl Coded for StartError {
    fn code(&self) -> &'static str {
        "config.nothing_to_do"
    }

    fn hint(&self) -> Option<String> {
        Some("put burin.controller=URL, burin.order=URL or burin.token=TOKEN on the kernel command line".to_owned())
    }
}

/// The environment of an agent.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub clock: Clock,
    /// This machine's addresses; hello names the first one for the agent's API.
    pub addresses: Vec<IpAddr>,
    /// Where the API listens.
    pub listen: IpAddr,
}

/// The results of the stages before the first order.
struct Ready {
    boot_id: String,
    inventory: Inventory,
    /// When that was; `None` once it may be outdated.
    looked: Option<Instant>,
    identity: Identity,
    /// For calls to a controller.
    trust: Trust,
    /// For images and orders by URL.
    downloads: Trust,
    logs: Logs,
    /// What controller and callers want for the current work.
    control: ControlFlag,
    addresses: Vec<IpAddr>,
    listen: IpAddr,
    /// `None` if there are no random numbers.
    key: Option<Arc<SecretKey>>,
}

impl Agent {
    /// Reads the configuration below `root`.
    pub fn new(root: &Path) -> Result<Self, config::ConfigError> {
        let mut config = config::load(root)?;
        let paths = Paths::default();
        if config.virtual_media {
            crate::settle::settle(root, crate::settle::Moment::Hello, &|| false);
            match dialect::ironic::media::parameters(root, &paths.mounts) {
                Some(words) => config = config::load_with(root, &words)?,
                None => {
                    config.warnings.push("boot_method=vmedia, and there is no virtual media with parameters".to_owned())
                }
            }
        }
        if config.order.is_none() && config.controller.is_none() {
            let placed = PLACED_ORDERS.iter().map(|path| root.join(path)).find(|path| path.is_file());
            config.order = placed.map(OrderSource::Path);
        }
        let log = LogRing::new(LOG_KEPT);
        let records = Records::default();
        let look = Look::hearing(config.lldp, records.clone());
        Ok(Self { root: root.to_owned(), config, paths, log, look, records, chip: Chip::below(root) })
    }

    /// Runs from the first event to what PID 1 should do next.
    pub fn run(&self) -> Exit {
        self.report(|stages, boot_id, logs| {
            if !self.has_something_to_do() {
                return stages.run("start", || Err(StartError::NothingToDo));
            }
            // Kept to the end, because it renews the leases.
            let network = stages.run("network", || Network::start(&self.config, &self.root))?;
            let (clock, addresses) = self.clock(stages, &network)?;
            if self.config.syslog_by_dhcp {
                network
                    .state()
                    .log_servers()
                    .into_iter()
                    .for_each(|server| logs.syslog().add(SyslogTarget::udp(server)));
            }
            let listen = net::listen_anywhere(&self.root);
            self.work(stages, boot_id, logs, Surroundings { clock, addresses, listen })
        })
    }

    /// Like [`Agent::run`], on a machine whose network and clock are managed elsewhere.
    pub fn run_in(&self, surroundings: Surroundings) -> Exit {
        self.report(|stages, boot_id, logs| self.work(stages, boot_id, logs, surroundings))
    }

    fn report(&self, work: impl FnOnce(&mut Stages, String, Logs) -> Result<Exit, Failure>) -> Exit {
        if let Some(rules) = &self.config.policy {
            log::info!("the policy of this ramdisk requires: {}", rules.words());
        }
        for warning in &self.config.warnings {
            log::warn!("{warning}");
        }
        let boot_id = facts::boot_id(&self.root);
        let mut stages = Stages::new(self.emitter(&boot_id));
        let syslog = Syslog::new(self.log.clone());
        self.config.syslog.iter().for_each(|target| syslog.add(target.clone()));
        let logs = Logs::start(self.log.clone(), stages.emitter().clone());
        self.config.syslog.iter().for_each(|target| logs.syslog().add(target.clone()));
        if let Some(crash) = boot::last_crash(&self.root) {
            stages.emitter().emit(facts::crash(&crash));
        }
        let exit = work(&mut stages, boot_id, logs.clone()).unwrap_or_else(|failure| {
            log::error!("stopped at {}; this machine is left as it is for inspection", failure.stage);
            logs.send();
            stages.emitter().flush(FLUSH_PATIENCE);
            Exit::Failed
        });
        logs.syslog().finish();
        exit
    }

    fn has_something_to_do(&self) -> bool {
        let callers = self.config.token.is_some() && self.config.api != ApiDoor::Off;
        self.config.names_a_front() || callers
    }

    /// Whether a controller with burin's own protocol gives the orders. A placed order takes precedence.
    fn is_controlled(&self) -> bool {
        self.config.controller.is_some() && self.config.order.is_none()
    }

    fn work(
        &self,
        stages: &mut Stages,
        boot_id: String,
        logs: Logs,
        surroundings: Surroundings,
    ) -> Result<Exit, Failure> {
        let Surroundings { clock, addresses, listen } = surroundings;
        // Mounts left by an agent that was killed would keep their disks from being chosen again.
        stages.run("clear-mounts", || mount::clear(&self.paths.mounts))?;
        apply::forget_maps(&self.paths);
        let inventory = facts::inventory(stages, self)?;
        let identity = facts::identity(&inventory, &self.config);
        stages.emitter().set_source(&identity.source(&boot_id));

        let (files, ca) = (TrustFiles::below(&self.root), self.ca());
        let ca = ca.as_ref();
        let insecure = self.config.ironic.as_ref().is_some_and(|ironic| ironic.insecure);
        let (trust, downloads) = stages.run("trust", || {
            if insecure {
                log::warn!("ipa-insecure: no certificate is verified, neither Ironic's nor an image server's");
                return Ok((Trust::unverified(clock.clone())?, Trust::unverified(clock)?));
            }
            Ok::<_, TrustError>((Trust::controller(ca, &files, clock.clone())?, Trust::downloads(ca, &files, clock)?))
        })?;
        let emitter = stages.emitter().clone();
        let others = trust.of_others();
        let sink = |url: &config::HttpUrl| Sink::start(url.as_str(), &others, &Retry::default(), &emitter);
        let _sink = self.config.events.as_ref().map(|url| stages.run("events", || sink(url))).transpose()?;

        let (control, looked) = (ControlFlag::default(), Some(Instant::now()));
        let key = stages.run("key", || key::machine_key(&self.state())).ok().map(Arc::new);
        let ready =
            Ready { boot_id, inventory, looked, identity, trust, downloads, logs, control, addresses, listen, key };
        self.serve(stages, ready)
    }

    /// Waits as long as it takes: without a network a machine can do nothing, and a cable may still be plugged in.
    fn clock(&self, stages: &mut Stages, network: &Network) -> Result<(Clock, Vec<IpAddr>), Failure> {
        let wait = || {
            while let Err(error) = network.wait(NETWORK_PATIENCE) {
                crate::alive::beat();
                let problem = error.problem();
                log::warn!("no network yet [{}]: {}", problem.code, problem.message);
                if let Some(hint) = problem.hint {
                    log::warn!("  what to do: {hint}");
                }
            }
            Ok::<_, crate::net::NetError>(network.state())
        };
        let state = stages.run("address", wait)?;
        let (ntp, addresses) = (state.ntp_servers(), state.addresses());
        let emitter = stages.emitter().clone();
        let clock = stages.run("clock", || {
            let known = clock::sync(&self.config, &ntp);
            // The Date of an HTTP response has whole seconds, and the response took some time to arrive.
            let host = self.config.controller.as_ref().map(ToString::to_string).unwrap_or_default();
            let set = move |time| {
                clock::set_from(time, Duration::from_secs(2), clock::ClockSource::HttpDate(host.clone())).trusted
            };
            let disputed = facts::disputed(&emitter);
            Ok::<_, crate::net::NetError>(match known.trusted {
                true => Clock::by_time_server(clock::floor(), disputed),
                false => Clock::untrusted(clock::floor(), set),
            })
        })?;
        Ok((clock, addresses))
    }

    fn emitter(&self, boot_id: &str) -> Emitter {
        let mut outlets = Vec::new();
        if self.is_controlled() {
            outlets.push(CONTROLLER);
        }
        if self.config.events.is_some() {
            outlets.push(SINK);
        }
        let source = Identity::default().source(boot_id);
        let open = |state: Option<&Path>| Emitter::open(state, boot_id, &source, &outlets, SpoolLimits::default());
        open(Some(&self.state()))
            .or_else(|error| {
                log::warn!("events of an earlier agent are lost: {error}");
                open(None)
            })
            .unwrap_or_else(|error| {
                log::error!("events cannot be sent: {error}");
                Emitter::disconnected()
            })
    }

    fn ca(&self) -> Option<Ca> {
        match &self.config.trust {
            config::Trust::Default => None,
            config::Trust::CaFile(path) => Some(Ca::File(path.clone())),
            config::Trust::Fingerprint(fingerprint) => Some(Ca::Fingerprint(*fingerprint)),
        }
    }

    /// State for the next agent process of this boot.
    fn state(&self) -> PathBuf {
        self.root.join("run/burin")
    }
}
