//! An order's files in the system of an image or in a tree: where the system looks for them, never outside it, with
//! their owners, modes and labels.
//!
//! Needs root, util-linux and e2fsprogs; without root it says that it was skipped.

use crate::support::images::{Maker, ROOT, carry_out, order, put};
use crate::support::orders::{tree, tree_order};
use crate::support::{Loop, MIB, apply_on, machine, paths, serve, skipped};
use burin::finalize::mount::{Access, Mounted};
use burin::protocol::Control;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

const CONTEXTS: &str = "/etc(/.*)?\tsystem_u:object_r:etc_t:s0\n/etc/app(/.*)?\tsystem_u:object_r:app_etc_t:s0\n";

fn image(fill: impl FnOnce(&Path)) -> Vec<u8> {
    let maker = Maker::new(64, &format!("label: gpt\nstart=1MiB, size=48MiB, type={ROOT}\n"));
    maker.fill(1, "ext4", &[], |root| {
        put(root, "etc/os-release", "ID=x\n");
        put(root, "etc/passwd", "root:x:0:0::/root:/bin/sh\nlisa:x:1000:1001::/home/lisa:/bin/sh\n");
        put(root, "etc/group", "root:x:0:\nadm:x:4:lisa\n");
        fill(root);
    });
    maker.bytes()
}

fn files(files: Value) -> Value {
    json!({ "attributes": { "secret": "hunter2" }, "files": files })
}

