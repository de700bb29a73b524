//! QEMU machines for tests and the demo: real firmware, network boot ROMs, disks of every kind, a serial console that
//! can be waited on, and plain files behind the disks whose every byte can be compared.
//!
//! ```no_run
//! use burin_tests::vm::{Boot, Bus, Disk, Firmware, MachineSpec};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk = Disk::new(Bus::Nvme, "/tmp/disk.raw", "SERIAL1");
//! let machine = MachineSpec::new("/tmp/run", Firmware::Uefi).disk(disk).boot(Boot::Disks).start()?;
//! machine.console().wait_for("login:", std::time::Duration::from_secs(300))?;
//! # Ok(()) }
//! ```

mod args;
mod console;
mod dirt;
mod diskfile;
mod machine;
mod members;
pub mod nbd;
mod qmp;
mod slot;
mod spec;
mod switch;
mod tools;
mod tpm;

pub use console::{Console, ConsoleError, Line};
pub use dirt::{Dirt, OLD_MARK};
pub use diskfile::{DiskFile, Partition};
pub use machine::Machine;
pub use members::{OldMember, lvm_label};
pub use qmp::Qmp;
pub use slot::Slot;
pub use spec::{BadSector, Boot, Bus, Disk, Firmware, MachineSpec, Nic, NicModel};
pub use switch::{PortRules, Switch};
pub use tools::missing_tools;

use std::path::PathBuf;

/// The host's loopback, as a guest on QEMU's user network reaches it.
pub const HOST_FROM_GUEST: &str = "10.0.2.2";

#[derive(Debug, thiserror::Error)]
pub enum VmError {
    #[error("cannot start {program}")]
    Start { program: String, source: std::io::Error },
    #[error("{path}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{program} failed: {output}")]
    Tool { program: String, output: String },
    #[error("QEMU's monitor")]
    Monitor { source: std::io::Error },
    #[error("QEMU's monitor answered {answer}")]
    Refused { answer: String },
    #[error("the machine still runs after {seconds} s")]
    StillRunning { seconds: u64 },
    #[error(transparent)]
    Console(#[from] ConsoleError),
}

impl VmError {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
