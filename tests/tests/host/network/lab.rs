//! Network namespaces: a machine with two NICs, one connected to a data network and one to the provisioning network.

use crate::support::program::{Child, agent, is_root, run};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub const DATA_MAC: &str = "02-00-00-00-00-01";
pub const BOOT_MAC: &str = "02-00-00-00-00-02";
/// The controller's address, behind the provisioning network's router.
pub const CONTROLLER: &str = "192.0.2.10";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The machine's NICs are `data0` and `boot0`; their other ends are `data0f` and `boot0f`, initially down.
pub struct Lab {
    agent: Option<Child>,
    program: PathBuf,
    id: String,
    pub root: tempfile::TempDir,
}

/// A namespace of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Machine,
    Data,
    Provisioning,
}

impl Lab {
    /// `None`, with a message, without an agent or the permission to make namespaces.
    pub fn new() -> Option<Self> {
        let program = agent()?;
        if !is_root() {
            burin_skip::skip!("network namespaces are root's");
            return None;
        }
        let id = format!("burin{}n{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let root = tempfile::tempdir().unwrap();
        for directory in ["proc/sys/kernel/random", "etc/burin"] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let boot_id = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap();
        std::fs::write(root.path().join("proc/sys/kernel/random/boot_id"), boot_id).unwrap();
        let lab = Self { agent: None, program, id, root };
        for place in [Place::Machine, Place::Data, Place::Provisioning] {
            run(Command::new("ip").args(["netns", "add", &lab.name(place)]));
            lab.ip(place, "link set lo up");
        }
        for (nic, mac, place) in [("data0", DATA_MAC, Place::Data), ("boot0", BOOT_MAC, Place::Provisioning)] {
            let (mac, far) = (mac.replace('-', ":"), lab.name(place));
            lab.ip(Place::Machine, &format!("link add {nic} address {mac} type veth peer name {nic}f netns {far}"));
        }
        lab.ip(Place::Data, "addr add 10.9.1.1/24 dev data0f");
        lab.ip(Place::Provisioning, "addr add 10.9.2.1/24 dev boot0f");
        lab.ip(Place::Provisioning, &format!("addr add {CONTROLLER}/32 dev lo"));
        Some(lab)
    }

    pub fn name(&self, place: Place) -> String {
        format!("{}{place:?}", self.id)
    }

    /// Runs `ip` in a namespace.
    pub fn ip(&self, place: Place, words: &str) -> String {
        run(Command::new("ip").args(["-n", &self.name(place)]).args(words.split(' ')))
    }

    pub fn data_up(&self) {
        self.ip(Place::Data, "link set data0f up");
    }

    pub fn boot_up(&self) {
        self.ip(Place::Provisioning, "link set boot0f up");
    }

    /// Starts a thread whose sockets are in the namespace.
    pub fn inside(&self, place: Place, work: impl FnOnce() + Send + 'static) {
        let namespace = File::open(format!("/run/netns/{}", self.name(place))).unwrap();
        thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work();
        });
    }

    /// Runs a program in the namespace until it is dropped.
    pub fn program(&self, place: Place, program: &str, arguments: &[&str]) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(place), program]).args(arguments);
        Child::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// Starts the agent with these words on its kernel command line. It has no API unless they enable it.
    pub fn boot(&mut self, words: &str) {
        std::fs::write(self.root.path().join("proc/cmdline"), format!("burin.api=off {words}\n")).unwrap();
        let log = File::create(self.root.path().join("log")).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(Place::Machine)]).arg(&self.program).arg("agent");
        command.arg("--root").arg(self.root.path()).stdout(log.try_clone().unwrap()).stderr(log);
        self.agent = Some(Child::spawn(&mut command));
    }

    /// The agent's output.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.root.path().join("log")).unwrap_or_default()
    }

    pub fn resolv_conf(&self) -> String {
        std::fs::read_to_string(self.root.path().join("etc/resolv.conf")).unwrap_or_default()
    }

    /// Waits until `look` returns a value.
    pub fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(began.elapsed() < Duration::from_secs(150), "waited for {what} in vain:\n{}", self.said());
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.agent.take());
        for place in [Place::Machine, Place::Data, Place::Provisioning] {
            let _ = Command::new("ip").args(["netns", "del", &self.name(place)]).status();
        }
    }
}