#[test]
fn files_of_every_kind_with_owner_mode_and_label() {
    if skipped() {
        return;
    }
    let bytes = image(|root| {
        put(root, "etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n");
        put(root, "etc/selinux/targeted/contexts/files/file_contexts", CONTEXTS);
        put(root, "etc/motd", "old");
    });
    let fetched = b"#!/bin/sh\n".repeat(10_000);
    let digest: String =
        <sha2::Sha256 as sha2::Digest>::digest(&fetched).iter().map(|byte| format!("{byte:02x}")).collect();
    let digest = format!("sha256:{digest}");
    let wanted = files(json!([
        { "path": "/etc/motd", "contents": "new\n" },
        { "path": "/etc/app/secret", "contents": { "attribute": "secret" }, "mode": "0600", "owner": "lisa", "group": "adm" },
        { "path": "/opt/deep/binary", "base64": "AAEC/w==", "owner": 7, "group": 8 },
        { "path": "/usr/local/bin/tool", "url": serve(fetched.clone()), "digest": digest, "mode": "4755" },
    ]));
    let done = carry_out(&order(&bytes, json!({}), wanted), 128).well();
    done.look(1, "ext4", |root| {
        let file =
            |path: &str| (fs::read(root.join(path)).expect("reads"), fs::metadata(root.join(path)).expect("there"));
        let owner = |metadata: &fs::Metadata| (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
        let (contents, metadata) = file("etc/motd");
        assert_eq!((contents.as_slice(), owner(&metadata)), (&b"new\n"[..], (0, 0, 0o644)));
        let (contents, metadata) = file("etc/app/secret");
        assert_eq!((contents.as_slice(), owner(&metadata)), (&b"hunter2"[..], (1000, 4, 0o600)));
        let (contents, metadata) = file("opt/deep/binary");
        assert_eq!((contents.as_slice(), owner(&metadata)), (&[0, 1, 2, 255][..], (7, 8, 0o644)));
        let (contents, metadata) = file("usr/local/bin/tool");
        assert_eq!((contents == fetched, owner(&metadata)), (true, (0, 0, 0o4755)));
        assert_eq!(fs::metadata(root.join("opt/deep")).expect("made").mode() & 0o7777, 0o755);
        let label = |path: &str| xattr::get(root.join(path), "security.selinux").expect("reads");
        if xattr::SUPPORTED_PLATFORM && label("etc/motd").is_some() {
            assert_eq!(label("etc/motd").as_deref(), Some(&b"system_u:object_r:etc_t:s0\0"[..]));
            assert_eq!(label("etc/app").as_deref(), Some(&b"system_u:object_r:app_etc_t:s0\0"[..]));
            assert_eq!(label("etc/app/secret").as_deref(), Some(&b"system_u:object_r:app_etc_t:s0\0"[..]));
        }
    });
    let told = format!("{:?}", done.applied);
    assert!(told.contains("/etc/app/secret") && !told.contains("hunter2"), "{told}");
    assert_eq!(done.change("write-files")["files"][1]["uid"], 1000);
}

#[test]
fn links_of_the_image_are_followed_inside_of_it_and_lead_nowhere_else() {
    if skipped() {
        return;
    }
    let outside = tempfile::tempdir().expect("a directory");
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").expect("writes");
    let bytes = image(|root| {
        symlink("/srv/etc", root.join("etc/app")).expect("links");
        fs::create_dir_all(root.join("srv/etc")).expect("makes");
        symlink(format!("../../../../../../../..{}", outside.path().display()), root.join("etc/out")).expect("links");
        symlink(&victim, root.join("etc/file")).expect("links");
    });
    let wanted = files(json!([{ "path": "/etc/app/one", "contents": "1" }, { "path": "/etc/file", "contents": "2" }]));
    let done = carry_out(&order(&bytes, json!({}), wanted), 128).well();
    done.look(1, "ext4", |root| {
        assert_eq!(fs::read_to_string(root.join("srv/etc/one")).expect("inside"), "1");
        // A link in place of the file is replaced.
        assert_eq!(fs::read_to_string(root.join("etc/file")).expect("a file"), "2");
    });
    let wanted = files(json!([{ "path": "/etc/out/victim", "contents": "3" }]));
    let done = carry_out(&order(&bytes, json!({}), wanted), 128);
    assert_eq!(done.refused(), "finalize.file");
    assert_eq!(fs::read_to_string(&victim).expect("there"), "untouched");
}

#[test]
fn what_cannot_be_put_there_is_refused() {
    if skipped() {
        return;
    }
    let bytes = image(|root| {
        put(root, "etc/fstab", "/dev/mapper/vg-data /data xfs defaults 0 0\n");
        fs::create_dir_all(root.join("etc/dir")).expect("makes");
        fs::create_dir(root.join("run")).expect("makes");
        symlink("/run", root.join("volatile")).expect("links");
    });
    for (file, code) in [
        (json!({ "path": "/data/x", "contents": "" }), "finalize.no_place"),
        (json!({ "path": "/volatile/x", "contents": "" }), "finalize.no_place"),
        (json!({ "path": "/etc/dir", "contents": "" }), "finalize.file_directory"),
        (json!({ "path": "/etc/x", "contents": "", "owner": "nobody-knows" }), "finalize.file_account"),
        (
            json!({ "path": "/etc/x", "url": serve(b"other".to_vec()), "digest": format!("sha256:{}", "0".repeat(64)) }),
            "image.digest_mismatch",
        ),
    ] {
        let done = carry_out(&order(&bytes, json!({}), files(json!([file]))), 128);
        assert_eq!(done.refused(), code, "{file}");
    }
}

/// Of a deployment only /etc and /var are its own; /home is a link into /var.
#[test]
fn a_deployment_of_ostree_takes_files_in_etc_and_var() {
    if skipped() {
        return;
    }
    let maker = Maker::new(80, &format!("label: gpt\nstart=1MiB, size=70MiB, type={ROOT}\n"));
    maker.fill(1, "ext4", &[], |root| {
        let deployed = root.join("ostree/deploy/os/deploy/abc.0");
        put(&deployed, "usr/lib/os-release", "ID=coreos\n");
        put(&deployed, "etc/hosts", "");
        fs::create_dir_all(deployed.join("var")).expect("makes");
        fs::create_dir_all(root.join("ostree/deploy/os/var/home")).expect("makes");
        symlink("var/home", deployed.join("home")).expect("links");
    });
    let wanted = files(json!([{ "path": "/etc/app", "contents": "1" }, { "path": "/home/core/x", "contents": "2" }]));
    let done = carry_out(&order(&maker.bytes(), json!({}), wanted), 128).well();
    assert_eq!(done.find(1, "ext4", "etc/app"), [Path::new("ostree/deploy/os/deploy/abc.0/etc/app")]);
    assert_eq!(done.find(1, "ext4", "core/x"), [Path::new("ostree/deploy/os/var/home/core/x")]);
    let wanted = files(json!([{ "path": "/usr/bin/x", "contents": "" }]));
    let done = carry_out(&order(&maker.bytes(), json!({}), wanted), 128);
    assert_eq!(done.refused(), "finalize.no_place");
}

#[test]
fn a_tree_takes_files_too() {
    if skipped() {
        return;
    }
    let bytes = tree(10_000);
    let disk = Loop::new(192 * MIB, 512);
    let mut value = tree_order(&serve(bytes.clone()), &bytes);
    value["files"] = json!([{ "path": "/srv/app/conf", "contents": "1", "mode": "0640", "group": 4 }]);
    let order = burin::protocol::order::parse(&value.to_string()).expect("an order");
    let inventory = machine(&[disk.described("S1")]);
    apply_on(&order, &inventory, &paths(&disk), &|| Control::Continue).1.expect("applies");
    let mounted = Mounted::mount(&disk.partition(1), "ext4", Access::ReadOnly, &paths(&disk).mounts).expect("mounts");
    let file = mounted.path().join("app/conf");
    let metadata = fs::metadata(&file).expect("there");
    assert_eq!(
        (fs::read_to_string(&file).expect("reads").as_str(), metadata.mode() & 0o7777, metadata.gid()),
        ("1", 0o640, 4)
    );
    mounted.unmount().expect("unmounts");
}
