//! Images as orders have them, applied on loop devices: signatures, sums, an index, credentials, several disks.
//!
//! Needs root; without it says that it was skipped.

use crate::support::*;
use burin::apply::{self, Applied, Bound, Context, Paths, Patience};
use burin::error::Coded;
use burin::image::Cancel;
use burin::plan;
use burin::protocol::{Control, Kind, order};
use burin::report::Emitter;
use burin::stage::{Failure, Stages};
use hwinventory::Inventory;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Made by minisign 0.11: the key, and its signature of the index of `noise(6 MiB, 43)`.
const KEY: &str = "RWRV5YaSboPdjiub4G6fJcNVHwqgBH0y/m1CkFQDftWOUCtuzCgOXrTr";
const OTHER_KEY: &str = "RWR6IUV7Splry9BuA35yvy4wOSObCpkAKfmvBkLtMvn0Vr1gjcd6QWfe";
const INDEX_SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
    RURV5YaSboPdjvBN5IyjiqSfm62i4TZrqT3yK5vvC58jNLou0c+6WYZDuL4PLzhU9hLVb4i5VSaommE/GR8KZ93fRea5mMdbuQY=\n\
    trusted comment: file:image.caibx\n\
    MtVnQcIQWu53x45ueiGaiipZQeNadl5GYbqwz0/do680hyTBY32BHmkzJBI1dr0zenLVyeCtMFzqwnMDy/I/BQ==\n";

const DISK: usize = 8 * MIB;

fn signed() -> Vec<u8> {
    noise(6 * MIB, 43)
}

fn index(bytes: &[u8]) -> Vec<u8> {
    let source = burin::image::Source::Reader(Box::new(std::io::Cursor::new(bytes.to_vec())), "test".into());
    burin::image::index(source, Default::default(), &Cancel::default()).unwrap().bytes()
}

fn described(disk: &Loop, size: usize) -> Value {
    let serial = disk.device.file_name().unwrap().to_string_lossy().into_owned();
    let identity = json!({ "kind": "serial", "value": serial, "strength": "strong" });
    json!({
        "name": serial, "path": disk.device, "status": "ok", "mounts": [], "signatures": [], "logical_block_size": 512,
        "class": "ssd", "size": size, "serial": serial, "identity": identity, "identities": [identity]
    })
}

/// Applies an order with this image on all of `disks`.
fn apply(image: Value, disks: &[(&Loop, usize)], spoil: &dyn Fn()) -> (Result<(), Failure>, Applied, Vec<Kind>) {
    let set = json!({ "image": "image", "count": disks.len(), "on_existing": "destroy" });
    let order = json!({
        "version": "order/v1", "id": "images", "images": { "image": image },
        "layouts": [ { "name": "all", "disks": { "all": set } } ], "policies": { "boot_order": "keep" }
    });
    let order = order::parse_value(&order).unwrap();
    let section = |data: Value| json!({ "status": "ok", "data": data });
    let described: Vec<Value> = disks.iter().map(|(disk, size)| described(disk, *size)).collect();
    let inventory = json!({
        "schema_version": "inventory/v1",
        "system": section(json!({})), "firmware": section(json!({ "boot_mode": "bios" })),
        "cpu": section(json!({ "architecture": "x86_64" })), "disks": section(json!(described)),
        "volumes": section(json!([])), "nics": section(json!([])), "pci": section(json!([])),
    });
    let inventory: Inventory = serde_json::from_value(inventory).unwrap();
    let mut plan = plan::plan(&inventory, &order, &BTreeMap::new()).unwrap();
    // Only the images are of interest here: they are no disks that could boot.
    plan.steps.retain(|step| step.name() == "write-image");
    let mounts = tempfile::tempdir().unwrap();
    let emitter = Emitter::disconnected();
    let events = emitter.listen(1000);
    let paths =
        Paths { mounts: mounts.path().join("mnt"), program: env!("CARGO_BIN_EXE_burin").into(), ..Paths::default() };
    let disks = match Bound::new(&plan, &inventory, &paths) {
        Ok(disks) => disks,
        Err(error) => {
            let failure = Failure { stage: "probe".to_owned(), problem: error.problem() };
            return (Err(failure), Applied::default(), Vec::new());
        }
    };
    spoil();
    let context = Context {
        order: Arc::new(order),
        plan: Arc::new(plan),
        inventory: Arc::new(inventory),
        seed: None,
        download: agent(),
        cancel: Cancel::default(),
        safe_point: &|| Control::Continue,
        paths,
        disks,
        patience: Patience::default(),
    };
    let mut done = Applied::default();
    let result = apply::apply(&context, &mut Stages::new(emitter), &mut done);
    let kinds = events.try_iter().filter_map(|event| event.kind()).collect();
    (result, done, kinds)
}

fn disk(dir: &Path) -> Option<Loop> {
    Loop::new(dir, DISK, 512)
}

