//! Archives with everything that a system contains, and archives that try to escape.

use super::*;
use crate::error::Coded;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};

pub(in crate::tree) struct Made(tar::Builder<Vec<u8>>);

impl Made {
    pub fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Raw paths: the crate's own setters would refuse those that a test is about.
    pub fn add(mut self, kind: EntryType, path: &str, link: &str, mode: u32, contents: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(12);
        header.set_gid(34);
        header.set_mtime(1_000_000_000);
        header.set_device_major(1).expect("ustar");
        header.set_device_minor(3).expect("ustar");
        header.set_size(contents.len() as u64);
        header.set_cksum();
        self.0.append(&header, contents).expect("appends");
        self
    }

    pub fn file(self, path: &str, contents: &[u8]) -> Self {
        self.add(EntryType::Regular, path, "", 0o4751, contents)
    }

    fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).expect("appends");
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("bytes")
    }

    fn unpack(self, root: &Path) -> Result<Unpacked, TreeError> {
        let bytes = self.bytes();
        unpack(&mut bytes.as_slice(), &Root::open(root).expect("root"), None, &|| false)
    }
}

pub(in crate::tree) fn is_root() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if !root {
        burin_skip::skip!("only root gives files away");
    }
    root
}

#[test]
fn everything_that_a_file_has_is_kept_and_a_second_run_gives_the_same() {
    if !is_root() {
        return;
    }
    let root = tempfile::tempdir().expect("a directory");
    for _ in 0..2 {
        let mut sparse = vec![0; 1 << 20];
        sparse[300_000] = 7;
        let done = Made::new()
            .add(EntryType::Directory, "./", "", 0o755, b"")
            .add(EntryType::Directory, "./etc/", "", 0o2750, b"")
            .pax(&[("mtime", b"1234567890.25"), ("SCHILY.xattr.user.test", b"v\0w")])
            .file("etc/passwd", b"root\n")
            .add(EntryType::Link, "etc/again", "./etc/passwd", 0, b"")
            .add(EntryType::Symlink, "bin", "usr/bin", 0o777, b"")
            .file("bin/true", b"through a link on the way")
            .add(EntryType::Char, "dev/null", "", 0o666, b"")
            .add(EntryType::Fifo, "run/pipe", "", 0o600, b"")
            .file("sparse", &sparse);
        // `bin` points to something that does not exist yet.
        fs::create_dir_all(root.path().join("usr/bin")).expect("usr/bin");
        let done = done.unpack(root.path()).expect("unpacks");
        assert_eq!(done.entries, 9);
        let meta = |path: &str| fs::symlink_metadata(root.path().join(path)).expect("metadata");
        let passwd = meta("etc/passwd");
        assert_eq!((passwd.mode() & 0o7777, passwd.uid(), passwd.gid()), (0o4751, 12, 34));
        assert_eq!((passwd.mtime(), passwd.mtime_nsec()), (1_234_567_890, 250_000_000));
        assert_eq!((passwd.ino(), passwd.nlink()), (meta("etc/again").ino(), 2));
        assert_eq!((meta("etc").mode() & 0o7777, meta("etc").mtime()), (0o2750, 1_000_000_000));
        assert_eq!((meta("bin").uid(), meta("bin").mtime()), (12, 1_000_000_000));
        assert_eq!(fs::read_link(root.path().join("bin")).expect("a link"), Path::new("usr/bin"));
        assert!(meta("usr/bin/true").is_file());
        assert!(meta("run/pipe").file_type().is_fifo());
        let null = meta("dev/null");
        assert!(null.file_type().is_char_device() && null.rdev() == makedev(1, 3));
        assert_eq!(null.mode() & 0o7777, 0o666);
        assert!(fs::read(root.path().join("sparse")).expect("reads") == sparse);
        assert!(meta("sparse").blocks() * 512 < 1 << 19, "{}", meta("sparse").blocks());
        match xattr::get(root.path().join("etc/passwd"), "user.test") {
            Ok(value) => assert_eq!(value.as_deref(), Some(&b"v\0w"[..])),
            Err(error) => println!("no user attributes here: {error}"),
        }
    }
}

