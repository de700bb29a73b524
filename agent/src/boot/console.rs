//! Writes to all consoles in parallel: output of PID 1 and the agent goes to the screen and to the serial line.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How far a slow console may fall behind before bytes are dropped: about six seconds at 115200 baud.
const BACKLOG: usize = 64 << 10;
/// How often to look for consoles that register late: hvc0, USB, serial ports behind PCI.
const LOOK: Duration = Duration::from_secs(1);

/// All active consoles. Writing never blocks: each console has its own thread and a bounded backlog, so that a serial
/// line with flow control, or a dead one, holds up nothing. One that registers late gets the earlier output.
#[derive(Debug, Clone)]
pub struct Consoles {
    root: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    outputs: Vec<Output>,
    /// The end of the output so far, at most as much as a console's backlog holds.
    said: VecDeque<u8>,
}

#[derive(Debug)]
struct Output {
    name: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    backlog: Mutex<Backlog>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Backlog {
    bytes: VecDeque<u8>,
    dropped: usize,
    writing: bool,
    dead: bool,
}

impl Consoles {
    /// Opens what `sys/class/tty/console/active` names, or `dev/console` when nothing there opens.
    pub fn open(root: &Path) -> Self {
        let consoles = Self { root: root.to_owned(), state: Arc::default() };
        consoles.look();
        let mut state = consoles.lock();
        if state.outputs.is_empty() {
            state.outputs.extend(Output::open(&root.join("dev"), "console"));
        }
        drop(state);
        consoles
    }

    /// Opens new consoles and writes the earlier output to them; returns their names.
    pub fn look(&self) -> Vec<String> {
        let active = std::fs::read_to_string(self.root.join("sys/class/tty/console/active")).unwrap_or_default();
        let mut state = self.lock();
        let mut new = Vec::new();
        for name in active.split_ascii_whitespace() {
            if state.outputs.iter().any(|output| output.name == name) {
                continue;
            }
            // Its node may appear a moment later; the next look finds it.
            let Some(output) = Output::open(&self.root.join("dev"), name) else { continue };
            output.shared.push(&state.said.iter().copied().collect::<Vec<u8>>());
            state.outputs.push(output);
            new.push(name.to_owned());
        }
        new
    }

