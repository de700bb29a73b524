//! Running MD arrays of this order: kept from resyncing while the disks are written, verified by their members'
//! superblocks, and stopped before the machine goes on.

use super::bound::{Access, BoundDisk, Part, Proven};
use super::holders::names;
use super::live::{Closed, Live};
use super::{ApplyError, Paths};
use crate::finalize::md::{self, Role, Superblock};
use crate::protocol::order::{Consistency, RaidLevel};
use crate::protocol::plan::raid::Geometry;
use crate::protocol::plan::steps::CreateRaid;
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
    /// Place in the array, from 0; absent of a spare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<u16>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub spare: bool,
    /// Bytes before the array's own.
    pub data_offset: u64,
    /// The same on all active members of an array that was stopped in order.
    pub events: u64,
    /// Bytes up to which the member is known to be equal to what the others say of it; absent when all of it is.
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
    /// As in the receipt of `create-raid`, and as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resync: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberReceipt>,
}

/// A partition or disk in an array.
#[derive(Debug, Clone)]
pub struct Member {
    pub disk: Arc<BoundDisk>,
    pub part: Part,
    /// The kernel's name of it.
    pub name: String,
}

/// One running array of this order.
///
/// How each of its bytes is proven to be on the disks: what is read through an array that has all its members comes from
/// the members themselves, past the stripe cache (`chunk_aligned_read` in drivers/md/raid5.c), and what lies above drops its
/// own caches before it reads back. A mirror is read once from each active member by itself ([`Array::read_from`]). Of
/// levels with parity, and of the second copies of RAID 10, what is read is each byte of data; parity and copies are written
/// with it (a stripe that no resync has passed is never patched, but computed as a whole: `handle_stripe_dirtying`), and
/// compared by the resync that the receipt tells as pending.
#[derive(Debug)]
pub struct Array {
    wanted: CreateRaid,
    geometry: Geometry,
    /// `/dev/md/NAME`.
    pub link: PathBuf,
    /// `/sys/class/block/mdN`.
    pub sysfs: PathBuf,
    /// Where nodes of our own go.
    nodes: PathBuf,
    /// Spares come last.
    members: Vec<Member>,
    stopped: Mutex<bool>,
}

impl Array {
    /// The array that stands on these members since mdadm was asked for it. A link says nothing: mdadm leaves one that is
    /// there already.
    pub fn started(
        wanted: CreateRaid,
        geometry: Geometry,
        link: &Path,
        paths: &Paths,
        members: Vec<Member>,
    ) -> Result<Self, ApplyError> {
        let block = paths.sys.join("class/block");
        let name = standing_on(&block, &members).map_err(|what| ApplyError::Array { array: link.to_owned(), what })?;
        let nodes = members.first().map(|member| member.disk.directory()).unwrap_or_default();
        let sysfs = block.join(name);
        Ok(Self { wanted, geometry, link: link.to_owned(), sysfs, nodes, members, stopped: Mutex::new(false) })
    }

    pub fn is(&self, name: &str) -> bool {
        self.wanted.name == name
    }

    /// `/dev/mdN`.
    pub fn device(&self) -> PathBuf {
        Path::new("/dev").join(self.sysfs.file_name().unwrap_or_default())
    }

    /// How many members can be read each by itself, and have all of it.
    pub fn copies(&self) -> usize {
        if self.wanted.level == RaidLevel::Raid1 { self.wanted.active().len() } else { 1 }
    }

    /// Whether it is made over this partition of an image, and runs: then each of its members looks as the array does.
    pub fn is_over(&self, disk: &BoundDisk, number: u32) -> bool {
        let is_member = |member: &Member| std::ptr::eq(&*member.disk, disk) && member.part == Part::Number(number);
        let stopped = *self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        !stopped && self.wanted.is_over_image() && self.members.iter().any(is_member)
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

    /// The disks are for the installation now; what is not equal yet the installed system makes so. RAID 0 has nothing to
    /// make equal.
    pub fn freeze(&self) {
        if !self.wanted.level.is_redundant() {
            return;
        }
        if let Err(error) = fs::write(self.sysfs.join("md/sync_action"), "frozen") {
            log::warn!("{}: the resync goes on beside the work: {error}", self.link.display());
        }
    }

    /// Lets reads of a mirror come from this member alone (the last one where there are not so many), or from any. Writes
    /// go to all as ever. md(4): a member that is write-mostly is read when there is no other.
    pub fn read_from(&self, copy: Option<usize>) -> Result<(), ApplyError> {
        if self.copies() == 1 {
            return Ok(());
        }
        let chosen = copy.map(|copy| copy.min(self.copies() - 1));
        for (place, member) in self.members.iter().enumerate().take(self.copies()) {
            let word = if chosen.is_none_or(|chosen| chosen == place) { "-writemostly" } else { "writemostly" };
            let state = self.sysfs.join("md").join(format!("dev-{}", member.name)).join("state");
            let failed = |source| ApplyError::Open { device: state.clone(), source };
            fs::write(&state, word).map_err(failed)?;
        }
        Ok(())
    }

    /// Every member says that it is an active one of this array, each in its own place, or a spare; with the level, shape
    /// and policy that were wanted, and with its data where they were to be.
    pub fn verify(&self) -> Result<Vec<MemberReceipt>, ApplyError> {
        let mut receipts = Vec::new();
        for (place, member) in self.members.iter().enumerate() {
            let proven = member.disk.open(member.part, Access::Read)?;
            let device = proven.device();
            let found = md::read(proven.node(), &self.wanted.metadata)?;
            if let Some(what) = differs(&self.wanted, self.geometry, place, &found) {
                return Err(self.wrong(format!("{device} {what}")));
            }
            let role = match found.role {
                Some(Role::Active(role)) => Some(role),
                _ => None,
            };
            let (data_offset, events, resynced) = (found.data_offset, found.events, found.resynced);
            receipts.push(MemberReceipt { device, role, spare: role.is_none(), data_offset, events, resynced });
        }
        Ok(receipts)
    }

    /// Whether the members are known to be equal.
    pub fn resync(&self, members: &[MemberReceipt]) -> &'static str {
        let known = members.iter().filter(|member| !member.spare).all(|member| member.resynced.is_none());
        match (self.wanted.level.is_redundant(), known) {
            (false, _) => "none",
            (true, true) => "complete",
            (true, false) => "pending",
        }
    }

