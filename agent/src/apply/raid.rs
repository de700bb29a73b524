//! MD arrays: made by mdadm and believed only after every member's superblock says the same, kept from resyncing while
//! the disks are written, stopped before the machine goes on.

use super::tools::Tool;
use super::{ApplyError, Context, Paths, filesystem, wipe};
use crate::finalize::md;
use crate::protocol::order::RaidLevel;
use crate::protocol::plan::Device;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MDADM: Tool = Tool { name: "mdadm", package: "mdadm" };
/// The home host that every machine takes for itself: the installed system's name may change, its arrays stay its own.
const HOME: &str = "any";
/// Somebody who looks at an array (a probe, an inventory) may keep it for a moment.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// What the plan says of an array.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub name: &'a str,
    pub uuid: &'a str,
    pub level: RaidLevel,
    pub metadata: &'a str,
}

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

/// The arrays of this run, each a mirror. Dropping it stops them as far as that can be had.
#[derive(Debug, Default)]
pub struct Arrays {
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    name: String,
    /// `/dev/md/NAME`.
    link: PathBuf,
    /// `/sys/class/block/mdN/md`.
    sysfs: PathBuf,
    metadata: String,
    uuid: String,
    level: RaidLevel,
    members: Vec<PathBuf>,
}

/// Whether the ramdisk can make arrays at all.
pub fn check(root: &Path) -> Result<(), ApplyError> {
    MDADM.find(root).map(|_| ())
}

/// Where mdadm puts an array of this name.
pub fn node(context: &Context<'_>, name: &str) -> PathBuf {
    context.paths.dev.join("md").join(name)
}

/// Stops every array that has a member on one of these disks.
pub fn stop_old(paths: &Paths, disks: &[PathBuf]) -> Result<Vec<StopReceipt>, ApplyError> {
    let mut found: BTreeSet<PathBuf> = BTreeSet::new();
    for device in disks {
        let open = |source| ApplyError::Open { device: device.clone(), source };
        let number = fs::metadata(device).map_err(open)?.rdev();
        let disk = paths.sys.join(format!("dev/block/{}:{}", libc::major(number), libc::minor(number)));
        found.extend(holders(&disk));
        let parts = fs::read_dir(&disk).into_iter().flatten().flatten().map(|entry| entry.path());
        found.extend(parts.filter(|path| path.join("partition").exists()).flat_map(|path| holders(&path)));
    }
    let mut receipts = Vec::new();
    for name in found {
        let sysfs = paths.sys.join("class/block").join(&name).join("md");
        let device = paths.dev.join(&name);
        if sysfs.is_dir() {
            stop(&sysfs, &device)?;
            receipts.push(StopReceipt { device: device.display().to_string(), name: None, members: Vec::new() });
        }
    }
    Ok(receipts)
}

fn holders(node: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(node.join("holders")).into_iter().flatten().flatten();
    names.map(|entry| PathBuf::from(entry.file_name())).collect()
}

