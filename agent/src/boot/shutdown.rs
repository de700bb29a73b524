//! Shuts the machine down: kills all processes, syncs and unmounts disks, then calls reboot(2).

use super::{forget, mounts, say, watchdog};
use crate::attest;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How the machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Reboot,
    PowerOff,
    /// Start the kernel loaded with kexec_load(2).
    Kexec,
    /// Stop the processor; the messages stay on the screen.
    Halt,
}

impl End {
    /// The exit statuses by which an agent requests the end (ARCHITECTURE.md, "Processes in the ramdisk").
    pub fn of_status(status: i32) -> Option<Self> {
        match status {
            70 => Some(Self::Reboot),
            71 => Some(Self::PowerOff),
            72 => Some(Self::Kexec),
            _ => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Reboot => "rebooting",
            Self::PowerOff => "powering off",
            Self::Kexec => "starting the loaded kernel",
            Self::Halt => "halted",
        }
    }

    fn mode(self) -> RebootMode {
        match self {
            Self::Reboot => RebootMode::RB_AUTOBOOT,
            Self::PowerOff => RebootMode::RB_POWER_OFF,
            Self::Kexec => RebootMode::RB_KEXEC,
            Self::Halt => RebootMode::RB_HALT_SYSTEM,
        }
    }
}

/// Shuts down in order. Never returns: if the kernel refuses, it falls back to a reboot and then keeps trying.
pub fn shutdown(mut end: End) -> ! {
    kill_all();
    within(Duration::from_secs(60), "sync", nix::unistd::sync);
    within(Duration::from_secs(10), "unmount", || {
        let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        mounts::unmount_disks(&table).iter().for_each(|note| log::warn!("{note}"));
    });
    within(Duration::from_secs(60), "sync", nix::unistd::sync);
    if end == End::Kexec {
        let (sender, left) = mpsc::channel();
        within(Duration::from_secs(30), "leave the TPM", move || {
            let _ = sender.send(attest::leave(Path::new("/")).map_err(|error| error.to_string()));
        });
        match left.try_recv() {
            Ok(Ok(())) => {}
            failed => {
                let why = failed.map_or("the TPM does not answer".to_owned(), |left| left.err().unwrap_or_default());
                log::warn!("{why}: the installed system could pass for this ramdisk; the firmware starts it instead");
                end = End::Reboot;
            }
        }
        within(Duration::from_secs(90), "wipe", || forget::forget(Path::new("/")));
    }
    watchdog::release();
    log::info!("{}", end.words());
    say::flush();
    now(end)
}

/// Calls reboot(2) without anything before it.
pub fn now(end: End) -> ! {
    // reboot(2) returns only on errors.
    let Err(error) = reboot(end.mode());
    say::urgent(&format!("{} failed: {error}; rebooting instead", end.words()));
    loop {
        let _ = reboot(RebootMode::RB_AUTOBOOT);
        // The hard way, for a kernel whose reboot handlers hang.
        let _ = std::fs::write(Path::new("/proc/sysrq-trigger"), "b");
        thread::sleep(Duration::from_secs(10));
    }
}

/// SIGTERM, a short wait, SIGKILL; reaps exited processes.
fn kill_all() {
    for (signal, patience) in [(Signal::SIGTERM, Duration::from_secs(3)), (Signal::SIGKILL, Duration::from_secs(2))] {
        // -1: every process but PID 1 and the kernel's own.
        if kill(Pid::from_raw(-1), signal).is_err() {
            return;
        }
        let deadline = Instant::now() + patience;
        loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Err(_) => return,
                Ok(WaitStatus::StillAlive) if Instant::now() >= deadline => break,
                Ok(WaitStatus::StillAlive) => thread::sleep(Duration::from_millis(20)),
                Ok(_) => {}
            }
        }
    }
}

/// Runs work that may hang on a dead disk, and continues without it after a while.
fn within(limit: Duration, what: &str, work: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let started = thread::Builder::new().name(what.to_owned()).spawn(move || {
        work();
        let _ = done.send(());
    });
    match started {
        Ok(_) if wait.recv_timeout(limit).is_ok() => {}
        Ok(_) => log::error!("{what} did not end within {} s: continuing without it", limit.as_secs()),
        Err(error) => log::error!("{what}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses() {
        assert_eq!([70, 71, 72].map(End::of_status), [Some(End::Reboot), Some(End::PowerOff), Some(End::Kexec)],);
        assert!((0..70).chain(73..256).all(|status| End::of_status(status).is_none()));
    }
}
