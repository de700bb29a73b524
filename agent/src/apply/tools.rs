//! Programs that the ramdisk carries for what no ioctl does: found, run, and their failures told.

use super::ApplyError;
use crate::sys::signal;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian puts them.
const DIRECTORIES: [&str; 4] = ["usr/sbin", "sbin", "usr/bin", "bin"];
/// Bytes of a program's complaints that go into an error.
const SAID: usize = 1000;

/// A program and the Debian package that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    pub name: &'static str,
    pub package: &'static str,
}

impl Tool {
    /// Its path below `root`, which is `/` on a real machine.
    pub fn find(self, root: &Path) -> Result<PathBuf, ApplyError> {
        let paths = DIRECTORIES.iter().map(|directory| root.join(directory).join(self.name));
        let missing = || ApplyError::NoTool { tool: self.name, package: self.package };
        paths.into_iter().find(|path| path.is_file()).ok_or_else(missing)
    }

    /// Runs it on `device`, the last argument.
    pub fn run(self, root: &Path, arguments: &[String], device: &Path) -> Result<(), ApplyError> {
        let all: Vec<&OsStr> = arguments.iter().map(OsStr::new).chain([device.as_os_str()]).collect();
        self.run_with(root, &all, device)
    }

    /// Runs it with these arguments; errors name `device`.
    pub fn run_with(self, root: &Path, arguments: &[&OsStr], device: &Path) -> Result<(), ApplyError> {
        let mut command = Command::new(self.find(root)?);
        command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        // No udev makes nodes here: mdadm is to make its own.
        command.env("MDADM_NO_UDEV", "1");
        signal::end_with_parent(&mut command);
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|source| ApplyError::Tool { tool: self.name, source })?;
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(text.get(text.len().saturating_sub(SAID)..).unwrap_or_default());
        Err(ApplyError::ToolFailed {
            tool: self.name,
            device: device.to_owned(),
            status: output.status.to_string(),
            said: said.split_whitespace().collect::<Vec<_>>().join(" "),
        })
    }
}