impl Arrays {
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub fn create(
        &mut self,
        context: &Context<'_>,
        wanted: Wanted<'_>,
        members: &[Device],
    ) -> Result<RaidReceipt, ApplyError> {
        let link = node(context, wanted.name);
        let members: Vec<PathBuf> =
            members.iter().map(|member| filesystem::node(context, member)).collect::<Result<_, _>>()?;
        let words = arguments(wanted, members.len());
        let mut all: Vec<&OsStr> = vec![OsStr::new("--create"), link.as_os_str()];
        all.extend(words.iter().map(OsStr::new));
        all.extend(members.iter().map(|member| member.as_os_str()));
        MDADM.run_with(&context.paths.root, &all, &link)?;

        let real = fs::canonicalize(&link).map_err(|source| ApplyError::Open { device: link.clone(), source })?;
        let name = real.file_name().unwrap_or_default();
        let sysfs = context.paths.sys.join("class/block").join(name).join("md");
        let running = Running {
            name: wanted.name.to_owned(),
            link,
            sysfs,
            metadata: wanted.metadata.to_owned(),
            uuid: wanted.uuid.to_owned(),
            level: wanted.level,
            members,
        };
        // From here on it is stopped whatever happens.
        self.running.push(running);
        let Some(running) = self.running.last() else { return Err(ApplyError::NoDisk { index: 0 }) };
        running.freeze();
        let members = running.verify()?;
        wipe::array(&real)?;
        let sectors = fs::read_to_string(context.paths.sys.join("class/block").join(name).join("size"));
        let size = sectors.ok().and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0).saturating_mul(512);
        let resync = if members.iter().all(|member| member.resynced.is_none()) { "complete" } else { "pending" };
        Ok(RaidReceipt {
            device: real.display().to_string(),
            name: wanted.name.to_owned(),
            uuid: wanted.uuid.to_owned(),
            level: level(wanted.level),
            metadata: wanted.metadata.to_owned(),
            size,
            members,
            resync,
        })
    }

    /// How many times everything is kept, at most: each copy is to be read by itself.
    pub fn copies(&self) -> usize {
        self.running.iter().map(|one| one.members.len()).max().unwrap_or(1)
    }

    /// Lets reads come from this member of each array alone (the last one where there are not so many), or from any.
    /// Writes go to all as ever. md(4): a member that is write-mostly is read when there is no other.
    pub fn read_from(&self, copy: Option<usize>) -> Result<(), ApplyError> {
        for one in &self.running {
            let chosen = copy.map(|copy| copy.min(one.members.len().saturating_sub(1)));
            for (place, member) in one.members.iter().enumerate() {
                let word = if chosen.is_none_or(|chosen| chosen == place) { "-writemostly" } else { "writemostly" };
                let name = member.file_name().unwrap_or_default().to_string_lossy();
                let state = one.sysfs.join(format!("dev-{name}")).join("state");
                let failed = |source| ApplyError::Open { device: state.clone(), source };
                fs::write(&state, word).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Takes them apart, so that every member knows that it is whole; and looks that it does.
    pub fn stop(&mut self, context: &Context<'_>) -> Result<Vec<StopReceipt>, ApplyError> {
        let mut receipts = Vec::new();
        while let Some(running) = self.running.pop() {
            let device = fs::canonicalize(&running.link).unwrap_or_else(|_| running.link.clone());
            stop(&running.sysfs, &running.link)?;
            let members = running.verify()?;
            let events: BTreeSet<u64> = members.iter().map(|member| member.events).collect();
            if events.len() > 1 {
                let what = format!("members were stopped at different events: {events:?}");
                return Err(ApplyError::Array { array: running.link, what });
            }
            running.unlink(context);
            let device = device.display().to_string();
            receipts.push(StopReceipt { device, name: Some(running.name), members });
        }
        Ok(receipts)
    }
}

impl Drop for Arrays {
    fn drop(&mut self) {
        while let Some(running) = self.running.pop() {
            // On an error path: that error is the one to report.
            let _ = stop(&running.sysfs, &running.link);
        }
    }
}

impl Running {
    /// The disks are for the installation now; what is not equal yet the installed system makes so.
    fn freeze(&self) {
        if let Err(error) = fs::write(self.sysfs.join("sync_action"), "frozen") {
            log::warn!("{}: the resync goes on beside the work: {error}", self.link.display());
        }
    }

    /// Every member says that it is an active one of this array, each in its own place.
    fn verify(&self) -> Result<Vec<MemberReceipt>, ApplyError> {
        let wrong = |what: String| ApplyError::Array { array: self.link.clone(), what };
        let mut receipts = Vec::new();
        for (place, member) in self.members.iter().enumerate() {
            let found = md::read(member, &self.metadata)?;
            let uuid = found.uuid.hyphenated().to_string();
            if !uuid.eq_ignore_ascii_case(&self.uuid) {
                return Err(wrong(format!("{} is of the array {uuid}", member.display())));
            }
            if found.write_mostly {
                return Err(wrong(format!("{} is marked as write-mostly", member.display())));
            }
            let shape = (found.level, found.raid_disks as usize, found.role.map(usize::from));
            if shape != (number(self.level), self.members.len(), Some(place)) {
                return Err(wrong(format!(
                    "{} is place {:?} of {} at level {}",
                    member.display(),
                    found.role,
                    found.raid_disks,
                    found.level
                )));
            }
            receipts.push(MemberReceipt {
                device: member.display().to_string(),
                role: found.role.unwrap_or_default(),
                data_offset: found.data_offset,
                events: found.events,
                resynced: found.resynced,
            });
        }
        Ok(receipts)
    }

    /// No udev takes the link away.
    fn unlink(&self, context: &Context<'_>) {
        if self.link.starts_with(&context.paths.dev) && !self.link.exists() {
            let _ = fs::remove_file(&self.link);
        }
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

fn number(level: RaidLevel) -> i32 {
    match level {
        RaidLevel::Raid0 => 0,
        RaidLevel::Raid1 => 1,
        RaidLevel::Raid5 => 5,
        RaidLevel::Raid6 => 6,
        RaidLevel::Raid10 => 10,
    }
}

/// Writing `clear` is the STOP_ARRAY ioctl (Documentation/admin-guide/md.rst): the superblocks are made clean, and the
/// members are free. EBUSY while somebody has the array open.
fn stop(sysfs: &Path, device: &Path) -> Result<(), ApplyError> {
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
mod tests {
    use super::*;

    #[test]
    fn arguments_leave_nothing_to_be_asked() {
        let wanted = Wanted { name: "root", uuid: "u-u", level: RaidLevel::Raid1, metadata: "1.2" };
        let words = arguments(wanted, 2);
        for word in ["--run", "--level=raid1", "--raid-devices=2", "--uuid=u-u", "--name=root", "--homehost=any"] {
            assert!(words.iter().any(|one| one == word), "{word}");
        }
    }

    /// A disk with an array on its second partition; `/dev/null` stands for its node.
    #[test]
    fn arrays_on_a_disk_and_its_partitions_are_stopped_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths { sys: dir.path().join("sys"), dev: "/dev".into(), ..Paths::default() };
        let (disk, class) = (paths.sys.join("dev/block/1:3"), paths.sys.join("class/block"));
        for holder in ["null2/holders/md127", "null3/holders/dm-0", "holders/md_d1"] {
            fs::create_dir_all(disk.join(holder)).unwrap();
        }
        for partition in ["null2", "null3"] {
            fs::write(disk.join(partition).join("partition"), "1").unwrap();
        }
        fs::create_dir_all(class.join("dm-0/dm")).unwrap();
        for array in ["md127", "md_d1", "md9"] {
            fs::create_dir_all(class.join(array).join("md")).unwrap();
            fs::write(class.join(array).join("md/array_state"), "active").unwrap();
        }
        let stopped = stop_old(&paths, &["/dev/null".into()]).unwrap();
        let devices: Vec<&str> = stopped.iter().map(|one| one.device.as_str()).collect();
        assert_eq!(devices, ["/dev/md127", "/dev/md_d1"]);
        let state = |array: &str| fs::read_to_string(class.join(array).join("md/array_state")).unwrap();
        assert_eq!(["md127", "md_d1", "md9"].map(state), ["clear", "clear", "active"]);
    }

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
