//! `burin agent`: what PID 1 of the ramdisk runs.

use super::one_line::OneLine;
use crate::api::LogRing;
use crate::config;
use crate::error::Coded;
use crate::exit::Exit;
use crate::run::Agent;
use crate::stage;
use simplelog::{CombinedLogger, ConfigBuilder, LevelFilter, SharedLogger, SimpleLogger, WriteLogger};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Serves one machine: network, inventory, orders, reports. PID 1 of the ramdisk starts it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It takes its settings from the kernel command line (burin.controller=URL, burin.order=URL, ...; docs/operations.md).
It images the disks of the machine it runs on: start it by hand only if that is what you want.

Exit status: 0 stay as you are, 70 reboot, 71 power off, 72 start the loaded kernel, 73 the order failed; anything else is a crash.")]
pub struct AgentArgs {
    /// Read /proc/cmdline and /etc/burin below this directory instead of /.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

pub fn run(args: &AgentArgs) -> ExitCode {
    let agent = Agent::new(&args.root);
    let level = agent.as_ref().ok().and_then(|agent| agent.config.log).unwrap_or(LevelFilter::Info);
    start_logger(level, agent.as_ref().ok().map(|agent| agent.log.clone()));
    match agent {
        Ok(agent) => agent.run().into(),
        Err(error) => {
            tell(&args.root, &error);
            Exit::Failed.into()
        }
    }
}

fn tell(root: &Path, error: &config::ConfigError) {
    stage::tell("configuration", &error.problem());
    log::error!("the words came from {}", root.join("proc/cmdline").display());
}

/// Log lines for consoles: time, level, message. Errors go to stderr, the end of which PID 1 keeps for the next agent.
///
/// `kept` gets the same lines, for the agent's API and for events.
fn start_logger(level: LevelFilter, kept: Option<LogRing>) {
    let mut config = ConfigBuilder::new();
    config.set_time_level(LevelFilter::Error).set_thread_level(LevelFilter::Off).set_target_level(LevelFilter::Off);
    config.set_location_level(LevelFilter::Off).set_max_level(LevelFilter::Error);
    // Messages of libraries are of no use to operators.
    config.add_filter_allow_str("burin").add_filter_allow_str("hwinventory");
    let mut loggers: Vec<Box<dyn SharedLogger>> = vec![SimpleLogger::new(level, config.build())];
    if let Some(kept) = kept {
        loggers.push(WriteLogger::new(level, config.build(), kept));
    }
    log::set_max_level(level);
    if let Err(error) = log::set_boxed_logger(Box::new(OneLine(CombinedLogger::new(loggers)))) {
        eprintln!("burin: no log: {error}");
    }
}
