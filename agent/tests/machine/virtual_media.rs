//! `parameters.txt` of Ironic's virtual media, on loop devices.
//!
//! Needs root, loop devices and e2fsprogs; without root it says that it was skipped.

use crate::support::{Loop, MIB, paths, run, skipped};
use burin::dialect::ironic::media::parameters;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A medium with this label and text.
fn medium(label: &str, text: Option<&str>) -> Loop {
    let disk = Loop::new(4 * MIB, 512);
    let files = disk.directory.path().join("files");
    fs::create_dir(&files).expect("a directory");
    if let Some(text) = text {
        fs::write(files.join("parameters.txt"), text).expect("writes");
    }
    run("mkfs.ext4", &["-q", "-F", "-L", label, "-d", files.to_str().expect("UTF-8"), disk.node()]);
    disk
}

/// A machine with these disks below `root`; of some firmware presents a model.
fn machine(root: &Path, disks: &[(&Loop, &str)]) {
    fs::create_dir_all(root.join("dev")).expect("a directory");
    for (disk, model) in disks {
        let name = disk.node.file_name().expect("a name");
        let sysfs = root.join("sys/class/block").join(name).join("device");
        fs::create_dir_all(&sysfs).expect("a directory");
        fs::write(sysfs.join("model"), format!("{model}\n")).expect("writes");
        symlink(&disk.node, root.join("dev").join(name)).expect("a link");
    }
}

#[test]
fn words_come_from_the_medium_with_the_label_or_from_what_firmware_presents() {
    if skipped() {
        return;
    }
    let token = "t".repeat(43);
    let text = format!("ipa-api-url=http://192.0.2.1:6385\nipa-agent-token={token}\n");
    let (other, labelled, presented, empty) = (
        medium("data", Some("ipa-api-url=http://wrong")),
        medium("IR-VFD-DEV", Some(&text)),
        medium("anything", Some("ipa-debug=1\n")),
        medium("ir-vfd-dev", None),
    );
    let found = |disks: &[(&Loop, &str)]| {
        let root = tempfile::tempdir().expect("a directory");
        machine(root.path(), disks);
        parameters(root.path(), &paths(&other).mounts)
    };
    assert_eq!(found(&[(&other, "Disk"), (&labelled, "Disk")]).as_deref(), Some(text.as_str()));
    assert_eq!(found(&[(&presented, "Virtual Media"), (&other, "Disk")]).as_deref(), Some("ipa-debug=1\n"));
    let both = found(&[(&presented, "iDRAC Virtual Media"), (&labelled, "Disk")]);
    assert_eq!(both.as_deref(), Some(text.as_str()), "the label goes first");
    assert_eq!(found(&[(&empty, "Disk"), (&other, "Disk")]), None);
    assert_eq!(found(&[]), None);
}
