//! The results of libblkid for one device, as they are stored in a snapshot.

use crate::model::Signature;
use crate::model::kept::Remembered;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probed {
    pub table: Option<String>,
    pub table_id: Option<String>,
    pub signatures: Vec<Signature>,
    pub partitions: Vec<ProbedPartition>,
    /// SHA-256 over the first and the last MiB of a whole disk.
    pub edges: Option<String>,
    /// Id of the order whose mark the first sector of a whole disk holds.
    pub unfinished: Option<String>,
    /// What such a disk remembers of its partitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remembered: Option<Remembered>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProbedPartition {
    pub number: u64,
    pub uuid: Option<String>,
    pub kind: Option<String>,
    pub label: Option<String>,
    pub flags: u64,
}

pub fn parse(bytes: &[u8]) -> Option<Probed> {
    serde_json::from_slice(bytes).ok()
}
