//! Queries about the partitions of an image. Each runs in a separate process, because libblkid and the kernel's
//! filesystems then read untrusted data.

use super::filesystem::{self, Content, FilesystemError};
use super::guid::Arch;
use super::ignition::{self, IgnitionPlace};
use super::mount::{MountError, Mounted};
use super::rootfs::{self, Candidate, RootError, RootFilesystem};
use super::uefi::loader::{self, Loader, LoaderError};
use crate::isolate::Question;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// libblkid's result for each.
#[derive(Debug, Serialize, Deserialize)]
pub struct WhatIsOn {
    pub nodes: Vec<PathBuf>,
}

impl Question for WhatIsOn {
    const NAME: &'static str = "contents";
    type Answer = Vec<Result<Content, FilesystemError>>;

    fn answer(self) -> Self::Answer {
        self.nodes.iter().map(|node| filesystem::probe(node)).collect()
    }
}

/// Which one contains the root filesystem.
#[derive(Debug, Serialize, Deserialize)]
pub struct WhichIsRoot {
    pub candidates: Vec<Candidate>,
    pub mounts: PathBuf,
    /// The number of the only one to consider, if given.
    pub only: Option<u32>,
}

impl Question for WhichIsRoot {
    const NAME: &'static str = "root";
    type Answer = Result<RootFilesystem, RootError>;

    fn answer(self) -> Self::Answer {
        match self.only {
            None => rootfs::find(&self.candidates, Arch::native(), &self.mounts),
            Some(number) => match self.candidates.iter().find(|one| one.number == number) {
                Some(candidate) => rootfs::within(candidate, &self.mounts),
                None => Err(RootError::None { looked: format!("partition {number}") }),
            },
        }
    }
}

/// Where Ignition looks.
#[derive(Debug, Serialize, Deserialize)]
pub struct WhichIsIgnitions {
    pub candidates: Vec<Candidate>,
    pub mounts: PathBuf,
}

impl Question for WhichIsIgnitions {
    const NAME: &'static str = "ignition";
    type Answer = Result<Vec<IgnitionPlace>, RootError>;

    fn answer(self) -> Self::Answer {
        ignition::find(&self.candidates, &self.mounts)
    }
}

/// Which boot loader on an EFI system partition the firmware should start.
#[derive(Debug, Serialize, Deserialize)]
pub struct WhichLoader {
    pub node: PathBuf,
    pub mounts: PathBuf,
}

/// Why there is none.
#[derive(Debug, Serialize, Deserialize)]
pub enum NoLoader {
    Mount(MountError),
    Loader(LoaderError),
}

impl From<MountError> for NoLoader {
    fn from(error: MountError) -> Self {
        Self::Mount(error)
    }
}

impl Question for WhichLoader {
    const NAME: &'static str = "loader";
    type Answer = Result<Loader, NoLoader>;

    fn answer(self) -> Self::Answer {
        let mounted = match Mounted::look(&self.node, "vfat", &self.mounts) {
            // A kernel without vfat: names alone can be read here too.
            Err(MountError::Mount { source, .. }) if source.raw_os_error() == Some(libc::ENODEV) => {
                return loader::find_on(&self.node, Arch::native()).map_err(NoLoader::Loader);
            }
            mounted => mounted?,
        };
        let found = loader::find(mounted.path(), Arch::native());
        mounted.unmount()?;
        found.map_err(NoLoader::Loader)
    }
}
