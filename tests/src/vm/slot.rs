//! Limits the machines to three at a time: while one waits for firmware, a console or a silent controller, the others
//! use the processors (two, in CI). More of them would slow each other down into time-outs, whatever test runner
//! started them.

use super::VmError;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

const AT_ONCE: usize = 3;

/// Held while a test's machines run. Other test processes wait in [`Slot::wait`].
#[derive(Debug)]
pub struct Slot {
    // The lock is released when the file is closed.
    _file: File,
}

impl Slot {
    pub fn wait() -> Result<Self, VmError> {
        Self::wait_in(&std::env::temp_dir())
    }

    fn wait_in(dir: &Path) -> Result<Self, VmError> {
        loop {
            if let Some(slot) = Self::free(dir)? {
                return Ok(slot);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn free(dir: &Path) -> Result<Option<Self>, VmError> {
        for number in 0..AT_ONCE {
            let path: PathBuf = dir.join(format!("burin-vm-{number}.lock"));
            let file = File::options().create(true).append(true).open(&path).map_err(VmError::file(&path))?;
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { _file: file })),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(VmError::file(&path)(source)),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_that_and_the_next_when_one_ends() {
        let dir = tempfile::tempdir().unwrap();
        let mut held: Vec<Slot> = (0..AT_ONCE).map(|_| Slot::wait_in(dir.path()).unwrap()).collect();
        assert!(Slot::free(dir.path()).unwrap().is_none());
        drop(held.pop());
        assert!(Slot::free(dir.path()).unwrap().is_some());
    }
}
