//! Derives the identities of a disk (NGUID, NAA, serial number and so on) and how far each can be trusted.

use crate::model::{Disk, Identity, IdentityKind, Strength};
use crate::parse::names::{is_hypervisor_default, is_placeholder, is_placeholder_uuid};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// All names the disk has, strongest kind first.
pub fn identities(disk: &Disk) -> Vec<Identity> {
    let mut found = Vec::new();
    if let Some(nvme) = &disk.nvme {
        found.extend(nvme.nguid.as_deref().map(|v| judged(IdentityKind::Nguid, v)));
        found.extend(nvme.eui64.as_deref().map(|v| judged(IdentityKind::Eui64, v)));
        found.extend(nvme.uuid.as_deref().map(|v| judged(IdentityKind::Uuid, v)));
    }
    if let Some(wwn) = &disk.wwn {
        // NVMe's wwid falls back to vendor, serial and model in hexadecimal: that is no identity of its own.
        if let Some(value) = wwn.strip_prefix("naa.") {
            found.push(judged(IdentityKind::Naa, value));
        } else if let Some(value) = wwn.strip_prefix("eui.")
            && disk.nvme.is_none()
        {
            found.push(judged(IdentityKind::Eui64, value));
        } else if let Some(value) = wwn.strip_prefix("t10.") {
            let value = value.split_whitespace().collect::<Vec<_>>().join("_");
            found.push(judged(IdentityKind::T10, &value));
        }
    }
    if let Some(serial) = &disk.serial {
        let parts = [disk.vendor.as_deref(), disk.model.as_deref(), Some(serial.as_str())];
        let mut value: Vec<String> =
            parts.iter().flatten().map(|p| p.split_whitespace().collect::<Vec<_>>().join("_")).collect();
        // Several namespaces share the serial number of their controller.
        value.extend(disk.nvme.as_ref().and_then(|n| n.namespace_id).filter(|&n| n > 1).map(|n| n.to_string()));
        // So do the boot areas of an eMMC and the rest of it.
        value.extend(emmc_area(&disk.name).map(str::to_owned));
        let mut identity = judged(IdentityKind::Serial, serial);
        identity.value = value.join("_");
        found.push(identity);
    }
    found.extend(disk.dm_uuid.as_deref().map(|v| judged(IdentityKind::Volume, v)));
    // Of an array: the UUID of the members it is on, for it has no other name.
    let array = disk.md.as_ref().filter(|m| m.array.as_deref() == Some(disk.name.as_str()));
    found.extend(array.and_then(|m| m.uuid.as_deref()).map(|v| judged(IdentityKind::Volume, v)));
    // A strong name of any kind before a weak one; kinds are in order of rank already.
    found.sort_by_key(|i| i.strength == Strength::Weak);
    found
}

/// `boot0` of `mmcblk0boot0`.
pub fn emmc_area(name: &str) -> Option<&str> {
    let area = name.strip_prefix("mmcblk")?.trim_start_matches(|c: char| c.is_ascii_digit());
    (!area.is_empty()).then_some(area)
}

/// The first, or a weak nothing.
pub fn best(identities: &[Identity]) -> Identity {
    identities
        .first()
        .cloned()
        .unwrap_or_else(|| Identity { reason: Some("missing".to_owned()), ..Identity::default() })
}

fn judged(kind: IdentityKind, value: &str) -> Identity {
    let reason = weakness(kind, value);
    Identity {
        kind,
        value: value.to_owned(),
        strength: if reason.is_some() { Strength::Weak } else { Strength::Strong },
        reason: reason.map(str::to_owned),
    }
}

fn weakness(kind: IdentityKind, value: &str) -> Option<&'static str> {
    let bare: String = value.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>().to_ascii_lowercase();
    if bare.bytes().all(|b| b == b'0') {
        return Some("zero");
    }
    if is_placeholder(value) || is_placeholder(&bare) || is_hypervisor_default(&bare) {
        return Some("placeholder");
    }
    let enough = match kind {
        IdentityKind::Nguid | IdentityKind::Uuid => bare.len() == 32,
        IdentityKind::Eui64 => bare.len() == 16 || bare.len() == 32,
        IdentityKind::Naa => bare.len() == 16 || bare.len() == 32,
        _ => bare.len() >= 4,
    };
    if !enough {
        return Some("short");
    }
    if matches!(kind, IdentityKind::Nguid | IdentityKind::Uuid)
        && uuid::Uuid::parse_str(&bare).is_ok_and(|uuid| is_placeholder_uuid(&uuid))
    {
        return Some("placeholder");
    }
    // An NAA id starts with its format (SPC-5 7.7.6.6); only 2, 3, 5 and 6 are assigned, and 3 is local.
    if kind == IdentityKind::Naa && !matches!(bare.as_bytes().first(), Some(b'2' | b'5' | b'6')) {
        return Some("local");
    }
    // One digit over and over in all but the last few places.
    let head = bare.get(..bare.len().saturating_sub(4)).unwrap_or_default();
    if kind != IdentityKind::Serial && head.len() >= 8 && head.bytes().all(|b| Some(&b) == head.as_bytes().first()) {
        return Some("placeholder");
    }
    None
}

