use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};

use super::*;

fn sample() -> Archive {
    let mut archive = Archive::default();
    archive.add("/init", 0o755, CpioNode::File(b"binary".to_vec())).unwrap();
    archive.add("/lib/modules/6.1/a.ko", 0o644, CpioNode::File(vec![7; 1001])).unwrap();
    archive.add("/lib/modules", 0o700, CpioNode::Directory).unwrap();
    archive.add("/dev/null", 0o666, CpioNode::CharDevice(1, 3)).unwrap();
    archive.add("/bin", 0o777, CpioNode::Symlink("usr/bin".into())).unwrap();
    archive.add("/tmp", 0o1777, CpioNode::Directory).unwrap();
    archive
}

/// Name, mode, contents, device numbers.
type Found = (String, u32, Vec<u8>, (u32, u32));

/// An independent parser of the format, for comparison.
fn read_back(mut data: &[u8]) -> Vec<Found> {
    let mut out = Vec::new();
    let mut offset = 0usize;
    loop {
        assert_eq!(&data[..6], b"070701");
        let field =
            |n: usize| u32::from_str_radix(std::str::from_utf8(&data[6 + 8 * n..14 + 8 * n]).unwrap(), 16).unwrap();
        let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
        let name = String::from_utf8(data[110..110 + name_size - 1].to_vec()).unwrap();
        let rdev = (field(9), field(10));
        let start = (110 + name_size).next_multiple_of(4);
        if name == "TRAILER!!!" {
            assert!(data[start..].iter().all(|b| *b == 0));
            assert_eq!((offset + data.len()) % 512, 0);
            return out;
        }
        out.push((name, mode, data[start..start + size].to_vec(), rdev));
        let next = (start + size).next_multiple_of(4);
        offset += next;
        data = &data[next..];
    }
}

#[test]
fn what_goes_in_comes_out() {
    let found = read_back(&sample().to_bytes(0).unwrap());
    let names: Vec<&str> = found.iter().map(|f| f.0.as_str()).collect();
    assert_eq!(
        names,
        ["bin", "dev", "dev/null", "init", "lib", "lib/modules", "lib/modules/6.1", "lib/modules/6.1/a.ko", "tmp"]
    );
    assert_eq!(found[0].2, b"usr/bin");
    assert_eq!((found[2].1, found[2].3), (0o020_666, (1, 3)));
    assert_eq!((found[3].1, found[3].2.as_slice()), (0o100_755, &b"binary"[..]));
    assert_eq!(found[5].1, 0o040_700);
    assert_eq!(found[7].2, vec![7; 1001]);
    assert_eq!(found[8].1, 0o041_777);
}

#[test]
fn order_of_adding_does_not_matter() {
    let mut other = Archive::default();
    let mut entries: Vec<(String, CpioEntry)> = sample().entries().map(|(n, e)| (format!("/{n}"), e.clone())).collect();
    entries.reverse();
    for (name, entry) in entries {
        other.add(&name, entry.mode, entry.node).unwrap();
    }
    assert_eq!(other.to_bytes(1).unwrap(), sample().to_bytes(1).unwrap());
    assert_ne!(other.to_bytes(1).unwrap(), sample().to_bytes(2).unwrap());
}

#[test]
fn bad_paths_are_refused() {
    let mut archive = sample();
    for path in ["init", "/", "//x", "/a/../b", "/a/./b", "/a//b", "/a\0b"] {
        assert_eq!(archive.add(path, 0o644, CpioNode::File(vec![])), Err(CpioError::Path(path.into())), "{path:?}");
    }
    assert_eq!(archive.add("/init", 0o644, CpioNode::File(vec![])), Err(CpioError::Twice("/init".into())));
    let error = archive.add("/init/x", 0o644, CpioNode::File(vec![])).unwrap_err();
    assert_eq!(error, CpioError::Parent { path: "/init/x".into(), parent: "/init".into() });
}

/// GNU cpio agrees. Skipped if it is not installed; device nodes need root and are left out.
#[test]
fn cpio_extracts_it() {
    let mut archive = sample();
    archive.entries.remove("dev/null");
    let dir = tempfile::tempdir().unwrap();
    let mut cpio = Command::new("cpio");
    cpio.args(["-idm", "--quiet", "--no-absolute-filenames"]).current_dir(dir.path()).stdin(Stdio::piped());
    let Ok(mut child) = cpio.spawn() else {
        burin_skip::skip!("cpio is not installed");
        return;
    };
    child.stdin.take().unwrap().write_all(&archive.to_bytes(86_400).unwrap()).unwrap();
    assert!(child.wait().unwrap().success());
    let init = dir.path().join("init").metadata().unwrap();
    assert_eq!((init.permissions().mode() & 0o7777, init.mtime()), (0o755, 86_400));
    assert_eq!(std::fs::read(dir.path().join("lib/modules/6.1/a.ko")).unwrap(), vec![7; 1001]);
    assert_eq!(std::fs::read_link(dir.path().join("bin")).unwrap().to_str(), Some("usr/bin"));
}
