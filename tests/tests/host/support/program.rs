//! Programs on this host: the agent's, where it may run, and servers.

use std::path::PathBuf;
use std::process::Command;

/// The agent built by `scripts/test`, or `None` with a message.
pub fn agent() -> Option<PathBuf> {
    let path = std::env::var_os("BURIN_AGENT").map(PathBuf::from);
    if path.is_none() {
        burin_skip::skip!("BURIN_AGENT is not set; scripts/test sets it");
    }
    path
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Its output, without the trailing newline.
///
/// # Panics
/// If it fails.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A process that ends with the test.
#[derive(Debug)]
pub struct Child(std::process::Child);

impl Child {
    pub fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// The standard output of a piped command; can be taken once.
    pub fn stdout(&mut self) -> std::process::ChildStdout {
        self.0.stdout.take().expect("standard output was asked to be a pipe")
    }

    /// The exit status of a process that ends by itself.
    pub fn wait(mut self) -> Option<i32> {
        self.0.wait().expect("it can be waited for").code()
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(self) {}
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
