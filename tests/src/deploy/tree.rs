//! The small Debian 12 that `scripts/lib/debian-tree` makes: as a tree, and as a disk of 4096-byte sectors.

use super::{DeployError, Image};
use serde::Deserialize;
use std::path::Path;

#[derive(Debug, Clone, Deserialize)]
pub struct SmallDebian {
    /// A tar.
    pub tree: Image,
    /// A whole disk.
    pub disk: Image,
}

impl SmallDebian {
    pub fn open(dir: &Path) -> Result<Self, DeployError> {
        let path = dir.join("tree.json");
        let why = |why: String| DeployError::Artefact { path: path.clone(), why };
        let text = std::fs::read(&path).map_err(|error| why(error.to_string()))?;
        let mut both: Self = serde_json::from_slice(&text).map_err(|error| why(error.to_string()))?;
        both.tree.dir = dir.to_owned();
        both.disk.dir = dir.to_owned();
        Ok(both)
    }

    /// The artefacts of `scripts/test`, or the reason to skip.
    pub fn built() -> Result<Self, String> {
        let dir = std::env::var_os("BURIN_TREE").ok_or("BURIN_TREE is not set; scripts/test sets it")?;
        Self::open(Path::new(&dir)).map_err(|error| error.to_string())
    }
}
