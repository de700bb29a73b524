use super::*;
use crate::arch::Arch;
use crate::cpio::CpioEntry;
use crate::modules::modinfo::ModInfo;

fn tree() -> ModuleTree {
    let firmware = ["acme/nic-1.bin", "acme/nic-*.fw", "acme/gone.bin"].map(str::to_owned).to_vec();
    let info = ModInfo { firmware, ..ModInfo::default() };
    ModuleTree::from_parts("6.1-test", vec![("kernel/drivers/net/acme.ko".into(), info)], &["kernel/fs/ext4.ko"])
}

fn get<'a>(archive: &'a Archive, name: &str) -> Option<&'a CpioEntry> {
    archive.entries().find(|(n, _)| *n == name).map(|(_, e)| e)
}

fn options() -> Options {
    Options { ca_bundle: None, ..Options::new("agent", "out", "cache") }
}

#[test]
fn firmware_is_what_modules_ask_for() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("acme")).unwrap();
    for name in ["nic-1.bin.xz", "nic-2.fw", "other.bin"] {
        fs::write(dir.path().join("acme").join(name), name).unwrap();
    }
    std::os::unix::fs::symlink("nic-2.fw", dir.path().join("acme/nic-3.fw")).unwrap();
    let tree = tree();
    let closure = Closure::of(&tree, ["acme"], Arch::X86_64).unwrap();

    let mut archive = Archive::default();
    let result = firmware(&mut archive, &closure, &[dir.path().to_owned()], false).unwrap();
    assert_eq!(result.files, 3);
    let included: Vec<(&str, bool)> = result.wanted.iter().map(|w| (w.path.as_str(), w.included)).collect();
    assert_eq!(included, [("acme/gone.bin", false), ("acme/nic-*.fw", true), ("acme/nic-1.bin", true)]);
    assert!(result.wanted.iter().all(|w| w.modules == ["acme"]));
    // A link is included as the file that it points to.
    assert_eq!(get(&archive, "lib/firmware/acme/nic-3.fw").unwrap().node, CpioNode::File(b"nic-2.fw".to_vec()));
    assert!(get(&archive, "lib/firmware/acme/other.bin").is_none());

    let mut archive = Archive::default();
    assert_eq!(firmware(&mut archive, &closure, &[dir.path().to_owned()], true).unwrap().files, 4);
    assert!(get(&archive, "lib/firmware/acme/other.bin").is_some());
}

#[test]
fn a_missing_firmware_directory_is_an_error() {
    let tree = tree();
    let closure = Closure::of(&tree, ["acme"], Arch::X86_64).unwrap();
    let error = firmware(&mut Archive::default(), &closure, &["/nonexistent".into()], false).unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nonexistent");
}

#[test]
fn directories_keep_execute_bits_and_links() {
    let dir = tempfile::tempdir().unwrap();
    let tool = dir.path().join("tool");
    fs::write(&tool, "x").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink("tool", dir.path().join("alias")).unwrap();
    let mut options = options();
    options.files = vec![ExtraFile { source: dir.path().to_owned(), destination: "/opt/".into() }];
    let mut archive = Archive::default();
    configuration(&mut archive, &options).unwrap();
    assert_eq!(get(&archive, "opt/tool"), Some(&CpioEntry { mode: 0o755, node: CpioNode::File(b"x".to_vec()) }));
    assert_eq!(get(&archive, "opt/alias").unwrap().node, CpioNode::Symlink("tool".into()));
}

#[test]
fn what_the_agent_could_not_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "not what it should be").unwrap();
    let refused = |options: &Options| configuration(&mut Archive::default(), options).unwrap_err();

    let error = refused(&Options { ca: Some(file.clone()), ..options() });
    assert!(matches!(error, RamdiskError::NoCertificate { .. }), "{error}");
    let error = refused(&Options { ca_bundle: Some(file.clone()), ..options() });
    assert!(matches!(error, RamdiskError::NoCertificate { .. }), "{error}");
    let error = refused(&Options { order: Some(file), ..options() });
    assert!(matches!(error, RamdiskError::Order { .. }), "{error}");
    let policy = dir.path().join("policy.json");
    for (text, expected) in [
        ("{}", "cannot be used"),
        (r#"{"version": "policy/v1", "orders": {"keys": ["nonsense"]}}"#, "a key of the policy"),
        (r#"{"version": "policy/v1", "require_http": true}"#, "cannot be used"),
    ] {
        std::fs::write(&policy, text).unwrap();
        let error = refused(&Options { policy: Some(policy.clone()), ..options() });
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
    std::fs::write(&policy, r#"{"version": "policy/v1", "require_https": true}"#).unwrap();
    configuration(&mut Archive::default(), &Options { policy: Some(policy), ..options() }).unwrap();
    let error = refused(&Options { order: Some(dir.path().join("gone")), ..options() });
    assert!(matches!(error, RamdiskError::Read { .. }), "{error}");
}

/// The kernel opens /dev/console for /init before devtmpfs is mounted.
#[test]
fn the_skeleton_has_a_console() {
    let mut archive = Archive::default();
    skeleton(&mut archive, b"agent").unwrap();
    assert_eq!(get(&archive, "dev/console").unwrap().node, CpioNode::CharDevice(5, 1));
    assert_eq!(get(&archive, "dev/null").unwrap().node, CpioNode::CharDevice(1, 3));
    assert_eq!(get(&archive, "init"), Some(&CpioEntry { mode: 0o755, node: CpioNode::File(b"agent".to_vec()) }));
    assert_eq!(get(&archive, "tmp").unwrap().mode, 0o1777);
}
