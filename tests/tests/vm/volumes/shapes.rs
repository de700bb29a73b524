//! Volumes of every type over three disks, and LUKS on one of them.

use super::{Bench, MIB, PASSPHRASE, detail};
use burin_tests::deploy::built_for_storage;
use burin_tests::vm::Slot;
use serde_json::{Value, json};

#[test]
#[ignore = "on demand: scripts/test --storage"]
fn volumes_of_every_shape_over_three_disks() {
    let netboot = match built_for_storage() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let images = dir.path().join("images");
    std::fs::create_dir(&images).unwrap();
    let mut bench = Bench::new(dir.path(), &netboot, &images, 3, 512 * MIB);
    let ext4 = || json!({ "type": "ext4" });
    let order = |id: &str, luks: Value, volumes: Value| {
        json!({
            "version": "order/v1", "id": id,
            "layouts": [{
                "name": "shapes",
                "disks": { "store": {
                    "match": { "serial": { "glob": "STORE-*" } }, "count": 3, "on_existing": "destroy",
                    "partitions": [{ "name": "pv", "type": "lvm" }],
                } },
                "luks": luks,
                "lvm": { "store": { "on": { "partition": "store/pv" }, "tags": ["rack-7"], "volumes": volumes } },
            }],
            "policies": { "finish": "hold" },
        })
    };
    let receipt = bench.runs(&order(
        "shapes-1",
        json!({}),
        json!({
            "plain": { "size": "64MiB", "filesystem": ext4() },
            "wide": { "type": "striped", "size": "96MiB", "stripe_size": "128KiB", "filesystem": ext4() },
            "safe": { "type": "raid1", "size": "64MiB", "tags": ["keep"], "filesystem": ext4() },
            "pool": { "type": "thin-pool", "size": "20%" },
            "thin": { "type": "thin", "pool": "pool", "size": "1GiB", "filesystem": ext4() },
            "rest": { "filesystem": { "type": "xfs" } },
        }),
    ));
    let found = |name: &str| {
        let volumes = detail(&receipt, "create-volume");
        volumes.into_iter().find(|volume| volume["name"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
    };
    assert_eq!(found("wide")["lies_on"], json!([0, 1, 2]));
    assert_eq!(found("safe")["on"], json!([0, 1]));
    assert_eq!(found("thin")["size"], json!(1024 * MIB));
    assert!(found("rest")["size"].as_u64().is_some_and(|size| size > 600 * MIB), "{}", found("rest"));
    assert_eq!(detail(&receipt, "make-filesystem").len(), 5);

    println!("-- the same disks again, with LUKS upon a mirrored volume");
    let receipt = bench.runs(&order(
        "shapes-2",
        json!({ "secret": {
            "on": { "volume": "store/safe" }, "unlock": [{ "passphrase": PASSPHRASE }], "pbkdf_memory": "32MiB",
            "filesystem": ext4(),
        } }),
        json!({ "safe": { "type": "raid1", "copies": 3, "size": "200MiB" } }),
    ));
    assert_eq!(detail(&receipt, "create-volume")[0]["on"], json!([0, 1, 2]));
    assert_eq!(detail(&receipt, "create-luks")[0]["on"], "/dev/mapper/store-safe");
    assert!(!bench.said.contains(PASSPHRASE));
}
