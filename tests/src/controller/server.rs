//! The controller as a whole: options, start, queries while it runs, stop.

use super::attest::{Challenges, Demand};
use super::faults::{Faults, strike};
use super::journal::Journal;
use super::listener::{Connections, Cut, Tls};
use super::orders::{self, StoredOrder};
use super::state::{JournalRecord, MachineView, State};
use super::watch::{Observation, Watchers};
use super::{attest, boot, calls, files};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use burin::protocol::{Ack, Control, Event, Identity, Receipt, Secret};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

/// Options of a controller. `Options::new(directory)` is enough for tests.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port 0 means an ephemeral port.
    pub listen: SocketAddr,
    /// The directory of the journal.
    pub state: PathBuf,
    /// The directory of `KEY.json` files; created if absent.
    pub orders: PathBuf,
    /// Kernel and initramfs, under `/boot/`.
    pub artefacts: Option<PathBuf>,
    /// Under `/images/`.
    pub images: Option<PathBuf>,
    /// How machines reach this server, if not by the address it listens on: `http://10.0.2.2:8080`.
    pub public_url: Option<String>,
    /// File names under `/boot/` for the iPXE script.
    pub kernel: String,
    pub initramfs: String,
    /// More words for the kernel command line in the iPXE script.
    pub cmdline: String,
    /// Grants for one order on one machine.
    pub max_attempts: u32,
    /// If set, every hello must contain it.
    pub join_token: Option<Secret>,
    /// A directory of `KEY.token` files, with KEY as for orders: the join token of a single machine, instead of the
    /// common one.
    pub join_tokens: Option<PathBuf>,
    /// If set, machines must prove by their TPM what they have booted.
    pub attest: Option<Demand>,
    /// How long a machine counts as in use after its last call. Until then another boot of it gets no token.
    pub in_use: Duration,
    pub heartbeat_seconds: Option<u32>,
    pub tls: Option<Tls>,
    /// CAs in PEM. With TLS, machines must present a certificate from one of them.
    pub client_ca: Option<String>,
    /// Keep receipts in state `posted` until [`Controller::acknowledge`].
    pub hold_receipts: bool,
}

impl Options {
    /// Everything is below one directory, and listens on an ephemeral port of 127.0.0.1.
    pub fn new(directory: &Path) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            state: directory.join("state"),
            orders: directory.join("orders"),
            artefacts: None,
            images: None,
            public_url: None,
            kernel: "vmlinuz".into(),
            initramfs: "initramfs.cpio.zst".into(),
            cmdline: String::new(),
            max_attempts: 1,
            join_token: None,
            join_tokens: None,
            attest: None,
            in_use: Duration::from_secs(25),
            heartbeat_seconds: None,
            tls: None,
            client_ca: None,
            hold_receipts: false,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot use {path}")]
    Path { path: PathBuf, source: io::Error },
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot use the server's certificate")]
    Tls(#[source] io::Error),
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
}

/// A running controller; it stops when dropped.
#[derive(Debug)]
pub struct Controller {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

/// State shared by the handlers.
#[derive(Debug)]
pub(super) struct Shared {
    pub options: Options,
    pub address: SocketAddr,
    pub faults: Faults,
    pub watchers: Watchers,
    state: Mutex<State>,
    journal: Journal,
    /// Increases with every change, to wake long polls.
    changes: watch::Sender<u64>,
    held: Mutex<bool>,
    /// Tokens of this process only: the journal contains digests.
    tokens: Mutex<BTreeMap<String, Secret>>,
    pub challenges: Challenges,
    /// Time of each machine's last call with its token.
    pub heard: Mutex<BTreeMap<String, Instant>>,
}

impl Controller {
    /// Restores the journal's state, and serves until stopped.
    pub fn start(options: Options) -> Result<Self, StartError> {
        for path in [&options.state, &options.orders] {
            std::fs::create_dir_all(path).map_err(|source| StartError::Path { path: path.clone(), source })?;
        }
        let path = options.state.join("journal.jsonl");
        let (journal, records) = Journal::open(&path).map_err(|source| StartError::Path { path, source })?;
        let mut state = State::default();
        for record in records {
            state.apply(record);
        }
        let acceptor = options
            .tls
            .as_ref()
            .map(|tls| tls.acceptor(options.client_ca.as_deref()))
            .transpose()
            .map_err(StartError::Tls)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("controller")
            .enable_all()
            .build()
            .map_err(StartError::Runtime)?;
        let address = options.listen;
        let listener =
            runtime.block_on(async { listen(address) }).map_err(|source| StartError::Listen { address, source })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen { address, source })?;
        let held = Mutex::new(options.hold_receipts);
        let shared = Arc::new(Shared {
            options,
            address,
            faults: Faults::default(),
            watchers: Watchers::default(),
            state: Mutex::new(state),
            journal,
            changes: watch::Sender::new(0),
            held,
            tokens: Mutex::default(),
            challenges: Challenges::default(),
            heard: Mutex::default(),
        });
        let app = router(&shared).into_make_service_with_connect_info::<Cut>();
        let refusing = shared.faults.refusing();
        let _inside = runtime.enter();
        let connections =
            Connections::new(listener, acceptor, refusing).map_err(|source| StartError::Listen { address, source })?;
        runtime.spawn(async move {
            let _ = axum::serve(connections, app).await;
        });
        drop(_inside);
        Ok(Self { shared, runtime: Some(runtime) })
    }

