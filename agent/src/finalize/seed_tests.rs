//! Seeds written into images that try to redirect the writes, and onto volumes of their own.

use super::*;
use crate::error::Coded;
use crate::finalize::fault_disk::FaultDisk;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

const DIRECTORY: &str = "var/lib/cloud/seed/nocloud";

fn seed(names: &[&'static str]) -> Vec<SeedFile> {
    names.iter().map(|&path| SeedFile { path, contents: format!("#cloud-config\n{path}: x\n") }).collect()
}

fn nocloud() -> Vec<SeedFile> {
    seed(&NOCLOUD_FILES)
}

fn write(root: &Path, files: &[SeedFile]) -> Result<(), SeedError> {
    write_files(&Root::open(root).expect("root"), files).map(|_| ())
}

#[test]
fn files_are_for_root_alone_and_a_second_run_gives_the_same() {
    let root = tempfile::tempdir().expect("a directory");
    for _ in 0..2 {
        write(root.path(), &nocloud()).expect("writes");
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
    // A file of an earlier seed that this one lacks would be read too.
    write(root.path(), &seed(&NOCLOUD_FILES[..3])).expect("writes");
    assert!(!root.path().join(DIRECTORY).join("network-config").exists());
}

#[test]
fn files_that_are_not_as_they_were_written_are_told() {
    let root = tempfile::tempdir().expect("a directory");
    let compare = || compare_files(&Root::open(root.path()).expect("root"), &nocloud()).map_err(|error| error.code());
    write(root.path(), &nocloud()).expect("writes");
    assert_eq!(compare(), Ok(()));
    let file = root.path().join(DIRECTORY).join("user-data");
    let text = fs::read_to_string(&file).expect("reads");
    for other in [text.to_uppercase(), format!("{text} "), String::new()] {
        fs::write(&file, other).expect("writes");
        assert_eq!(compare(), Err("finalize.seed_readback"));
    }
    fs::remove_file(&file).expect("removes");
    assert_eq!(compare(), Err("finalize.seed_readback"));
}

/// Labels are inherited if they can be set; otherwise an enforcing system could not read its seed.
#[test]
fn selinux_labels_are_inherited() {
    let root = tempfile::tempdir().expect("a directory");
    let lib = root.path().join("var/lib");
    fs::create_dir_all(&lib).expect("var/lib");
    let label = b"system_u:object_r:var_lib_t:s0\0";
    if let Err(error) = xattr::set(&lib, "security.selinux", label) {
        burin_skip::skip!("labels cannot be set here: {error}");
        return;
    }
    write(root.path(), &nocloud()).expect("writes");
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
    write(root.path(), &nocloud()).expect("writes");
    assert!(root.path().join("state/seed/nocloud/meta-data").is_file());
    // A link that goes up ends at the root, and the directory is not there.
    fs::remove_file(root.path().join("var/lib/cloud")).expect("unlink");
    symlink(format!("../../../../../../..{}", outside.path().display()), root.path().join("var/lib/cloud"))
        .expect("link");
    let error = write(root.path(), &nocloud()).expect_err("a dangling link");
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
    write(root.path(), &nocloud()).expect("writes");
    assert_eq!(fs::read_to_string(&victim).expect("victim"), "untouched");
    assert_eq!(fs::metadata(&victim).expect("victim").mode() & 0o7777, 0o644);
    assert!(fs::symlink_metadata(directory.join("user-data")).expect("user-data").is_file());
}

/// Whenever the power fails, there is either no volume or a complete one; another run completes it. Nothing of the old
/// contents is left where signatures are.
#[test]
fn a_cut_leaves_no_volume_or_all_of_it() {
    let files = nocloud();
    let size = 40 << 20;
    let whole = fat_image("CIDATA", &files, 512, 32 << 20).expect("an image");
    for cut in 1..=4 {
        for keep in [true, false] {
            let disk = FaultDisk::of(vec![0xa5; size], 512);
            disk.writes_left.set(cut);
            let done = write_volume(&disk, "CIDATA", &files).is_ok();
            let disk = disk.power_cut(|| keep);
            {
                let bytes = disk.bytes.borrow();
                let there = bytes[510..512] == [0x55, 0xaa];
                assert!(!there || bytes[..32 << 20] == whole, "cut {cut}");
                assert!(!done || there);
            }
            write_volume(&disk, "CIDATA", &files).expect("a re-run");
            let bytes = disk.bytes.borrow();
            assert!(bytes[..32 << 20] == whole);
            assert!(bytes[size - (1 << 20)..].iter().all(|&byte| byte == 0));
        }
    }
}

#[test]
fn a_partition_too_small_for_a_seed_is_refused() {
    let disk = FaultDisk::new(1 << 20, 4096);
    let error = write_volume(&disk, "CIDATA", &nocloud()).expect_err("too small");
    assert_eq!(error.code(), "finalize.seed_too_small");
    assert_eq!(disk.writes.get(), 0);
}

#[test]
fn the_same_seed_gives_the_same_volume() {
    let files = nocloud();
    let image = |label| fat_image(label, &files, 512, 4 << 20).expect("an image");
    assert!(image("CIDATA") == image("CIDATA"));
    assert!(image("CIDATA") != image("config-2"));
}
