//! Lists the disks of an inventory: `hwinventory collect | cargo run -p hwinventory-types --example disks`.

use hwinventory_types::{Inventory, Status};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let inventory: Inventory = serde_json::from_reader(std::io::stdin())?;
    if inventory.disks.status != Status::Ok {
        println!("disks: {:?}, so that some may be missing", inventory.disks.status);
    }
    for disk in &inventory.disks.data {
        let model = disk.model.as_deref().unwrap_or("no model");
        println!("{} {} bytes, {model}, {}", disk.path, disk.size, disk.identity.value);
    }
    Ok(())
}