    /// `http://127.0.0.1:PORT` or `https://...`, without a slash at the end.
    pub fn url(&self) -> String {
        self.shared.url()
    }

    /// The URL for agents: [`Options::public_url`], otherwise [`Controller::url`].
    pub fn public_url(&self) -> String {
        self.shared.public_url()
    }

    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// All observations from now on.
    pub fn subscribe(&self) -> Receiver<Observation> {
        self.shared.watchers.subscribe()
    }

    /// Puts or replaces the order of a machine (UUID, serial, MAC, machine id) or `default`, byte by byte.
    pub fn put_order(&self, key: &str, body: impl AsRef<[u8]>) -> io::Result<()> {
        orders::put(&self.shared.options.orders, key, body.as_ref())?;
        self.shared.changed();
        Ok(())
    }

    pub fn remove_order(&self, key: &str) -> io::Result<()> {
        orders::remove(&self.shared.options.orders, key)?;
        self.shared.changed();
        Ok(())
    }

    /// Sends this control word with the next reply to this machine.
    pub fn control(&self, machine: &str, control: Control) {
        self.shared.keep(JournalRecord::Control { machine: machine.to_owned(), control });
    }

    /// Acknowledges the receipts that were held back, and all later ones.
    pub fn acknowledge(&self) {
        *self.shared.held.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.shared.changed();
    }

    /// The token of the machine's latest hello, with which an orchestrator may call the agent's own API.
    pub fn token(&self, machine: &str) -> Option<Secret> {
        self.shared.tokens().get(machine).cloned()
    }

    pub fn machines(&self) -> Vec<String> {
        self.shared.state().machines.keys().cloned().collect()
    }

    pub fn machine(&self, machine: &str) -> Option<MachineView> {
        self.shared.state().machines.get(machine).cloned()
    }