#[test]
fn capabilities_and_acls_are_kept() {
    if !is_root() {
        return;
    }
    let root = tempfile::tempdir().expect("a directory");
    // CAP_NET_RAW, effective; struct vfs_cap_data of revision 2.
    let capability: &[u8] = &[1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let probe = root.path().join("probe");
    fs::write(&probe, "").expect("writes");
    if let Err(error) = xattr::set(&probe, "security.capability", capability) {
        burin_skip::skip!("capabilities cannot be set here: {error}");
        return;
    }
    let made = Made::new().pax(&[("SCHILY.xattr.security.capability", capability)]).file("ping", b"x");
    made.unpack(root.path()).expect("unpacks");
    let found = xattr::get(root.path().join("ping"), "security.capability").expect("reads");
    assert_eq!(found.as_deref(), Some(capability));
    let text = b"user::rw-,user:lisa:r--:1000,group::r--,mask::r--,other::---";
    Made::new().pax(&[("SCHILY.acl.access", text)]).file("acl", b"x").unpack(root.path()).expect("unpacks");
    let found = xattr::get(root.path().join("acl"), "system.posix_acl_access").expect("reads");
    assert_eq!(found.map(|bytes| bytes.len()), Some(4 + 5 * 8));
    let broken: &[u8] = b"a\nb=c\n";
    let made =
        Made::new().pax(&[("SCHILY.xattr.security.capability", capability), ("comment", broken)]).file("two", b"x");
    made.unpack(root.path()).expect("a line break in a value");
    let found = xattr::get(root.path().join("two"), "security.capability").expect("reads");
    assert_eq!(found.as_deref(), Some(capability));
}

#[test]
fn nothing_leads_out() {
    let outside = tempfile::tempdir().expect("a directory");
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").expect("victim");
    let away = outside.path().to_str().expect("UTF-8").to_owned();
    let climb = format!("../../../../../../../..{away}");
    let link = |name: &str, target: &str| Made::new().add(EntryType::Symlink, name, target, 0o777, b"");
    let root = || tempfile::tempdir().expect("a directory");

    let error = Made::new().file("../x", b"x").unpack(root().path()).expect_err("climbs");
    assert_eq!(error.code(), "tree.escape");
    let error = Made::new().file("a/../../x", b"x").unpack(root().path()).expect_err("climbs");
    assert_eq!(error.code(), "tree.escape");
    let made = Made::new().add(EntryType::Link, "x", "../victim", 0, b"");
    assert_eq!(made.unpack(root().path()).expect_err("climbs").code(), "tree.escape");
    for target in [away.as_str(), climb.as_str()] {
        // A directory behind a link out of the tree does not exist in it.
        let made = link("d", target).file("d/victim", b"overwritten");
        assert_eq!(made.unpack(root().path()).expect_err("out").code(), "tree.io");
        let file = format!("{target}/victim");
        // A file in place of a link replaces the link; another name of it is the link's.
        let inside = root();
        let _ = link("l", &file).file("l", b"new").unpack(inside.path());
        let _ = link("m", &file).add(EntryType::Link, "n", "m", 0, b"").file("n", b"new").unpack(inside.path());
    }
    // Existing contents of the filesystem are not trusted either.
    let inside = root();
    symlink(&away, inside.path().join("etc")).expect("a link");
    let _ = Made::new().add(EntryType::Directory, "etc", "", 0o700, b"").file("etc/victim", b"x").unpack(inside.path());
    assert_eq!(fs::read_to_string(&victim).expect("victim"), "untouched");
    assert_eq!(fs::metadata(&victim).expect("victim").nlink(), 1);
    assert_eq!(fs::read_dir(outside.path()).expect("outside").count(), 1);
}

/// An ACL with a name waits for the end of the archive; by then its file may be a link, put there by another path.
#[test]
fn an_acl_that_waits_goes_to_its_own_file_or_to_none() {
    if !is_root() {
        return;
    }
    let outside = tempfile::tempdir().expect("a directory");
    let victim = outside.path().join("victim");
    fs::write(&victim, "").expect("victim");
    let before = fs::metadata(&victim).expect("victim").mode();
    let target = victim.to_str().expect("UTF-8");
    let acl: &[u8] = b"u::rw-,u:lisa:r--,g::r--,o::---,m::r--";
    let late = || Made::new().pax(&[("SCHILY.acl.access", acl)]).file("d/f", b"x");
    let made = late()
        .add(EntryType::Symlink, "l", "d", 0o777, b"")
        .add(EntryType::Symlink, "l/f", target, 0o777, b"")
        .file("etc/passwd", b"lisa:x:1000:1000::/:\n");
    let root = tempfile::tempdir().expect("a directory");
    made.unpack(root.path()).expect("unpacks");
    assert_eq!(fs::metadata(&victim).expect("victim").mode(), before);
    assert!(root.path().join("d/f").is_symlink());
    // Without names in between.
    let root = tempfile::tempdir().expect("a directory");
    late().file("etc/passwd", b"lisa:x:1000:1000::/:\n").unpack(root.path()).expect("unpacks");
    assert_eq!(fs::metadata(root.path().join("d/f")).expect("a file").mode() & 0o7700, 0o4600);
}

#[test]
fn attributes_that_wait_are_bounded() {
    let long = vec![b'#'; 60 << 10];
    let mut made = Made::new();
    for number in 0..1200 {
        made = made.pax(&[("SCHILY.acl.default", &long[..]), ("SCHILY.xattr.user.x", &long[..])]);
        made = made.add(EntryType::Directory, &format!("d{number}"), "", 0o755, b"");
    }
    let root = tempfile::tempdir().expect("a directory");
    assert_eq!(made.unpack(root.path()).expect_err("too much").code(), "tree.unsupported");
    let huge = vec![b'x'; 70 << 10];
    let made = Made::new().pax(&[("SCHILY.xattr.user.x", &huge[..])]).file("x", b"");
    assert_eq!(made.unpack(root.path()).expect_err("too long").code(), "tree.unsupported");
}

#[test]
fn what_is_no_archive_or_ends_early_is_an_error() {
    let root = tempfile::tempdir().expect("a directory");
    let opened = Root::open(root.path()).expect("root");
    let error = unpack(&mut &[7u8; 2048][..], &opened, None, &|| false).expect_err("no tar");
    assert_eq!(error.code(), "tree.archive");
    let bytes = Made::new().file("x", &[1; 5000]).0.into_inner().expect("bytes");
    let error = unpack(&mut &bytes[..2000], &opened, None, &|| false).expect_err("ends early");
    assert_eq!(error.code(), "tree.archive");
    let error = unpack(&mut bytes.as_slice(), &opened, None, &|| true).expect_err("stopped");
    assert_eq!(error.code(), "cancelled");
}
