//! Kinds of content that are parts of a larger whole: losing one disk may make the others useless.

use hwinventory_types::{Disk, Signature};

/// How members of the same whole are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// By the UUID that libblkid reports, which all members share.
    Uuid,
    /// By the group that the inventory reports; the UUID is the member's own.
    Group,
    /// Not at all: any two members of the same kind may belong together.
    Nothing,
}

/// libblkid's names of everything that may span several devices of a machine. DRBD is not listed: its other half is on
/// another machine by design.
const KINDS: &[(&str, Told)] = &[
    ("linux_raid_member", Told::Uuid),
    ("ddf_raid_member", Told::Uuid),
    ("zfs_member", Told::Uuid),
    ("btrfs", Told::Uuid),
    ("bcachefs", Told::Uuid),
    ("VMFS_volume_member", Told::Uuid),
    ("LVM2_member", Told::Group),
    ("bcache", Told::Group),
    ("stratis", Told::Group),
    ("isw_raid_member", Told::Group),
    ("LVM1_member", Told::Nothing),
    ("ceph_bluestore", Told::Nothing),
    ("vxvm", Told::Nothing),
    ("VxVM", Told::Nothing),
    ("mpool", Told::Nothing),
    ("adaptec_raid_member", Told::Nothing),
    ("hpt37x_raid_member", Told::Nothing),
    ("hpt45x_raid_member", Told::Nothing),
    ("jmicron_raid_member", Told::Nothing),
    ("lsi_mega_raid_member", Told::Nothing),
    ("nvidia_raid_member", Told::Nothing),
    ("promise_fasttrack_raid_member", Told::Nothing),
    ("silicon_medley_raid_member", Told::Nothing),
    ("via_raid_member", Told::Nothing),
];

/// A part of a whole that is, or may be, on more than one device.
#[derive(Debug, Clone, Copy)]
pub struct Membership<'a> {
    pub signature: &'a Signature,
    told: Told,
}

impl<'a> Membership<'a> {
    fn of(signature: &'a Signature) -> Option<Self> {
        let (_, told) = KINDS.iter().find(|(kind, _)| *kind == signature.kind)?;
        // btrfs on one device is an ordinary filesystem; copies of it have the same UUID.
        let alone = signature.group.as_ref().and_then(|group| group.devices) == Some(1);
        (!alone).then_some(Self { signature, told: *told })
    }

    /// Whether both are, or may be, parts of the same whole.
    pub fn is_with(&self, other: &Membership<'_>) -> bool {
        let same = |one: Option<&str>, other: Option<&str>| match (one, other) {
            (Some(one), Some(other)) => Some(one.eq_ignore_ascii_case(other)),
            _ => None,
        };
        let group = |member: &Membership<'a>| member.signature.group.as_ref().and_then(|group| group.uuid.as_deref());
        let other_group = other.signature.group.as_ref().and_then(|group| group.uuid.as_deref());
        self.signature.kind == other.signature.kind
            && match self.told {
                Told::Uuid => same(self.signature.uuid.as_deref(), other.signature.uuid.as_deref()).unwrap_or(false),
                // A member without a known group name (metadata elsewhere, unreadable) may belong to any.
                Told::Group => same(group(self), other_group).unwrap_or(true),
                Told::Nothing => true,
            }
    }

    /// A readable description.
    pub fn words(&self) -> String {
        let Signature { kind, label, uuid, group, .. } = self.signature;
        let group = group.as_ref();
        let name = label.as_deref().or(group.and_then(|group| group.name.as_deref()));
        let name = name.map(|name| format!(" \"{name}\"")).unwrap_or_default();
        let id = match self.told {
            Told::Uuid => uuid.as_deref(),
            Told::Group => group.and_then(|group| group.uuid.as_deref()),
            Told::Nothing => None,
        };
        match id {
            Some(id) => format!("{kind}{name} {id}"),
            None => format!("{kind}{name} (which nothing tells from others of its kind)"),
        }
    }
}

/// The memberships of a disk and its partitions.
pub fn memberships(disk: &Disk) -> impl Iterator<Item = Membership<'_>> {
    let inside = disk.partitions.iter().filter_map(|partition| partition.signatures.as_deref());
    disk.signatures.iter().map(Vec::as_slice).chain(inside).flatten().filter_map(Membership::of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hwinventory_types::Group;

    fn disk(kind: &str, uuid: Option<&str>, group: Option<(&str, Option<u64>)>) -> Disk {
        let group = group.map(|(uuid, devices)| Group { uuid: Some(uuid.to_owned()), name: None, devices });
        let signature =
            Signature { kind: kind.to_owned(), uuid: uuid.map(str::to_owned), group, ..Signature::default() };
        Disk { signatures: Some(vec![signature]), ..Disk::default() }
    }

    fn together(one: &Disk, other: &Disk) -> bool {
        memberships(one).any(|one| memberships(other).any(|other| one.is_with(&other)))
    }

    #[test]
    fn every_kind_is_told_by_what_it_has() {
        for kind in ["linux_raid_member", "zfs_member", "btrfs", "bcachefs", "ddf_raid_member"] {
            assert!(together(&disk(kind, Some("u"), None), &disk(kind, Some("U"), None)), "{kind}");
            assert!(!together(&disk(kind, Some("u"), None), &disk(kind, Some("v"), None)), "{kind}");
        }
        for kind in ["LVM2_member", "bcache", "stratis", "isw_raid_member"] {
            let of = |own: &str, group: &str| disk(kind, Some(own), Some((group, None)));
            assert!(together(&of("1", "g"), &of("2", "g")), "{kind}");
            assert!(!together(&of("1", "g"), &of("2", "h")), "{kind}");
            assert!(together(&of("1", "g"), &disk(kind, Some("2"), None)), "{kind}: unknown may be the same");
        }
        for kind in ["nvidia_raid_member", "LVM1_member"] {
            assert!(together(&disk(kind, None, None), &disk(kind, None, None)), "{kind}");
        }
        assert!(!together(&disk("ext4", Some("u"), None), &disk("ext4", Some("u"), None)), "a copy is no part");
        let alone = |uuid| disk("btrfs", Some(uuid), Some((uuid, Some(1))));
        assert!(!together(&alone("u"), &alone("u")), "two copies of a btrfs on one device");
        assert!(!together(
            &disk("LVM2_member", Some("1"), Some(("g", None))),
            &disk("bcache", Some("2"), Some(("g", None)))
        ));
    }
}
