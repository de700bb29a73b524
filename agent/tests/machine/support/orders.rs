//! Orders for a tree and for an image, their requirements, and a check of the resulting disk.

use super::{Loop, MIB, may_grow_ext4, paths, run};
use burin::finalize::filesystem;
use burin::finalize::mount::{Access, Mounted};
use burin::protocol::order::Order;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Bytes that no compression makes small.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = vec![0; length];
    for chunk in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    bytes
}

pub fn tree(size: usize) -> Vec<u8> {
    tree_with(size, &[])
}

/// With more files: their paths and contents.
pub fn tree_with(size: usize, more: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o640);
        header.set_mtime(1_000_000_000);
        archive.append_data(&mut header, path, bytes).expect("appends");
    };
    add("etc/os-release", b"ID=tree\n");
    add("srv/data/noise", &noise(size));
    for number in 0..SMALL_FILES {
        add(&format!("usr/lib/small/{number}"), &small(number));
    }
    for (path, bytes) in more {
        add(path, bytes);
    }
    archive.into_inner().expect("bytes")
}

/// So that directories and inodes fill more than a block.
const SMALL_FILES: usize = 80;

fn small(number: usize) -> Vec<u8> {
    format!("file {number}\n").repeat(20 + number).into_bytes()
}

pub fn tree_order(url: &str, bytes: &[u8]) -> Value {
    tree_order_on(url, bytes, "ext4", "64MiB")
}

/// With this filesystem for /srv.
pub fn tree_order_on(url: &str, bytes: &[u8], srv: &str, size: &str) -> Value {
    let partition = |name: &str, kind: &str, size: &str, mount: &str| json!({ "name": name, "type": "linux", "size": size, "mount": mount, "filesystem": { "type": kind } });
    json!({
        "version": "order/v1", "id": "faults", "seed": { "hostname": "survivor" },
        "images": { "tree": { "urls": [url], "format": "tar", "digest": { "wire": digest(bytes) } } },
        "layouts": [{
            "name": "tree", "tree": { "image": "tree", "bootloader": "none" },
            "disks": { "system": { "on_existing": "destroy", "match": { "serial": "S1" }, "partitions": [
                partition("srv", srv, size, "/srv"), partition("root", "ext4", "48MiB", "/"),
            ] } }
        }]
    })
}

/// Serves one body over HTTP, also in parts, until the process ends.
pub fn serve_ranges(body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/image.raw", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        std::thread::scope(|scope| {
            for stream in listener.incoming().map_while(Result::ok) {
                let body = &body;
                scope.spawn(move || answer(&stream, body));
            }
        });
    });
    url
}

fn answer(mut stream: &TcpStream, body: &[u8]) {
    let lines: Vec<String> =
        BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let line = lines.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let whole = (0, body.len());
    let asked = line.as_deref().and_then(|range| range.split_once('-')).map(|(first, last)| {
        let first: usize = first.parse().unwrap_or(0);
        (first, last.parse::<usize>().map_or(body.len(), |last| last + 1).min(body.len()))
    });
    let (from, to) = asked.unwrap_or(whole);
    let status = match asked {
        Some(_) => format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{}", to - 1, body.len()),
        None => "200 OK".to_owned(),
    };
    let length = to - from;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: \"one\"\r\nAccept-Ranges: bytes\r\n\
         Connection: close\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[from..to]));
}

/// Bytes of [`image`] and of the disk that it is made on.
pub const IMAGE: u64 = 24 * MIB;

/// A disk with one ext4, numbered 3, and what is in it.
pub fn image(disk: &Loop) -> Vec<u8> {
    let script = disk.directory.path().join("script");
    fs::write(
        &script,
        "label: gpt\n3: start=1MiB, size=20MiB, name=\"root\", type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709\n",
    )
    .expect("writes");
    run("sh", &["-c", &format!("sfdisk --quiet {} < {}", disk.node(), script.display())]);
    fill_root(disk, 3)
}

/// An ext4 with little in it; then the whole disk.
fn fill_root(disk: &Loop, number: u32) -> Vec<u8> {
    disk.sync();
    let partition = disk.partition(number);
    run("mkfs.ext4", &["-q", "-F", "-L", "image-root", partition.to_str().expect("UTF-8")]);
    let mounted = Mounted::mount(&partition, "ext4", Access::ReadWrite, &paths(disk).mounts).expect("mounts");
    fs::create_dir(mounted.path().join("etc")).expect("etc");
    fs::write(mounted.path().join("etc/os-release"), "ID=image\n").expect("writes");
    mounted.unmount().expect("unmounts");
    let mut bytes = vec![0; IMAGE as usize];
    fs::File::open(&disk.node).and_then(|mut file| file.read_exact(&mut bytes)).expect("reads");
    bytes
}

