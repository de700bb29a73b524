//! Supervises one child, `burin agent`: starts, watches and restarts it; also reaps orphans.

use super::console::Consoles;
use super::crash::{self, CrashReport, RestartBackoff, Tail};
use super::shutdown::End;
use super::watchdog;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const TAIL: usize = 8 << 10;
/// Maximum size of `/run/burin/agent.log` and of its predecessor `agent.log.1`.
const LOG_LIMIT: u64 = 512 << 10;

/// The signals that PID 1 handles. Blocked before any thread starts, so that only the signal descriptor receives them.
pub fn block_signals() -> nix::Result<SigSet> {
    let mut set = SigSet::empty();
    // Busybox's convention for the last two: power off.
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGPWR,
        Signal::SIGUSR2,
        Signal::SIGHUP,
        Signal::SIGPIPE,
    ] {
        set.add(signal);
    }
    set.thread_block()?;
    Ok(set)
}

struct Child {
    pid: Pid,
    started: Instant,
    reader: JoinHandle<()>,
    tail: Arc<Mutex<Tail>>,
}

/// Of -1000 to 1000 (proc(5)); inherited by programs that the agent starts, so that the largest of all these is killed
/// first.
const OOM_SCORE: &str = "-800";
/// How often to check whether the agent may start.
const READY: Duration = Duration::from_millis(100);

/// Runs the agent, once it is `ready`, until it requests the end of the machine.
pub fn run(root: &Path, consoles: &Consoles, signals: &SigSet, ready: &dyn Fn() -> bool) -> nix::Result<End> {
    let signals = SignalFd::with_flags(signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let log = Arc::new(Mutex::new(AgentLog::new(root)));
    let mut backoff = RestartBackoff::default();
    let mut crashes = 0;
    let mut child: Option<Child> = None;
    let mut next_start = Some(Instant::now());
    loop {
        if next_start.is_some_and(|at| at <= Instant::now()) && !ready() {
            next_start = Some(Instant::now() + READY);
        } else if next_start.is_some_and(|at| at <= Instant::now()) {
            next_start = None;
            match start(consoles, &log) {
                Ok(started) => {
                    watchdog::rest(false);
                    child = Some(started);
                }
                Err(error) => {
                    let pause = backoff.after(Duration::ZERO);
                    log::error!("cannot start the agent: {error}; trying again in {} s", pause.as_secs());
                    next_start = Some(Instant::now() + pause);
                }
            }
        }
        if let Some(end) = wait(&signals, next_start)? {
            return Ok(end);
        }
        for status in reap() {
            let Some(ended) = child.take_if(|child| status.pid() == Some(child.pid)) else { continue };
            let lived = ended.started.elapsed();
            if let WaitStatus::Exited(_, code) = status
                && let Some((level, words)) = stopped(code)
            {
                log::log!(level, "{words}");
                watchdog::rest(true);
                continue;
            }
            let (code, signal, reason) = match status {
                WaitStatus::Exited(_, code) => (Some(code), None, format!("exit status {code}")),
                WaitStatus::Signaled(_, signal, _) => (None, Some(signal as i32), format!("killed by {signal}")),
                _ => (None, None, format!("{status:?}")),
            };
            let output = ended.finish();
            if let Some(end) = code.and_then(End::of_status) {
                return Ok(end);
            }
            crashes += 1;
            let pause = backoff.after(lived);
            log::error!(
                "the agent ended after {} s: {reason}; starting it again in {} s",
                lived.as_secs(),
                pause.as_secs()
            );
            let report = CrashReport { status: code, signal, reason, seconds: lived.as_secs(), crashes, output };
            if let Err(error) = crash::write(root, &report) {
                log::warn!("the reason cannot be recorded for the next agent: {error}");
            }
            next_start = Some(Instant::now() + pause);
        }
    }
}

/// The message about an agent that is neither restarted nor ends the machine (ARCHITECTURE.md, "Processes in the
/// ramdisk").
fn stopped(status: i32) -> Option<(log::Level, &'static str)> {
    match status {
        0 => Some((log::Level::Info, "the agent is done and stays stopped")),
        73 => {
            Some((log::Level::Error, "the order failed: this machine stays up and does nothing until somebody looks"))
        }
        _ => None,
    }
}

/// Sleeps until a signal or the next start; returns the end that a signal requests.
fn wait(signals: &SignalFd, next_start: Option<Instant>) -> nix::Result<Option<End>> {
    let timeout = match next_start {
        None => PollTimeout::NONE,
        // Rounded up, so that the start is due on waking.
        Some(at) => {
            let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        }
    };
    match poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error),
    }
    let mut end = None;
    while let Ok(Some(info)) = signals.read_signal() {
        match Signal::try_from(info.ssi_signo as i32) {
            // Ctrl-Alt-Del, which the kernel turns into SIGINT for PID 1.
            Ok(Signal::SIGINT) => {
                log::info!("ctrl-alt-del: orderly reboot");
                end = Some(End::Reboot);
            }
            Ok(Signal::SIGTERM) => end = Some(End::Reboot),
            Ok(Signal::SIGPWR | Signal::SIGUSR2) => end = Some(End::PowerOff),
            _ => {}
        }
    }
    Ok(end)
}

