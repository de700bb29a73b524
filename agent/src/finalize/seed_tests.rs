//! Seeds against cloud-init's documented formats, and against images that try to lead writes astray.

use super::*;
use crate::error::Coded;
use crate::finalize::fault_disk::FaultDisk;
use crate::finalize::root::Root;
use crate::finalize::seed_write::{VolumeLabel, fat_image, write_files, write_volume};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

const DIRECTORY: &str = "var/lib/cloud/seed/nocloud";

fn data() -> SeedData {
    SeedData {
        instance_id: instance_id("order", 1, "machine"),
        hostname: Some("web1.example.org".to_owned()),
        ssh_authorized_keys: vec!["ssh-ed25519 AAAA a@b".to_owned()],
        user_data: None,
        vendor_data: None,
        network_config: Some(json!({"network": {"version": 2, "ethernets": {}}})),
    }
}

fn file<'a>(files: &'a [SeedFile], path: &str) -> &'a str {
    let file = files.iter().find(|file| file.path == path).expect("a file of this name");
    std::str::from_utf8(&file.bytes).expect("UTF-8")
}

fn write(root: &Path, data: &SeedData) -> Result<(), crate::finalize::seed_write::SeedError> {
    write_files(&Root::open(root).expect("root"), "id", &data.nocloud()).map(|_| ())
}

#[test]
fn nocloud_files_say_what_cloud_init_reads() {
    let files = data().nocloud();
    let meta: Value = serde_json::from_str(file(&files, "meta-data")).expect("JSON");
    assert_eq!(meta["instance-id"], data().instance_id.to_string());
    assert_eq!(meta["local-hostname"], "web1.example.org");
    assert_eq!(meta["public-keys"], json!(["ssh-ed25519 AAAA a@b"]));
    let user = file(&files, "user-data").strip_prefix("#cloud-config\n").expect("the header");
    let user: Value = serde_json::from_str(user).expect("JSON");
    assert_eq!(user["hostname"], "web1");
    assert_eq!(user["fqdn"], "web1.example.org");
    assert_eq!(user["ssh_authorized_keys"], json!(["ssh-ed25519 AAAA a@b"]));
    let network: Value = serde_json::from_str(file(&files, "network-config")).expect("JSON");
    assert_eq!(network, json!({"version": 2, "ethernets": {}}));
    assert_eq!(file(&files, "vendor-data"), "");
}

#[test]
fn user_data_is_verbatim_and_absent_parts_are_absent() {
    let script = "#!/bin/sh\necho \u{2028} done\n";
    let data = SeedData {
        user_data: Some(script.to_owned()),
        hostname: None,
        ssh_authorized_keys: Vec::new(),
        network_config: None,
        ..data()
    };
    let files = data.nocloud();
    assert_eq!(file(&files, "user-data"), script);
    assert!(files.iter().all(|file| file.path != "network-config"));
    let meta: Value = serde_json::from_str(file(&files, "meta-data")).expect("JSON");
    assert_eq!(meta.as_object().map(|meta| meta.len()), Some(1));
}

