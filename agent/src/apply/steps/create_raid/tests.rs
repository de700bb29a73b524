use super::*;
use std::path::Path;

#[test]
fn arguments_leave_nothing_to_be_asked() {
    let wanted = Wanted { name: "root", uuid: "u-u", level: RaidLevel::Raid1, metadata: "1.2" };
    let words = arguments(wanted, 2);
    for word in ["--run", "--level=raid1", "--raid-devices=2", "--uuid=u-u", "--name=root", "--homehost=any"] {
        assert!(words.iter().any(|one| one == word), "{word}");
    }
}

#[test]
fn what_cannot_be_made_is_refused_first() {
    let raid = |level, members| CreateRaid {
        name: "root".to_owned(),
        uuid: "u-u".to_owned(),
        level,
        metadata: "1.2".to_owned(),
        members,
    };
    let ramdisk = Ramdisk { root: Path::new("/nonexistent") };
    let code = |step: CreateRaid| crate::error::Coded::code(&step.able(&ramdisk).unwrap_err());
    assert_eq!(code(raid(RaidLevel::Raid5, Vec::new())), "apply.unsupported");
    assert_eq!(code(raid(RaidLevel::Raid1, vec![Device::Disk { disk: 0 }])), "apply.unsupported");
    assert_eq!(code(raid(RaidLevel::Raid1, Vec::new())), "apply.no_tool");
}
