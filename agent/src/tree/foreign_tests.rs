//! Archives of GNU tar and bsdtar in all their formats: unpacked, compared with the original, and read back.

use super::{TreeError, TreeManifest, unpack};
use crate::finalize::root::Root;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names too long for a header.
const LONG: &str = "a-name-of-sixty-characters-and-some-more-so-that-three-are-too-many";

/// Everything that an archive should preserve of a file.
#[derive(Debug, PartialEq)]
struct Seen {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    rdev: u64,
    links: u64,
    contents: Vec<u8>,
    extended: BTreeMap<OsString, Vec<u8>>,
}

#[derive(Clone, Copy)]
struct Keeps {
    extended: bool,
    fractions: bool,
    long: bool,
}

fn seen(root: &Path, keeps: Keeps) -> BTreeMap<PathBuf, Seen> {
    let mut all = BTreeMap::new();
    let mut queue = vec![root.to_owned()];
    while let Some(path) = queue.pop() {
        let found = fs::symlink_metadata(&path).expect("metadata");
        let contents = if found.is_file() {
            fs::read(&path).expect("reads")
        } else if found.is_symlink() {
            fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes()
        } else {
            Vec::new()
        };
        if found.is_dir() {
            queue.extend(fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()));
        }
        let names = xattr::list(&path).expect("names").filter(|_| keeps.extended);
        let extended = names.map(|name| (name.clone(), xattr::get(&path, &name).expect("gets").expect("a value")));
        let seen = Seen {
            mode: found.mode(),
            owner: (found.uid(), found.gid()),
            mtime: (found.mtime(), if keeps.fractions { found.mtime_nsec() } else { 0 }),
            rdev: found.rdev(),
            links: if found.is_dir() { 0 } else { found.nlink() },
            contents,
            extended: extended.collect(),
        };
        all.insert(path.strip_prefix(root).expect("below").to_owned(), seen);
    }
    all
}

/// A directory with one file of each kind. False if this host cannot create it.
fn furnish(root: &Path, keeps: Keeps) -> bool {
    let at = |path: &str| root.join(path);
    fs::create_dir_all(at("etc/zone")).expect("directories");
    fs::write(at("etc/passwd"), "root\n").expect("writes");
    // Archives contain the names of an ACL's users and groups if the packing host knows them.
    fs::copy("/etc/group", at("etc/group")).expect("copies");
    std::os::unix::fs::chown(at("etc/passwd"), Some(12), Some(70_000)).expect("owner");
    fs::set_permissions(at("etc/passwd"), fs::Permissions::from_mode(0o4751)).expect("mode");
    fs::hard_link(at("etc/passwd"), at("etc/again")).expect("links");
    symlink("../usr/lib", at("etc/lib")).expect("links");
    fs::write(at("empty"), "").expect("writes");
    if keeps.long {
        let deep = at(&[LONG; 5].join("/"));
        fs::create_dir_all(&deep).expect("directories");
        fs::write(deep.join(LONG.repeat(3)), "far down").expect("writes");
        symlink(LONG.repeat(4), at("far")).expect("links");
    }
    let sparse = File::create(at("sparse")).expect("creates");
    sparse.set_len(9 << 20).expect("grows");
    // Pieces at arbitrary offsets, more than fit into an old GNU header.
    for piece in 0..40u64 {
        sparse.write_all_at(&[7; 5000], piece * 200_000 + 77).expect("writes");
    }
    drop(sparse);
    let node = |name: &str, arguments: &[&str]| {
        Command::new("mknod").arg(at(name)).args(arguments).status().is_ok_and(|s| s.success())
    };
    if !node("null", &["c", "1", "3"]) || !node("pipe", &["p"]) {
        return false;
    }
    if keeps.extended {
        let set = |path: &str, name: &str, value: &[u8]| xattr::set(at(path), name, value).is_ok();
        // A newline, an equals sign, zero bytes: whatever a pax record may contain.
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let able = set("empty", "user.strange", b"a\nb=c\n\0") && set("empty", "security.capability", &capability);
        let acl = Command::new("setfacl").args(["-m", "u:71000:r,g:70000:rw,g:adm:r"]).arg(at("etc/zone")).status();
        let default = Command::new("setfacl").args(["-d", "-m", "u:71000:rx"]).arg(at("etc/zone")).status();
        if !able || !acl.is_ok_and(|s| s.success()) || !default.is_ok_and(|s| s.success()) {
            return false;
        }
    }
    for (path, time) in [("etc/passwd", "2001-09-09 01:46:40.123456789 UTC"), ("etc/zone", "1999-01-01 00:00:00 UTC")] {
        let set = Command::new("touch").args(["-d", time]).arg(at(path)).status();
        assert!(set.is_ok_and(|status| status.success()));
    }
    true
}

