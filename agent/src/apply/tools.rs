//! External programs in the ramdisk, for tasks that have no ioctl: finds them, runs them, reports their failures.

use super::ApplyError;
use crate::image::Cancel;
use crate::sys::signal;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Debian's directories for them.
const DIRECTORIES: [&str; 4] = ["usr/sbin", "sbin", "usr/bin", "bin"];
/// At most this many bytes of a program's output go into an error.
const SAID: u64 = 1000;
const TICK: Duration = Duration::from_millis(20);

/// A program and the Debian package that contains it.
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
    pub fn run(self, root: &Path, arguments: &[String], device: &Path, cancel: &Cancel) -> Result<(), ApplyError> {
        let all: Vec<&OsStr> = arguments.iter().map(OsStr::new).chain([device.as_os_str()]).collect();
        self.run_with(root, &all, device, cancel)
    }

    /// Runs it with these arguments; errors name `device`. Kills it when the work is cancelled.
    pub fn run_with(self, root: &Path, arguments: &[&OsStr], device: &Path, cancel: &Cancel) -> Result<(), ApplyError> {
        self.started(root, arguments, device, Stdio::null(), cancel)
    }

    /// The same with secret input: in anonymous memory that is zeroed when the program has ended.
    pub fn run_on(
        self,
        root: &Path,
        arguments: &[&OsStr],
        device: &Path,
        input: &[u8],
        cancel: &Cancel,
    ) -> Result<(), ApplyError> {
        let failed = |source| ApplyError::Tool { tool: self.name, source };
        let memory = memfd_create("input", MFdFlags::MFD_CLOEXEC).map_err(|error| failed(error.into()))?;
        let memory = File::from(memory);
        memory.write_all_at(input, 0).map_err(failed)?;
        let ran = memory.try_clone().map_err(failed);
        let ran = ran.and_then(|memory| self.started(root, arguments, device, Stdio::from(memory), cancel));
        let wiped = memory.write_all_at(&vec![0; input.len()], 0).map_err(failed);
        ran.and(wiped)
    }

    fn started(
        self,
        root: &Path,
        arguments: &[&OsStr],
        device: &Path,
        input: Stdio,
        cancel: &Cancel,
    ) -> Result<(), ApplyError> {
        let failed = |source| ApplyError::Tool { tool: self.name, source };
        let mut command = Command::new(self.find(root)?);
        command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        // There is no udev to make nodes: mdadm and libdevmapper must make their own.
        command.env("MDADM_NO_UDEV", "1").env("DM_DISABLE_UDEV", "1").env("LVM_SUPPRESS_FD_WARNINGS", "1");
        signal::end_with_parent(&mut command);
        let mut said = File::from(memfd_create("said", MFdFlags::MFD_CLOEXEC).map_err(|error| failed(error.into()))?);
        let output = || said.try_clone().map(Stdio::from);
        command.stdin(input).stdout(output().map_err(failed)?).stderr(output().map_err(failed)?);
        let mut child = command.spawn().map_err(failed)?;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status;
            }
            if cancel.is_cancelled() {
                child.kill().map_err(failed)?;
                child.wait().map_err(failed)?;
                return Err(ApplyError::Cancelled);
            }
            std::thread::sleep(TICK);
        };
        if status.success() {
            return Ok(());
        }
        let said = last(&mut said).unwrap_or_default();
        Err(ApplyError::ToolFailed {
            tool: self.name,
            device: device.to_owned(),
            status: status.to_string(),
            said: said.split_whitespace().collect::<Vec<_>>().join(" "),
        })
    }
}

/// The end of a program's output.
fn last(said: &mut File) -> std::io::Result<String> {
    let length = said.seek(SeekFrom::End(0))?;
    said.seek(SeekFrom::Start(length.saturating_sub(SAID)))?;
    let mut text = Vec::new();
    said.take(SAID).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