#[test]
fn an_index_is_used_where_the_disk_holds_most_of_it_and_only_if_it_is_as_well_proven_as_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let Some(device) = disk(dir.path()) else { return };
    let mut held = [signed(), dirt(2 * MIB).to_vec()].concat();
    held[3 * MIB + 1] ^= 1;
    let server = |signature: bool| {
        let server = Server::new(signed(), []).beside("/image.caibx", index(&signed()));
        if signature { server.beside("/image.caibx.minisig", INDEX_SIGNATURE) } else { server }
    };
    let wire = json!({ "wire": sha256(&signed()) });
    let proof = json!({ "key": KEY });
    let index_digest = json!(sha256(&index(&signed())));
    let cases = [
        // Nothing is asked of the image, nor of the index.
        (server(false), json!({}), json!({}), true),
        (server(false), wire.clone(), json!({}), false),
        (server(false), json!({ "content": sha256(&signed()) }), json!({}), true),
        (server(false), wire.clone(), json!({ "digest": index_digest }), true),
        // A signature tells nothing of which image, or when: it does not stand in for the image's digest.
        (server(true), wire.clone(), json!({ "signature": proof }), false),
        // Not signed after all: written whole.
        (server(false), wire, json!({ "signature": proof }), false),
    ];
    for (server, digest, more, used) in cases {
        fs::write(&device.device, &held).unwrap();
        let mut delta = json!({ "url": server.at("/image.caibx") });
        delta.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let image = json!({ "urls": [server.url], "digest": digest, "delta": delta });
        let (result, done, _) = apply(image.clone(), &[(&device, DISK)], &|| {});
        result.unwrap_or_else(|failure| panic!("{image}: {failure:?}"));
        let receipt = &done.images[0];
        assert_eq!(receipt.skipped_bytes > 0, used, "{image}: {receipt:?}");
        assert_eq!(receipt.delta.as_ref().is_some_and(|delta| delta.used), used, "{image}: {receipt:?}");
        assert_written(&fs::read(&device.device).unwrap(), &signed());
    }
    // A wrong signature, and a wrong digest, of the index are no reason to go on.
    for (more, code) in [
        (json!({ "signature": { "key": OTHER_KEY } }), "image.signature_other_key"),
        (json!({ "digest": format!("sha256:{}", "0".repeat(64)) }), "image.digest_mismatch"),
    ] {
        fs::write(&device.device, &held).unwrap();
        let server = server(true);
        let mut delta = json!({ "url": server.at("/image.caibx") });
        delta.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (result, ..) = apply(json!({ "urls": [server.url], "delta": delta }), &[(&device, DISK)], &|| {});
        assert_eq!(result.unwrap_err().problem.code, code);
        assert!(fs::read(&device.device).unwrap() == held, "the device was touched");
    }
}

#[test]
fn after_a_power_cut_the_next_attempt_fetches_only_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let Some(device) = disk(dir.path()) else { return };
    let server = Server::new(signed(), []).beside("/image.caibx", index(&signed()));
    // As a write leaves it that broke off: no head, then what it came to, then what was there before.
    let left = [vec![0; MIB], signed()[MIB..5 * MIB].to_vec(), dirt(DISK)[5 * MIB..].to_vec()].concat();
    fs::write(&device.device, left).unwrap();
    let image = json!({ "urls": [server.url], "delta": { "url": server.at("/image.caibx") } });
    let (result, done, _) = apply(image, &[(&device, DISK)], &|| {});
    result.unwrap();
    assert_eq!(done.images[0].skipped_bytes, 4 * MIB as u64, "{:?}", done.images);
    assert_written(&fs::read(&device.device).unwrap(), &signed());
}

#[test]
fn a_wrong_image_signature_leaves_nothing_bootable_and_a_missing_one_an_untouched_disk() {
    let dir = tempfile::tempdir().unwrap();
    let Some(device) = disk(dir.path()) else { return };
    let server = Server::new(signed(), []).beside("/image.minisig", INDEX_SIGNATURE);
    let image = |server: &Server| json!({ "urls": [server.url], "signature": { "key": KEY } });
    let (result, done, _) = apply(image(&server), &[(&device, DISK)], &|| {});
    let problem = result.unwrap_err().problem;
    assert_eq!((problem.code.as_str(), done.images.len()), ("image.signature_invalid", 0), "{problem:?}");
    assert_unfinished(&device.device, "images");
    fs::write(&device.device, dirt(DISK)).unwrap();
    let (result, ..) = apply(image(&Server::new(signed(), [])), &[(&device, DISK)], &|| {});
    assert_eq!(result.unwrap_err().problem.code, "image.signature_missing");
    assert!(fs::read(&device.device).unwrap() == dirt(DISK), "the device was touched");
}