fn unpacked(archive: &Path, to: &Path) -> Result<TreeManifest, TreeError> {
    let (root, mut manifest) = (Root::open(to).expect("opens"), TreeManifest::default());
    let mut file = File::open(archive).expect("opens");
    unpack(&mut file, &root, Some(&mut manifest), &|| false)?;
    Ok(manifest)
}

/// Packs, unpacks and compares with this program.
fn goes_round(program: &str, arguments: &[&str], keeps: Keeps) {
    let root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    let there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to, archive) = (dir.path().join("from"), dir.path().join("to"), dir.path().join("archive"));
    fs::create_dir(&from).and_then(|()| fs::create_dir(&to)).expect("directories");
    if !root || !there || !furnish(&from, keeps) {
        burin_skip::skip!("needs root, {program}, setfacl, and a filesystem with ACLs and attributes");
        return;
    }
    let made = Command::new(program).args(arguments).arg("-cf").arg(&archive).arg("-C").arg(&from).arg(".").output();
    let made = made.expect("runs");
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{program} {arguments:?}: {said}");
    let manifest = unpacked(&archive, &to).unwrap_or_else(|error| panic!("{program} {arguments:?}: {error:?}"));
    let (wanted, found) = (seen(&from, keeps), seen(&to, keeps));
    assert_eq!(wanted.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>(), "{program} {arguments:?}");
    for (path, wanted) in &wanted {
        let found = &found[path];
        assert!(wanted.contents == found.contents, "{program} {arguments:?}: {}: contents", path.display());
        let less = |seen: &Seen| Seen { contents: Vec::new(), extended: seen.extended.clone(), ..*seen };
        assert_eq!(less(wanted), less(found), "{program} {arguments:?}: {}", path.display());
    }
    let blocks = |root: &Path| fs::metadata(root.join("sparse")).expect("metadata").blocks() * 512;
    assert!(blocks(&to) < 6 << 20, "{program} {arguments:?}: {} bytes on the disk", blocks(&to));

    let verify = || manifest.verify(&Root::open(&to).expect("opens"), &|| false);
    let verified = verify().expect("as it was unpacked");
    assert_eq!(verified.entries as usize, wanted.len());
    // One bit in the middle of a hole, a mode, an attribute: each change is found, with its location.
    let sparse = File::options().write(true).open(to.join("sparse")).expect("opens");
    let time = fs::metadata(to.join("sparse")).and_then(|found| found.modified()).expect("a time");
    sparse.write_all_at(&[1], 100_000).and_then(|()| sparse.set_modified(time)).expect("writes");
    let differs = || match verify() {
        Err(TreeError::Differs { path, what }) => (path, what),
        other => panic!("{other:?}"),
    };
    assert_eq!(differs(), ("sparse".to_owned(), "its contents differ"));
    sparse.write_all_at(&[0], 100_000).and_then(|()| sparse.set_modified(time)).expect("writes");
    verify().expect("as before");
    fs::set_permissions(to.join("etc/passwd"), fs::Permissions::from_mode(0o751)).expect("mode");
    assert_eq!(differs(), ("etc/again".to_owned(), "its mode differs"));
    fs::set_permissions(to.join("etc/passwd"), fs::Permissions::from_mode(0o4751)).expect("mode");
    if keeps.extended {
        xattr::set(to.join("empty"), "user.strange", b"a\nb=c\n\x01").expect("sets");
        assert_eq!(differs(), ("empty".to_owned(), "an extended attribute differs"));
        keeping(&to, || fs::remove_file(to.join("empty")).expect("removes"));
        assert_eq!(differs(), ("empty".to_owned(), "it is not there"));
    }
    if keeps.extended {
        return;
    }
    let (time, again) = (fs::metadata(to.join("etc/passwd")).and_then(|found| found.modified()), to.join("etc/again"));
    keeping(&to.join("etc"), || {
        fs::remove_file(&again).and_then(|()| fs::copy(to.join("etc/passwd"), &again)).expect("copies");
        std::os::unix::fs::chown(&again, Some(12), Some(70_000)).expect("owner");
        fs::set_permissions(&again, fs::Permissions::from_mode(0o4751)).expect("mode");
        File::open(&again).and_then(|file| file.set_modified(time.expect("a time"))).expect("time");
    });
    assert_eq!(differs(), ("etc/passwd".to_owned(), "it is no longer another name of the same file"));
}

