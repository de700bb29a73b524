//! The entry point: arguments, logger, exit code. As PID 1 of a ramdisk, and as the kernel's modprobe, it has none of
//! these.

use burin::cli;
use clap::Parser;
use std::process::ExitCode;

/// Images bare metal: inventories the machine, picks disks by rule, writes images, reads them back, reports.
#[derive(Debug, Parser)]
#[command(version, after_help = "Every command exits 0 only when what it was asked for is done and verified.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Agent(cli::agent::AgentArgs),
    Conformance(cli::conformance::ConformanceArgs),
    #[command(subcommand)]
    Image(cli::image::ImageCommand),
    Index(cli::index::IndexArgs),
    Inventory(cli::inventory::InventoryArgs),
    #[command(hide = true)]
    Look(cli::look::LookArgs),
    Order(cli::order::OrderArgs),
    Plan(cli::plan::PlanArgs),
    Receipt(cli::receipt::ReceiptArgs),
    /// Overwrite free memory: started by PID 1 before kexec
    #[command(hide = true)]
    ScrubMemory,
    Simulate(cli::simulate::SimulateArgs),
    Write(Box<cli::write::WriteArgs>),
}

fn main() -> ExitCode {
    if std::process::id() == 1 {
        burin::boot::init();
    }
    if burin::boot::is_modprobe(std::env::args_os().next().as_deref()) {
        return burin::boot::modprobe(std::env::args().skip(1));
    }
    match Cli::parse().command {
        Command::Agent(args) => cli::agent::run(&args),
        Command::Conformance(args) => cli::conformance::run(args),
        Command::Image(command) => cli::image::run(command, &cli::signals::cancelled_by_signals()),
        Command::Index(args) => cli::index::run(args, &cli::signals::cancelled_by_signals()),
        Command::Inventory(args) => cli::inventory::run(&args),
        Command::Look(args) => cli::look::run(&args),
        Command::Order(args) => cli::order::run(args),
        Command::Plan(args) => cli::plan::run(args),
        Command::Receipt(args) => cli::receipt::run(args),
        Command::ScrubMemory => {
            burin::boot::scrub();
            ExitCode::SUCCESS
        }
        Command::Simulate(args) => cli::simulate::run(args),
        Command::Write(args) => cli::write::run(*args, &cli::signals::cancelled_by_signals()),
    }
}
