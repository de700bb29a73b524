//! Running MD arrays of this order: each is kept from resyncing while the disks are written, proven by its members'
//! superblocks, and stopped before the machine goes on.

use super::bound::{Access, BoundDisk, Part, Proven};
use super::live::{Closed, Live};
use super::{ApplyError, Paths};
use crate::finalize::md;
use crate::protocol::order::RaidLevel;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Somebody who looks at an array (a probe, an inventory) may keep it for a moment.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberReceipt {
    pub device: String,
    /// Place in the array, from 0.
    pub role: u16,
    /// Bytes before the array's own.
    pub data_offset: u64,
    /// The same on all members of an array that was stopped in order.
    pub events: u64,
    /// Bytes up to which the member is known to be equal to the first; absent when all of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resynced: Option<u64>,
}

/// An array that was taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StopReceipt {
    pub device: String,
    /// Of one that this run made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberReceipt>,
}

/// A partition in an array.
#[derive(Debug, Clone)]
pub struct Member {
    pub disk: Arc<BoundDisk>,
    pub number: u32,
    /// The kernel's name of it.
    pub name: String,
}

/// One running mirror.
#[derive(Debug)]
pub struct Array {
    pub name: String,
    /// `/dev/md/NAME`.
    pub link: PathBuf,
    /// `/sys/class/block/mdN`.
    pub sysfs: PathBuf,
    /// Where nodes of our own go.
    pub nodes: PathBuf,
    pub metadata: String,
    pub uuid: String,
    pub level: RaidLevel,
    pub members: Vec<Member>,
    stopped: Mutex<bool>,
}

/// What an array is made as.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub name: &'a str,
    pub uuid: &'a str,
    pub level: RaidLevel,
    pub metadata: &'a str,
}

impl Array {
    /// The array that mdadm has just started under `link`.
    pub fn started(wanted: Wanted<'_>, link: &Path, paths: &Paths, members: Vec<Member>) -> Result<Self, ApplyError> {
        let failed = |source| ApplyError::Open { device: link.to_owned(), source };
        let real = fs::canonicalize(link).map_err(failed)?;
        let nodes = members.first().map(|member| member.disk.directory()).unwrap_or_default();
        Ok(Self {
            name: wanted.name.to_owned(),
            link: link.to_owned(),
            sysfs: paths.sys.join("class/block").join(real.file_name().unwrap_or_default()),
            nodes,
            metadata: wanted.metadata.to_owned(),
            uuid: wanted.uuid.to_owned(),
            level: wanted.level,
            members,
            stopped: Mutex::new(false),
        })
    }

    pub fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// `/dev/mdN`.
    pub fn device(&self) -> PathBuf {
        Path::new("/dev").join(self.sysfs.file_name().unwrap_or_default())
    }

