use super::*;
use crate::protocol::order::RaidLevel;
use std::path::Path;

fn raid(level: RaidLevel, members: Vec<Device>) -> CreateRaid {
    CreateRaid {
        name: "root".to_owned(),
        uuid: "u-u".to_owned(),
        level,
        metadata: "1.2".to_owned(),
        members,
        spares: 0,
        chunk: level.is_striped().then_some(65536),
        consistency: if level.is_redundant() { Consistency::Bitmap } else { Consistency::None },
    }
}

fn disks(count: usize) -> Vec<Device> {
    (0..count).map(|disk| Device::Disk { disk }).collect()
}

fn words(wanted: &CreateRaid) -> Vec<String> {
    let geometry = wanted.geometry_over(&vec![1 << 30; wanted.members.len()]).unwrap();
    arguments(wanted, geometry)
}

#[test]
fn arguments_leave_nothing_to_be_asked_or_chosen() {
    let mirror = words(&raid(RaidLevel::Raid1, disks(2)));
    for word in [
        "--run",
        "--level=raid1",
        "--raid-devices=2",
        "--uuid=u-u",
        "--name=root",
        "--homehost=any",
        "--bitmap=internal",
        "--data-offset=2048",
        "--size=1046528",
    ] {
        assert!(mirror.iter().any(|one| one == word), "{word}: {mirror:?}");
    }
    assert!(!mirror.iter().any(|word| word.contains("chunk") || word.contains("assume-clean")), "{mirror:?}");

    let mut parity = raid(RaidLevel::Raid5, disks(5));
    (parity.spares, parity.consistency) = (1, Consistency::Ppl);
    let parity = words(&parity);
    for word in
        ["--force", "--level=raid5", "--raid-devices=4", "--spare-devices=1", "--chunk=64", "--consistency-policy=ppl"]
    {
        assert!(parity.iter().any(|one| one == word), "{word}: {parity:?}");
    }
    assert!(!parity.iter().any(|word| word.contains("bitmap")), "{parity:?}");

    let striped = words(&raid(RaidLevel::Raid0, disks(2)));
    assert!(!striped.iter().any(|word| word.contains("size=") || word.contains("bitmap")), "{striped:?}");
    let mut plain = raid(RaidLevel::Raid1, disks(2));
    plain.metadata = "1.0".to_owned();
    plain.consistency = Consistency::Resync;
    let plain = words(&plain);
    assert!(!plain.iter().any(|word| word.contains("data-offset")), "{plain:?}");
    assert!(plain.contains(&"--bitmap=none".to_owned()), "{plain:?}");
}

#[test]
fn what_cannot_be_made_is_refused_first() {
    let ramdisk = Ramdisk { root: Path::new("/nonexistent") };
    let code = |step: &CreateRaid| crate::error::Coded::code(&step.able(&ramdisk).unwrap_err());
    assert_eq!(code(&raid(RaidLevel::Raid5, disks(3))), "apply.no_tool");
    assert_eq!(code(&raid(RaidLevel::Raid1, vec![Device::Raid { name: "other".to_owned() }])), "apply.unsupported");
    let mut over_the_mark = raid(RaidLevel::Raid1, disks(2));
    over_the_mark.metadata = "1.0".to_owned();
    assert_eq!(code(&over_the_mark), "apply.unsupported");
}
