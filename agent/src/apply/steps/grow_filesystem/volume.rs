//! Grows an image's root in a volume group: physical volume, logical volume and filesystem, one after the other.

use super::{ApplyError, Work};
use crate::apply::bound::{Access, BoundDisk, Proven};
use crate::apply::group::{self, Group, LVM};
use crate::apply::live::Live;
use crate::apply::mapped::{self, Mapped};
use crate::apply::{look, system};
use crate::finalize::grow::{self, GrowReceipt};
use crate::finalize::look::WhichIsRoot;
use crate::finalize::lvm::{self, Kind, Physical};
use crate::finalize::rootfs::Candidate;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What has grown. Bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeGrowth {
    /// `GROUP/NAME`.
    pub volume: String,
    pub physical_extents: Extents,
    pub volume_extents: Extents,
    #[serde(flatten)]
    pub filesystem: GrowReceipt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Extents {
    pub before: u64,
    pub after: u64,
}

/// Grows the contents of a physical volume, or says why that is left to the system.
pub fn grow(work: &Work, disk: &Arc<BoundDisk>, proven: &Proven) -> Result<Result<VolumeGrowth, String>, ApplyError> {
    if LVM.find(&work.paths.root).is_err() {
        return Ok(Err("the ramdisk has no lvm".to_owned()));
    }
    let found = match lvm::read(proven.node()) {
        Ok(found) => found,
        Err(error) => return Ok(Err(error.to_string())),
    };
    if let Err(why) = is_plain(&found) {
        return Ok(Err(why));
    }
    if let Err(why) = is_alone(&work.paths.sys, &found) {
        return Ok(Err(why));
    }
    mapped::control(&work.paths)?;
    let group = Arc::new(Group {
        name: found.group.name.clone(),
        uuid: found.group.uuid.clone(),
        nodes: vec![proven.node().to_owned()],
        below: [mapped::kernel_name(proven.node(), &work.paths)?].into(),
        disks: vec![disk.clone()],
        root: work.paths.root.clone(),
        sys: work.paths.sys.clone(),
    });
    let live: Arc<dyn Live> = group.clone();
    // Closed in any case from here on.
    work.stack.push(live.clone());
    let grown = in_group(work, disk, &group, &found)?;
    group.close()?;
    work.stack.forget(&live);
    Ok(grown)
}

fn in_group(
    work: &Work,
    disk: &BoundDisk,
    group: &Group,
    found: &Physical,
) -> Result<Result<VolumeGrowth, String>, ApplyError> {
    let node = group.nodes.first().cloned().unwrap_or_default();
    let device = Path::new("/dev").join(&group.name);
    let run = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        group::run(&work.paths.root, &group.nodes, &words, &device, &work.cancel)
    };
    run(&["vgchange", "--yes", "--activate", "y", &group.name])?;
    let volumes = linear(found);
    let all: Vec<Mapped> = volumes.iter().map(|(name, uuid)| mapped(work, group, name, uuid)).collect();
    let open: Vec<Proven> = all.iter().map(|one| one.open(Access::Read)).collect::<Result<_, _>>()?;
    let candidate = |(number, proven): (u32, &Proven)| Candidate {
        number,
        type_guid: None,
        guid: None,
        name: None,
        node: proven.node().to_owned(),
    };
    let candidates: Vec<Candidate> = (1..).zip(&open).map(candidate).collect();
    let nodes: Vec<PathBuf> = candidates.iter().map(|one| one.node.clone()).collect();
    let question = WhichIsRoot { candidates, mounts: work.paths.mounts.clone(), only: None };
    let root = match look::ask(work, disk, nodes, &question)? {
        Ok(root) => root.number as usize,
        Err(error) => return Ok(Err(error.to_string())),
    };
    drop(open);
    let chosen = volumes.get(root.saturating_sub(1)).zip(all.get(root.saturating_sub(1)));
    let ((name, _), root) = chosen.ok_or_else(|| ApplyError::NoVolume { device: group.name.clone() })?;

    let node_word = node.display().to_string();
    run(&["pvresize", "--yes", &node_word])?;
    let resized = lvm::read(&node)?;
    if free(&resized) > 0 {
        let path = format!("{}/{name}", group.name);
        run(&["lvextend", "--extents", "+100%FREE", &path])?;
    }
    let after = lvm::read(&node)?;
    let wrong = |what: String| ApplyError::Mapping { device: root.link(), what };
    if free(&after) > 0 {
        return Err(wrong(format!("{} extents of its group are free after it has grown", free(&after))));
    }
    let extents = |physical: &Physical| physical.group.volumes.get(name).map_or(0, lvm::Volume::extents);
    let proven = root.open(Access::Read)?;
    let content = system::content(work, disk, &proven)?;
    let filesystem = grow::grow(proven.node(), content, &work.paths.mounts)?;
    Ok(Ok(VolumeGrowth {
        volume: format!("{}/{name}", group.name),
        physical_extents: Extents { before: all_extents(found), after: all_extents(&after) },
        volume_extents: Extents { before: extents(found), after: extents(&after) },
        filesystem: GrowReceipt { device: root.link().display().to_string(), ..filesystem },
    }))
}

