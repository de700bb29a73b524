//! Active LVM groups of this order: runs lvm in a ramdisk without udev, reads the metadata of the physical volumes, and
//! deactivates the group.

use super::bound::{Access, BoundDisk};
use super::crypt::until_gone;
use super::live::{Closed, Live};
use super::tools::Tool;
use super::work::Work;
use super::{ApplyError, mapped, resolve};
use crate::finalize::lvm::{self, Group as Found};
use crate::image::Cancel;
use crate::protocol::plan::Device;
use crate::protocol::plan::steps::CreateGroup;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const LVM: Tool = Tool { name: "lvm", package: "lvm2" };

/// A volume group that was made.
#[derive(Debug)]
pub struct Group {
    pub name: String,
    /// 32 characters, as in its metadata.
    pub uuid: String,
    pub nodes: Vec<PathBuf>,
    /// Kernel names of its physical volumes.
    pub below: BTreeSet<String>,
    pub disks: Vec<Arc<BoundDisk>>,
    pub root: PathBuf,
    pub sys: PathBuf,
}

/// lvm's configuration: only these devices exist, no daemon is asked, and nothing is stored in files.
pub fn config(nodes: &[PathBuf]) -> String {
    let directories: BTreeSet<&Path> = nodes.iter().filter_map(|node| node.parent()).collect();
    let list = |items: Vec<String>| items.join(",");
    let scan = list(directories.iter().map(|directory| format!("\"{}\"", directory.display())).collect());
    let mut filter: Vec<String> = nodes.iter().map(|node| format!("\"a|^{}$|\"", escaped(node))).collect();
    filter.push("\"r|.*|\"".to_owned());
    let filter = list(filter);
    format!(
        "devices {{ dir=\"/dev\" scan=[{scan}] filter=[{filter}] use_devicesfile=0 hints=\"none\" \
         obtain_device_list_from_udev=0 external_device_info_source=\"none\" multipath_component_detection=0 \
         md_component_detection=0 md_chunk_alignment=0 data_alignment_detection=0 data_alignment_offset_detection=0 \
         default_data_alignment=1 }} \
         activation {{ udev_sync=0 udev_rules=0 verify_udev_operations=0 monitoring=0 }} \
         global {{ use_lvmpolld=0 event_activation=0 thin_check_executable=\"\" }} \
         backup {{ backup=0 archive=0 }}"
    )
}

/// Escaped for LVM's regular expressions.
fn escaped(node: &Path) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_');
    node.display().to_string().chars().map(|c| if plain(c) { c.to_string() } else { format!("\\\\{c}") }).collect()
}

/// Runs an lvm command; errors name `what`.
pub fn run(
    root: &Path,
    nodes: &[PathBuf],
    arguments: &[String],
    what: &Path,
    cancel: &Cancel,
) -> Result<(), ApplyError> {
    let config = config(nodes);
    let (command, rest) = arguments.split_first().map_or(("", arguments), |(command, rest)| (command.as_str(), rest));
    let mut all: Vec<&OsStr> = [command, "--config", &config].map(OsStr::new).to_vec();
    all.extend(rest.iter().map(OsStr::new));
    LVM.run_with(root, &all, what, cancel)
}

/// The metadata of a group, which must be the same on all physical volumes.
pub fn metadata(work: &Work, step: &CreateGroup) -> Result<Found, ApplyError> {
    let mut group: Option<Found> = None;
    for physical in &step.physical {
        let proven = resolve::open(work, &physical.on, Access::Read)?;
        let found = lvm::read(proven.node())?;
        let wrong = |what: String| ApplyError::Mapping { device: proven.name().to_owned(), what };
        if found.uuid != physical.uuid.replace('-', "") {
            return Err(wrong(format!("it is the physical volume {}, it was made as {}", found.uuid, physical.uuid)));
        }
        match &group {
            Some(group) if *group != found.group => {
                let (other, seqno) = (group.seqno, found.group.seqno);
                return Err(wrong(format!("it has the metadata {seqno} of its group, others have {other}")));
            }
            _ => group = Some(found.group),
        }
    }
    group.ok_or_else(|| ApplyError::NoVolume { device: step.name.clone() })
}

/// The name and data of a physical volume in the group's metadata.
pub fn part<'a>(group: &'a Found, uuid: &str) -> Option<(&'a str, &'a lvm::Part)> {
    let plain = uuid.replace('-', "");
    group.physical.iter().find(|(_, part)| part.uuid == plain).map(|(name, part)| (name.as_str(), part))
}

/// The step that makes a group.
pub fn step<'a>(work: &'a Work, name: &str) -> Result<&'a CreateGroup, ApplyError> {
    use crate::protocol::plan::Step;
    let found = work.plan.steps.iter().find_map(|step| match step {
        Step::CreateGroup(made) if made.name == name => Some(made),
        _ => None,
    });
    found.ok_or_else(|| ApplyError::NoVolume { device: name.to_owned() })
}

/// The disks below a device.
pub fn disks(work: &Work, devices: &[Device]) -> Result<Vec<Arc<BoundDisk>>, ApplyError> {
    let indices: BTreeSet<usize> = devices.iter().flat_map(|device| work.plan.disks_below(device)).collect();
    indices.into_iter().map(|index| work.disks.disk(index).cloned()).collect()
}

impl Group {
    /// The prefix of the device-mapper identities of everything in it.
    fn prefix(&self) -> String {
        format!("LVM-{}", self.uuid)
    }
}

impl Live for Group {
    fn name(&self) -> String {
        format!("the volume group {}", self.name)
    }

    fn disks(&self) -> Vec<Arc<BoundDisk>> {
        self.disks.clone()
    }

    fn close(&self) -> Result<Option<Closed>, ApplyError> {
        let device = Path::new("/dev").join(&self.name);
        let is_active = || !mapped::with_uuid(&self.sys, &self.prefix()).is_empty();
        let arguments = ["vgchange", "--activate", "n", self.name.as_str()].map(str::to_owned);
        until_gone(&is_active, || run(&self.root, &self.nodes, &arguments, &device, &Cancel::default()))?;
        let left = mapped::with_uuid(&self.sys, &self.prefix());
        if left.is_empty() {
            return Ok(None);
        }
        Err(ApplyError::Mapping { device, what: format!("{} of it is still active", left.join(", ")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lvm_sees_the_groups_own_devices_and_nothing_else() {
        let text = config(&["/dev/burin/1-0/sda2".into(), "/dev/burin/1-0/md.1".into()]);
        assert!(text.contains(r#"scan=["/dev/burin/1-0"]"#), "{text}");
        assert!(text.contains(r#"filter=["a|^/dev/burin/1-0/sda2$|","a|^/dev/burin/1-0/md\\.1$|","r|.*|"]"#), "{text}");
    }
}
