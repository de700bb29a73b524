//! What distinguishes a disk from all others. An identity that two devices of the machine share distinguishes nothing.

use burin_protocol::plan::{Identity, IdentityKind, Strength};
use hwinventory_types::Disk;
use std::collections::BTreeMap;

/// The strongest identity of each disk, in order. `None`: the disk cannot be found again.
pub fn identities(disks: &[Disk]) -> Vec<Option<Identity>> {
    let mut seen: BTreeMap<(IdentityKind, String), usize> = BTreeMap::new();
    let all: Vec<Vec<Identity>> = disks.iter().map(candidates).collect();
    for identity in all.iter().flatten() {
        *seen.entry((identity.kind, identity.value.clone())).or_default() += 1;
    }
    let shared = |identity: &Identity| seen.get(&(identity.kind, identity.value.clone())).is_some_and(|n| *n > 1);
    all.iter()
        .map(|candidates| {
            let mut usable: Vec<Identity> = candidates.iter().filter(|identity| !shared(identity)).cloned().collect();
            usable.sort_by(|a, b| (a.strength, a.kind, &a.value).cmp(&(b.strength, b.kind, &b.value)));
            usable.into_iter().next()
        })
        .collect()
}

fn candidates(disk: &Disk) -> Vec<Identity> {
    let mut found: Vec<Identity> = Vec::new();
    for identity in disk.identities.iter().chain([&disk.identity]) {
        let Some(kind) = kind(identity.kind) else { continue };
        let value = identity.value.trim();
        if value.is_empty() {
            continue;
        }
        let strong = identity.strength == hwinventory_types::Strength::Strong && !is_blank(value);
        // A weak identity is worse than the path, because several disks may have it.
        if strong {
            let identity = Identity { kind, value: value.to_owned(), strength: Strength::Strong };
            if !found.contains(&identity) {
                found.push(identity);
            }
        }
    }
    if let Some(path) = disk.by_path.as_deref().filter(|path| !path.trim().is_empty()) {
        found.push(Identity { kind: IdentityKind::ByPath, value: path.to_owned(), strength: Strength::Weak });
    } else {
        found.extend(disk.identities.iter().filter_map(local));
    }
    found
}

/// An identifier that is unique only within a site (NAA format 3, SPC-5 7.7.6.6.4) still identifies a disk that has no
/// path, such as one whose driver has no bus.
fn local(identity: &hwinventory_types::Identity) -> Option<Identity> {
    let value = identity.value.trim();
    let local = identity.reason.as_deref() == Some("local") && !value.is_empty() && !is_blank(value);
    let kind = kind(identity.kind).filter(|_| local)?;
    Some(Identity { kind, value: value.to_owned(), strength: Strength::Weak })
}

/// Only zeros, or only `f`s.
fn is_blank(value: &str) -> bool {
    let mut digits = value.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase());
    match digits.next() {
        Some(first @ ('0' | 'f')) => digits.all(|digit| digit == first),
        Some(_) => false,
        None => true,
    }
}

fn kind(kind: hwinventory_types::IdentityKind) -> Option<IdentityKind> {
    Some(match kind {
        hwinventory_types::IdentityKind::Nguid => IdentityKind::Nguid,
        hwinventory_types::IdentityKind::Eui64 => IdentityKind::Eui64,
        hwinventory_types::IdentityKind::Uuid => IdentityKind::Uuid,
        hwinventory_types::IdentityKind::Naa => IdentityKind::Naa,
        hwinventory_types::IdentityKind::T10 => IdentityKind::T10,
        hwinventory_types::IdentityKind::Serial => IdentityKind::Serial,
        hwinventory_types::IdentityKind::Volume | hwinventory_types::IdentityKind::None => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(kind: hwinventory_types::IdentityKind, value: &str, path: Option<&str>) -> Disk {
        let identity = hwinventory_types::Identity {
            kind,
            value: value.to_owned(),
            strength: hwinventory_types::Strength::Strong,
            reason: None,
        };
        Disk { identities: vec![identity.clone()], identity, by_path: path.map(str::to_owned), ..Disk::default() }
    }

    #[test]
    fn a_local_name_finds_a_disk_without_a_place() {
        let local = |path| {
            let mut disk = disk(hwinventory_types::IdentityKind::Naa, "33333330000055f0", path);
            for identity in disk.identities.iter_mut().chain([&mut disk.identity]) {
                identity.strength = hwinventory_types::Strength::Weak;
                identity.reason = Some("local".to_owned());
            }
            disk
        };
        let kind = |disks: &[Disk]| identities(disks)[0].as_ref().map(|one| (one.kind, one.strength));
        assert_eq!(kind(&[local(None)]), Some((IdentityKind::Naa, Strength::Weak)));
        assert_eq!(kind(&[local(Some("pci-1"))]), Some((IdentityKind::ByPath, Strength::Weak)));
        assert_eq!(kind(&[local(None), local(None)]), None, "two of one name");
    }

    #[test]
    fn the_strongest_wins_and_what_is_shared_or_blank_does_not_count() {
        use hwinventory_types::IdentityKind::{Naa, Nguid};
        let found = identities(&[
            disk(Naa, "5000c500a1b2c3d4", Some("pci-1")),
            disk(Nguid, "00000000000000000000000000000000", Some("pci-2")),
            disk(Naa, "5000000000000001", Some("pci-3")),
            disk(Naa, "5000000000000001", Some("pci-4")),
            disk(Nguid, "FFFFFFFF", None),
        ]);
        let kinds: Vec<_> = found.iter().map(|i| i.as_ref().map(|i| (i.kind, i.strength))).collect();
        assert_eq!(
            kinds,
            [
                Some((IdentityKind::Naa, Strength::Strong)),
                Some((IdentityKind::ByPath, Strength::Weak)),
                Some((IdentityKind::ByPath, Strength::Weak)),
                Some((IdentityKind::ByPath, Strength::Weak)),
                None
            ]
        );
    }
}