/// A name that two disks share tells neither of them: it is weak on all of them, and where everything else is the same
/// too, they are two paths to one disk.
pub fn mark_duplicates(disks: &mut [Disk]) {
    let mut bearers: BTreeMap<(IdentityKind, String), Vec<usize>> = BTreeMap::new();
    for (at, disk) in disks.iter().enumerate() {
        for identity in &disk.identities {
            bearers.entry((identity.kind, identity.value.clone())).or_default().push(at);
        }
    }
    bearers.retain(|_, all| all.len() > 1);
    let shared = |((kind, value), all): (&(IdentityKind, String), &Vec<usize>)| {
        paths(disks, all).into_iter().map(|(at, paths)| (at, *kind, value.clone(), paths)).collect::<Vec<_>>()
    };
    let marks: Vec<(usize, IdentityKind, String, bool)> = bearers.iter().flat_map(shared).collect();
    for (at, kind, value, paths) in marks {
        let Some(disk) = disks.get_mut(at) else { continue };
        let strong = matches!(kind, IdentityKind::Naa | IdentityKind::Nguid | IdentityKind::Eui64);
        for identity in disk.identities.iter_mut().filter(|i| i.kind == kind && i.value == value) {
            disk.multipath_member |= paths && strong && identity.reason.is_none();
            identity.strength = Strength::Weak;
            identity.reason.get_or_insert_with(|| "duplicate".to_owned());
        }
    }
    for disk in disks {
        disk.identities.sort_by_key(|i| i.strength == Strength::Weak);
        disk.identity = best(&disk.identities);
    }
}

/// Of disks that share a name: which have a twin that is the same in all else and sits on another SCSI address.
fn paths(disks: &[Disk], all: &[usize]) -> Vec<(usize, bool)> {
    let mut places: HashMap<Look<'_>, BTreeSet<Option<&str>>> = HashMap::new();
    let of = |at: usize| disks.get(at).and_then(look);
    for &at in all {
        if let (Some(look), Some(disk)) = (of(at), disks.get(at)) {
            places.entry(look).or_default().insert(disk.hctl.as_deref());
        }
    }
    let several = |at: usize| of(at).and_then(|look| places.get(&look)).is_some_and(|places| places.len() > 1);
    all.iter().map(|&at| (at, several(at))).collect()
}

type Look<'a> = (u64, Option<&'a str>, Option<&'a str>, &'a str);

/// Size, vendor, model and serial number; `None` without a serial number, for then they tell nothing.
fn look(disk: &Disk) -> Option<Look<'_>> {
    Some((disk.size, disk.vendor.as_deref(), disk.model.as_deref(), disk.serial.as_deref()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str, wwn: Option<&str>, serial: Option<&str>) -> Disk {
        let mut disk = Disk {
            name: name.into(),
            hctl: Some(format!("0:0:{name}:0")),
            size: 1 << 40,
            vendor: Some("ATA".into()),
            model: Some("Disk  X".into()),
            wwn: wwn.map(str::to_owned),
            serial: serial.map(str::to_owned),
            ..Disk::default()
        };
        disk.identities = identities(&disk);
        disk.identity = best(&disk.identities);
        disk
    }

    #[test]
    fn strong_and_weak() {
        let cases = [
            (Some("naa.5000c500a1b2c3d4"), Some("ZA1"), IdentityKind::Naa, Strength::Strong, None),
            (Some("naa.0000000000000000"), Some("ZA1234"), IdentityKind::Serial, Strength::Strong, None),
            (Some("naa.3000000000000001"), None, IdentityKind::Naa, Strength::Weak, Some("local")),
            (None, Some("QM00001"), IdentityKind::Serial, Strength::Weak, Some("placeholder")),
            (None, Some("0000000000"), IdentityKind::Serial, Strength::Weak, Some("zero")),
            (None, None, IdentityKind::None, Strength::Weak, Some("missing")),
        ];
        for (wwn, serial, kind, strength, reason) in cases {
            let identity = disk("1", wwn, serial).identity;
            assert_eq!((identity.kind, identity.strength, identity.reason.as_deref()), (kind, strength, reason));
        }
        assert_eq!(disk("1", None, Some("ZA1234")).identity.value, "ATA_Disk_X_ZA1234");
    }

    #[test]
    fn areas_of_an_emmc_are_told_apart() {
        let mut disks: Vec<Disk> = ["mmcblk0", "mmcblk0boot0", "mmcblk0boot1"]
            .map(|name| {
                let mut disk = Disk { name: name.into(), hctl: None, ..disk("1", None, Some("0x1a2b3c4d")) };
                disk.identities = identities(&disk);
                disk
            })
            .into();
        mark_duplicates(&mut disks);
        assert!(disks.iter().all(|d| d.identity.strength == Strength::Strong), "{disks:?}");
    }

    #[test]
    fn a_shared_name_is_weak() {
        let mut disks = [
            disk("1", Some("naa.5000c500a1b2c3d4"), Some("ZA1234")),
            disk("2", Some("naa.5000c500a1b2c3d4"), Some("ZA9999")),
            disk("3", Some("naa.5000c500a1b2c3d5"), Some("ZA7777")),
        ];
        mark_duplicates(&mut disks);
        assert_eq!(disks[0].identity.kind, IdentityKind::Serial);
        assert_eq!(disks[0].identities[1].reason.as_deref(), Some("duplicate"));
        assert!(!disks[0].multipath_member);
        assert_eq!(disks[2].identity.strength, Strength::Strong);
    }

    #[test]
    fn two_paths_to_one_disk() {
        let mut disks = [
            disk("1", Some("naa.5000c500a1b2c3d4"), Some("ZA1234")),
            disk("2", Some("naa.5000c500a1b2c3d4"), Some("ZA1234")),
        ];
        mark_duplicates(&mut disks);
        assert!(disks[0].multipath_member && disks[1].multipath_member);
        assert_eq!(disks[0].identity.reason.as_deref(), Some("duplicate"));
    }
}
