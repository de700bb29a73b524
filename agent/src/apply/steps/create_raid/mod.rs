//! MD arrays: made by mdadm, and believed only after every member's superblock says the same.

use super::{ApplyError, CreateRaid, Perform, Ramdisk, Work};
use crate::apply::arrays::{Array, Member, MemberReceipt, Wanted};
use crate::apply::bound::Access;
use crate::apply::tools::Tool;
use crate::apply::{resolve, wipe};
use crate::protocol::order::RaidLevel;
use crate::protocol::plan::Device;
use serde::Serialize;
use std::ffi::OsStr;
use std::sync::Arc;

const MDADM: Tool = Tool { name: "mdadm", package: "mdadm" };
/// The home host that every machine takes for itself: the installed system's name may change, its arrays stay its own.
const HOME: &str = "any";

/// An array as its members' superblocks have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RaidReceipt {
    pub device: String,
    pub name: String,
    pub uuid: String,
    pub level: &'static str,
    pub metadata: String,
    /// Bytes that it offers.
    pub size: u64,
    pub members: Vec<MemberReceipt>,
    /// `pending`: the members are not known to be equal yet. The installed system's kernel copies the first member to
    /// the others in the background, from where it is assembled; what is written to the array goes to all at once.
    pub resync: &'static str,
}

impl Perform for CreateRaid {
    fn able(&self, ramdisk: &Ramdisk<'_>) -> Result<(), ApplyError> {
        if self.level != RaidLevel::Raid1 {
            return Err(ApplyError::Unsupported { step: format!("create-raid of level {}", level(self.level)) });
        }
        if self.members.iter().any(|member| !matches!(member, Device::Partition { .. })) {
            return Err(ApplyError::Unsupported { step: "create-raid over anything but partitions".to_owned() });
        }
        ramdisk.program(MDADM)?;
        ramdisk.module(level(self.level))
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let link = work.paths.dev.join("md").join(&self.name);
        let (mut members, mut open) = (Vec::new(), Vec::new());
        for device in &self.members {
            let proven = resolve::open(work, device, Access::Read)?;
            let disk = device.disk().ok_or(ApplyError::NoDisk { index: usize::MAX })?;
            let name = proven.name().file_name().unwrap_or_default().to_string_lossy().into_owned();
            let number = proven.number().unwrap_or_default();
            members.push(Member { disk: work.disks.disk(disk)?.clone(), number, name });
            open.push(proven);
        }
        let wanted = Wanted { name: &self.name, uuid: &self.uuid, level: self.level, metadata: &self.metadata };
        let words = arguments(wanted, members.len());
        let mut all: Vec<&OsStr> = vec![OsStr::new("--create"), link.as_os_str()];
        all.extend(words.iter().map(OsStr::new));
        all.extend(open.iter().map(|proven| proven.node().as_os_str()));
        MDADM.run_with(&work.paths.root, &all, &link, &work.cancel)?;
        drop(open);

        let array = Arc::new(Array::started(wanted, &link, &work.paths, members)?);
        // From here on it is stopped whatever happens.
        work.stack.push(array.clone());
        work.add_array(array.clone());
        array.freeze();
        let members = array.verify()?;
        let size = wipe::array(&array.open(Access::Read)?)?;
        let resync = if members.iter().all(|member| member.resynced.is_none()) { "complete" } else { "pending" };
        let receipt = RaidReceipt {
            device: array.device().display().to_string(),
            name: self.name.clone(),
            uuid: self.uuid.clone(),
            level: level(self.level),
            metadata: self.metadata.clone(),
            size,
            members,
            resync,
        };
        work.note("create-raid", &receipt.device, &receipt);
        Ok(())
    }
}

fn arguments(wanted: Wanted<'_>, members: usize) -> Vec<String> {
    vec![
        // Forced: what was on the members was planned to go.
        "--run".to_owned(),
        "--quiet".to_owned(),
        "--config=none".to_owned(),
        format!("--level={}", level(wanted.level)),
        format!("--raid-devices={members}"),
        format!("--metadata={}", wanted.metadata),
        format!("--uuid={}", wanted.uuid),
        format!("--name={}", wanted.name),
        format!("--homehost={HOME}"),
        // A disk that was away for a while gets what it missed, not everything.
        "--bitmap=internal".to_owned(),
    ]
}

/// As mdadm and the kernel call it.
fn level(level: RaidLevel) -> &'static str {
    match level {
        RaidLevel::Raid0 => "raid0",
        RaidLevel::Raid1 => "raid1",
        RaidLevel::Raid5 => "raid5",
        RaidLevel::Raid6 => "raid6",
        RaidLevel::Raid10 => "raid10",
    }
}

#[cfg(test)]
mod tests;