#[test]
fn credentials_rate_and_connections_of_an_order_are_kept_and_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let Some(device) = disk(dir.path()) else { return };
    let server = Server::new(signed(), []).wants("Basic dXNlcjpodW50ZXIy");
    let proxy = Proxy::new();
    let transfer = json!({
        "credentials": { "basic": { "user": "user", "password": "hunter2" } },
        "proxy": format!("http://me:hunter2@{}", proxy.address), "rate": 50_000_000, "connections": 3
    });
    let (result, done, events) =
        apply(json!({ "urls": [server.url], "transfer": transfer }), &[(&device, DISK)], &|| {});
    result.unwrap();
    assert_written(&fs::read(&device.device).unwrap(), &signed());
    assert_eq!(server.requests().len(), 3, "three parts of 2 MiB");
    assert!(!proxy.requests().is_empty());
    let told = format!("{done:?}{events:?}{}", serde_json::to_string(&done.images).unwrap());
    assert!(!told.contains("hunter2"), "{told}");
    let (result, ..) = apply(json!({ "urls": [server.url] }), &[(&device, DISK)], &|| {});
    assert_eq!(result.unwrap_err().problem.code, "image.denied");
}

#[test]
fn of_several_disks_one_that_fails_is_named_and_the_others_are_finished() {
    let dirs = [0, 1, 2].map(|_| tempfile::tempdir().unwrap());
    let mut disks = Vec::new();
    for dir in &dirs {
        let Some(disk) = disk(dir.path()) else { return };
        disks.push(disk);
    }
    let server = Server::new(signed(), []);
    let sized: Vec<(&Loop, usize)> = disks.iter().map(|disk| (disk, DISK)).collect();
    let (result, done, _) = apply(json!({ "urls": [server.url] }), &sized, &|| {});
    result.unwrap();
    assert_eq!((done.images.len(), server.requests().len()), (3, 1));
    for disk in &disks {
        assert_written(&fs::read(&disk.device).unwrap(), &signed());
        fs::write(&disk.device, dirt(DISK)).unwrap();
    }
    // One is gone by the time it is opened.
    let (result, done, events) = apply(json!({ "urls": [server.url] }), &sized, &|| disks[1].pull());
    let failure = result.unwrap_err();
    let named = disks[1].device.display().to_string();
    assert!(failure.problem.message.contains("1 of 3") && failure.problem.message.contains(&named), "{failure:?}");
    assert_eq!(failure.problem.code, "disk.empty");
    let finished: Vec<&str> = done.images.iter().map(|receipt| receipt.device.as_str()).collect();
    assert_eq!(finished.len(), 2);
    let told = |kind: &Kind| matches!(kind, Kind::Anomaly(anomaly) if anomaly.device.as_deref() == Some(&named));
    assert!(events.iter().any(told), "{events:?}");
    for disk in [&disks[0], &disks[2]] {
        assert!(finished.contains(&disk.device.to_str().unwrap()));
        // All of it but what would make it boot: the order has failed.
        let (held, image) = (fs::read(&disk.device).unwrap(), signed());
        assert!(held[MIB..image.len()] == image[MIB..] && held.starts_with(b"BURIN-UNFINISHED\nimages\n"));
    }
}

#[test]
fn an_order_goes_by_a_manifest_and_a_ramdisk_may_know_better_which_version() {
    let dir = tempfile::tempdir().unwrap();
    let Some(device) = disk(dir.path()) else { return };
    let bytes = signed();
    let (wire, index) = (seekable(&bytes), index(&bytes));
    let digest = |bytes: &[u8]| sha256(bytes);
    let manifest = json!({
        "manifest": "image-manifest/v1", "name": "debian", "version": "13.1", "format": "raw", "compression": "zstd",
        "image": { "file": "d.raw.zst", "bytes": wire.len(), "digest": digest(&wire) },
        "content": { "bytes": bytes.len(), "digest": digest(&bytes) },
        "index": { "file": "d.caibx", "bytes": index.len(), "digest": digest(&index) },
        "least_disk": bytes.len(), "least_memory": 1
    });
    let server = Server::new(wire, []).beside("/x/d.json", manifest.to_string());
    let wire = seekable(&bytes);
    let server = server.beside("/x/d.raw.zst", wire).beside("/x/d.caibx", index);
    let at = server.at("/x/d.json");
    let ordered = |more: Value| {
        fs::write(&device.device, dirt(DISK)).unwrap();
        let mut image = json!({ "manifest": at });
        image.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (result, done, _) = apply(image, &[(&device, DISK)], &|| {});
        (result.err().map(|failure| failure.problem.code), done)
    };
    let (failed, done) = ordered(json!({ "name": "debian", "least_version": "13" }));
    assert_eq!(failed, None);
    assert_eq!(done.images[0].digest.content.as_deref(), Some(digest(&bytes).as_str()));
    assert_written(&fs::read(&device.device).unwrap()[..bytes.len()], &bytes);
    assert_eq!(ordered(json!({ "least_version": "13.2" })).0.as_deref(), Some("image.manifest_old"));
    assert_eq!(ordered(json!({ "name": "ubuntu" })).0.as_deref(), Some("image.manifest_name"));
    let missing = ordered(json!({ "name": "debian", "signature": { "key": KEY } })).0;
    assert_eq!(missing.as_deref(), Some("image.signature_missing"));
}