/// Whether lvm can be run on it without ambiguity.
fn is_plain(found: &Physical) -> Result<(), String> {
    let parts = found.group.physical.len();
    if parts != 1 {
        return Err(format!("its volume group has {parts} physical volumes"));
    }
    let plain = |name: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
        !name.is_empty() && !name.starts_with('-') && name.bytes().all(fits)
    };
    if !plain(&found.group.name) || !found.group.volumes.keys().all(|name| plain(name)) {
        return Err("its volume group has names that LVM does not make".to_owned());
    }
    match linear(found).len() {
        0 => Err("its volume group has no linear volume".to_owned()),
        _ => Ok(()),
    }
}

/// Whether nothing with that name or identity is active: a copy of the image on another disk may be in use.
fn is_alone(sys: &Path, found: &Physical) -> Result<(), String> {
    let active = mapped::with_uuid(sys, &format!("LVM-{}", found.group.uuid));
    let named = found.group.volumes.keys().map(|volume| mapped::lvm_name(&found.group.name, volume));
    match active.is_empty() && !mapped::with_names(sys, &named.collect()) {
        true => Ok(()),
        false => Err("a volume group of its name or identity is active on this machine".to_owned()),
    }
}

/// Names and identities of volumes that lie only on this physical volume; parts of others do not count.
fn linear(found: &Physical) -> Vec<(String, String)> {
    let volumes = &found.group.volumes;
    let parts: BTreeSet<&str> = volumes.values().flat_map(|volume| &volume.segments).flat_map(below).collect();
    let is_linear = |segment: &lvm::Segment| matches!(&segment.kind, Kind::Striped { on, .. } if on.len() == 1 && on.iter().all(|one| found.group.physical.contains_key(one)));
    let own = volumes.iter().filter(|(name, volume)| {
        // Volumes internal to LVM.
        let hidden = name.contains("_pmspare") || name.contains("_rmeta");
        !hidden
            && !parts.contains(name.as_str())
            && !volume.segments.is_empty()
            && volume.segments.iter().all(is_linear)
    });
    own.map(|(name, volume)| (name.clone(), volume.uuid.clone())).collect()
}

/// The names of what a segment is made of.
fn below(segment: &lvm::Segment) -> Vec<&str> {
    match &segment.kind {
        Kind::Striped { on, .. } => on.iter().map(String::as_str).collect(),
        Kind::Raid1 { images } => images.iter().map(String::as_str).collect(),
        Kind::ThinPool { data, metadata, .. } => vec![data, metadata],
        Kind::Thin { pool } => vec![pool],
        Kind::Other(_) => Vec::new(),
    }
}

/// Extents of the physical volume. The numbers come from an image.
fn all_extents(found: &Physical) -> u64 {
    found.group.physical.values().map(|part| part.extents).fold(0, u64::saturating_add)
}

/// Unallocated extents.
fn free(found: &Physical) -> u64 {
    let segments = found.group.volumes.values().flat_map(|volume| &volume.segments);
    let used = segments.map(|segment| match &segment.kind {
        Kind::Striped { on, .. } if on.iter().all(|one| found.group.physical.contains_key(one)) => segment.extents,
        _ => 0,
    });
    all_extents(found).saturating_sub(used.fold(0, u64::saturating_add))
}

fn mapped(work: &Work, group: &Group, name: &str, uuid: &str) -> Mapped {
    Mapped {
        name: mapped::lvm_name(&group.name, name),
        uuid: format!("LVM-{}{uuid}", group.uuid),
        below: group.below.clone(),
        nodes: group.nodes.first().and_then(|node| node.parent()).map(ToOwned::to_owned).unwrap_or_default(),
        sys: work.paths.sys.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finalize::lvm::{Group as Found, Part, Segment, Volume};

    fn physical(parts: u32, volumes: &[(&str, &str, u64)]) -> Physical {
        let part = |n: u32| (format!("pv{n}"), Part { uuid: n.to_string(), start: 1 << 20, extents: 100 });
        let volume = |&(name, on, extents): &(&str, &str, u64)| {
            let kind = Kind::Striped { on: vec![on.to_owned()], stripe_size: 0 };
            let segments = vec![Segment { start: 0, extents, kind }];
            (name.to_owned(), Volume { uuid: format!("u{name}"), tags: Vec::new(), segments })
        };
        let group = Found {
            name: "debian-vg".into(),
            uuid: "g".into(),
            seqno: 3,
            extent_size: 4 << 20,
            tags: Vec::new(),
            physical: (0..parts).map(part).collect(),
            volumes: volumes.iter().map(volume).collect(),
        };
        Physical { uuid: "0".into(), group }
    }

    #[test]
    fn what_grows_is_a_linear_volume_of_a_group_of_its_own() {
        let found = physical(1, &[("root", "pv0", 60), ("swap_1", "pv0", 10)]);
        assert_eq!((is_plain(&found), free(&found)), (Ok(()), 30));
        assert_eq!(linear(&found).len(), 2);
        is_plain(&physical(2, &[("root", "pv0", 60)])).unwrap_err();
        is_plain(&physical(1, &[])).unwrap_err();
        is_plain(&physical(1, &[("--yes", "pv0", 1)])).unwrap_err();
        // A part of another volume, and one on top of another.
        let nested = physical(1, &[("data", "pv0", 60), ("lvol0_pmspare", "pv0", 2), ("upper", "data", 60)]);
        assert!(linear(&nested).is_empty());
        assert_eq!(free(&nested), 38);
    }
}
