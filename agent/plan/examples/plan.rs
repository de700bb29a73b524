//! Plans an order for a machine and prints what would be done: `cargo run -p burin-plan --example plan -- [INVENTORY
//! ORDER]`.
//!
//! Both are JSON files; see `hwinventory collect` and docs/layouts.md. Without them it plans for a machine with two
//! disks, of which the larger gets an image.

use std::collections::BTreeMap;
use std::error::Error;

const INVENTORY: &str = r#"{
    "schema_version": "inventory/v1",
    "cpu": { "status": "ok", "data": { "architecture": "x86_64" } },
    "firmware": { "status": "ok", "data": { "boot_mode": "uefi" } },
    "disks": { "status": "ok", "data": [
        { "name": "sda", "path": "/dev/sda", "status": "ok", "size": 480103981056, "class": "ssd", "logical_block_size": 512,
          "identities": [{ "kind": "naa", "value": "5000c500a1b2c3d4", "strength": "strong" }],
          "mounts": [], "signatures": [], "samples": { "looked_at_bytes": 2228224, "blank": true } },
        { "name": "nvme0n1", "path": "/dev/nvme0n1", "status": "ok", "size": 1920383410176, "class": "nvme",
          "logical_block_size": 512,
          "identities": [{ "kind": "nguid", "value": "36344830526001490025384100000001", "strength": "strong" }],
          "mounts": [], "signatures": [], "samples": { "looked_at_bytes": 2228224, "blank": true } }
    ] }
}"#;

const ORDER: &str = r#"{
    "version": "order/v1", "id": "example",
    "images": { "debian": { "urls": ["https://images.example/debian.raw.zst"] } },
    "layouts": [ { "name": "largest", "disks": { "root": {
        "order_by": [{ "desc": "size" }], "tie": "identity", "image": "debian", "grow": "root"
    } } } ]
}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let (inventory, order) = match files.as_slice() {
        [] => (INVENTORY.to_owned(), ORDER.to_owned()),
        [inventory, order] => (std::fs::read_to_string(inventory)?, std::fs::read_to_string(order)?),
        _ => return Err("usage: plan [INVENTORY ORDER]".into()),
    };
    let inventory = serde_json::from_str(&inventory)?;
    let order = burin_protocol::order::parse(&order)?;
    // The words `burin.attr.NAME=VALUE` of the kernel command line; there are none here.
    match burin_plan::plan(&inventory, &order, &BTreeMap::new()) {
        Ok(plan) => print!("{}", burin_plan::explain(&plan)),
        Err(refusal) => print!("{}", burin_plan::explain_refusal(&refusal)),
    }
    Ok(())
}
