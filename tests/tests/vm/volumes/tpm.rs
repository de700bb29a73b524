//! A volume that the TPM opens as long as the machine boots unchanged, and that another TPM does not open.

use super::{Bench, MIB, detail, keeper, opened, wait};
use burin_tests::deploy::built_for_storage;
use burin_tests::vm::Slot;
use serde_json::json;

#[test]
#[ignore = "on demand: scripts/test --storage"]
fn a_volume_that_the_tpm_opens_and_another_does_not() {
    let (netboot, debian) = match built_for_storage() {
        Ok(built) => built,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (identity, to) = keeper(dir);
    let mut bench = Bench::new(dir, &netboot, &debian.tree.dir, 1, 2560 * MIB);
    bench.tpm = true;
    let url = bench.controller.public_url();
    let receipt = bench.runs(&json!({
        "version": "order/v1", "id": "tpm-1",
        "images": { "tree": {
            "urls": [format!("{url}/images/{}", debian.tree.file)], "digest": { "wire": debian.tree.wire }, "format": "tar",
        } },
        "layouts": [{
            "name": "tpm",
            "disks": { "os": { "on_existing": "destroy", "partitions": [
                { "name": "esp", "type": "esp", "size": "160MiB", "filesystem": { "type": "vfat" }, "mount": "/boot/efi" },
                { "name": "data", "type": "luks", "size": "256MiB" },
                { "name": "root", "type": "root", "filesystem": { "type": "ext4" }, "mount": "/" },
            ] } },
            "luks": { "vault": {
                "on": { "partition": "os/data" },
                "unlock": [{ "tpm2": { "pcrs": [7] } }, { "recovery-key": { "to": to } }],
                "filesystem": { "type": "ext4" }, "mount": "/srv/data",
            } },
            "tree": { "image": "tree", "bootloader": "systemd-boot", "cmdline": ["console=ttyS0,115200"] },
        }],
        "seed": { "hostname": "sealed" },
        "policies": { "finish": "hold" },
    }));
    let luks = detail(&receipt, "create-luks")[0];
    assert_eq!((&luks["slots"][0]["token"], &luks["slots"][0]["pcrs"]), (&json!("systemd-tpm2"), &json!([7])));
    let key = opened(&identity, &luks["escrow"][0]);

    for boot in ["first", "second"] {
        println!("-- the {boot} boot opens it without a word");
        let machine = bench.start();
        wait(&machine, "tree-proof end");
        let text = machine.console().text();
        let mounts = text.lines().find(|line| line.contains("tree-proof mounts=")).unwrap_or_default();
        assert!(mounts.contains("/srv/data") && mounts.contains("failed=0"), "{mounts}");
        machine.cut_power();
    }
    println!("-- with another TPM it asks, and the recovery key opens it");
    std::fs::remove_dir_all(dir.join("tpm")).unwrap();
    let mut machine = bench.start();
    wait(&machine, "for disk");
    machine.type_text(&format!("{key}\r")).unwrap();
    wait(&machine, "tree-proof end");
    assert!(machine.console().text().contains("/srv/data"));
    machine.cut_power();
}