/// Reaps all exited processes, orphans included.
fn reap() -> Vec<WaitStatus> {
    let mut ended = Vec::new();
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return ended,
            Ok(status) => ended.push(status),
            Err(Errno::EINTR) => {}
            Err(error) => {
                log::warn!("waitpid: {error}");
                return ended;
            }
        }
    }
}

fn start(consoles: &Consoles, log: &Arc<Mutex<AgentLog>>) -> std::io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("burin")
        .arg("agent")
        .env_clear()
        .env("HOME", "/")
        .env("TERM", "linux")
        .current_dir("/")
        .stdin(Stdio::null());
    crate::sys::signal::unblock_in_child(&mut command);
    // One pipe for both, so that the order of the output is kept.
    let (pipe, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let tail = Arc::new(Mutex::new(Tail::new(TAIL)));
    let reader = forward(pipe, consoles.clone(), Arc::clone(log), Arc::clone(&tail))?;
    let process = command.spawn()?;
    // Its memory is bounded, so its children, or whatever leaks elsewhere, should be killed first.
    let score = format!("/proc/{}/oom_score_adj", process.id());
    if let Err(error) = std::fs::write(&score, OOM_SCORE) {
        log::debug!("{score}: {error}");
    }
    // Never waited for through `process`, because `reap` waits for all.
    Ok(Child { pid: Pid::from_raw(process.id() as i32), started: Instant::now(), reader, tail })
}

impl Child {
    /// The end of its output, once the pipe is empty; its children may still hold it open.
    fn finish(self) -> String {
        let deadline = Instant::now() + Duration::from_secs(1);
        while !self.reader.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).text()
    }
}

fn forward(
    mut pipe: impl Read + Send + 'static,
    consoles: Consoles,
    log: Arc<Mutex<AgentLog>>,
    tail: Arc<Mutex<Tail>>,
) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name("agent-output".to_owned()).spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let bytes = match pipe.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => buffer.get(..count).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            consoles.write(bytes);
            log.lock().unwrap_or_else(PoisonError::into_inner).write(bytes);
            tail.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        }
    })
}

/// `run/burin/agent.log`, bounded by rotating it once.
struct AgentLog {
    path: PathBuf,
    file: Option<File>,
    length: u64,
}

impl AgentLog {
    fn new(root: &Path) -> Self {
        Self { path: root.join("run/burin/agent.log"), file: None, length: 0 }
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.length > 0 && self.length + bytes.len() as u64 > LOG_LIMIT {
            let _ = std::fs::rename(&self.path, self.path.with_extension("log.1"));
            self.file = None;
        }
        if self.file.is_none() {
            self.file = File::create(&self.path).ok();
            self.length = 0;
        }
        // A full tmpfs affects the log, not the machine.
        if let Some(file) = &mut self.file
            && file.write_all(bytes).is_ok()
        {
            self.length += bytes.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_of_the_agent_means_something_here() {
        use crate::exit::Exit;
        for exit in [Exit::Stop, Exit::Reboot, Exit::PowerOff, Exit::Kexec, Exit::Failed] {
            let status = i32::from(exit.status());
            let stays = matches!(exit, Exit::Stop | Exit::Failed);
            assert_eq!(stopped(status).is_some(), stays, "{exit:?}");
            assert_eq!(End::of_status(status).is_none(), stays, "{exit:?}");
        }
        assert_eq!(stopped(73).map(|(level, _)| level), Some(log::Level::Error));
        assert!(stopped(1).is_none() && stopped(101).is_none());
    }

    #[test]
    fn the_log_is_bounded_and_keeps_the_end() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("run/burin")).unwrap();
        let mut log = AgentLog::new(root.path());
        for number in 0..200_000 {
            log.write(format!("line {number}\n").as_bytes());
        }
        let read = |name: &str| std::fs::read_to_string(root.path().join("run/burin").join(name)).unwrap();
        let (new, old) = (read("agent.log"), read("agent.log.1"));
        assert!(new.len() as u64 <= LOG_LIMIT && old.len() as u64 <= LOG_LIMIT);
        assert!(new.ends_with("line 199999\n"));
        let both = old + &new;
        assert!(both.lines().skip(1).all(|line| line.starts_with("line ")), "nothing torn at the turn");
    }
}