    /// Opens it, once it is proven to lie on its members and on nothing else.
    pub fn open(&self, access: Access) -> Result<Proven, ApplyError> {
        let failed = |source| ApplyError::Open { device: self.device(), source };
        let dev = fs::read_to_string(self.sysfs.join("dev")).map_err(failed)?;
        let pair =
            dev.trim().split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let pair = pair.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        let name = self.sysfs.file_name().unwrap_or_default().to_string_lossy();
        let node = super::bound::make_node(&self.nodes, &name, pair)?;
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::Write).custom_flags(libc::O_DIRECT | libc::O_CLOEXEC);
        let file = options.open(&node).map_err(failed)?;
        if file.metadata().map_err(failed)?.rdev() != libc::makedev(pair.0, pair.1) {
            return Err(self.wrong("it is another device by now".to_owned()));
        }
        let below: BTreeSet<String> = names(&self.sysfs.join("slaves")).into_iter().collect();
        let members: BTreeSet<String> = self.members.iter().map(|member| member.name.clone()).collect();
        if below != members {
            return Err(self.wrong(format!("it lies on {below:?}, not on {members:?}")));
        }
        Ok(Proven::array(file, node, self.link.clone()))
    }

    /// The disks are for the installation now; what is not equal yet the installed system makes so.
    pub fn freeze(&self) {
        if let Err(error) = fs::write(self.sysfs.join("md/sync_action"), "frozen") {
            log::warn!("{}: the resync goes on beside the work: {error}", self.link.display());
        }
    }

    /// Lets reads come from this member alone (the last one where there are not so many), or from any. Writes go to all as
    /// ever. md(4): a member that is write-mostly is read when there is no other.
    pub fn read_from(&self, copy: Option<usize>) -> Result<(), ApplyError> {
        let chosen = copy.map(|copy| copy.min(self.members.len().saturating_sub(1)));
        for (place, member) in self.members.iter().enumerate() {
            let word = if chosen.is_none_or(|chosen| chosen == place) { "-writemostly" } else { "writemostly" };
            let state = self.sysfs.join("md").join(format!("dev-{}", member.name)).join("state");
            let failed = |source| ApplyError::Open { device: state.clone(), source };
            fs::write(&state, word).map_err(failed)?;
        }
        Ok(())
    }

    /// Every member says that it is an active one of this array, each in its own place.
    pub fn verify(&self) -> Result<Vec<MemberReceipt>, ApplyError> {
        let mut receipts = Vec::new();
        for (place, member) in self.members.iter().enumerate() {
            let proven = member.disk.open(Part::Number(member.number), Access::Read)?;
            let device = proven.device();
            let found = md::read(proven.node(), &self.metadata)?;
            let uuid = found.uuid.hyphenated().to_string();
            if !uuid.eq_ignore_ascii_case(&self.uuid) {
                return Err(self.wrong(format!("{device} is of the array {uuid}")));
            }
            if found.write_mostly {
                return Err(self.wrong(format!("{device} is marked as write-mostly")));
            }
            let shape = (found.level, found.raid_disks as usize, found.role.map(usize::from));
            if shape != (number(self.level), self.members.len(), Some(place)) {
                let (role, disks, level) = (found.role, found.raid_disks, found.level);
                return Err(self.wrong(format!("{device} is place {role:?} of {disks} at level {level}")));
            }
            let (data_offset, events, resynced) = (found.data_offset, found.events, found.resynced);
            let role = found.role.unwrap_or_default();
            receipts.push(MemberReceipt { device, role, data_offset, events, resynced });
        }
        Ok(receipts)
    }

    fn wrong(&self, what: String) -> ApplyError {
        ApplyError::Array { array: self.link.clone(), what }
    }
}

impl Live for Array {
    fn name(&self) -> String {
        format!("the array {}", self.name)
    }

    fn disks(&self) -> Vec<Arc<BoundDisk>> {
        self.members.iter().map(|member| member.disk.clone()).collect()
    }

    /// Takes it apart, so that every member knows that it is whole; and looks that it does.
    fn close(&self) -> Result<Option<Closed>, ApplyError> {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if *stopped {
            return Ok(None);
        }
        let device = self.device().display().to_string();
        stop(&self.sysfs.join("md"), &self.link)?;
        *stopped = true;
        // No udev takes the link away.
        if !self.link.exists() {
            let _ = fs::remove_file(&self.link);
        }
        let members = self.verify()?;
        let events: BTreeSet<u64> = members.iter().map(|member| member.events).collect();
        if events.len() > 1 {
            return Err(self.wrong(format!("members were stopped at different events: {events:?}")));
        }
        let receipt = StopReceipt { device: device.clone(), name: Some(self.name.clone()), members };
        Ok(Some(Closed { device, detail: serde_json::to_value(receipt).unwrap_or_default() }))
    }
}

/// Names in a directory of sysfs; none where it is missing.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Writing `clear` is the STOP_ARRAY ioctl (Documentation/admin-guide/md.rst): the superblocks are made clean, and the
/// members are free. EBUSY while somebody has the array open.
pub fn stop(sysfs: &Path, device: &Path) -> Result<(), ApplyError> {
    let state = sysfs.join("array_state");
    let deadline = Instant::now() + STOP_PATIENCE;
    loop {
        match fs::write(&state, "clear") {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(source) => return Err(ApplyError::StopArray { array: device.to_owned(), source }),
        }
    }
}

/// As the superblock has it.
fn number(level: RaidLevel) -> i32 {
    match level {
        RaidLevel::Raid0 => 0,
        RaidLevel::Raid1 => 1,
        RaidLevel::Raid5 => 5,
        RaidLevel::Raid6 => 6,
        RaidLevel::Raid10 => 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_that_is_gone_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        stop(&dir.path().join("md127/md"), Path::new("/dev/md127")).unwrap();
        // Held arrays cannot be had without the kernel's md; a file takes the word.
        fs::create_dir(dir.path().join("md")).unwrap();
        fs::write(dir.path().join("md/array_state"), "clean").unwrap();
        stop(&dir.path().join("md"), Path::new("/dev/md127")).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("md/array_state")).unwrap(), "clear");
    }
}
