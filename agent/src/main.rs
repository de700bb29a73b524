//! The edge: arguments, exit code.

use clap::Parser;
use std::process::ExitCode;

/// Bare-metal imaging agent.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Write(burin::cli::write::WriteArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Write(args) => {
            let cancel = burin::image::Cancel::default();
            burin::cli::write::run(args, ureq::Agent::new_with_defaults(), &cancel)
        }
    }
}
