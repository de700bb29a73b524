//! A TPM 2.0 in software (swtpm), one for each machine.

use super::VmError;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = "swtpm";

/// The socket that QEMU connects to.
pub(super) fn socket(dir: &Path) -> PathBuf {
    dir.join("tpm.sock")
}

#[derive(Debug)]
pub(super) struct Tpm(Child);

impl Tpm {
    /// Its state is kept in the machine's directory. It ends with QEMU, and with the calling thread.
    pub fn start(dir: &Path) -> Result<Self, VmError> {
        let (state, socket) = (dir.join("tpm"), socket(dir));
        std::fs::create_dir_all(&state).map_err(VmError::file(&state))?;
        // Left by a machine started earlier in the same directory.
        let _ = std::fs::remove_file(&socket);
        let log = dir.join("swtpm.log");
        let output = std::fs::File::create(&log).map_err(VmError::file(&log))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", PROGRAM, "socket", "--tpm2", "--terminate"])
            .arg("--tpmstate")
            .arg(format!("dir={}", state.display()))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}", socket.display()))
            .stdin(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(|source| VmError::Start { program: PROGRAM.to_owned(), source })?;
        let mut tpm = Self(child);
        let until = Instant::now() + Duration::from_secs(60);
        while !socket.exists() {
            if !matches!(tpm.0.try_wait(), Ok(None)) || Instant::now() > until {
                let output = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(VmError::Tool { program: PROGRAM.to_owned(), output: output.trim().to_owned() });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(tpm)
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        // Fails only if the process is gone already: it ends when QEMU hangs up.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
