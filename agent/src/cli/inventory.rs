//! `burin inventory`: prints the inventory that the agent would report.

use hwinventory::model::harmless;
use std::io::Write;
use std::process::ExitCode;

/// Prints this machine's inventory as JSON (schema: docs/inventory.schema.json).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  burin inventory                       everything, as the agent reports it
  burin inventory | jq '.disks.data[] | {name, class, size, identity}'

`hwinventory collect` prints the same in readable form.")]
pub struct InventoryArgs {}

pub fn run(_args: &InventoryArgs) -> ExitCode {
    let inventory = hwinventory::collect(&hwinventory::Options::default());
    let mut out = std::io::stdout().lock();
    let text = serde_json::to_string_pretty(&inventory).map_err(std::io::Error::from);
    match text.and_then(|text| writeln!(out, "{}", harmless::json(&text))) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has closed the pipe.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("burin: stdout: {error}");
            ExitCode::FAILURE
        }
    }
}