    /// Looks for late consoles as long as the process lives.
    pub fn watch(&self) {
        let consoles = self.clone();
        let looking = move || {
            loop {
                thread::sleep(LOOK);
                for name in consoles.look() {
                    log::info!("console {name} appeared");
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("consoles".to_owned()).spawn(looking) {
            log::warn!("consoles that appear later stay silent: {error}");
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.lock().outputs.iter().map(|output| output.name.clone()).collect()
    }

    /// Queues bytes on every console.
    pub fn write(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.said.extend(bytes);
        let excess = state.said.len().saturating_sub(BACKLOG);
        state.said.drain(..excess);
        state.outputs.iter().for_each(|output| output.shared.push(bytes));
    }

    /// Waits until everything queued has been written, at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        // Not under the lock: a slow console must not block others.
        let all: Vec<Arc<Shared>> = self.lock().outputs.iter().map(|output| Arc::clone(&output.shared)).collect();
        all.iter().for_each(|shared| shared.drain(deadline));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    fn open(dev: &Path, name: &str) -> Option<Self> {
        // Non-blocking only while opening: a serial port without carrier detect would wait for it.
        let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = OpenOptions::new().write(true).custom_flags(flags.bits()).open(dev.join(name)).ok()?;
        fcntl(&file, FcntlArg::F_SETFL(OFlag::empty())).ok()?;
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        thread::Builder::new().name(format!("console-{name}")).spawn(move || writer.copy_to(file)).ok()?;
        Some(Self { name: name.to_owned(), shared })
    }
}

impl Shared {
    fn push(&self, bytes: &[u8]) {
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        if backlog.dead {
            return;
        }
        // The newest bytes matter most, so the oldest are dropped.
        backlog.bytes.extend(bytes);
        let excess = backlog.bytes.len().saturating_sub(BACKLOG);
        backlog.bytes.drain(..excess);
        backlog.dropped += excess;
        self.changed.notify_all();
    }

    fn drain(&self, deadline: Instant) {
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        while !backlog.dead && (backlog.writing || !backlog.bytes.is_empty()) {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return;
            };
            backlog = self.changed.wait_timeout(backlog, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn copy_to(&self, mut out: File) {
        loop {
            let chunk = {
                let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
                backlog.writing = false;
                self.changed.notify_all();
                while backlog.bytes.is_empty() {
                    backlog = self.changed.wait(backlog).unwrap_or_else(PoisonError::into_inner);
                }
                backlog.writing = true;
                let mut chunk = Vec::new();
                if backlog.dropped > 0 {
                    chunk = format!("\n[{} bytes dropped: this console is too slow]\n", backlog.dropped).into_bytes();
                    backlog.dropped = 0;
                }
                // Small pieces, so that the backlog keeps being trimmed while a slow line works.
                let piece = backlog.bytes.len().min(1024);
                chunk.extend(backlog.bytes.drain(..piece));
                chunk
            };
            if out.write_all(&chunk).is_err() {
                // No such hardware, or hung up: the other consoles continue.
                let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
                backlog.dead = true;
                backlog.writing = false;
                self.changed.notify_all();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(active: &str, devices: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("sys/class/tty/console")).unwrap();
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        std::fs::write(root.path().join("sys/class/tty/console/active"), active).unwrap();
        for device in devices {
            std::fs::write(root.path().join("dev").join(device), "").unwrap();
        }
        root
    }

    fn read(root: &tempfile::TempDir, device: &str) -> String {
        std::fs::read_to_string(root.path().join("dev").join(device)).unwrap()
    }

    #[test]
    fn every_active_console_gets_everything() {
        let root = root("tty0 ttyS0 ttyS9\n", &["tty0", "ttyS0", "console"]);
        let consoles = Consoles::open(root.path());
        assert_eq!(consoles.names(), ["tty0", "ttyS0"]);
        let text: String = (0..500).map(|line| format!("line {line}\n")).collect();
        consoles.write(text.as_bytes());
        consoles.flush(Duration::from_secs(60));
        assert_eq!(
            (read(&root, "tty0"), read(&root, "ttyS0"), read(&root, "console")),
            (text.clone(), text, String::new())
        );
    }

    #[test]
    fn a_console_that_registers_late_gets_everything_from_the_beginning() {
        let root = root("ttyS0\n", &["ttyS0"]);
        let consoles = Consoles::open(root.path());
        consoles.write(b"first\n");
        std::fs::write(root.path().join("sys/class/tty/console/active"), "hvc0 ttyS0\n").unwrap();
        assert_eq!(consoles.look(), [""; 0], "its node is not there yet");
        std::fs::write(root.path().join("dev/hvc0"), "").unwrap();
        assert_eq!((consoles.look(), consoles.look()), (vec!["hvc0".to_owned()], vec![]));
        consoles.write(b"second\n");
        consoles.flush(Duration::from_secs(60));
        assert_eq!((read(&root, "hvc0"), read(&root, "ttyS0")), ("first\nsecond\n".into(), "first\nsecond\n".into()));
    }

    #[test]
    fn dev_console_when_none_is_active() {
        let root = root("", &["console"]);
        assert_eq!(Consoles::open(root.path()).names(), ["console"]);
        let root = tempfile::tempdir().unwrap();
        assert!(Consoles::open(root.path()).names().is_empty());
    }

    #[test]
    fn a_stuck_console_drops_its_oldest_bytes_and_says_so() {
        let shared = Shared::default();
        shared.push(&vec![b'a'; BACKLOG]);
        shared.push(b"newest");
        let backlog = shared.backlog.lock().unwrap();
        assert_eq!((backlog.bytes.len(), backlog.dropped), (BACKLOG, 6));
        assert!(backlog.bytes.iter().rev().take(6).rev().eq(b"newest"));
    }
}
