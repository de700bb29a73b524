//! Exit statuses by which the agent tells PID 1 what to do next; the table is in ARCHITECTURE.md, "Processes in the
//! ramdisk".

use crate::protocol::order::Finish;
use std::process::ExitCode;

/// What should happen after the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Stay up, do not start another agent.
    Stop,
    Reboot,
    PowerOff,
    /// Start the loaded kernel.
    Kexec,
    /// The order failed and there is nobody to decide what is next: stay up for a person, do not try again.
    Failed,
}

impl Exit {
    pub fn status(self) -> u8 {
        match self {
            Self::Stop => 0,
            Self::Reboot => 70,
            Self::PowerOff => 71,
            Self::Kexec => 72,
            Self::Failed => 73,
        }
    }
}

impl From<Finish> for Exit {
    fn from(finish: Finish) -> Self {
        match finish {
            Finish::Reboot => Self::Reboot,
            Finish::Poweroff => Self::PowerOff,
            Finish::Kexec => Self::Kexec,
            Finish::Hold => Self::Stop,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}
