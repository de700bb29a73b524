//! Prints what the first MiB of an image shows: `cargo run -p burin-table --example head -- IMAGE`.

use burin_table::Head;
use std::error::Error;
use std::io::Read;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: head IMAGE (raw, not compressed)")?;
    let mut bytes = Vec::new();
    std::fs::File::open(&path)?.take(1 << 20).read_to_end(&mut bytes)?;
    let head = Head::parse(bytes);
    println!("table: {:?}, sectors of {:?} bytes, boot code: {}", head.table, head.sector_size, head.boot_code);
    if let Some(fault) = head.fault {
        println!("damaged: {fault}");
    }
    if let Some(filesystem) = head.filesystem {
        println!("filesystem: {filesystem}");
    }
    for one in &head.partitions {
        println!("{:>4} {:>14} {:>14}  {:?} {}", one.number, one.start, one.size, one.purpose, one.name);
    }
    Ok(())
}
