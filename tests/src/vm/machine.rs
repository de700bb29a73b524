//! A running machine.

use super::spec::{Firmware, MachineSpec};
use super::tpm::Tpm;
use super::{Console, Qmp, VmError, args};
use serde_json::json;
use std::io::Write;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = "qemu-system-x86_64";

/// A machine's power is cut when this value is dropped.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    console: Console,
    spec: MachineSpec,
    _tpm: Option<Tpm>,
}

impl Machine {
    /// Firmware variables are kept in the machine's directory: starting the same spec again starts the same machine.
    ///
    /// The machine also ends with the calling thread.
    pub(super) fn start(spec: &MachineSpec) -> Result<Self, VmError> {
        std::fs::create_dir_all(&spec.dir).map_err(VmError::file(&spec.dir))?;
        let vars = args::vars(spec);
        if spec.firmware == Firmware::Uefi && !vars.exists() {
            let from = spec.secure_boot.clone().unwrap_or_else(|| args::OVMF_VARS.into());
            std::fs::copy(&from, &vars).map_err(VmError::file(&from))?;
        }
        let tpm = spec.tpm.then(|| Tpm::start(&spec.dir)).transpose()?;
        let errors = spec.dir.join("qemu.log");
        let stderr = std::fs::File::create(&errors).map_err(VmError::file(&errors))?;
        // setpriv: no machine outlives a killed test runner.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", PROGRAM])
            .args(args::build(spec, &args::accelerator()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|source| VmError::Start { program: PROGRAM.to_owned(), source })?;
        let log = spec.dir.join("console.log");
        let Some(stdout) = child.stdout.take() else { unreachable!("stdout was asked to be a pipe") };
        let console = Console::follow(stdout, &log).map_err(VmError::file(&log))?;
        let mut machine = Self { child, console, spec: spec.clone(), _tpm: tpm };
        machine.await_monitor()?;
        for (number, nic) in spec.nics.iter().enumerate() {
            if !nic.carrier {
                machine.qmp()?.set_link(number, false)?;
            }
        }
        Ok(machine)
    }

    pub fn console(&self) -> &Console {
        &self.console
    }

    pub fn qmp(&self) -> Result<Qmp, VmError> {
        Qmp::connect(&self.spec.dir.join("qmp.sock"))
    }

    /// Sends a magic SysRq key over the serial console: a break, then the key.
    pub fn sysrq(&mut self, key: char) -> Result<(), VmError> {
        self.qmp()?.execute("chardev-send-break", json!({ "id": "console" }))?;
        // The key must come after the break, not together with it.
        std::thread::sleep(Duration::from_millis(200));
        self.type_text(&key.to_string())
    }

    /// Types on the serial console.
    pub fn type_text(&mut self, text: &str) -> Result<(), VmError> {
        let written = self.child.stdin.as_mut().map_or(Ok(()), |stdin| {
            stdin.write_all(text.as_bytes())?;
            stdin.flush()
        });
        written.map_err(|source| VmError::Monitor { source })
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until the guest powers off, or reboots if the spec says that this ends it.
    pub fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus, VmError> {
        let until = Instant::now() + deadline;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(100)),
                Ok(None) => return Err(VmError::StillRunning { seconds: deadline.as_secs() }),
                Err(source) => return Err(VmError::Start { program: PROGRAM.to_owned(), source }),
            }
        }
    }

    /// Cuts the power at once. What the guest has written so far is in the files of its disks.
    pub fn cut_power(mut self) {
        self.kill();
    }

    fn kill(&mut self) {
        // Fails only if the machine is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for QEMU's socket, which exists once QEMU has accepted its arguments.
    fn await_monitor(&mut self) -> Result<(), VmError> {
        let socket = self.spec.dir.join("qmp.sock");
        let until = Instant::now() + Duration::from_secs(60);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            if !self.is_running() || Instant::now() > until {
                let output = std::fs::read_to_string(self.spec.dir.join("qemu.log")).unwrap_or_default();
                return Err(VmError::Tool { program: PROGRAM.to_owned(), output: output.trim().to_owned() });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}
