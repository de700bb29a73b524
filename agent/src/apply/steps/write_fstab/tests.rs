use super::*;
use crate::protocol::order::FsType;

#[test]
fn a_line_a_filesystem() {
    let entry = |at: &str, kind, options: &[&str], pass| FstabEntry {
        uuid: "0B5E-11CE".to_owned(),
        at: at.to_owned(),
        kind,
        options: options.iter().map(|&word| word.to_owned()).collect(),
        pass,
    };
    let text = fstab(&[
        entry("/", FsType::Ext4, &["noatime", "errors=remount-ro"], 1),
        entry("/srv/my data", FsType::Xfs, &[], 0),
        entry("none", FsType::Swap, &["sw"], 0),
    ]);
    let wanted = "UUID=0B5E-11CE / ext4 noatime,errors=remount-ro 0 1\n\
                  UUID=0B5E-11CE /srv/my\\040data xfs defaults 0 0\n\
                  UUID=0B5E-11CE none swap sw 0 0\n";
    assert_eq!(text, wanted);
}
