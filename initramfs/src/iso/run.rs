//! Runs the host programs that make volumes.

use super::IsoError;
use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};

/// A program with its arguments and a fixed clock for the timestamps it writes.
#[derive(Debug)]
pub struct HostProgram {
    name: &'static str,
    package: &'static str,
    command: Command,
}

impl HostProgram {
    pub fn new(name: &'static str, package: &'static str, mtime: u32) -> Self {
        let mut command = Command::new(name);
        command.env("SOURCE_DATE_EPOCH", mtime.to_string()).env("TZ", "UTC").env("LC_ALL", "C").stdin(Stdio::null());
        // Do not check sizes and geometry: there is no drive.
        command.env("MTOOLS_SKIP_CHECK", "1").env_remove("MTOOLSRC");
        Self { name, package, command }
    }

    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.command.arg(arg);
        self
    }

    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.command.args(args);
        self
    }

    pub fn run(&mut self) -> Result<(), IsoError> {
        let output = match self.command.output() {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(IsoError::Missing { program: self.name.to_owned(), package: self.package });
            }
            Err(source) => return Err(IsoError::Start { program: self.name, source }),
        };
        match output.status.success() {
            true => Ok(()),
            false => {
                let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(IsoError::Failed { program: self.name, output: words })
            }
        }
    }
}
