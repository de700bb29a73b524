//! The steps, one folder for each kind: its wire type (`wire.rs`, compiled into the protocol crate), whether this
//! ramdisk supports it and how it is carried out (`mod.rs`), and its tests. The dispatch is generated from the
//! protocol's table ([`crate::protocol::for_each_step`]): a kind without a folder here does not compile.

mod ramdisk;
mod report;

pub use ramdisk::Ramdisk;

use super::ApplyError;
use super::watch::Patience;
use super::work::Work;
use crate::protocol::plan::Step;
use crate::protocol::plan::steps::*;

/// The interface of every kind of step.
trait Perform {
    /// Whether this agent and its ramdisk support it. Checked before anything is changed.
    fn able(&self, ramdisk: &Ramdisk<'_>) -> Result<(), ApplyError>;
    /// How long its disks may be silent.
    fn patience(&self, usual: Patience) -> Patience {
        usual
    }
    /// Carries it out. When this returns, the result is on the disk and has been checked.
    fn perform(&self, work: &Work) -> Result<(), ApplyError>;
}

macro_rules! dispatch {
    ($($module:ident $kind:ident $name:literal,)*) => {
        $(pub mod $module;)*

        /// Refuses steps that are not supported here.
        pub fn able(step: &Step, ramdisk: &Ramdisk<'_>) -> Result<(), ApplyError> {
            match step {
                $(Step::$kind(step) => Perform::able(step, ramdisk),)*
            }
        }

        /// How long the disks of a step may be silent.
        pub fn patience(step: &Step, usual: Patience) -> Patience {
            match step {
                $(Step::$kind(step) => Perform::patience(step, usual),)*
            }
        }

        /// Carries a step out.
        pub fn perform(step: &Step, work: &Work) -> Result<(), ApplyError> {
            match step {
                $(Step::$kind(step) => Perform::perform(step, work),)*
            }
        }
    };
}

crate::protocol::for_each_step!(dispatch);
