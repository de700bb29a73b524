//! Signals of children.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Starts the child with no signal blocked. Children inherit the mask of the starting thread, and PID 1 blocks the
/// signals that it reads from its signal descriptor: without this, SIGTERM could not end the agent.
pub fn unblock_in_child(command: &mut Command) {
    // SAFETY: between fork and exec the closure only calls sigprocmask(2), which is async-signal-safe; it allocates
    // nothing and takes no lock.
    unsafe {
        command
            .pre_exec(|| sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(io::Error::from));
    }
}

/// Kills the child when the thread that started it ends: a program that writes to a disk must not continue when its
/// agent is gone and another one starts again.
pub fn end_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec the closure only calls prctl(2), which is async-signal-safe; it allocates nothing and
    // takes no lock.
    unsafe {
        command.pre_exec(|| nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_nothing_blocked() {
        // The mask belongs only to this test's thread.
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.thread_block().unwrap();
        let blocked = |command: &mut Command| {
            let output = command.output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().find(|line| line.starts_with("SigBlk")).unwrap().split_whitespace().last().unwrap().to_owned()
        };
        let cat = || {
            let mut command = Command::new("cat");
            command.arg("/proc/self/status");
            command
        };
        assert_ne!(blocked(&mut cat()).trim_start_matches('0'), "", "the standard library passes the mask on");
        let mut command = cat();
        unblock_in_child(&mut command);
        assert_eq!(blocked(&mut command).trim_start_matches('0'), "");
    }

    #[test]
    fn a_child_ends_with_the_thread_that_started_it() {
        let start = |bound: bool| {
            let mut command = Command::new("sleep");
            command.arg("600");
            if bound {
                end_with_parent(&mut command);
            }
            std::thread::spawn(move || command.spawn().unwrap()).join().unwrap()
        };
        let (mut bound, mut free) = (start(true), start(false));
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(bound.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
        assert!(free.try_wait().unwrap().is_none());
        free.kill().unwrap();
        free.wait().unwrap();
    }
}
