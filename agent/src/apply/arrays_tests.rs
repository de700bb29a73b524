use super::*;
use crate::protocol::plan::Device;

#[test]
fn an_array_that_is_gone_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    stop(&dir.path().join("md127/md"), Path::new("/dev/md127")).unwrap();
    // Arrays need the kernel's md; here a plain file receives the command.
    fs::create_dir(dir.path().join("md")).unwrap();
    fs::write(dir.path().join("md/array_state"), "clean").unwrap();
    stop(&dir.path().join("md"), Path::new("/dev/md127")).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("md/array_state")).unwrap(), "clear");
}

const UUID: &str = "abababab-abab-abab-abab-abababababab";

fn wanted(level: RaidLevel, members: usize, spares: usize) -> (CreateRaid, Geometry) {
    let member = |disk| Device::Disk { disk };
    let consistency = if level.is_redundant() { Consistency::Bitmap } else { Consistency::None };
    let wanted = CreateRaid {
        name: "data".to_owned(),
        uuid: UUID.to_owned(),
        level,
        metadata: "1.2".to_owned(),
        members: (0..members).map(member).collect(),
        spares,
        chunk: level.is_striped().then_some(65536),
        consistency,
    };
    let geometry = wanted.geometry_over(&vec![1 << 30; members]).unwrap();
    (wanted, geometry)
}

/// The correct superblock of a member in this role.
fn superblock(wanted: &CreateRaid, geometry: Geometry, role: Role) -> Superblock {
    Superblock {
        uuid: UUID.parse().unwrap(),
        name: "any:data".to_owned(),
        level: wanted.level.number(),
        layout: wanted.level.layout().unwrap_or(1),
        chunk: wanted.chunk.unwrap_or(0),
        raid_disks: u32::try_from(wanted.active().len()).unwrap(),
        role: Some(role),
        keeps: wanted.level.is_redundant().then_some("bitmap"),
        data_offset: geometry.data_offset,
        size: if wanted.level.is_redundant() { geometry.component } else { 0 },
        write_mostly: false,
        events: 17,
        resynced: Some(0),
    }
}

#[test]
fn each_level_is_known_by_its_members() {
    for level in [RaidLevel::Raid0, RaidLevel::Raid1, RaidLevel::Raid5, RaidLevel::Raid6, RaidLevel::Raid10] {
        let (wanted, geometry) = wanted(level, 5, 1);
        let right = superblock(&wanted, geometry, Role::Active(2));
        assert_eq!(differs(&wanted, geometry, 2, &right), None, "{level:?}");
        assert_eq!(differs(&wanted, geometry, 4, &superblock(&wanted, geometry, Role::Spare)), None, "{level:?}");
    }
}

#[test]
fn whatever_a_member_has_otherwise_is_told() {
    let (wanted, geometry) = wanted(RaidLevel::Raid5, 4, 1);
    let right = superblock(&wanted, geometry, Role::Active(1));
    let changed = |change: fn(&mut Superblock)| {
        let mut found = right.clone();
        change(&mut found);
        differs(&wanted, geometry, 1, &found).unwrap()
    };
    for (change, word) in [
        ((|one| one.uuid = uuid::Uuid::nil()) as fn(&mut Superblock), "of the array"),
        (|one| one.write_mostly = true, "write-mostly"),
        (|one| one.level = 6, "level 6"),
        (|one| one.raid_disks = 4, "of 4"),
        (|one| one.role = Some(Role::Active(2)), "Active(2)"),
        (|one| one.role = Some(Role::Failed), "Failed"),
        (|one| one.role = None, "None"),
        (|one| one.chunk = 4096, "4096"),
        (|one| one.layout = 0, "layout 0"),
        (|one| one.keeps = Some("ppl"), "ppl"),
        (|one| one.keeps = None, "bitmap"),
        (|one| one.data_offset += 512, "data at"),
        (|one| one.size -= 512, "bytes of data"),
    ] {
        let told = changed(change);
        assert!(told.contains(word), "{word}: {told}");
    }
    // An active member in place of a spare, and a spare in place of an active member.
    assert!(differs(&wanted, geometry, 3, &right).is_some());
    assert!(differs(&wanted, geometry, 0, &superblock(&wanted, geometry, Role::Spare)).is_some());
}
