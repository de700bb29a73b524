//! Signal masks of children.

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The child starts with no signal blocked. Children inherit the mask of the thread that starts them, and PID 1 blocks
/// what it reads from its signal descriptor: without this nobody could end the agent by SIGTERM.
pub fn unblock_in_child(command: &mut Command) {
    // SAFETY: between fork and exec the closure only calls sigprocmask(2), which is async-signal-safe; it allocates
    // nothing and takes no lock.
    unsafe {
        command
            .pre_exec(|| sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(io::Error::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::Signal;

    #[test]
    fn a_child_has_nothing_blocked() {
        // The mask belongs to this test's thread alone.
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
}
