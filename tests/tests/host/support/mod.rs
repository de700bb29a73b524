//! A controller, and an agent without a machine.

pub mod caller;
pub mod host;
pub mod program;
pub mod wire;

use burin::dialect::native::{Session, SessionOptions};
use burin::http::{Clock, Retry, Timeouts, Trust, TrustFiles};
use burin::protocol::event::{Progress, StageFinished, StageStarted};
use burin::protocol::{Hello, Identity, Kind, Receipt, hello, receipt};
use burin::report::{CONTROLLER, Emitter, Memory, SpoolLimits};
use burin_tests::controller::{Controller, MachineView, Options as Served};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const MAC: &str = "52:54:00:ab:00:01";
pub const MACHINE: &str = "4c4c4544-0001";

pub struct Bench {
    pub directory: tempfile::TempDir,
    pub controller: Option<Controller>,
    pub options: Served,
}

impl Bench {
    pub fn new(change: impl FnOnce(&mut Served)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = Served::new(&directory.path().join("controller"));
        // The machines in these tests are reset in no time.
        options.in_use = Duration::ZERO;
        change(&mut options);
        let controller = Controller::start(options.clone()).unwrap();
        // After a restart it must be reachable at the same address.
        options.listen = controller.address();
        Self { directory, controller: Some(controller), options }
    }

    pub fn controller(&self) -> &Controller {
        self.controller.as_ref().unwrap()
    }

    pub fn stop(&mut self) {
        self.controller.take().unwrap().stop();
    }

    pub fn start(&mut self) {
        self.controller = Some(Controller::start(self.options.clone()).unwrap());
    }

    pub fn view(&self) -> MachineView {
        self.controller().machine(MACHINE).unwrap_or_default()
    }

    /// The finished stages that the controller has stored, in order.
    pub fn stages(&self) -> Vec<String> {
        let ended = |kind| match kind {
            Some(Kind::StageFinished(done)) => Some(done.stage),
            Some(Kind::StageFailed(failed)) => Some(failed.stage),
            _ => None,
        };
        self.view().events().filter_map(|event| ended(event.kind())).collect()
    }

    pub fn state(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// An agent process of boot `boot`; the state directory belongs to its machine.
    pub fn agent(&self, boot: &str) -> Agent {
        Agent::new(&self.controller().url(), &self.state(), boot)
    }
}

pub fn trust(directory: &Path) -> Trust {
    Trust::controller(None, &TrustFiles::below(directory), Clock::trusted()).unwrap()
}

pub fn options(url: &str, trust: Trust, state: &Path) -> SessionOptions {
    let mut options = SessionOptions::new(url, trust, state.to_owned());
    options.retry = Retry { first: Duration::from_millis(10), most: Duration::from_millis(100) };
    options.timeouts = Timeouts {
        connect: Duration::from_secs(20),
        response: Duration::from_secs(20),
        read: Duration::from_secs(20),
        total: Some(Duration::from_secs(60)),
    };
    options
}

pub fn hello_of(boot: &str) -> Hello {
    Hello {
        version: hello::VERSION.into(),
        identity: Identity {
            system_uuid: Some(MACHINE.into()),
            serial: Some("S1".into()),
            macs: vec![MAC.into()],
            boot_mac: Some(MAC.into()),
        },
        boot_id: boot.into(),
        instance: uuid::Uuid::new_v4().to_string(),
        agent_version: "0".into(),
        capabilities: vec![],
        inventory: serde_json::json!({"version": "inventory/v1"}),
        last_crash: None,
        last_state: None,
        api: None,
        key: None,
        attestation: None,
    }
}

/// One agent process.
pub struct Agent {
    pub emitter: Emitter,
    pub options: SessionOptions,
    pub hello: Hello,
    /// Failed attempts of all calls.
    pub failures: Arc<AtomicU32>,
}

impl Agent {
    pub fn new(url: &str, state: &Path, boot: &str) -> Self {
        let hello = hello_of(boot);
        let source = hello.identity.source(boot);
        let emitter = Emitter::open(Some(state), boot, &source, &[CONTROLLER], SpoolLimits::default()).unwrap();
        let mut options = options(url, trust(state), state);
        let failures = Arc::new(AtomicU32::new(0));
        let count = failures.clone();
        options.notify = Arc::new(move |waiting| {
            count.fetch_add(1, Ordering::Relaxed);
            eprintln!("{}: {} ({:?})", waiting.call, waiting.error, std::error::Error::source(waiting.error));
            std::ops::ControlFlow::Continue(())
        });
        Self { emitter, options, hello, failures }
    }

    /// Gives up at the first failure and returns its error.
    pub fn impatient(mut self) -> Self {
        self.options.notify = Arc::new(|_| std::ops::ControlFlow::Break(()));
        self
    }

    pub fn connect(&self) -> Session {
        Session::connect(self.options.clone(), self.hello.clone(), &self.emitter).unwrap()
    }

    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    pub fn memory(&self) -> Memory {
        Memory::new(&self.options.state)
    }
}

pub fn order(id: &str) -> String {
    let images = serde_json::json!({"debian": {"urls": ["http://boot.lan/debian.raw"]}});
    let layouts = serde_json::json!([{"name": "only-disk", "disks": {"root": {"image": "debian"}}}]);
    serde_json::json!({"version": "order/v1", "id": id, "images": images, "layouts": layouts}).to_string()
}

pub fn receipt_for(order: &str, attempt: u32, boot: &str) -> Receipt {
    Receipt {
        version: receipt::VERSION.into(),
        order: order.into(),
        attempt,
        boot_id: boot.into(),
        plan_digest: Some("sha256:00".into()),
        order_digest: None,
        order_signers: Vec::new(),
        disks: Vec::new(),
        problem: None,
        images: vec![],
        changes: vec![],
        stages: vec![],
        evidence: None,
    }
}

pub fn started(stage: &str) -> Kind {
    Kind::StageStarted(StageStarted { stage: stage.into() })
}

pub fn finished(stage: &str) -> Kind {
    Kind::StageFinished(StageFinished { stage: stage.into(), duration_ms: 1 })
}

pub fn progress(read: u64) -> Kind {
    Kind::Progress(Progress { stage: "write".into(), read_bytes: read, ..Progress::default() })
}

/// Long enough for any machine under any load.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