    pub fn wrong(&self, what: String) -> ApplyError {
        ApplyError::Array { array: self.link.clone(), what }
    }
}

/// The kernel's name of the one array on these members, which has no others.
fn standing_on(block: &Path, members: &[Member]) -> Result<String, String> {
    let arrays = |member: &Member| {
        let mut on_it = names(&block.join(&member.name).join("holders"));
        on_it.retain(|name| block.join(name).join("md").is_dir());
        on_it
    };
    let found: BTreeSet<String> = members.iter().flat_map(arrays).collect();
    let mut each = found.iter();
    let (Some(name), None) = (each.next(), each.next()) else {
        return Err(format!("on its members stand the arrays {found:?}, one was made"));
    };
    let own: BTreeSet<String> = members.iter().map(|member| member.name.clone()).collect();
    let below: BTreeSet<String> = names(&block.join(name).join("slaves")).into_iter().collect();
    match below.is_subset(&own) {
        true => Ok(name.clone()),
        false => Err(format!("{name} lies on {below:?}, not on {own:?}")),
    }
}

/// In what a member's superblock is not as it was to be.
fn differs(wanted: &CreateRaid, geometry: Geometry, place: usize, found: &Superblock) -> Option<String> {
    let uuid = found.uuid.hyphenated().to_string();
    if !uuid.eq_ignore_ascii_case(&wanted.uuid) {
        return Some(format!("is of the array {uuid}"));
    }
    if found.write_mostly {
        return Some("is marked as write-mostly".to_owned());
    }
    let active = wanted.active().len();
    let role = match u16::try_from(place) {
        Ok(place) if usize::from(place) < active => Role::Active(place),
        _ => Role::Spare,
    };
    if (found.level, found.raid_disks as usize, found.role) != (wanted.level.number(), active, Some(role)) {
        let (role, disks, level) = (found.role, found.raid_disks, found.level);
        return Some(format!("is {role:?} of {disks} at level {level}"));
    }
    let chunk = wanted.chunk.filter(|_| wanted.level.is_striped());
    if chunk.is_some_and(|chunk| chunk != found.chunk) || wanted.level.layout().is_some_and(|one| one != found.layout) {
        return Some(format!("has chunks of {} bytes in the layout {}", found.chunk, found.layout));
    }
    let keeps = match wanted.consistency {
        Consistency::Bitmap => Some("bitmap"),
        Consistency::Ppl => Some("ppl"),
        Consistency::Resync | Consistency::None => None,
    };
    if found.keeps != keeps {
        return Some(format!("keeps {:?} for consistency, not {keeps:?}", found.keeps));
    }
    // What a member of RAID 0 gives is its own size.
    let size = wanted.level.is_redundant().then_some(geometry.component);
    if found.data_offset != geometry.data_offset || size.is_some_and(|size| size != found.size) {
        return Some(format!("has {} bytes of data at {}", found.size, found.data_offset));
    }
    None
}

impl Live for Array {
    fn name(&self) -> String {
        format!("the array {}", self.wanted.name)
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
        // A spare has no part in it, and the kernel does not write to it each time.
        let active = members.iter().filter(|member| !member.spare);
        let events: BTreeSet<u64> = active.map(|member| member.events).collect();
        if events.len() > 1 {
            return Err(self.wrong(format!("members were stopped at different events: {events:?}")));
        }
        let (name, resync) = (Some(self.wanted.name.clone()), Some(self.resync(&members)));
        let receipt = StopReceipt { device: device.clone(), name, resync, members };
        Ok(Some(Closed { device, detail: serde_json::to_value(receipt).unwrap_or_default() }))
    }
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

#[cfg(test)]
#[path = "arrays_tests.rs"]
mod tests;