/// Preserves a directory's time.
fn keeping(directory: &Path, work: impl FnOnce()) {
    let open = File::open(directory).expect("opens");
    let time = open.metadata().and_then(|found| found.modified()).expect("a time");
    work();
    open.set_modified(time).expect("time");
}

const ALL: Keeps = Keeps { extended: true, fractions: true, long: true };

#[test]
fn gnu_tar_in_its_pax_forms() {
    let pax = ["--format=posix", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner"];
    goes_round("tar", &pax, ALL);
    for version in ["0.0", "0.1", "1.0"] {
        let sparse = format!("--sparse-version={version}");
        goes_round("tar", &[&pax[..], &["--sparse", &sparse]].concat(), ALL);
    }
}

#[test]
fn gnu_tar_in_its_own_form_and_ustar() {
    let own = Keeps { extended: false, fractions: false, long: true };
    goes_round("tar", &["--format=gnu", "--numeric-owner"], own);
    goes_round("tar", &["--format=gnu", "--sparse"], own);
    goes_round("tar", &["--format=ustar"], Keeps { long: false, ..own });
}

#[test]
fn bsdtar_in_its_forms() {
    let less = Keeps { extended: false, fractions: false, long: true };
    goes_round("bsdtar", &["--format=pax", "--xattrs", "--acls"], ALL);
    goes_round("bsdtar", &["--format=gnutar"], less);
    goes_round("bsdtar", &["--format=ustar"], Keeps { long: false, ..less });
}

/// An archive truncated or with a bit flipped anywhere gives an error or a tree, never a panic; a truncated one never
/// succeeds.
#[test]
fn broken_archives_are_errors() {
    let dir = tempfile::tempdir().expect("a directory");
    let from = dir.path().join("from");
    fs::create_dir_all(from.join("d")).expect("directories");
    fs::write(from.join("d/file"), [5; 3000]).expect("writes");
    let sparse = File::create(from.join("sparse")).expect("creates");
    sparse.set_len(300_000).and_then(|()| sparse.write_all_at(&[9; 8192], 147_456)).expect("writes");
    for format in [&["--format=posix", "--sparse"][..], &["--format=gnu", "--sparse"]] {
        let archive = dir.path().join("archive");
        let made = Command::new("tar").args(format).arg("-cf").arg(&archive).arg("-C").arg(&from).arg(".").status();
        assert!(made.is_ok_and(|status| status.success()));
        let bytes = fs::read(&archive).expect("reads");
        let end = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let run = |bytes: &[u8]| {
            let to = tempfile::tempdir().expect("a directory");
            let (mut bytes, root) = (bytes, Root::open(to.path()).expect("opens"));
            unpack(&mut bytes, &root, Some(&mut TreeManifest::default()), &|| false)
        };
        let end = end.next_multiple_of(512);
        run(&bytes[..end + 512]).expect("whole");
        for length in (0..end).step_by(97).chain([end]) {
            run(&bytes[..length]).expect_err("cut off");
        }
        for at in (0..end).step_by(31) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x15;
            let _ = run(&flipped);
        }
    }
}
