//! One machine at a time: several at once starve each other into time-outs, whichever test runner started them.

use super::VmError;
use std::fs::File;
use std::path::PathBuf;

/// Held while machines of one test run. Other test processes wait in [`Slot::wait`].
#[derive(Debug)]
pub struct Slot {
    // The lock ends when the file closes.
    _file: File,
}

impl Slot {
    pub fn wait() -> Result<Self, VmError> {
        let path: PathBuf = std::env::temp_dir().join("burin-vm.lock");
        let file = File::options().create(true).append(true).open(&path).map_err(VmError::file(&path))?;
        file.lock().map_err(VmError::file(&path))?;
        Ok(Self { _file: file })
    }
}