#[test]
fn config_drive_has_the_names_openstack_has() {
    let files = data().config_drive(Some(&json!({"links": []})));
    let meta: Value = serde_json::from_str(file(&files, "openstack/latest/meta_data.json")).expect("JSON");
    assert_eq!(meta["uuid"], data().instance_id.to_string());
    assert_eq!(meta["hostname"], "web1.example.org");
    assert_eq!(meta["public_keys"]["key-0"], "ssh-ed25519 AAAA a@b");
    assert_eq!(file(&files, "openstack/latest/network_data.json"), r#"{"links":[]}"#);
    assert!(file(&files, "openstack/latest/user_data").starts_with("#cloud-config\n"));
}

#[test]
fn an_instance_is_one_order_one_attempt_one_machine() {
    let id = instance_id("a", 1, "m");
    assert_eq!(id, instance_id("a", 1, "m"));
    for other in
        [instance_id("b", 1, "m"), instance_id("a", 2, "m"), instance_id("a", 1, "n"), instance_id("a1", 1, "m")]
    {
        assert_ne!(id, other);
    }
}

#[test]
fn debug_output_shows_no_contents() {
    let data = SeedData { user_data: Some("#cloud-config\npassword: hunter2\n".to_owned()), ..data() };
    let shown = format!("{data:?} {:?}", data.nocloud());
    assert!(!shown.contains("hunter2") && !shown.contains("AAAA"), "{shown}");
}

#[test]
fn files_are_for_root_alone_and_a_second_run_gives_the_same() {
    let root = tempfile::tempdir().expect("a directory");
    for _ in 0..2 {
        write(root.path(), &data()).expect("writes");
        let directory = root.path().join(DIRECTORY);
        assert_eq!(fs::metadata(&directory).expect("seed").mode() & 0o7777, 0o700);
        assert_eq!(fs::metadata(root.path().join("var/lib")).expect("lib").mode() & 0o7777, 0o755);
        let mut names = Vec::new();
        for entry in fs::read_dir(&directory).expect("seed") {
            let entry = entry.expect("an entry");
            assert_eq!(entry.metadata().expect("metadata").mode() & 0o7777, 0o600);
            names.push(entry.file_name().into_string().expect("UTF-8"));
        }
        names.sort();
        assert_eq!(names, ["meta-data", "network-config", "user-data", "vendor-data"]);
    }
    // An earlier seed's file that this one lacks would be read with it.
    write(root.path(), &SeedData { network_config: None, ..data() }).expect("writes");
    assert!(!root.path().join(DIRECTORY).join("network-config").exists());
}

/// Whoever may set labels finds them inherited; an enforcing system could not read its seed otherwise.
#[test]
fn selinux_labels_are_inherited() {
    let root = tempfile::tempdir().expect("a directory");
    let lib = root.path().join("var/lib");
    fs::create_dir_all(&lib).expect("var/lib");
    let label = b"system_u:object_r:var_lib_t:s0\0";
    if let Err(error) = xattr::set(&lib, "security.selinux", label) {
        println!("skipped: labels cannot be set here: {error}");
        return;
    }
    write(root.path(), &data()).expect("writes");
    for path in ["cloud", "cloud/seed/nocloud", "cloud/seed/nocloud/user-data"] {
        let inherited = xattr::get(lib.join(path), "security.selinux").expect("reads");
        assert_eq!(inherited.as_deref(), Some(&label[..]), "{path}");
    }
}

#[test]
fn links_in_the_image_stay_in_the_image() {
    let outside = tempfile::tempdir().expect("a directory");
    let root = tempfile::tempdir().expect("a directory");
    // An absolute link is one inside the image: /state is <root>/state.
    fs::create_dir_all(root.path().join("var/lib")).expect("var/lib");
    fs::create_dir(root.path().join("state")).expect("state");
    symlink("/state", root.path().join("var/lib/cloud")).expect("link");
    write(root.path(), &data()).expect("writes");
    assert!(root.path().join("state/seed/nocloud/meta-data").is_file());
    // One that climbs stops at the root, and the directory is not there.
    fs::remove_file(root.path().join("var/lib/cloud")).expect("unlink");
    symlink(format!("../../../../../../..{}", outside.path().display()), root.path().join("var/lib/cloud"))
        .expect("link");
    let error = write(root.path(), &data()).expect_err("a dangling link");
    assert_eq!(error.code(), "finalize.seed_file");
    assert_eq!(fs::read_dir(outside.path()).expect("outside").count(), 0);
}

#[test]
fn a_link_in_place_of_a_file_is_replaced_not_followed() {
    let outside = tempfile::tempdir().expect("a directory");
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").expect("victim");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o644)).expect("mode");
    let root = tempfile::tempdir().expect("a directory");
    let directory = root.path().join(DIRECTORY);
    fs::create_dir_all(&directory).expect("seed");
    for name in ["user-data", ".user-data.burin", "meta-data"] {
        symlink(&victim, directory.join(name)).expect("link");
    }
    write(root.path(), &data()).expect("writes");
    assert_eq!(fs::read_to_string(&victim).expect("victim"), "untouched");
    assert_eq!(fs::metadata(&victim).expect("victim").mode() & 0o7777, 0o644);
    assert!(fs::symlink_metadata(directory.join("user-data")).expect("user-data").is_file());
}

/// Whenever the power goes, there is either no volume or the whole of it; a re-run completes it. Nothing of what lay there
/// before is left where signatures are.
#[test]
fn a_cut_leaves_no_volume_or_all_of_it() {
    let files = data().nocloud();
    let size = 40 << 20;
    let whole = fat_image(VolumeLabel::Cidata, &files, 512, 32 << 20).expect("an image");
    for cut in 1..=4 {
        for keep in [true, false] {
            let disk = FaultDisk::of(vec![0xa5; size], 512);
            disk.writes_left.set(cut);
            let done = write_volume(&disk, VolumeLabel::Cidata, "id", &files).is_ok();
            let disk = disk.power_cut(|| keep);
            {
                let bytes = disk.bytes.borrow();
                let there = bytes[510..512] == [0x55, 0xaa];
                assert!(!there || bytes[..32 << 20] == whole, "cut {cut}");
                assert!(!done || there);
            }
            write_volume(&disk, VolumeLabel::Cidata, "id", &files).expect("a re-run");
            let bytes = disk.bytes.borrow();
            assert!(bytes[..32 << 20] == whole);
            assert!(bytes[size - (1 << 20)..].iter().all(|&byte| byte == 0));
        }
    }
}

#[test]
fn a_partition_too_small_for_a_seed_is_refused() {
    let disk = FaultDisk::new(1 << 20, 4096);
    let error = write_volume(&disk, VolumeLabel::Cidata, "id", &data().nocloud()).expect_err("too small");
    assert_eq!(error.code(), "finalize.seed_too_small");
    assert_eq!(disk.writes.get(), 0);
}

#[test]
fn the_same_seed_gives_the_same_volume() {
    let files = data().nocloud();
    let image = |label| fat_image(label, &files, 512, 4 << 20).expect("an image");
    assert!(image(VolumeLabel::Cidata) == image(VolumeLabel::Cidata));
    assert!(image(VolumeLabel::Cidata) != image(VolumeLabel::Config2));
}

proptest! {
    /// Characters that YAML does not allow never stand for themselves, and JSON readers see the same value.
    #[test]
    fn any_text_survives_and_is_printable(text in any::<String>()) {
        let written = yaml(&json!({ "key": text }));
        let printable = |c: char| matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        prop_assert!(written.chars().all(printable), "{written:?}");
        prop_assert_eq!(serde_json::from_str::<Value>(&written).expect("JSON"), json!({ "key": text }));
    }
}
