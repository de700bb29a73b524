//! Why a build failed.

use crate::agent::AgentError;
use crate::authenticode::{PeError, SignerError};
use crate::cpio::CpioError;
use crate::debian::DebianError;
use crate::kernel::KernelImageError;
use crate::modules::{ClosureError, HardwareError, ModuleRulesError, ModuleTreeError};
use crate::pack::PackError;
use crate::ramdisk::RamdiskError;
use crate::tools::ToolError;
use crate::uki::UkiError;
use std::io;
use std::path::PathBuf;

/// Why a build failed. Nothing in the output directory has been replaced, unless writing to it failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the agent cannot be /init")]
    Agent(#[source] AgentError),
    #[error("no kernel package")]
    Debian(#[source] DebianError),
    #[error("the kernel cannot be used")]
    Kernel(#[source] KernelImageError),
    #[error("the kernel's modules cannot be used")]
    Tree(#[source] ModuleTreeError),
    #[error("the modules cannot be chosen")]
    Rules(#[source] ModuleRulesError),
    #[error("the modules cannot be chosen by an inventory")]
    Hardware(#[source] HardwareError),
    #[error("the modules cannot be completed")]
    Closure(#[source] ClosureError),
    #[error("the modules cannot be packed")]
    Pack(#[source] PackError),
    #[error("the tools cannot be taken")]
    Tools(#[source] ToolError),
    #[error("the ramdisk cannot be filled")]
    Ramdisk(#[source] RamdiskError),
    #[error("the ramdisk cannot be written")]
    Cpio(#[source] CpioError),
    #[error("the ramdisk cannot be compressed")]
    Compress(#[source] io::Error),
    #[error("the unified kernel image cannot be made from {}", stub.display())]
    Uki { stub: PathBuf, source: UkiError },
    #[error("the unified kernel image cannot be signed")]
    Signer(#[source] SignerError),
    #[error("the unified kernel image cannot be signed")]
    Sign(#[source] PeError),
    #[error("no EFI stub at {}: install the package systemd-boot-efi, or give --stub PATH or --no-uki", path.display())]
    NoStub { path: PathBuf, source: io::Error },
    #[error("the kernel {} is not an EFI program, so no unified image can be made; give --no-uki", path.display())]
    NotEfi { path: PathBuf },
    #[error(
        "this builder does not know the agent's crates (cargo could not tell when it was compiled); give --crate-notice FILE"
    )]
    NoCrateList,
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}
