//! Runs queries in a child process. Reading an untrusted filesystem may crash the code, and a device may block it
//! inside the kernel: either affects only the child, not the agent.
//!
//! The child is this program, run as `burin look NAME`, with the question as JSON on its standard input and the answer
//! on its standard output. It is killed when its time is up, and left behind if that does not end it.

use crate::error::Coded;
use crate::sys::signal;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Size limit of an answer, which contains only paths and names.
const LIMIT: usize = 1 << 20;
const TICK: Duration = Duration::from_millis(5);
const MOMENT: Duration = Duration::from_secs(1);
/// Time for a killed child to exit. One that waits for a device stays.
const DYING: Duration = Duration::from_secs(1);

/// A query, answered by `burin look NAME`.
pub trait Question: Serialize + DeserializeOwned {
    const NAME: &'static str;
    type Answer: Serialize + DeserializeOwned;

    fn answer(self) -> Self::Answer;
}

#[derive(Debug, thiserror::Error)]
pub enum IsolateError {
    #[error("cannot start the process that inspects it")]
    Start { source: io::Error },
    #[error("the process that inspected it ended without an answer: {status}")]
    Died { status: String },
    #[error("inspecting it took longer than {seconds} s")]
    Late { seconds: u64 },
    #[error("inspecting it took longer than {seconds} s, and in the end the device answered no request")]
    Silent { seconds: u64 },
    /// It waits inside the kernel; `ended` is set once it has exited after all.
    #[error("the process that inspects it is blocked by the device and cannot be killed")]
    Stuck { seconds: u64, ended: Arc<AtomicBool> },
    #[error("the inspection was cancelled")]
    Stopped,
}

impl Coded for IsolateError {
    fn code(&self) -> &'static str {
        match self {
            Self::Start { .. } => "look.start",
            Self::Died { .. } => "look.died",
            Self::Late { .. } => "look.late",
            Self::Silent { .. } | Self::Stuck { .. } => "disk.hung",
            Self::Stopped => "cancelled",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Died { .. } => Some(
                "check the image's filesystems: reading one of them crashed; the kernel log may say more".to_owned(),
            ),
            Self::Late { .. } => Some("check whether the image's filesystem is damaged or the disk slow".to_owned()),
            _ => None,
        }
    }
}

/// The program to run, and the limits.
pub struct IsolatedQuery<'a> {
    /// This program.
    pub program: &'a Path,
    pub patience: Duration,
    /// Whether the answer is no longer wanted.
    pub stop: &'a dyn Fn() -> bool,
    /// Requests that the device has completed so far.
    pub answered: &'a dyn Fn() -> u64,
    /// Called with the pid of a child that ended before it had cleaned up.
    pub tidy: &'a dyn Fn(u32),
}

impl std::fmt::Debug for IsolatedQuery<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IsolatedQuery").field("program", &self.program).field("patience", &self.patience).finish()
    }
}

impl IsolatedQuery<'_> {
    pub fn ask<Q: Question>(&self, question: &Q) -> Result<Q::Answer, IsolateError> {
        let failed = |source| IsolateError::Start { source };
        let mut child = self.start(Q::NAME).map_err(failed)?;
        let sent = send(&mut child, question).map_err(failed);
        let answer = match sent.and_then(|()| self.hear(&mut child)) {
            Ok((status, text)) => match serde_json::from_slice(&text) {
                Ok(answer) if status.success() => return Ok(answer),
                _ => IsolateError::Died { status: status.to_string() },
            },
            Err(error) => error,
        };
        // Nothing to kill if it ended by itself.
        child.kill().map_err(failed)?;
        if !is_gone(&mut child) {
            return Err(leave(child, self.patience));
        }
        (self.tidy)(child.id());
        Err(answer)
    }

    fn start(&self, name: &str) -> io::Result<Child> {
        let mut command = Command::new(self.program);
        command.args(["look", name]).env_clear();
        signal::end_with_parent(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
    }

    /// Its whole output, and its exit status.
    fn hear(&self, child: &mut Child) -> Result<(ExitStatus, Vec<u8>), IsolateError> {
        let failed = |source| IsolateError::Start { source };
        let mut out = child.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let flags = OFlag::O_NONBLOCK;
        fcntl(&out, FcntlArg::F_SETFL(flags)).map_err(|error| failed(error.into()))?;
        let (began, mut text) = (Instant::now(), Vec::new());
        loop {
            // In this order, so that output written before its end is still read.
            let ended = child.try_wait().map_err(failed)?;
            read_on(&mut out, &mut text).map_err(failed)?;
            if let Some(status) = ended {
                return Ok((status, text));
            }
            if (self.stop)() {
                return Err(IsolateError::Stopped);
            }
            if began.elapsed() >= self.patience {
                let seconds = self.patience.as_secs();
                return Err(match self.is_silent(child) {
                    true => IsolateError::Silent { seconds },
                    false => IsolateError::Late { seconds },
                });
            }
            if text.len() > LIMIT {
                return Err(IsolateError::Died { status: "it said too much".to_owned() });
            }
            std::thread::sleep(TICK);
        }
    }
}

impl IsolatedQuery<'_> {
    /// Whether the child waits inside the kernel while no request completes for a moment. Not every driver counts
    /// requests in flight.
    fn is_silent(&self, child: &Child) -> bool {
        let answered = (self.answered)();
        let waits = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()) == Some("D")
        };
        if !waits() {
            return false;
        }
        std::thread::sleep(MOMENT);
        waits() && (self.answered)() == answered
    }
}

fn send(child: &mut Child, question: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(question)?;
    match child.stdin.take().map(|mut stdin| stdin.write_all(&text)) {
        // It has already ended; its exit status says more.
        Some(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn read_on(out: &mut ChildStdout, text: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4096];
    while text.len() <= LIMIT {
        match out.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_gone(child: &mut Child) -> bool {
    let deadline = Instant::now() + DYING;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => std::thread::sleep(TICK),
            result => return matches!(result, Ok(Some(_))),
        }
    }
}

/// Somebody must reap it, whenever it ends.
fn leave(mut child: Child, patience: Duration) -> IsolateError {
    let ended = Arc::new(AtomicBool::new(false));
    let told = ended.clone();
    let waiting = std::thread::Builder::new().name("left-behind".to_owned()).spawn(move || {
        let _ = child.wait();
        told.store(true, Ordering::Release);
    });
    if let Err(error) = waiting {
        log::error!("a hung process will not be reaped: {error}");
    }
    IsolateError::Stuck { seconds: patience.as_secs(), ended }
}

/// The child's side: from the question's text to the answer's.
pub fn answer<Q: Question>(text: &[u8]) -> serde_json::Result<String> {
    serde_json::to_string(&serde_json::from_slice::<Q>(text)?.answer())
}

/// Serialises I/O errors from the child: the number for decisions, the text for display.
pub mod errno {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::io;

    #[derive(Serialize, Deserialize)]
    struct Wire {
        number: Option<i32>,
        text: String,
    }

    pub fn serialize<S: Serializer>(error: &io::Error, serializer: S) -> Result<S::Ok, S::Error> {
        Wire { number: error.raw_os_error(), text: error.to_string() }.serialize(serializer)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<io::Error, D::Error> {
        let Wire { number, text } = Wire::deserialize(deserializer)?;
        Ok(number.map_or_else(|| io::Error::other(text), io::Error::from_raw_os_error))
    }
}

#[cfg(test)]
#[path = "isolate_tests.rs"]
mod tests;
