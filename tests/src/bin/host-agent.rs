//! An agent on this host, for tests that kill it: everything except PID 1 and the network, on a machine described in a
//! file. It sees only the disks in that file.

use burin::cli::look::{self, LookArgs};
use burin::http::Clock;
use burin::run::{Agent, Look, Surroundings};
use clap::Parser;
use simplelog::{CombinedLogger, LevelFilter, SimpleLogger, WriteLogger};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// An agent on this host, on a machine that a file describes.
#[derive(Debug, Parser)]
#[command(name = "host-agent")]
struct Arguments {
    /// Reads proc/cmdline and keeps its state below this directory
    #[arg(long)]
    root: PathBuf,
    /// The machine, as `inventory/v1`; looked at whenever the agent looks at the machine
    #[arg(long)]
    machine: PathBuf,
}

/// What an agent asks another process of its own program: what is in an image.
#[derive(Debug, Parser)]
struct LookCommand {
    #[command(flatten)]
    look: LookArgs,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("look") {
        return look::run(&LookCommand::parse_from(std::env::args().skip(1)).look);
    }
    let arguments = Arguments::parse();
    let mut agent = match Agent::new(&arguments.root) {
        Ok(agent) => agent,
        Err(error) => {
            eprintln!("host-agent: {error}");
            return ExitCode::FAILURE;
        }
    };
    let level = agent.config.log.unwrap_or(LevelFilter::Info);
    // As the agent's program does it: to the console, and to what callers can fetch.
    let kept = WriteLogger::new(level, Default::default(), agent.log.clone());
    if let Err(error) = CombinedLogger::init(vec![SimpleLogger::new(level, Default::default()), kept]) {
        eprintln!("host-agent: no log: {error}");
    }
    agent.paths.mounts = arguments.root.join("mnt");
    let machine = arguments.machine;
    // A machine that cannot be read has no disks, and no order fits it.
    let look = move || {
        let text = std::fs::read(&machine).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            eprintln!("host-agent: {}: {error}", machine.display());
            Default::default()
        })
    };
    agent.look = Look(Arc::new(look));
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    agent.run_in(Surroundings { clock: Clock::trusted(), addresses: vec![local], listen: local }).into()
}
