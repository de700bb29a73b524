//! The machine's own TPM, through the kernel's device.

use crate::tpm::Transport;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Path below the root directory. This is the device with the kernel's resource manager, which flushes everything that
/// is still loaded when the device is closed.
pub const DEVICE: &str = "dev/tpmrm0";
/// In bytes; every TPM's commands and responses fit (TPM_PT_MAX_RESPONSE_SIZE).
pub const LONGEST_ANSWER: usize = 4096;

#[derive(Debug)]
pub struct Device(File);

impl Device {
    /// The kernel's device below `root`.
    pub fn below(root: &Path) -> io::Result<Self> {
        File::options().read(true).write(true).open(root.join(DEVICE)).map(Self)
    }
}

impl Transport for Device {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        let mut answer = vec![0; LONGEST_ANSWER];
        let length = self.0.read(&mut answer)?;
        answer.truncate(length);
        Ok(answer)
    }
}
