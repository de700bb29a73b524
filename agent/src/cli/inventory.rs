//! `burin inventory`: what the agent would report of this machine.

use std::io::Write;
use std::process::ExitCode;

/// Prints this machine's inventory as JSON (schema: docs/inventory.schema.json).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  burin inventory                       everything, as the agent reports it
  burin inventory | jq '.disks.data[] | {name, class, size, identity}'

`hwinventory collect` shows the same to people.")]
pub struct InventoryArgs {}

pub fn run(_args: &InventoryArgs) -> ExitCode {
    let inventory = hwinventory::collect(&hwinventory::Options::default());
    let mut out = std::io::stdout().lock();
    match serde_json::to_writer_pretty(&mut out, &inventory).map_err(std::io::Error::from).and_then(|()| writeln!(out))
    {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read it has had enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("burin: stdout: {error}");
            ExitCode::FAILURE
        }
    }
}
