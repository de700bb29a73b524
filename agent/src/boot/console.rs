//! Every console at once: what PID 1 and the agent say goes to the screen and to the serial line alike.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What a slow console may lag behind before bytes are dropped: about six seconds of a 115200 baud line.
const BACKLOG: usize = 64 << 10;

/// All active consoles. Writing never blocks: each console has its own thread and a bounded backlog, so that a serial
/// line with flow control, or a dead one, holds up nobody.
#[derive(Debug, Clone, Default)]
pub struct Consoles {
    outputs: Arc<Vec<Output>>,
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
        let active = std::fs::read_to_string(root.join("sys/class/tty/console/active")).unwrap_or_default();
        let dev = root.join("dev");
        let mut outputs: Vec<Output> =
            active.split_ascii_whitespace().filter_map(|name| Output::open(&dev, name)).collect();
        if outputs.is_empty() {
            outputs.extend(Output::open(&dev, "console"));
        }
        Self { outputs: Arc::new(outputs) }
    }

    pub fn names(&self) -> Vec<&str> {
        self.outputs.iter().map(|output| output.name.as_str()).collect()
    }

    /// Queues bytes on every console.
    pub fn write(&self, bytes: &[u8]) {
        self.outputs.iter().for_each(|output| output.shared.push(bytes));
    }

    /// Waits until everything queued is out, at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        self.outputs.iter().for_each(|output| output.shared.drain(deadline));
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
        // The newest bytes say what is the matter now: the oldest go.
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
                // Small pieces, so that a backlog keeps being trimmed while a slow line works.
                let piece = backlog.bytes.len().min(1024);
                chunk.extend(backlog.bytes.drain(..piece));
                chunk
            };
            if out.write_all(&chunk).is_err() {
                // No such hardware, or hung up: the other consoles go on.
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
