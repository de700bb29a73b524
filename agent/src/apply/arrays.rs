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

/// A probe or an inventory may hold the array open for a moment.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberReceipt {
    pub device: String,
    /// Position in the array, from 0; absent for a spare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<u16>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub spare: bool,
    /// Bytes before the array's data.
    pub data_offset: u64,
    /// Equal on all active members of an array that was stopped cleanly.
    pub events: u64,
    /// Bytes up to which the member is known to be in sync; absent if it is fully in sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resynced: Option<u64>,
}

/// An array that was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StopReceipt {
    pub device: String,
    /// Name of an array made in this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As in the receipt of `create-raid`, with the current state.
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
    /// Its kernel name.
    pub name: String,
}

/// One running array of this order.
///
/// How its bytes are verified: reads through a complete array come from the members themselves, bypassing the stripe
/// cache (`chunk_aligned_read` in drivers/md/raid5.c), and the layers above drop their caches before they read back. A
/// mirror is read once from each active member ([`Array::read_from`]). For parity levels, and for the second copies of
/// RAID 10, each byte of data is read; parity and copies are written with it (a stripe that no resync has passed is
/// never patched, but computed as a whole: `handle_stripe_dirtying`), and compared by the resync that the receipt
/// reports as pending.
#[derive(Debug)]
pub struct Array {
    wanted: CreateRaid,
    geometry: Geometry,
    /// `/dev/md/NAME`.
    pub link: PathBuf,
    /// `/sys/class/block/mdN`.
    pub sysfs: PathBuf,
    /// Directory for our own nodes.
    nodes: PathBuf,
    /// Spares are last.
    members: Vec<Member>,
    stopped: Mutex<bool>,
}

impl Array {
    /// The array that was assembled from these members by mdadm. The link proves nothing, because mdadm keeps an
    /// existing one.
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

    /// How many members have a complete copy that can be read separately.
    pub fn copies(&self) -> usize {
        if self.wanted.level == RaidLevel::Raid1 { self.wanted.active().len() } else { 1 }
    }

    /// Whether it is running over this partition of an image: then each of its members looks like the array.
    pub fn is_over(&self, disk: &BoundDisk, number: u32) -> bool {
        let is_member = |member: &Member| std::ptr::eq(&*member.disk, disk) && member.part == Part::Number(number);
        let stopped = *self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        !stopped && self.wanted.is_over_image() && self.members.iter().any(is_member)
    }

    /// Opens it, after verifying that it lies on its members and nothing else.
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

    /// Stops resyncing, so that the disks are free for the installation; the installed system resyncs. RAID 0 has
    /// nothing to resync.
    pub fn freeze(&self) {
        if !self.wanted.level.is_redundant() {
            return;
        }
        if let Err(error) = fs::write(self.sysfs.join("md/sync_action"), "frozen") {
            log::warn!("{}: the resync continues during the work: {error}", self.link.display());
        }
    }

    /// Reads of a mirror come from this member only (the last one if there are fewer), or from any. Writes still go to
    /// all. md(4): a write-mostly member is read if there is no other.
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

    /// Checks that every member is an active one of this array, each with its own role, or a spare, with the planned
    /// level, layout and consistency policy, and with its data at the planned offset.
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

    /// Whether the members are known to be in sync.
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

/// The kernel name of the only array on these members, with no others in it.
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

/// How a member's superblock differs from the plan.
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
    // For RAID 0 it is each member's own size.
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

    /// Stops the array, so that every member is marked clean, and verifies that.
    fn close(&self) -> Result<Option<Closed>, ApplyError> {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if *stopped {
            return Ok(None);
        }
        let device = self.device().display().to_string();
        stop(&self.sysfs.join("md"), &self.link)?;
        *stopped = true;
        // There is no udev to remove the link.
        if !self.link.exists() {
            let _ = fs::remove_file(&self.link);
        }
        let members = self.verify()?;
        // A spare is not part of the array, and the kernel does not always update it.
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

/// Writing `clear` is the STOP_ARRAY ioctl (Documentation/admin-guide/md.rst): superblocks are marked clean, and the
/// members are released. EBUSY while the array is open.
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
