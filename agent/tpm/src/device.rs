//! The machine's own TPM, by the kernel's device.

use crate::tpm::Transport;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Below the root directory. Behind the kernel's resource manager: what is left loaded goes when the device is closed.
pub const DEVICE: &str = "dev/tpmrm0";
/// Bytes; commands and answers of every TPM fit (TPM_PT_MAX_RESPONSE_SIZE).
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