    /// Waits for the first receipt of any machine for this order; `None` after `timeout`.
    pub fn wait_receipt(&self, order: &str, timeout: Duration) -> Option<(String, Receipt)> {
        let deadline = Instant::now() + timeout;
        loop {
            let found = self.shared.state().machines.iter().find_map(|(machine, view)| {
                let receipt = view.receipts.iter().find(|receipt| receipt.order == order)?;
                Some((machine.clone(), receipt.clone()))
            });
            if found.is_some() || Instant::now() >= deadline {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops at once, like `kill -9`: what was acknowledged is on disk, the rest is lost.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(2));
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.end();
    }
}

/// Number of connections that may wait to be accepted. Racks are powered on together. If the queue overflows, the
/// kernel answers with SYN cookies and forgets, and machines that have already sent their hello get a reset.
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must get the same port, even with connections in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/hello", post(calls::hello))
        .route("/v1/attestation", post(attest::challenge))
        .route("/v1/machines", get(calls::machines))
        .route("/v1/machines/{machine}", get(calls::machine))
        .route("/v1/machines/{machine}/order", get(calls::order))
        .route("/v1/machines/{machine}/events", post(calls::events))
        .route("/v1/machines/{machine}/grants", post(calls::grant))
        .route("/v1/machines/{machine}/receipts", post(calls::receipt))
        .route("/v1/machines/{machine}/receipts/{order}/{attempt}", get(calls::receipt_state))
        .route("/ipxe", get(boot::script))
        .route("/ipxe/site.img", get(boot::site))
        .route("/boot/{*path}", get(files::artefact))
        .route("/images/{*path}", get(files::image))
        .layer(DefaultBodyLimit::max(16 << 20))
        .layer(from_fn_with_state(shared.clone(), strike))
        .with_state(shared.clone())
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub fn public_url(&self) -> String {
        let url = self.options.public_url.clone().unwrap_or_else(|| self.url());
        url.trim_end_matches('/').to_owned()
    }

    pub fn tokens(&self) -> MutexGuard<'_, BTreeMap<String, Secret>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn receipts_held(&self) -> bool {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Applies a record and queues it, in one order. The receiver gets true once it is on disk.
    pub fn keep(&self, record: JournalRecord) -> oneshot::Receiver<bool> {
        self.keep_if(|_| (Some(record), ())).0
    }

    /// Decides under the lock what to record, so that two requests cannot both be first.
    pub fn keep_if<T>(
        &self,
        decide: impl FnOnce(&State) -> (Option<JournalRecord>, T),
    ) -> (oneshot::Receiver<bool>, T) {
        let mut state = self.state();
        let (record, answer) = decide(&state);
        let written = match record {
            Some(record) => {
                let written = self.journal.append(&record);
                state.apply(record);
                written
            }
            None => self.journal.barrier(),
        };
        drop(state);
        self.changed();
        (written, answer)
    }

    /// Records events. The acknowledgement is valid once the receiver gets true: the journal is written in order, and
    /// later batches are not included.
    pub fn keep_events(&self, machine: &str, boot: &str, events: Vec<Event>) -> (oneshot::Receiver<bool>, Ack) {
        let mut state = self.state();
        let written = if events.is_empty() {
            self.journal.barrier()
        } else {
            let record = JournalRecord::Events { machine: machine.to_owned(), events };
            let written = self.journal.append(&record);
            for event in state.apply(record) {
                self.watchers.tell(&Observation::Event { machine: machine.to_owned(), event: Box::new(event) });
            }
            written
        };
        let view = state.machines.get(machine);
        let acked = view.and_then(|view| view.boots.get(boot)).map_or(0, |boot| boot.acked);
        (written, Ack { acked, control: view.map_or(Control::Continue, |view| view.control) })
    }

    /// The order of a machine, whether or not it is done.
    pub fn order_file(&self, machine: Option<&str>, identity: &Identity) -> Option<StoredOrder> {
        let keys = self.state().order_keys(machine, identity);
        orders::find(&self.options.orders, &keys)
    }

    /// For the iPXE script: whether a machine that gave only its names has an order to do.
    pub fn order_waits(&self, identity: &Identity) -> bool {
        let state = self.state();
        let known = state.machines.iter().find(|(_, view)| view.is(identity));
        // A known machine has more names than the script's query contains.
        let full = known.and_then(|(_, view)| view.hello.as_ref()).map_or(identity, |hello| &hello.identity);
        let keys = state.order_keys(known.map(|(machine, _)| machine.as_str()), full);
        let Some(order) = orders::find(&self.options.orders, &keys) else { return false };
        !order.retires() && !known.is_some_and(|(_, view)| view.finished(&order.id(), self.options.max_attempts))
    }
}