/// The same with an MBR, boot code in its first sector and more of it behind; its ext4 is the first partition.
pub fn mbr_image(disk: &Loop) -> Vec<u8> {
    let mut code = noise(MIB as usize);
    code[440..512].fill(0);
    fs::OpenOptions::new().write(true).open(&disk.node).and_then(|mut file| file.write_all(&code)).expect("writes");
    let script = disk.directory.path().join("script");
    fs::write(&script, "label: dos\nstart=1MiB, size=20MiB, type=83, bootable\n").expect("writes");
    run("sh", &["-c", &format!("sfdisk --quiet --wipe=never {} < {}", disk.node(), script.display())]);
    fill_root(disk, 1)
}

pub fn image_order(url: &str, bytes: &[u8]) -> Value {
    json!({
        "version": "order/v1", "id": "faults", "seed": { "hostname": "survivor" },
        "images": { "image": { "urls": [url], "digest": { "content": digest(bytes) } } },
        "policies": { "boot_order": "keep" },
        "layouts": [{ "name": "image", "disks": { "system": {
            "on_existing": "destroy", "match": { "serial": "S1" }, "image": "image",
            "grow": { "partition": "root", "filesystem": may_grow_ext4() },
            "guids": { "disk": "new", "partitions": { "3": "new" } },
            "add": [{ "name": "data", "type": "linux", "size": "8MiB", "filesystem": { "type": "ext4" } }]
        } } }]
    })
}

/// An ext4 of so many MiB without a table around it, full of noise.
pub fn filesystem_image(mib: u64) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a directory");
    let (root, file) = (directory.path().join("root"), directory.path().join("image"));
    fs::create_dir_all(root.join("etc")).expect("directories");
    fs::write(root.join("etc/os-release"), "ID=partition\n").expect("writes");
    fs::write(root.join("noise"), noise((mib * MIB / 2) as usize)).expect("writes");
    fs::File::create(&file).and_then(|file| file.set_len(mib * MIB)).expect("a file");
    let (root, image) = (root.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
    run("mkfs.ext4", &["-q", "-F", "-L", "partition-root", "-d", root, image]);
    fs::read(&file).expect("reads")
}

pub fn image_spec(url: &str, bytes: &[u8]) -> Value {
    json!({ "urls": [url], "digest": { "wire": digest(bytes) } })
}

pub fn order(value: &Value) -> Order {
    burin::protocol::order::parse(&value.to_string()).expect("an order")
}

/// Everything that a tree's order says, and sound filesystems.
pub fn holds_tree(disk: &Loop, size: usize) {
    has_tree(disk, size);
    sound(&disk.partition(1));
    sound(&disk.partition(2));
}

/// Every file as it was ordered, whatever the filesystems' own books say.
pub fn has_tree(disk: &Loop, size: usize) {
    let mounted = |number| {
        let kind = filesystem::probe(&disk.partition(number)).expect("one filesystem").kind.expect("a filesystem");
        Mounted::mount(&disk.partition(number), &kind, Access::ReadOnly, &paths(disk).mounts).expect("mounts")
    };
    let root = mounted(2);
    let read = |path: &str| fs::read(root.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(read("etc/os-release"), b"ID=tree\n");
    let table = String::from_utf8(read("etc/fstab")).expect("UTF-8");
    assert_eq!(table.lines().count(), 2, "{table}");
    for number in 0..SMALL_FILES {
        assert!(read(&format!("usr/lib/small/{number}")) == small(number), "{number}");
    }
    has_seed(&root);
    root.unmount().expect("unmounts");
    let srv = mounted(1);
    assert!(fs::read(srv.path().join("data/noise")).expect("reads") == noise(size));
    srv.unmount().expect("unmounts");
}

fn has_seed(root: &Mounted) {
    let meta = fs::read_to_string(root.path().join("var/lib/cloud/seed/nocloud/meta-data")).expect("a seed");
    assert!(meta.contains("survivor"), "{meta}");
}

/// As the filesystem's own checker sees it.
pub fn sound(partition: &Path) {
    let node = partition.to_str().expect("UTF-8");
    match filesystem::probe(partition).expect("one filesystem").kind.as_deref() {
        Some("ext4") => run("fsck.ext4", &["-f", "-n", node]),
        Some("xfs") => run("xfs_repair", &["-n", node]),
        Some("btrfs") => run("btrfs", &["check", "--readonly", node]),
        other => panic!("{node}: {other:?}"),
    };
}

pub fn holds_image(disk: &Loop) {
    has_image(disk);
    sound(&disk.partition(3));
}

/// As [`has_tree`], of an image.
pub fn has_image(disk: &Loop) {
    run("sfdisk", &["--verify", "--quiet", disk.node()]);
    let mounted = Mounted::mount(&disk.partition(3), "ext4", Access::ReadOnly, &paths(disk).mounts).expect("mounts");
    assert_eq!(fs::read(mounted.path().join("etc/os-release")).expect("reads"), b"ID=image\n");
    has_seed(&mounted);
    mounted.unmount().expect("unmounts");
    let size = filesystem::size(&disk.partition(3), filesystem::Kind::Ext4).expect("a size").bytes();
    assert!(size > 100 * MIB || !may_grow_ext4(), "{size}");
    assert!(run("sfdisk", &["--dump", disk.node()]).contains("name=\"data\""), "the added one");
}
